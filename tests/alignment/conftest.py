"""The models with random weights that the tests of `vlm` use."""

from tests.vlm.conftest import images, model_scratch, tiny

__all__ = ["images", "model_scratch", "tiny"]
