"""Models with random weights, loaded by the code that loads trained ones."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.live_memory import LiveMemory
from signbridge.core.shards import Shard
from signbridge.vlm.catalog import TinyRandomModel
from signbridge.vlm.extraction import Work
from signbridge.vlm.loading import LoadedModel, load
from signbridge.vlm.residual import reading

PROMPT = "USER: <image>\nWhat sign is being made in this image? Answer with one word.\nASSISTANT:"
CPU = torch.device("cpu")


def tiny_random(**changes: object) -> TinyRandomModel:
    """The catalog entry `tiny-random`, with changes."""
    entry = {
        "source": "tiny_random",
        "seed": 0,
        "quantization": "none",
        "dequantize": "never",
        "dtype": "float32",
        "prompt": PROMPT,
        "max_new_tokens": 20,
    }
    return TinyRandomModel.model_validate(entry | changes)


def within_budget(work: Work, budget: float) -> Work:
    """The work, for which memory runs out whenever what is read of a batch takes more bytes than `budget`."""

    def read(batch: Any, keep: int) -> Shard:
        with LiveMemory(budget):
            return work.read(batch, keep)

    return work._replace(read=read)


@torch.inference_mode()
def plain_streams(loaded: LoadedModel, inputs: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The stream at every site, prompts x tokens x width, of one pass by nothing but the model itself."""
    streams = {}
    with reading(loaded.parts, lambda site, stream: streams.update({site: stream.clone()})):
        loaded.model(**inputs)
    return streams


@pytest.fixture(scope="session")
def model_scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where random models are written, once for all tests."""
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="session")
def tiny(model_scratch: Path) -> LoadedModel:
    """The tiny random model in float32."""
    return load(tiny_random(), model_scratch, CPU)


@pytest.fixture(scope="session")
def images() -> list[Image.Image]:
    """Six different images, as the sample stage would hand them over."""
    generator = np.random.default_rng(0)
    arrays = generator.integers(0, 256, (6, 28, 28), dtype=np.uint8)
    return [Image.fromarray(array).convert("RGB") for array in arrays]
