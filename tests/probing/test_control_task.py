"""The control task: random letters that a probe can only remember, under a split with copies on both sides."""

import numpy as np
import pytest

from signbridge.core import activations
from signbridge.probing import protocols
from signbridge.probing.control_sweep import ControlSweep
from signbridge.probing.control_task import COLUMNS, score_control_task

LABELS = np.repeat(list("ABCD"), 20)
IDS = [f"image-{index:02d}" for index in range(80)]
PLACES = [("vision", "image_mean"), ("layer_00", "prompt_last")]
SPLITS = protocols.signbridge(LABELS, 0.2, seed=0)
GROUPED = protocols.grouped(LABELS, np.arange(80), folds=2, repeats=1, inner_folds=2, seed=0)


def task_of(folder, photos, splits=SPLITS, draws=3):
    """Vectors that tell the photo and nothing of the letter, at both places."""
    generator = np.random.default_rng(0)
    of_photo = generator.normal(size=(80, 60))[np.unique(photos, return_inverse=True)[1]]
    for site, position in PLACES:
        vectors = (of_photo + 0.1 * generator.normal(size=(80, 60))).astype(np.float32)
        activations.write(folder, site, IDS, {position: vectors}, {"sites": [site for site, _ in PLACES]})
    sweep = ControlSweep(IDS, LABELS, photos, [], PLACES, {}, 2**30)
    return score_control_task(sweep, splits, folder, C=1.0, draws=draws, seed=0)


@pytest.fixture(autouse=True)
def one_process(monkeypatch):
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")


def test_random_letters_are_remembered_where_a_test_image_has_copies_in_training(tmp_path):
    photos = np.array([f"{label}-{index % 4}" for index, label in enumerate(LABELS)])  # five images of each
    assert task_of(tmp_path, photos)["right"].mean() > 0.9


def test_without_copies_there_is_nothing_to_remember(tmp_path):
    assert task_of(tmp_path, np.array(IDS), draws=10)["right"].mean() < 0.45  # chance: 0.25


def test_every_tested_image_has_a_row_a_place_and_draw(tmp_path):
    table = task_of(tmp_path, np.array(IDS), draws=2)
    assert list(table.columns) == COLUMNS
    tested = set(np.array(IDS)[SPLITS[0].test])
    for _, rows in table.groupby(["site", "position", "draw"]):
        assert set(rows["image_id"]) == tested
        assert len(rows) == len(tested)
    places = table[["site", "position"]].drop_duplicates().itertuples(index=False, name=None)
    assert (list(places), set(table["draw"])) == (PLACES, {0, 1})


@pytest.mark.parametrize(("splits", "draws"), [(GROUPED, 3), (SPLITS, 0)], ids=["no such split", "no draw"])
def test_without_the_notebooks_split_or_a_draw_there_is_no_row(tmp_path, splits, draws):
    table = task_of(tmp_path, np.array(IDS), splits, draws)
    assert table.empty
    assert list(table.columns) == COLUMNS
