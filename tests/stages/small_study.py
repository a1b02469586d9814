"""A study small enough to run its stages in a test: sixty images of three letters, six photos each, and two layers."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from ruamel.yaml import YAML

from signbridge.core import activations, tables
from signbridge.datasets.control_images import (
    CONTROLS,
    NO_IMAGE,
    OTHER_LETTER,
    UNTRAINED_TWIN,
    other_letter_rows,
)
from tests.conftest import ROOT, Workspace

SEED = 42
LABELS = np.repeat(list("ABC"), 20)
IDS = [f"image-{index}" for index in range(len(LABELS))]
PHOTOS = np.array([f"{label}-{index % 6}" for index, label in enumerate(LABELS)])
SITES = ["pixels", "vision", "projector", "embedding", "layer_00", "layer_01"]
CELLS = [(site, position) for site in SITES for position in activations.positions_of(site)]
MODEL = {"name": "tiny"}
ACTIVATIONS = Path("data/activations")
CONTROL_ACTIVATIONS = Path("data/controls")
FOLDS, REPEATS, DRAWS = 3, 2, 3
TESTED_ONCE = 12  # images that the notebook's split tests: a fifth


def write_study(workspace: Workspace, photos: np.ndarray = PHOTOS) -> None:
    """What `sample`, `extract` and `extract_controls` leave, and params that make the later stages quick.

    The deeper the site, the further apart are the letters; the answer is Fist for A and B, and Peace for C.
    """
    workspace.set(
        seed=SEED,
        model_notes={"tiny": "a test bed"},
        probe__grouped={"by": "auto", "folds": FOLDS, "repeats": REPEATS, "inner_folds": 2, "C": [0.01, 0.1]},
        probe__description_length={"orders": 2},
        controls__read=list(CONTROLS),
        shuffled_labels={"draws": DRAWS, "quoted_draws": 0},
        control_task={"draws": 2},
        learning_curve={"shares": [0.5], "images_a_photo": 0, "repeats": 1, "more_images_a_photo": 0},
        statistics={"confidence": 0.95, "resamples": 50},
    )
    sample = pd.DataFrame({"image_id": IDS, "label": LABELS, "photo": photos, "image": [b""] * len(IDS)})
    made_by = {"images": {"source": "rendered"}, "params": {"strategy": "signbridge"}}
    tables.write(sample, "data/sample.parquet", made_by)
    write_answers(np.where(LABELS == "C", "Peace", "Fist"), MODEL)
    _write_vectors(photos)


def write_answers(answers: np.ndarray, model: dict[str, str]) -> None:
    """What the model said of each image, in another order than the sample's: stages are to look up, not to count."""
    given = pd.DataFrame({"image_id": IDS, "label": LABELS, "prompt": "?", "answer": answers})
    tables.write(given.sample(frac=1, random_state=0), "data/answers.parquet", {"model": model})


def _write_vectors(photos: np.ndarray) -> None:
    generator = np.random.default_rng(0)
    letter = np.unique(LABELS, return_inverse=True)[1]
    shown = other_letter_rows(list(LABELS), list(photos), np.random.default_rng(SEED))
    for depth, site in enumerate(SITES):
        width = 100 if site == "pixels" else 12
        cells = activations.positions_of(site)
        noise = {position: generator.normal(size=(2, len(IDS), width)).astype(np.float32) for position in cells}
        read = {position: (both[0] + np.float32(0.2 * depth) * letter[:, None]) for position, both in noise.items()}
        read = {position: vectors.astype(np.float32) for position, vectors in read.items()}
        of_control = {
            UNTRAINED_TWIN: read if site == "pixels" else {position: both[1] for position, both in noise.items()},
            NO_IMAGE: {position: np.ones_like(vectors) for position, vectors in read.items()},
            OTHER_LETTER: {position: vectors[shown] for position, vectors in read.items()},
        }
        activations.write(ACTIVATIONS, site, IDS, read, {"sites": SITES})
        for control, vectors in of_control.items():
            activations.write(CONTROL_ACTIVATIONS / control, site, IDS, vectors, {"sites": SITES, "control": control})


@contextmanager
def working_in(folder: Path) -> Iterator[Workspace]:
    """A project folder to run stages in once, for several tests; one process, so that types are checked throughout."""
    with pytest.MonkeyPatch.context() as here:
        here.chdir(folder)
        here.setenv("LOKY_MAX_CPU_COUNT", "1")
        yield Workspace(folder)


def copy_into(workspace: Workspace, folder: Path) -> Workspace:
    """The outputs and params of `folder` in a workspace of the test's own."""
    shutil.copytree(folder, workspace.folder, dirs_exist_ok=True)
    return workspace


def outputs() -> dict[str, bytes]:
    """Every file below data, metrics and plots, by its path; not what a stage that was killed left unfinished."""
    files = [path for folder in ("data", "metrics", "plots") for path in sorted(Path(folder).rglob("*"))]
    left = {path for folder in unfinished() for path in folder.rglob("*")}
    return {path.as_posix(): path.read_bytes() for path in files if path.is_file() and path not in left}


def unfinished() -> list[Path]:
    """The folders that a stage has begun to write and not ended."""
    return list(Path("data").rglob(".*.unfinished"))


def written_by(main: Callable[[], None]) -> dict[str, bytes]:
    """Run a stage that has not run yet; what it wrote, by path."""
    before = outputs()
    main()
    return {path: contents for path, contents in outputs().items() if before.get(path) != contents}


def declared(stage: str) -> set[str]:
    """What its `dvc.yaml` says that the stage writes: `probe` of the study, `lenses.lens` of the pipeline `lenses`."""
    *question, name = stage.split(".")
    file = ROOT.joinpath("stages", *question, "dvc.yaml") if question else ROOT / "dvc.yaml"
    entry = YAML(typ="safe").load(file.read_text(encoding="utf-8"))["stages"][name]
    named = [out for kind in ("outs", "metrics", "plots") for out in entry.get(kind, [])]
    return {next(iter(out)) if isinstance(out, dict) else out for out in named}


def as_declared(stage: str, written: dict[str, bytes]) -> set[str]:
    """The names in `dvc.yaml` under which `written` falls; a file that it does not name stays itself."""
    names = declared(stage)
    return {next((name for name in names if Path(path).is_relative_to(name)), path) for path in written}
