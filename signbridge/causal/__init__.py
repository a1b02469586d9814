"""Is what a probe reads also used? Patching, steering and erasure of the residual stream."""
