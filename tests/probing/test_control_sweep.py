"""Each control is probed on the model's own splits, and on the vectors that are its own."""

from pathlib import Path

import numpy as np
import pytest

from signbridge.core import activations
from signbridge.datasets.control_images import other_letter_rows
from signbridge.probing import protocols, sweep
from signbridge.probing.control_sweep import (
    ControlSweep,
    ShuffledLabelsParams,
    score_other_letter,
    score_read,
    score_shuffled,
    score_twin,
)
from signbridge.probing.sweep import Cell, Scored, predict

NUMBER = np.repeat(np.arange(4), 12)
LABELS = np.array(list("ABCD"))[NUMBER]
PHOTOS = np.array([f"photo-{index // 2:02d}" for index in range(48)])
IDS = [f"image-{index}" for index in range(48)]
SPLITS = protocols.grouped(LABELS, PHOTOS, folds=3, repeats=2, inner_folds=2, seed=0)
PLACES = [("pixels", "flat"), ("layer_00", "prompt_last"), ("layer_00", "image_mean")]
CS = {place: [0.01, 0.1, 0.01, 0.1, 0.01, 0.1] for place in PLACES}
STUDY = ControlSweep(IDS, LABELS, PHOTOS, SPLITS, PLACES, CS, 2**30)


@pytest.fixture(autouse=True)
def one_process(monkeypatch):
    """Starting several takes longer than all of these probes."""
    monkeypatch.setattr(sweep, "cpu_count", lambda: 1)


def vectors(place: tuple[str, str], apart: float) -> np.ndarray:
    generator = np.random.default_rng(PLACES.index(place))
    return (generator.normal(size=(48, 20)) + apart * np.eye(4, 20)[NUMBER]).astype(np.float32)


def written(folder: Path, apart: float) -> Path:
    """Activations that tell the letters `apart`."""
    for site in ("pixels", "layer_00"):
        of_site = {position: vectors((site, position), apart) for at, position in PLACES if at == site}
        activations.write(folder, site, IDS, of_site, {"sites": ["pixels", "layer_00"]})
    return folder


def accuracy(scored: Scored) -> float:
    right = [said == NUMBER[split.test] for said, split in zip(scored.predicted, SPLITS, strict=True)]
    return float(np.concatenate(right).mean())


def assert_the_same(found: Scored, expected: Scored) -> None:
    assert (found.site, found.position) == (expected.site, expected.position)
    assert found.choices == expected.choices
    np.testing.assert_array_equal(np.concatenate(found.predicted), np.concatenate(expected.predicted))


def test_a_control_that_is_read_through_the_model_has_the_models_penalties(tmp_path):
    found = score_read(STUDY, written(tmp_path / "no_image", apart=2))
    for place, scored in zip(PLACES, found, strict=True):
        assert_the_same(scored, predict(Cell(*place, vectors(place, 2)), LABELS, SPLITS, CS))


def test_the_twin_chooses_its_own_penalty_and_leaves_out_the_pixels_of_the_study(tmp_path):
    found = score_twin(STUDY, written(tmp_path / "untrained_twin", apart=1), [1e-3, 1e-1])
    assert [(scored.site, scored.position) for scored in found] == PLACES[1:]
    for place, scored in zip(PLACES[1:], found, strict=True):
        assert_the_same(scored, predict(Cell(*place, vectors(place, 1)), LABELS, SPLITS, [1e-3, 1e-1]))


def test_another_letters_images_are_read_in_the_first_repeat_and_drawn_anew_in_the_others(tmp_path):
    own, read = written(tmp_path / "own", apart=6), written(tmp_path / "other_letter", apart=2)
    found = score_other_letter(STUDY, own, seed=0, folder=read)
    generator = np.random.default_rng(0)
    _, again = (other_letter_rows(list(LABELS), list(PHOTOS), generator) for _ in range(2))
    first, second = SPLITS[:3], SPLITS[3:]
    for place, scored in zip(PLACES, found, strict=True):
        in_first = predict(Cell(*place, vectors(place, 2)), LABELS, first, {place: CS[place][:3]})
        in_second = predict(Cell(*place, vectors(place, 6)[again]), LABELS, second, {place: CS[place][3:]})
        expected = [*in_first.predicted, *in_second.predicted]
        for said, truth in zip(scored.predicted, expected, strict=True):
            np.testing.assert_array_equal(said, truth)


def test_another_letters_image_does_not_give_this_label_away(tmp_path):
    own = written(tmp_path / "own", apart=20)
    for scored in score_other_letter(STUDY, own, seed=0, folder=own):
        drawn_anew = zip(scored.predicted[3:], SPLITS[3:], strict=True)
        right = [said == NUMBER[split.test] for said, split in drawn_anew]
        assert np.concatenate(right).mean() < 0.45  # one in three would be to know which letter it is not


def test_every_draw_of_shuffled_labels_has_an_accuracy_at_every_place(tmp_path):
    settings = ShuffledLabelsParams(draws=5, quoted_draws=7)
    table = score_shuffled(STUDY, written(tmp_path, apart=20), settings, [PLACES[0]], seed=0)
    assert table.columns.tolist() == ["site", "position", "draw", "accuracy"]
    assert len(table) == 7 + 5 * (len(PLACES) - 1)
    for place in PLACES:
        of_place = table[(table["site"] == place[0]) & (table["position"] == place[1])]
        assert of_place["draw"].tolist() == list(range(7 if place == PLACES[0] else 5))
    assert table["accuracy"].max() < 0.6 < 0.9 < accuracy(score_read(STUDY, tmp_path)[0])
