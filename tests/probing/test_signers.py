import numpy as np
import pandas as pd
import pytest

from signbridge.probing.signers import SEEN, UNSEEN, signer_splits, signers_table
from signbridge.probing.sweep import Cell, predict
from signbridge.statistics.intervals import StatisticsParams
from signbridge.statistics.signers import COLUMNS, seen_and_unseen, signer_findings

LETTERS, SIGNERS, PHOTOS = list("ABC"), 5, 6  # photos of each letter and signer
SAMPLE = pd.DataFrame(
    [
        (f"{signer}-{letter}-{photo}-{copy}", letter, f"{signer}-{letter}-{photo}", f"P{signer}")
        for letter in LETTERS
        for signer in range(SIGNERS)
        for photo in range(PHOTOS)
        for copy in range(2)
    ],
    columns=["image_id", "label", "photo", "signer"],
)
LABELS, IDS = SAMPLE["label"].to_numpy(), SAMPLE["image_id"].to_numpy()
SPLITS = signer_splits(SAMPLE, inner_folds=3, seed=0)
STATISTICS = StatisticsParams(confidence=0.95, resamples=500)


def test_both_probes_are_tested_on_the_same_images_and_trained_on_as_many_of_each_letter():
    assert [split.protocol for split in SPLITS] == [SEEN, UNSEEN] * (2 * SIGNERS)
    for seen, unseen in zip(SPLITS[::2], SPLITS[1::2], strict=True):
        assert (seen.test == unseen.test).all()
        [tested] = SAMPLE["signer"][seen.test].unique()
        for letter in LETTERS:
            assert (seen.train & (letter == LABELS)).sum() == (unseen.train & (letter == LABELS)).sum()
        assert tested not in set(SAMPLE["signer"][unseen.train])
        of_tested = seen.train & (SAMPLE["signer"] == tested).to_numpy()
        assert of_tested.sum() == seen.test.sum()
        for split in (seen, unseen):
            assert not set(SAMPLE["photo"][split.train]) & set(SAMPLE["photo"][split.test])
    assert (sum(split.test.astype(int) for split in SPLITS[::2]) == 1).all()


@pytest.mark.parametrize("sample", [SAMPLE.drop(columns="signer"), SAMPLE.assign(signer="P0")], ids=["none", "one"])
def test_without_two_signers_there_is_nothing_to_compare(sample):
    assert signer_splits(sample, 3, 0) == []
    empty = signers_table([], [], IDS, LABELS)
    assert seen_and_unseen(empty, sample, {}, STATISTICS, np.random.default_rng(0)).empty


def measured(of_signer: float) -> pd.DataFrame:
    """Letters lie apart; each signer makes each of them in a way of their own, by so much."""
    rng = np.random.default_rng(0)
    codes = [np.unique(SAMPLE[name], return_inverse=True)[1] for name in ("label", "signer", "photo")]
    own = rng.normal(0, of_signer, (len(LETTERS), SIGNERS, 20))[codes[0], codes[1]]
    vectors = np.eye(20)[codes[0]] + own + rng.normal(0, 0.6, (codes[2].max() + 1, 20))[codes[2]]
    scored = predict(Cell("layer_00", "prompt_last", vectors), LABELS, SPLITS, [0.01, 0.1, 1.0])
    table = signers_table([scored], SPLITS, IDS, LABELS)
    return seen_and_unseen(table, SAMPLE, {"layer_00": 4}, STATISTICS, np.random.default_rng(0))


def test_signers_with_ways_of_their_own_are_worth_knowing_and_others_are_not():
    own, alike = measured(of_signer=2.0), measured(of_signer=0.0)
    assert list(own) == COLUMNS
    [row], [same] = own.to_dict("records"), alike.to_dict("records")
    assert row["seen"] - row["unseen"] == pytest.approx(row["difference"])
    assert row["difference"] > row["low"] > 0.3
    assert same["low"] <= 0 < same["high"]
    assert abs(same["difference"]) < 0.1
    assert row["p_value"] == pytest.approx(2 / 2**SIGNERS), "no p-value of five signers is smaller"
    assert same["p_value"] > 0.05
    found = signer_findings(own, "layer_00", "prompt_last")
    assert found["signer_worth"] == pytest.approx(row["difference"])
    assert signer_findings(own, "layer_01", "prompt_last") == {}
