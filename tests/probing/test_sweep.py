"""Every prediction of a sweep is scikit-learn's, whatever was shared on the way, in one process or several."""

from collections import Counter

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from signbridge.core import activations
from signbridge.probing import folds, logistic_regression, many_rows, protocols
from signbridge.probing.description_length import online_blocks, shortest_code
from signbridge.probing.protocols import Split
from signbridge.probing.sweep import (
    Cell,
    Penalties,
    Scored,
    accuracy_of_labels,
    cells_of,
    joined,
    predict,
    score,
    side_by_side,
)

LETTERS = np.array(list("ABCDEF"))
NUMBER = np.repeat(np.arange(6), 12)
LABELS = LETTERS[NUMBER]
PHOTOS = np.array([f"{letter}-{copy % 6}" for letter in LETTERS for copy in range(12)])
NOTEBOOK = protocols.signbridge(LABELS, 0.2, 42)
GROUPED = protocols.grouped(LABELS, PHOTOS, folds=3, repeats=2, inner_folds=2, seed=42)
SPLITS = [*NOTEBOOK, *GROUPED]
PENALTIES = Penalties(1.0, [1e-3, 1e-2, 1e-1])
ORDERS = [online_blocks(LABELS, PHOTOS, np.random.default_rng(seed)) for seed in range(2)]


def cell(site: str, position: str, apart: float) -> Cell:
    generator = np.random.default_rng(len(site + position))
    vectors = generator.normal(size=(72, 90)) + apart * generator.normal(size=(6, 90))[NUMBER]
    return Cell(site, position, (100 + vectors * np.exp(generator.normal(size=90))).astype(np.float32))


CELLS = [cell("pixels", "flat", 0.2), cell("layer_00", "prompt_last", 0.4), cell("layer_08", "answer_last", 0.8)]


@pytest.fixture(scope="module")
def scored() -> list[Scored]:
    return list(side_by_side(score, CELLS, LABELS, SPLITS, PENALTIES, ORDERS, workers=1))


def scikit_learn(vectors: np.ndarray, labels: np.ndarray, C: float) -> Pipeline:
    """Scaler and regression, to the optimum."""
    model = make_pipeline(StandardScaler(), LogisticRegression(C=C, tol=1e-10, max_iter=50_000))
    return model.fit(vectors.astype(np.float64), labels)


def test_under_signbridge_every_prediction_is_that_of_scikit_learns_defaults(scored):
    train, test = NOTEBOOK[0].train, NOTEBOOK[0].test
    for one, of_cell in zip(CELLS, scored, strict=True):
        vectors = one.vectors.astype(np.float64)
        reference = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(
            vectors[train], LABELS[train]
        )
        assert LETTERS[of_cell.predicted[0]].tolist() == reference.predict(vectors[test]).tolist()
        of_truth = reference.predict_proba(vectors[test])[np.arange(test.sum()), NUMBER[test]]
        np.testing.assert_allclose(of_cell.probability[0], of_truth, atol=1e-9)
        assert of_cell.choices[0] is None


def test_under_grouped_every_prediction_is_that_of_scikit_learn_at_the_chosen_penalty(scored):
    for one, of_cell in zip(CELLS, scored, strict=True):
        for number, split in enumerate(SPLITS[1:], start=1):
            reference = scikit_learn(one.vectors[split.train], LABELS[split.train], of_cell.choices[number].C)
            expected = reference.predict_proba(one.vectors[split.test].astype(np.float64))
            assert of_cell.predicted[number].tolist() == expected.argmax(axis=1).tolist()
            of_truth = expected[np.arange(len(expected)), NUMBER[split.test]]
            np.testing.assert_allclose(of_cell.probability[number], of_truth, atol=1e-4)


def test_what_is_tested_has_no_say_in_what_is_chosen(scored):
    split = GROUPED[0]
    one, labels = CELLS[1], LABELS.copy()
    vectors = one.vectors.copy()
    vectors[split.test] = np.random.default_rng(1).normal(size=(split.test.sum(), 90)) * 7
    labels[split.test] = np.random.default_rng(2).permutation(labels[split.test])
    tampered = score(Cell(one.site, one.position, vectors), labels, [split], PENALTIES)
    assert tampered.choices[0] == scored[1].choices[1]


def test_several_processes_give_the_bytes_of_one(scored):
    several = side_by_side(score, CELLS, LABELS, SPLITS, PENALTIES, ORDERS, workers=2)
    for one, other in zip(scored, several, strict=True):
        assert (one.site, one.position, one.choices) == (other.site, other.position, other.choices)
        for code, again in zip(one.codes, other.codes, strict=True):
            np.testing.assert_array_equal(code.bits, again.bits)
        np.testing.assert_array_equal(np.concatenate(one.predicted), np.concatenate(other.predicted))
        np.testing.assert_array_equal(np.concatenate(one.probability), np.concatenate(other.probability))
        for name, probe in one.probes.items():
            for tensor, again in zip(probe[1:], other.probes[name][1:], strict=True):
                np.testing.assert_array_equal(tensor, again)


def test_the_probe_of_the_whole_sample_has_the_penalty_that_most_folds_chose(scored):
    for one, of_cell in zip(CELLS, scored, strict=True):
        counts = Counter(choice.C for choice in of_cell.choices if choice)
        C = min(counts, key=lambda C: (-counts[C], C))
        expected = scikit_learn(one.vectors, LABELS, C).predict_proba(one.vectors.astype(np.float64))
        np.testing.assert_allclose(of_cell.probes["sample"].predict_probability(one.vectors), expected, atol=1e-4)


def test_the_probe_of_signbridge_that_is_kept_predicts_what_was_scored(scored):
    for one, of_cell in zip(CELLS, scored, strict=True):
        predicted = of_cell.probes["signbridge"].predict(one.vectors[NOTEBOOK[0].test])
        assert predicted.tolist() == LETTERS[of_cell.predicted[0]].tolist()


def test_each_order_of_sending_has_its_shortest_code(scored):
    rows = StandardScaler().fit_transform(CELLS[2].vectors.astype(np.float64))
    bits = [shortest_code(rows, NUMBER, blocks, PENALTIES.grouped).bits.sum() for blocks in ORDERS]
    assert [code.bits.sum() for code in scored[2].codes] == pytest.approx(bits, rel=1e-4)
    assert bits[0] != bits[1]


def test_without_orders_there_is_no_code_and_without_grouped_no_choice():
    alone = score(CELLS[0], LABELS, NOTEBOOK, PENALTIES)
    assert alone.codes == []
    assert alone.choices == [None]
    assert set(alone.probes) == {"sample", "signbridge"}


def test_a_letter_that_no_training_image_shows_gets_probability_zero():
    train = LABELS != "F"
    split = Split("grouped", 0, 0, train, ~train, GROUPED[0].inner)
    of_cell = predict(CELLS[0], LABELS, [split], {("pixels", "flat"): [0.1]})
    assert not of_cell.probability[0].any()
    assert (of_cell.predicted[0] < 5).all()


def test_a_control_may_choose_its_penalty_as_the_model_does(scored):
    control = predict(CELLS[1], LABELS, GROUPED, PENALTIES.grouped)
    assert control.choices == scored[1].choices[1:]
    for found, expected in zip(control.predicted, scored[1].predicted[1:], strict=True):
        np.testing.assert_array_equal(found, expected)


def test_a_control_may_be_held_to_the_penalty_of_each_split(scored):
    Cs = {("layer_00", "prompt_last"): [1e-3, 1e-1] * 3, ("pixels", "flat"): [1.0] * 6}
    control = predict(CELLS[1], LABELS, GROUPED, Cs)
    assert control.choices == [None] * 6
    for split, C, predicted in zip(GROUPED, [1e-3, 1e-1] * 3, control.predicted, strict=True):
        reference = scikit_learn(CELLS[1].vectors[split.train], LABELS[split.train], C)
        assert LETTERS[predicted].tolist() == reference.predict(CELLS[1].vectors[split.test].astype(float)).tolist()


def test_a_cell_that_was_scored_in_parts_is_the_cell_scored_whole():
    Cs = {("pixels", "flat"): [0.01] * 6}
    whole = predict(CELLS[0], LABELS, GROUPED, Cs)
    parts = [predict(CELLS[0], LABELS, GROUPED[at : at + 3], {("pixels", "flat"): [0.01] * 3}) for at in (0, 3)]
    together = joined(parts)
    np.testing.assert_array_equal(np.concatenate(together.predicted), np.concatenate(whole.predicted))
    np.testing.assert_allclose(np.concatenate(together.probability), np.concatenate(whole.probability), atol=1e-9)
    assert len(together.choices) == 6


def test_other_labels_are_trained_on_and_held_to_in_the_repeat_that_they_belong_to():
    generator = np.random.default_rng(0)
    draws = [[generator.permutation(NUMBER) for _ in range(2)], [NUMBER]]
    accuracies = accuracy_of_labels(CELLS[2], GROUPED, {("layer_08", "answer_last"): [0.01] * 6}, draws)
    for split, found in zip(GROUPED, accuracies, strict=True):
        expected = []
        for labels in draws[split.repeat]:
            reference = scikit_learn(CELLS[2].vectors[split.train], labels[split.train], 0.01)
            predicted = reference.predict(CELLS[2].vectors[split.test].astype(np.float64))
            expected.append((predicted == labels[split.test]).mean())
        np.testing.assert_allclose(found, expected)


def test_a_repeat_without_a_draw_has_no_accuracy():
    [accuracies] = accuracy_of_labels(CELLS[0], GROUPED[:1], {("pixels", "flat"): [0.01]}, [[]])
    assert accuracies.shape == (0,)


def test_cells_are_read_in_the_order_of_the_places_and_of_the_images(tmp_path):
    ids = ["a", "b", "c"]
    vectors = {position: np.arange(6.0).reshape(3, 2) + at for at, position in enumerate(["prompt_last", "image_mean"])}
    activations.write(tmp_path, "layer_00", ids, vectors, {"sites": ["layer_00"]})
    places = [("layer_00", "image_mean"), ("layer_00", "prompt_last")]
    for place, read in zip(places, cells_of(tmp_path, places, ["c", "a"]), strict=True):
        assert (read.site, read.position) == place
        np.testing.assert_array_equal(read.vectors, vectors[place[1]][[2, 0]])


def test_a_cell_like_an_earlier_one_is_not_worked_on_again(tmp_path):
    vectors = {name: np.random.default_rng(seed).random((4, 3)) for seed, name in enumerate("ab")}
    cells = [Cell(site, "image_mean", vectors[like]) for site, like in zip("pqrst", "abaab", strict=True)]
    penalties = {(site, "image_mean"): [1.0] for site in "pqrst"} | {("s", "image_mean"): [10.0]}
    found = list(side_by_side(noted, cells, penalties, tmp_path, workers=2))
    assert [(scored.site, scored.predicted[0].tolist()) for scored in found] == [
        (cell.site, cell.vectors[:, 0].tolist()) for cell in cells
    ]
    assert sorted(file.name for file in tmp_path.iterdir()) == ["p", "q", "s"]  # another penalty is other work
    assert list(side_by_side(plainly, ["x", "x"], workers=1)) == ["x", "x"]


def noted(cell: Cell, penalties: dict, folder) -> Scored:
    (folder / cell.site).touch()
    return Scored(cell.site, cell.position, [cell.vectors[:, 0]], [], [], {}, [])


def plainly(item: str) -> str:
    return item


def test_vectors_that_memory_does_not_hold_stay_on_disk_and_are_read_as_those_in_memory(tmp_path, monkeypatch):
    """From a folder of parts; the solver holds no rows either, and nothing is left when the sweep is done."""
    monkeypatch.setattr(activations, "PART_IMAGES", 30)
    monkeypatch.setattr(activations, "SCRATCH", tmp_path / "scratch")
    monkeypatch.setattr(folds, "WIDE", 8)
    ids, place = [f"image-{number}" for number in range(72)], ("layer_00", "prompt_last")
    activations.write(tmp_path, "layer_00", ids, {"prompt_last": CELLS[2].vectors[:, :20]}, {"sites": ["layer_00"]})
    room, there = many_rows._room, []
    # Blocks of the same rows both times: loose probes of the choice depend on them within their tolerance.
    monkeypatch.setattr(many_rows, "_room", lambda *given: room(*given)._replace(block_rows=7, held=True))
    [held] = side_by_side(predict, cells_of(tmp_path, [place], ids), LABELS, GROUPED, [1e-2, 1e-1], workers=1)
    monkeypatch.setattr(many_rows, "_room", lambda *given: room(*given)._replace(block_rows=7, held=False))

    def noting(cell: Cell, *given):
        there.append((type(cell.vectors), len(list((tmp_path / "scratch/vectors").iterdir()))))
        return predict(cell, *given)

    monkeypatch.setattr(activations, "discard_orphans", lambda: there.append("orphans"))
    cells = cells_of(tmp_path, [place], ids, 72 * 20)
    [streamed] = side_by_side(noting, cells, LABELS, GROUPED, [1e-2, 1e-1], workers=1)
    assert there == ["orphans", (np.memmap, 1)]
    assert not list((tmp_path / "scratch/vectors").iterdir())
    assert [choice.C for choice in streamed.choices] == [choice.C for choice in held.choices]
    for one, other in zip(held.predicted, streamed.predicted, strict=True):
        np.testing.assert_array_equal(one, other)


def stop_early(C: float) -> float:
    logistic_regression.stopped.append(C)
    return C


def test_how_many_fits_stopped_early_is_said_once(caplog):
    caplog.set_level("INFO")
    assert list(side_by_side(stop_early, [100.0, 10.0, 100.0], workers=1)) == [100.0, 10.0, 100.0]
    [said] = [record.getMessage() for record in caplog.records]
    assert "3, of C = 10, 100 " in said
    list(side_by_side(abs, [1.0], workers=1))
    assert len(caplog.records) == 1
