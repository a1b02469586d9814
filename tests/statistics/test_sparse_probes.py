"""Probes of all features, which are known to tell the letters or to tell nothing, and their controls."""

import numpy as np
import pandas as pd
import pytest

from signbridge.core.names import AUTOENCODER, STREAM
from signbridge.probing.control_sweep import draws_by_repeat
from signbridge.probing.protocols import grouped, signbridge
from signbridge.probing.sparse_probes import ControlCell, read_all, read_control
from signbridge.probing.sweep import Cell, Penalties
from signbridge.statistics.curves import curves
from signbridge.statistics.intervals import StatisticsParams
from signbridge.statistics.sparse_probes import predictions_table, sparse_probe_metrics, sparse_probe_table

LABELS = np.repeat(list("ABC"), 24)
PHOTOS = np.array([f"{label}-{index % 8}" for index, label in enumerate(LABELS)])
IDS = np.array([f"image-{index}" for index in range(len(LABELS))])
TARGETS = np.unique(LABELS, return_inverse=True)[1]
PENALTIES = Penalties(1.0, [0.01, 0.1])
STATISTICS = StatisticsParams(confidence=0.95, resamples=200)


def splits(repeats: int = 1) -> list:
    return [*signbridge(LABELS, 0.2, 0), *grouped(LABELS, PHOTOS, 4, repeats, 2, 0)]


def noise(width: int, seed: int = 0) -> np.ndarray:
    """The same for all images of a photo, so that copies would give it away."""
    _, photo = np.unique(PHOTOS, return_inverse=True)
    return np.random.default_rng(seed).normal(size=(photo.max() + 1, width)).astype(np.float32)[photo]


def coded(width: int = 20) -> np.ndarray:
    """Noise, but for three features that each fire for one letter."""
    vectors = noise(width, seed=1)
    vectors[:, [4, 9, 11]] = 3 * np.eye(3)[TARGETS]
    return vectors


def read(vectors: np.ndarray, repeats: int = 1, draws: int = 4):
    there = splits(repeats)
    by_repeat = draws_by_repeat(TARGETS, PHOTOS, there[1:], draws, 0)
    return read_all(Cell("layer_00", "prompt_last", vectors), LABELS, there, PENALTIES, by_repeat, 2**30)


def accuracies(found) -> pd.Series:
    said = found.predictions
    return (said["predicted"] == TARGETS[said["row"]]).groupby(said["protocol"]).mean()


def test_letter_coded_features_are_read_and_shuffled_letters_are_at_chance():
    found = read(coded())
    assert (accuracies(found) > 0.9).all()
    assert len(found.shuffled) == 4
    assert found.shuffled["accuracy"].mean() < 0.6


def test_every_image_is_tested_once_a_repeat():
    said = read(coded(), repeats=2).predictions
    counts = said[said["protocol"] == "grouped"].groupby("row").size()
    assert (counts == 2).all()
    assert len(counts) == len(LABELS)


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    """Features that tell the letters in a stream that does not, and the other way round at another position."""
    position = {"prompt_last": (coded(), noise(20)), "image_mean": (noise(20), coded())}
    reads = {
        ("layer_00", at, what): read(vectors)
        for at, both in position.items()
        for what, vectors in zip((AUTOENCODER, STREAM), both, strict=True)
    }
    photo_of = pd.Series(PHOTOS, index=IDS)
    found = curves(predictions_table(reads, IDS, LABELS), photo_of, STATISTICS, np.random.default_rng(0))
    at_features = ("layer_00", "prompt_last", AUTOENCODER)
    return sparse_probe_table(found, reads, {("no_image", *at_features): 0.25, ("other_letter", *at_features): 0.5})


def test_features_are_compared_with_the_stream(table):
    keys = table.set_index(["protocol", "site", "position", "reads"])
    best = keys.loc[("grouped", "layer_00", "prompt_last", AUTOENCODER)]
    assert best["accuracy"] > 0.9
    stream = keys.loc[("grouped", "layer_00", "prompt_last", STREAM), "accuracy"]
    assert best["minus_stream"] == pytest.approx(best["accuracy"] - stream)
    assert 0 < best["minus_stream_low"] <= best["minus_stream"] <= best["minus_stream_high"]
    assert best["minus_stream_p_holm"] < 0.05
    assert keys.loc[("grouped", "layer_00", "image_mean", AUTOENCODER), "minus_stream_high"] < 0
    assert best["over_chance"] == pytest.approx(best["accuracy"] - best["shuffled"])
    of_stream = keys.xs(STREAM, level="reads")
    assert of_stream[[column for column in of_stream if column.startswith("minus")]].isna().all(axis=None)
    assert keys.loc["signbridge", "shuffled"].isna().all()
    assert keys.index.is_unique


def test_the_metrics_count_what_beats_the_stream_for_sure(table):
    metrics = sparse_probe_metrics(table, 0.95)
    assert [metrics[f"sae_probes_{name}"] for name in ("compared", "above_stream", "below_stream")] == [2, 1, 1]
    assert metrics["sae_prompt_last_first"] == metrics["sae_prompt_last_last"] > 0.9


def test_controls_stand_beside_the_probes_that_they_are_of_and_where_none_was_read_there_is_nothing(table):
    controls = table.set_index(["protocol", "site", "position", "reads"])[
        ["untrained_twin", "no_image", "other_letter"]
    ]
    here = controls.loc[("grouped", "layer_00", "prompt_last", AUTOENCODER)]
    assert here[["no_image", "other_letter"]].tolist() == [0.25, 0.5]
    assert controls.notna().sum().tolist() == [0, 1, 1], "none under `signbridge`, of the stream, or elsewhere"
    metrics = sparse_probe_metrics(table, 0.95)
    of_controls = {name: value for name, value in metrics.items() if name.endswith(("_twin", "_image", "_letter"))}
    assert of_controls == {f"sae_prompt_last_{end}_{control}": value for end in ("first", "last")
                           for control, value in (("no_image", 0.25), ("other_letter", 0.5))}  # fmt: skip


# Controls ------------------------------------------------------------------------------------------------------------


def test_a_control_is_read_as_the_model_with_the_penalties_that_it_is_given():
    folds, found = splits(2)[1:], read(coded(), repeats=2)
    assert len(found.Cs) == 8
    assert set(found.Cs) <= set(PENALTIES.grouped)
    for Cs in ([[C] for C in found.Cs], [PENALTIES.grouped] * 8):
        right = read_control(ControlCell(coded(), Cs), TARGETS, folds, 2**30)
        assert right == pytest.approx(accuracies(found)["grouped"])


def test_a_control_without_penalties_to_choose_from_takes_the_one_that_it_is_given():
    vectors, folds = coded() + 3 * noise(20, seed=2), splits()[1:]
    accuracy = {C: read_control(ControlCell(vectors, [[C]] * 4), TARGETS, folds, 2**30) for C in (1e-9, 0.1)}
    assert accuracy[1e-9] != accuracy[0.1]


def test_one_vector_for_all_images_tells_nothing():
    same = np.tile(coded()[:1], (len(LABELS), 1))
    assert read_control(ControlCell(same, [[0.1]] * 4), TARGETS, splits()[1:], 2**30) <= 1 / 3


def test_without_the_grouped_protocol_there_are_predictions_and_nothing_shuffled():
    found = read_all(Cell("s", "p", coded()), LABELS, splits()[:1], PENALTIES, [], 2**30)
    assert found.shuffled.empty
    reads, photo_of = {("s", "p", AUTOENCODER): found}, pd.Series(PHOTOS, index=IDS)
    accuracy = curves(predictions_table(reads, IDS, LABELS), photo_of, STATISTICS, np.random.default_rng(0))
    metrics = sparse_probe_metrics(sparse_probe_table(accuracy, reads, {}), 0.95)
    assert metrics["sae_probes_compared"] == 0
