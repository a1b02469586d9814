"""A study small enough to patch, steer and erase in a test: three letters of four photos, and the tiny random model."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import signbridge.vlm.shard_runs
from signbridge.core import params, tables
from signbridge.core.shards import Shard, write_shard
from signbridge.datasets.images import encode_png
from stages import extract
from tests.conftest import Workspace
from tests.stages.small_study import (
    copy_into,
    outputs,
    unfinished,
    working_in,
)

LABELS = np.array(list("AAAAABBBBCCCC"))
PHOTOS = np.array(
    ["a0", "a0", "a1", "a2", "a3", *(f"b{index}" for index in range(4)), *(f"c{index}" for index in range(4))]
)
IDS = [f"image-{index:02d}" for index in range(len(LABELS))]
WORDS = {"A": "fist", "B": "palm", "C": "peace"}
ENVIRONMENT = {"SIGNBRIDGE_DEVICE": "cpu", "SIGNBRIDGE_BATCH_SIZE": "8", "SIGNBRIDGE_SHARD_IMAGES": "8"}

STEERING = {"layers": 2, "pairs": 2, "images": 2, "others": 2, "at": ["image", "prompt_last"], "during": ["every_step"],
            "strengths": [1.0], "draws": 1, "answer_tokens": 2}  # fmt: skip
MINIMAL_PAIRS = {"photos": 2, "degrees": 40, "draws": 1, "layers": 1, "strengths": [1.0]}
KNOCKOUT = {"images": 2, "window": 9, "draws": 1}
ERASURE = {"layers": 2, "at": ["prompt_last"], "draws": 2, "drawn": 6, "others": 2}


@contextmanager
def extracted(folder: Path) -> Iterator[Workspace]:
    """What `sample`, `model` and `extract` leave, in the current folder; the answers are words by letter."""
    with working_in(folder) as workspace, pytest.MonkeyPatch.context() as here:
        for name, value in ENVIRONMENT.items():
            here.setenv(name, value)
        workspace.set(
            model="tiny-random",
            questions__sweep="small", questions__describe="USER: <image>\nDescribe the hand.\nASSISTANT:",
            questions__describe_tokens=3, statistics={"confidence": 0.95, "resamples": 50},
        )  # fmt: skip
        workspace.set_in(
            params.CAUSAL,
            fitted={"C": 0.1}, patching__small={"pairs": 3, "parts_at": []},
            patching__full={"pairs": 1, "parts_at": []},
            minimal_pairs={"small": MINIMAL_PAIRS, "full": MINIMAL_PAIRS},
            knockout={"small": KNOCKOUT, "full": {**KNOCKOUT, "images": 1}},
            steering={"small": STEERING, "full": {**STEERING, "strengths": [0.5, 2.0], "at": ["image"], "pairs": 1}},
            erasure={"small": ERASURE, "full": {**ERASURE, "at": ["image"], "layers": 1}},
            steering_effects={"most_damage": 50.0, "breakdown": 100.0},
        )  # fmt: skip
        pixels = np.random.default_rng(0).integers(0, 256, (len(LABELS), 28, 28), dtype=np.uint8)
        sample = {"image_id": IDS, "label": LABELS, "photo": PHOTOS, "image": [encode_png(image) for image in pixels]}
        tables.write(pd.DataFrame(sample), "data/sample.parquet", {})
        workspace.describe_model()
        extract.main()
        write_answers([WORDS[label] for label in LABELS])
        yield workspace


@contextmanager
def continued(study: Path, folder: Path) -> Iterator[Workspace]:
    """A copy of a finished study in `folder`, the current folder, with the environment that it was run in."""
    with working_in(folder) as workspace, pytest.MonkeyPatch.context() as here:
        yield copy_to_run(workspace, study, here)


def copy_to_run(workspace: Workspace, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A finished study in a workspace of the test's own, with the environment that it was run in."""
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    return copy_into(workspace, folder)


def write_answers(answers: list[str]) -> None:
    """In another order than the sample's: stages are to look up, not to count."""
    table = pd.DataFrame({"image_id": IDS, "label": LABELS, "prompt": "?", "answer": answers})
    tables.write(table.sample(frac=1, random_state=0), "data/answers.parquet", {"model": {"name": "tiny-random"}})


class Killed(BaseException):
    """What no code of the project catches."""


def resumes_with_the_same_bytes(
    main: Callable[[], None], monkeypatch: pytest.MonkeyPatch, killed_after: int, shards: int
) -> None:
    """A finished stage is run again, killed after some of its shards, and goes on with the others to the same bytes."""
    expected, kept, rest = outputs(), [], []

    def writing(into: list[Path], most: int) -> Callable:
        def write(path: Path, shard: Shard) -> None:
            if len(into) == most:
                raise Killed
            write_shard(path, shard)
            into.append(path)

        return write

    monkeypatch.setattr(signbridge.vlm.shard_runs, "write_shard", writing(kept, killed_after))
    with pytest.raises(Killed):
        main()
    assert outputs() == expected, "no table is touched before the work is done"
    monkeypatch.setattr(signbridge.vlm.shard_runs, "write_shard", writing(rest, shards))
    main()
    assert len({*kept, *rest}) == len(kept) + len(rest) == shards, "no shard is computed twice"
    assert outputs() == expected
    assert not unfinished()
