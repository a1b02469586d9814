"""What image and text tokens have in common at the same layers."""
