"""How well k features tell one letter from the rest, beside as many dimensions, components and features of the twin.

The area under the ROC curve (AUC) is over pairs of an image of the letter and another one that the same probe scored,
meaned over letters. Intervals resample letters, and groups (photos, clips or signers) of all letters: others could have
been shown. Differences are paired: both sides are read on the same resamples of letters and groups.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from signbridge.core.names import AUTOENCODER, COMPONENTS, STREAM, TWIN
from signbridge.core.tables import Metric
from signbridge.statistics.intervals import StatisticsParams, draw_groups, interval

Key = tuple[str, str, str, int]  # site, position, what is read, k
BASELINES = (STREAM, COMPONENTS, TWIN)
_ENDS = ("", "_low", "_high")
COLUMNS = ["site", "position", "reads", "k", "auc", "low", "high"]
COLUMNS += [f"over_{other}{end}" for other in BASELINES for end in _ENDS]


def one_letter_table(
    scores: Mapping[Key, Float[np.ndarray, "repeats letters images"]],
    tested_in: Int[np.ndarray, "repeats images"],
    labels: np.ndarray,
    groups: np.ndarray,
    statistics: StatisticsParams,
    seed: int,
) -> pd.DataFrame:
    """A row a place, kind of column and k (`COLUMNS`); of features also how far they are above each baseline.

    `scores` are of the letters of `labels` in alphabetical order, `tested_in` is the fold in which each image was
    tested. A baseline that was not read has NaN. Without scores the table is empty.
    """
    if not scores:
        return pd.DataFrame(columns=COLUMNS)
    keys, targets = list(scores), np.unique(labels, return_inverse=True)[1]
    generator = np.random.default_rng(seed)
    places = np.unique(groups, return_inverse=True)[1]
    drawn = draw_groups(int(places.max()) + 1, statistics.resamples, generator)[:, places]
    weights = np.vstack([np.ones((1, len(targets))), drawn]).astype(np.float32)  # the first row is what was measured
    of_letter = areas(np.stack([scores[key] for key in keys]), tested_in, targets, weights)
    letters = of_letter.shape[1]
    times = draw_groups(letters, statistics.resamples, generator)
    times = np.vstack([np.ones((1, letters), int), times]) / letters
    mean = (of_letter * times[..., None]).sum(1)  # resamples x keys
    columns = {key: mean[:, number] for number, key in enumerate(keys)}
    rows = []
    for (site, position, reads, k), mine in columns.items():
        row = {"site": site, "position": position, "reads": reads, "k": k}
        row |= _with_interval(("auc", "low", "high"), mine, statistics)
        for other in BASELINES if reads == AUTOENCODER else ():
            theirs = columns.get((site, position, other, k))
            if theirs is not None:
                row |= _with_interval([f"over_{other}{end}" for end in _ENDS], mine - theirs, statistics)
        rows.append(row)
    return pd.DataFrame(rows, columns=COLUMNS)


def areas(
    scores: Float[np.ndarray, "keys repeats letters images"],
    tested_in: Int[np.ndarray, "repeats images"],
    targets: Int[np.ndarray, " images"],
    weights: Float[np.ndarray, "resamples images"],
) -> Float[np.ndarray, "resamples letters keys"]:
    """The AUC of each letter in each resample, over pairs of images that were tested in one fold of one repeat.

    Where a resample holds no such pair, the AUC over all images stands in.
    """
    letters = scores.shape[2]
    found = np.empty((len(weights), letters, len(scores)))
    for letter in range(letters):
        won, total = np.zeros((len(weights), len(scores))), np.zeros(len(weights))
        for repeat, folds in enumerate(tested_in):
            of_letter = scores[:, repeat, letter]
            for image in np.flatnonzero(targets == letter):
                others = (folds == folds[image]) & (targets != letter)
                above = np.sign(of_letter[:, [image]] - of_letter[:, others]) / 2 + 0.5
                own = weights[:, image]
                won += own[:, None] * (weights[:, others] @ above.T.astype(np.float32))
                total += own * weights[:, others].sum(1)
        area = np.divide(won, total[:, None], out=np.full(won.shape, np.nan), where=total[:, None] > 0)
        found[:, letter] = np.where(np.isnan(area), area[0], area)
    return found


def one_letter_metrics(table: pd.DataFrame) -> dict[str, Metric]:
    """Each AUC and difference at the first and last site: `one_letter_sae_5_image_mean_last`, `..._over_pca_low`."""
    metrics: dict[str, Metric] = {}
    sites = list(dict.fromkeys(table["site"]))
    for end, site in (("first", sites[0]), ("last", sites[-1])) if sites else ():
        for _, row in table[table["site"] == site].iterrows():
            name = f"one_letter_{row['reads']}_{row['k']}_{row['position']}_{end}"
            named = {"": "auc", "_low": "low", "_high": "high", **{f"_{column}": column for column in COLUMNS[7:]}}
            metrics |= {f"{name}{of}": float(row[column]) for of, column in named.items() if pd.notna(row[column])}
    return metrics


def _with_interval(
    names: Sequence[str], values: Float[np.ndarray, " resamples"], statistics: StatisticsParams
) -> dict[str, float]:
    low, high = interval(values[1:, None], statistics.confidence)
    return dict(zip(names, (float(values[0]), float(low[0]), float(high[0])), strict=True))
