"""Sparse probes on features that are known to tell the letters, or to tell nothing."""

import numpy as np
import pandas as pd
import pytest
from sklearn.feature_selection import f_classif

from signbridge.core.names import AUTOENCODER, STREAM
from signbridge.probing.control_sweep import draws_by_repeat
from signbridge.probing.protocols import grouped, signbridge
from signbridge.probing.sparse_probes import ControlCell, ranked, read_control, read_sparsely
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


def read(vectors: np.ndarray, ks=(1, 3), repeats: int = 1, draws: int = 4):
    there = splits(repeats)
    by_repeat = draws_by_repeat(TARGETS, PHOTOS, there[1:], draws, 0)
    return read_sparsely(Cell("layer_00", "prompt_last", vectors), LABELS, there, ks, PENALTIES, by_repeat, 2**30)


def accuracies(found) -> pd.Series:
    said = found.predictions
    return (said["predicted"] == TARGETS[said["row"]]).groupby([said["protocol"], said["k"]]).mean()


def test_features_are_ranked_by_the_f_of_an_analysis_of_variance():
    vectors = noise(30) + np.linspace(0, 2, 30, dtype=np.float32) * TARGETS[:, None].astype(np.float32)
    vectors[:, 7] = 5.0
    order = ranked(vectors, TARGETS)
    varying = np.delete(np.arange(30), 7)
    expected = varying[np.argsort(-f_classif(vectors[:, varying], TARGETS)[0])]
    assert order.tolist() == [*expected, 7]


def test_a_label_that_is_missing_does_not_matter():
    assert ranked(coded(), np.where(TARGETS == 1, 5, TARGETS)).tolist() == ranked(coded(), TARGETS).tolist()


def test_letter_coded_features_are_found_and_shuffled_letters_are_at_chance():
    found = read(coded())
    right = accuracies(found)
    assert right["grouped", "3"] == right["signbridge", "3"] == 1
    assert right["grouped", "1"] == pytest.approx(2 / 3, abs=0.1), "one feature tells one letter from the others"
    shuffled = found.shuffled.groupby("k")["accuracy"]
    assert set(shuffled.groups) == {"1", "3", "dense"}
    assert (shuffled.size() == 4).all()
    assert (shuffled.mean() < 0.6).all()


def test_features_are_chosen_without_the_tested_images():
    """Of many features of 24 photos the best for all of them would tell each photo's letter by chance."""
    found = read(noise(3000), ks=[5], repeats=2)
    assert accuracies(found)["grouped", "5"] < 0.55
    best = noise(3000)[:, ranked(noise(3000), TARGETS)[:5]]
    assert accuracies(read(best, ks=[5]))["grouped", "dense"] > 0.7, "else this tests nothing"


def test_a_k_that_reaches_all_features_is_the_probe_of_all():
    found = read(coded(3 + 9), ks=[2, 12, 100])
    assert set(found.predictions["k"]) == {"2", "dense"}


def test_every_image_is_tested_once_a_repeat():
    said = read(coded(), repeats=2).predictions
    counts = said[said["protocol"] == "grouped"].groupby(["k", "row"]).size()
    assert (counts == 2).all()
    assert len(counts) == 3 * len(LABELS)


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
    controls = {("no_image", *at_features): {"1": 0.3, "dense": 0.25}, ("other_letter", *at_features): {"dense": 0.5}}
    return sparse_probe_table(found, reads, controls)


def test_features_are_compared_with_the_stream(table):
    keys = table.set_index(["protocol", "site", "position", "reads", "k"])
    best = keys.loc[("grouped", "layer_00", "prompt_last", AUTOENCODER, "3")]
    assert best["accuracy"] == 1
    dense = keys.loc[("grouped", "layer_00", "prompt_last", STREAM, "dense"), "accuracy"]
    same = keys.loc[("grouped", "layer_00", "prompt_last", STREAM, "3"), "accuracy"]
    assert best["minus_dense"] == pytest.approx(1 - dense)
    assert best["minus_same_k"] == pytest.approx(1 - same)
    assert 0 < best["minus_dense_low"] <= best["minus_dense"] <= best["minus_dense_high"]
    assert best["minus_dense_p_holm"] < 0.05
    worst = keys.loc[("grouped", "layer_00", "image_mean", AUTOENCODER, "3")]
    assert worst["minus_dense_high"] < 0
    assert best["over_chance"] == pytest.approx(1 - best["shuffled"])
    of_stream = keys.xs(STREAM, level="reads")
    assert of_stream[[column for column in of_stream if column.startswith("minus")]].isna().all(axis=None)
    assert keys.xs("dense", level="k")["minus_same_k"].isna().all()
    assert keys.loc["signbridge", "shuffled"].isna().all()
    assert keys.index.is_unique


def test_the_metrics_count_what_beats_the_stream_for_sure(table):
    metrics = sparse_probe_metrics(table, 0.95)
    assert metrics["sae_probes_compared_dense"] == 6
    assert metrics["sae_probes_compared_same_k"] == 4
    sure = table[(table["protocol"] == "grouped") & (table["minus_dense_p_holm"] < 0.05)]
    assert metrics["sae_probes_above_dense"] == (sure["minus_dense"] > 0).sum() >= 2
    assert metrics["sae_probes_below_dense"] == (sure["minus_dense"] < 0).sum() >= 2
    assert metrics["sae_3_prompt_last_first"] == metrics["sae_3_prompt_last_last"] == 1


def test_controls_stand_beside_the_probes_that_they_are_of_and_where_none_was_read_there_is_nothing(table):
    keys = table.set_index(["protocol", "site", "position", "reads", "k"])
    controls = keys[["untrained_twin", "no_image", "other_letter"]]
    place = ("grouped", "layer_00", "prompt_last", AUTOENCODER)
    assert controls.loc[(*place, "1"), "no_image"] == 0.3
    assert controls.loc[(*place, "dense"), ["no_image", "other_letter"]].tolist() == [0.25, 0.5]
    assert controls.notna().sum().tolist() == [0, 2, 1], "none under `signbridge`, of the stream, or elsewhere"
    metrics = sparse_probe_metrics(table, 0.95)
    of_controls = {name: value for name, value in metrics.items() if name.endswith(("_twin", "_image", "_letter"))}
    name = "sae_dense_prompt_last"
    ends = {f"{name}_{end}_{control}": value for end in ("first", "last")
            for control, value in (("no_image", 0.25), ("other_letter", 0.5))}  # fmt: skip
    assert of_controls == ends


# Controls ------------------------------------------------------------------------------------------------------------


def test_a_control_is_read_as_the_model_with_features_of_its_own_and_the_penalties_that_it_is_given():
    folds, found = splits(2)[1:], read(coded(), repeats=2)
    assert {k: len(Cs) for k, Cs in found.Cs.items()} == {1: 8, 3: 8, "dense": 8}
    assert set(np.concatenate(list(found.Cs.values()))) <= set(PENALTIES.grouped)
    right = accuracies(found)["grouped"]
    given = {k: [[C] for C in Cs] for k, Cs in found.Cs.items()}
    chosen = {k: [PENALTIES.grouped] * 8 for k in found.Cs}
    for Cs in (given, chosen):
        assert read_control(ControlCell(coded(), Cs), TARGETS, folds, 2**30) == pytest.approx(dict(right))
    elsewhere = read_control(ControlCell(coded()[:, ::-1].copy(), given), TARGETS, folds, 2**30)
    assert elsewhere["3"] == 1, "the three features, wherever they are"


def test_a_control_without_penalties_to_choose_from_takes_the_one_that_it_is_given():
    vectors, folds = coded() + 3 * noise(20, seed=2), splits()[1:]
    accuracy = {C: read_control(ControlCell(vectors, {3: [[C]] * 4}), TARGETS, folds, 2**30)["3"] for C in (1e-9, 0.1)}
    assert accuracy[1e-9] != accuracy[0.1]


def test_one_vector_for_all_images_tells_nothing():
    same = np.tile(coded()[:1], (len(LABELS), 1))
    found = read_control(ControlCell(same, {k: [[0.1]] * 4 for k in (1, 3, "dense")}), TARGETS, splits()[1:], 2**30)
    assert set(found) == {"1", "3", "dense"}
    assert max(found.values()) <= 1 / 3


def test_without_the_grouped_protocol_there_are_predictions_and_nothing_shuffled():
    found = read_sparsely(Cell("s", "p", coded()), LABELS, splits()[:1], [3], PENALTIES, [], 2**30)
    assert found.shuffled.empty
    reads, photo_of = {("s", "p", AUTOENCODER): found}, pd.Series(PHOTOS, index=IDS)
    accuracy = curves(predictions_table(reads, IDS, LABELS), photo_of, STATISTICS, np.random.default_rng(0))
    metrics = sparse_probe_metrics(sparse_probe_table(accuracy, reads, {}), 0.95)
    assert metrics["sae_probes_compared_dense"] == 0
