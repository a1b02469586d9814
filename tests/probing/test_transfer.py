"""Probes of one model on the vectors of another: turned, shifted or left as they were."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from signbridge.core import activations
from signbridge.probing import transfer
from signbridge.probing.protocols import grouped
from signbridge.probing.transfer import COLUMNS, Twice, splits_made, transferred

SITES = ["pixels", "vision", "projector", "embedding", "layer_00"]
PLACE = ("layer_00", "prompt_last")
C = 0.1
RANDOM = np.random.default_rng(0)
LABELS = np.repeat(["A", "B", "C"], 20)
IDS = np.array([f"i{number}" for number in range(60)])
CENTRES = RANDOM.normal(0, 2, (3, 8))
VECTORS = (CENTRES[np.repeat(range(3), 20)] + RANDOM.normal(0, 1.2, (60, 8))).astype(np.float32)
SPLITS = grouped(LABELS, IDS, 3, 1, 2, 0, "photo")


def written(folder: Path, vectors: np.ndarray) -> Path:
    activations.write(
        folder, "layer_00", list(IDS), dict.fromkeys(activations.positions_of("layer_00"), vectors), {"sites": SITES}
    )
    return folder


def read(folder: Path, after: np.ndarray) -> pd.DataFrame:
    chose = pd.DataFrame([(*PLACE, split.repeat, split.fold, C) for split in SPLITS],
                         columns=["site", "position", "repeat", "fold", "C"])  # fmt: skip
    twice = Twice(written(folder / "before", VECTORS), written(folder / "after", after), chose, chose)
    return transferred(PLACE, {"letters": twice}, IDS, LABELS, SPLITS)


def accuracy(table: pd.DataFrame, fitted_on: str, how: str) -> float:
    rows = table[(table["fitted_on"] == fitted_on) & (table["how"] == how)]
    assert len(rows) == len(IDS)
    return float((rows["label"] == rows["predicted"]).mean())


def own() -> float:
    """A plain restatement: scikit-learn's probe of the vectors, on the held-out images of each fold."""
    right = 0
    for split in SPLITS:
        scaler = StandardScaler().fit(VECTORS[split.train])
        model = LogisticRegression(C=C, tol=1e-8, max_iter=5000)
        model.fit(scaler.transform(VECTORS[split.train]), LABELS[split.train])
        right += (model.predict(scaler.transform(VECTORS[split.test])) == LABELS[split.test]).sum()
    return right / len(LABELS)


def test_vectors_that_did_not_move_are_read_as_by_their_own_probe(tmp_path):
    table = read(tmp_path, VECTORS)
    assert list(table.columns) == COLUMNS
    for fitted_on in ("before", "after"):
        for how in ("as_read", "recentred"):
            assert accuracy(table, fitted_on, how) == pytest.approx(own())
    assert 0.6 < own() < 1


def test_vectors_that_models_share_are_fitted_once(tmp_path, monkeypatch):
    """Those of the base, of a run that left them as they were, and those of one that did not."""
    chose = pd.DataFrame([(*PLACE, split.repeat, split.fold, C) for split in SPLITS],
                         columns=["site", "position", "repeat", "fold", "C"])  # fmt: skip
    base, same, moved = (
        written(tmp_path / name, vectors) for name, vectors in [("a", VECTORS), ("b", VECTORS), ("c", -VECTORS)]
    )
    fitted, fit = [], transfer.fit_whole_sample
    monkeypatch.setattr(
        transfer, "fit_whole_sample", lambda vectors, *rest: fitted.append(vectors) or fit(vectors, *rest)
    )
    runs = {"late": Twice(base, same, chose, chose), "letters": Twice(base, moved, chose, chose)}
    both = transferred(PLACE, runs, IDS, LABELS, SPLITS)
    assert len(fitted) == 2 * len(SPLITS)
    for name, twice in runs.items():
        alone = transferred(PLACE, {name: twice}, IDS, LABELS, SPLITS)
        assert both[both["run"] == name].reset_index(drop=True).equals(alone)


def test_a_shift_and_a_scale_lose_the_probe_until_it_is_recentred(tmp_path):
    table = read(tmp_path, 3 * VECTORS + 40 * np.arange(8, dtype=np.float32))
    assert accuracy(table, "before", "as_read") < own() - 0.2
    assert accuracy(table, "before", "recentred") == pytest.approx(own())
    assert accuracy(table, "after", "recentred") == pytest.approx(own())


def test_a_direction_that_left_is_read_neither_way(tmp_path):
    table = read(tmp_path, -VECTORS)
    for how in ("as_read", "recentred"):
        assert accuracy(table, "before", how) < 0.4


def test_the_folds_are_those_that_made_the_predictions():
    made = pd.DataFrame(
        [(split.protocol, split.repeat, split.fold, image) for split in SPLITS for image in IDS[split.test]],
        columns=["protocol", "repeat", "fold", "image_id"],
    )
    for found, split in zip(splits_made(made, IDS), SPLITS, strict=True):
        assert (found.repeat, found.fold) == (split.repeat, split.fold)
        assert (found.train == split.train).all()
        assert (found.test == split.test).all()
