"""Does a direction stay? Probes that are fitted on the vectors of one model read those of another, image by image.

Both models were given the same images, so the folds are the same: no group that a probe is tested on was in its
training, in either model. A probe is tried in two ways. `as_read`: with the mean and scale of the vectors that it was
fitted on. `recentred`: with those of the other model's vectors of the same training images. Where the first fails and
the second does not, the vectors were shifted or scaled and the direction stayed.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from signbridge.core import activations
from signbridge.probing.folds import TOLERANCE_FOR_PREDICTIONS
from signbridge.probing.probes import Probe
from signbridge.probing.protocols import Split
from signbridge.probing.sweep import MEMORY_BYTES, digest_of
from signbridge.probing.whole_sample import fit_whole_sample

BEFORE, AFTER = "before", "after"  # which vectors a probe was fitted on; the others it reads
AS_READ, RECENTRED = "as_read", "recentred"
COLUMNS = ["run", "fitted_on", "how", "site", "position", "repeat", "fold", "image_id", "label", "predicted"]


class Twice(NamedTuple):
    """Where the vectors of a model lie, and the penalties that its probes chose."""

    before: Path  # activation folders
    after: Path
    C_before: pd.DataFrame  # site, position, repeat, fold, C
    C_after: pd.DataFrame


def transferred(
    place: tuple[str, str],
    runs: Mapping[str, Twice],
    image_ids: np.ndarray,
    labels: np.ndarray,
    splits: list[Split],
    memory_bytes: int = MEMORY_BYTES,
) -> pd.DataFrame:
    """What the probes of either model of each run say of the other's held-out images, at one site and position.

    A row a prediction, in the columns `COLUMNS`.
    """
    site, position = place
    probes: dict[tuple, list[Probe]] = {}  # models share vectors where tuning left them as they were
    vectors: dict[Path, np.ndarray] = {}
    parts = []
    for run, twice in runs.items():
        vectors = {
            folder: vectors[folder] if folder in vectors else activations.read(folder, site, position, list(image_ids))
            for folder in (twice.before, twice.after)
        }
        for fitted_on, folder, other, choices in (
            (BEFORE, twice.before, twice.after, twice.C_before),
            (AFTER, twice.after, twice.before, twice.C_after),
        ):
            Cs = _penalties(choices, place)
            key = digest_of(vectors[folder]), *sorted(Cs.items())
            if key not in probes:
                probes[key] = _fitted(vectors[folder], labels, splits, Cs, memory_bytes)
            for split, probe in zip(splits, probes[key], strict=True):
                for how, predicted in read_by(probe, vectors[other], split.train, split.test).items():
                    where = {"run": run, "fitted_on": fitted_on, "how": how, "site": site, "position": position}
                    where |= {"repeat": split.repeat, "fold": split.fold, "image_id": image_ids[split.test]}
                    parts.append(pd.DataFrame({**where, "label": labels[split.test], "predicted": predicted}))
    return pd.concat(parts, ignore_index=True)[COLUMNS]


def splits_made(predictions: pd.DataFrame, image_ids: np.ndarray) -> list[Split]:
    """The splits that made `predictions`, as masks over `image_ids`: what a fold does not test it trains on."""
    tests = predictions[["protocol", "repeat", "fold", "image_id"]].drop_duplicates()
    splits = []
    for (protocol, repeat, fold), tested in tests.groupby(["protocol", "repeat", "fold"], sort=True):
        test = np.isin(image_ids, tested["image_id"])
        splits.append(Split(protocol, int(repeat), int(fold), ~test, test))
    return splits


def read_by(
    probe: Probe,
    vectors: Float[np.ndarray, "images width"],
    train: Bool[np.ndarray, "images"],
    test: Bool[np.ndarray, "images"],
) -> dict[str, np.ndarray]:
    """The letters that a probe of other vectors reads from the images in `test`: as it is, and recentred on `train`."""
    rows = vectors[train].astype(np.float64)
    spread = rows.std(axis=0)
    own = probe._replace(mean=rows.mean(axis=0), scale=np.where(spread > 0, spread, 1.0))
    return {AS_READ: probe.predict(vectors[test]), RECENTRED: own.predict(vectors[test])}


def _fitted(
    vectors: Float[np.ndarray, "images width"],
    labels: np.ndarray,
    splits: list[Split],
    Cs: Mapping[tuple[int, int], float],
    memory_bytes: int,
) -> list[Probe]:
    return [
        fit_whole_sample(
            vectors[split.train], labels[split.train], Cs[split.repeat, split.fold], (), (), memory_bytes,
            TOLERANCE_FOR_PREDICTIONS,
        ).probe
        for split in splits
    ]  # fmt: skip


def _penalties(choices: pd.DataFrame, place: tuple[str, str]) -> dict[tuple[int, int], float]:
    rows = choices[(choices["site"] == place[0]) & (choices["position"] == place[1])]
    return {
        (int(repeat), int(fold)): float(C)
        for repeat, fold, C in zip(rows["repeat"], rows["fold"], rows["C"], strict=True)
    }
