"""How well one feature detects a concept that is known of every hand ("a finger is up").

The feature is chosen on half of the groups (photos, clips or signers) and evaluated on the other half. The baseline of
a model that has learnt nothing is chosen in the same way: the best feature of autoencoders of the untrained twin,
trained alike. The dimensions of the residual stream are a second baseline, each with either sign.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float

from signbridge.core import activations
from signbridge.core.names import MODEL, POSITIONS, STREAM, TWIN
from signbridge.core.tables import Metric
from signbridge.datasets.sampling import fitted_half
from signbridge.statistics.intervals import StatisticsParams, draw_groups, interval
from signbridge.statistics.ranking import aucs, weighted_aucs

COLUMNS = ["reads", "site", "position", "feature", "auc_fitted", "auc", "low", "high"]


class Readings(NamedTuple):
    """Some columns that are read of every image at one place."""

    reads: str
    site: str
    position: str
    columns: Float[np.ndarray, "images columns"]


def readings(folders: Mapping[str, Path], sites: Collection[str], image_ids: list[str]) -> Iterator[Readings]:
    """What was read of these images at every place, from the folder of each of `reads`: features, or the stream."""
    for reads, folder in folders.items():
        kind = STREAM if reads == STREAM else "features"
        for site in sites:
            for position in POSITIONS:
                yield Readings(reads, site, position, activations.read(folder / kind, site, position, image_ids))


def told_by_features(
    readings: Iterable[Readings],
    rows: pd.DataFrame,
    names: tuple[str, str],
    statistics: StatisticsParams,
    seed: int,
) -> tuple[pd.DataFrame, dict[str, Metric]]:
    """A row a place (`COLUMNS`), and the findings, for the images of `rows`.

    At each place: the feature that detects the concept best on half of the groups (`auc_fitted`), and its area under
    the ROC curve on the other half (`auc`), with an interval over groups. `rows` and `names` are those of
    `with_concept`. Without rows the table and the findings are empty.
    """
    if rows.empty:
        return pd.DataFrame(columns=COLUMNS), {}
    true, groups = (rows["label"] == names[1]).to_numpy(), rows["group"].to_numpy()
    half = fitted_half(rows["label"].to_numpy(), groups, seed)
    drawn = _group_weights(groups[~half], statistics.resamples, np.random.default_rng(seed))
    found, resampled = [], []
    for reading in readings:
        (areas,) = aucs(reading.columns[half], true[half], [True])
        sign = np.where(areas < 0.5, -1, 1) if reading.reads == STREAM else np.ones(len(areas), int)
        areas = np.where(sign < 0, 1 - areas, areas)
        best = int(areas.argmax())
        scores = reading.columns[~half, best] * sign[best]
        weights = np.vstack([np.ones(len(scores)), drawn])
        area, *draws = weighted_aucs(scores, true[~half], weights)
        low, high = (float(end[0]) for end in interval(np.array(draws)[:, None], statistics.confidence))
        found.append((reading.reads, reading.site, reading.position, best, float(areas[best]), float(area), low, high))
        resampled.append(draws)
    table = pd.DataFrame(found, columns=COLUMNS)
    return table, _findings(table, np.array(resampled), rows, names, statistics)


def _findings(
    table: pd.DataFrame,
    resampled: Float[np.ndarray, "places resamples"],
    rows: pd.DataFrame,
    names: tuple[str, str],
    statistics: StatisticsParams,
) -> dict[str, Metric]:
    """For each of `reads`: the place that was best on the fitted half, evaluated on the other half; and the gaps."""
    metrics: dict[str, Metric] = {"concept": names[1], "concept_share": float((rows["label"] == names[1]).mean())}
    best = {reads: int(of["auc_fitted"].idxmax()) for reads, of in table.groupby("reads")}
    for reads, row in best.items():
        here = table.loc[row]
        metrics |= {
            f"concept_{reads}_{name}": here[name] if isinstance(here[name], str) else float(here[name])
            for name in ("site", "position", "auc", "low", "high")
        }
        metrics[f"concept_{reads}_feature"] = int(here["feature"])
    for other in (TWIN, STREAM):
        if other in best:
            gap = (resampled[best[MODEL]] - resampled[best[other]])[:, None]
            low, high = (float(end[0]) for end in interval(gap, statistics.confidence))
            value = float(table.loc[best[MODEL], "auc"] - table.loc[best[other], "auc"])
            name = f"concept_model_over_{other}"
            metrics |= {name: value, f"{name}_low": low, f"{name}_high": high}
    return metrics


def _group_weights(
    groups: np.ndarray, resamples: int, generator: np.random.Generator
) -> Float[np.ndarray, "resamples images"]:
    """How often each image is in each resample of the groups."""
    places = np.unique(groups, return_inverse=True)[1]
    return draw_groups(int(places.max()) + 1, resamples, generator)[:, places].astype(np.float64)
