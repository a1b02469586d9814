"""Two models to patch, steer and erase: a random one, and the miniature, whose words for drawn hands are known."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from ruamel.yaml import YAML

from signbridge.rendered.dataset import (
    copy_of,
    develop,
    frame_of,
    photo_in_numbers,
)
from signbridge.vlm.catalog import FolderModel
from signbridge.vlm.loading import LoadedModel, load
from tests.conftest import ROOT
from tests.vlm.conftest import images, model_scratch, tiny  # noqa: F401 (fixtures)

SIZE, SEED = 28, 505  # of the drawn hands: neither a study's nor a lesson's
ENTRY = FolderModel.model_validate(
    YAML(typ="safe").load((ROOT / "models.yaml").read_text(encoding="utf-8"))["miniature"]
    | {"path": str(ROOT / "models/miniature")}
)


@pytest.fixture(scope="session")
def miniature(tmp_path_factory) -> LoadedModel:
    """The shipped model, loaded as the study loads it."""
    return load(ENTRY, Path(tmp_path_factory.mktemp("scratch")), torch.device("cpu"))


def drawn(letter: str, photo: int) -> Image.Image:
    """A hand that the miniature has never seen."""
    developed = develop(photo_in_numbers(SEED, letter, photo), frame_of(SIZE))
    return Image.fromarray(copy_of(developed, SIZE, SEED, letter, photo, 0)).convert("RGB")


@pytest.fixture(scope="session")
def fists_and_peaces() -> tuple[list[Image.Image], np.ndarray]:
    """Nine photos each of a hand that is called Fist (S) and of one that is called Peace (V), with their letters."""
    labels = np.repeat(["S", "V"], 9)
    return [drawn(letter, number % 9) for number, letter in enumerate(labels)], labels
