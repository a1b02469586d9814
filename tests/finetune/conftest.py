"""The tiny random model of `tests/vlm`."""

from tests.vlm.conftest import images, model_scratch, tiny

__all__ = ["images", "model_scratch", "tiny"]
