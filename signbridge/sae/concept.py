"""A concept that is known of every hand, "a finger is up": how well a single feature tells it.

The feature is chosen on half of the photos and held to the others. Its match in a model that has learnt nothing is
chosen as freely: the best feature of as many in autoencoders of the untrained twin, trained in the same way. Each
dimension of the stream itself, in either direction, is tried as well.

What was read of the sample under the concept's prompt: features, the stream beside them, and what the model says.
"""

from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float
from pydantic import Field

from signbridge.core import activations, tables
from signbridge.core.params import Section
from signbridge.core.shards import answers_of, vectors_of
from signbridge.core.tables import Metric
from signbridge.datasets.hands import Finger
from signbridge.datasets.sampling import fitted_half
from signbridge.sae.features import MODEL, POSITIONS, STREAM, TWIN
from signbridge.statistics.intervals import StatisticsParams, draw_photos, interval
from signbridge.statistics.ranking import aucs, weighted_aucs

COLUMNS = ["reads", "site", "position", "feature", "auc_fitted", "auc", "low", "high"]


class ConceptParams(Section):
    """The section `concept`."""

    finger: Finger
    prompt: str = Field(min_length=1)  # ends where the model is about to say how the finger is held


class Readings(NamedTuple):
    """Some columns that are read of every image at one place."""

    reads: str
    site: str
    position: str
    columns: Float[np.ndarray, "images columns"]


def concept_names(finger: Finger) -> tuple[str, str]:
    """What hands are called of which the concept is not true, and of which it is."""
    return f"{finger} finger not up", f"{finger} finger up"


def with_concept(sample: pd.DataFrame, finger: Finger, hands: pd.DataFrame) -> tuple[pd.DataFrame, tuple[str, str]]:
    """The rows of `sample` (image_id, label) whose pose is known in `hands`, labelled by the concept; its labels, true last.

    No row where the concept holds for all hands, or for none, or of less than two photos of either kind.
    """
    names, is_up = concept_names(finger), hands.set_index("image_id")[f"up_{finger}"].dropna().astype(bool)
    rows = sample[sample["image_id"].isin(is_up.index)]
    held = [names[is_up[image_id]] for image_id in rows["image_id"]]
    rows = rows.assign(label=held).reset_index(drop=True)
    return _if_enough(rows), names


def with_answers(rows: pd.DataFrame, names: tuple[str, str], answers: pd.DataFrame) -> pd.DataFrame:
    """The rows of `with_concept` with what the model says (`answers`: image_id, answer), as far as steering has use.

    Hands of which the concept is not true but of which the model says what it mostly says where it is are left out:
    there is nothing to turn them to. No row where that leaves less than two photos of a kind.
    """
    rows = rows.merge(answers, on="image_id", validate="1:1")
    true = rows["label"] == names[1]
    mostly = rows.loc[true, "answer"].value_counts()
    if mostly.empty:
        return rows
    of_true = min(mostly.index[mostly == mostly.max()])
    return _if_enough(rows[true | (rows["answer"] != of_true)].reset_index(drop=True))


def told_by_features(
    readings: Iterable[Readings],
    rows: pd.DataFrame,
    names: tuple[str, str],
    statistics: StatisticsParams,
    seed: int,
) -> tuple[pd.DataFrame, dict[str, Metric]]:
    """The table of `plots/sae_concept.csv` (`COLUMNS`) and the metrics, of the images of `rows`.

    By place the feature that tells the concept best on half of the photos, and its area under the ROC curve on the
    others, with an interval over photos. `rows` are those of `with_concept`; without any there is nothing to tell.
    """
    if rows.empty:
        return pd.DataFrame(columns=COLUMNS), {}
    true, photos = (rows["label"] == names[1]).to_numpy(), rows["photo"].to_numpy()
    half = fitted_half(rows["label"].to_numpy(), photos, seed)
    drawn = _photo_weights(photos[~half], statistics.resamples, np.random.default_rng(seed))
    found, resampled = [], []
    for reading in readings:
        (areas,) = aucs(reading.columns[half], true[half], [True])
        sign = np.where(areas < 0.5, -1, 1) if reading.reads == STREAM else np.ones(len(areas), int)  # has none itself
        areas = np.where(sign < 0, 1 - areas, areas)
        best = int(areas.argmax())
        scores = reading.columns[~half, best] * sign[best]
        weights = np.vstack([np.ones(len(scores)), drawn])
        area, *draws = weighted_aucs(scores, true[~half], weights)
        low, high = (float(end[0]) for end in interval(np.array(draws)[:, None], statistics.confidence))
        found.append((reading.reads, reading.site, reading.position, best, float(areas[best]), float(area), low, high))
        resampled.append(draws)
    table = pd.DataFrame(found, columns=COLUMNS)
    return table, _metrics(table, np.array(resampled), rows, names, statistics)


def _if_enough(rows: pd.DataFrame) -> pd.DataFrame:
    """`rows` with two photos or more of either kind, so that both can be halved; else none of them."""
    photos = rows.groupby("label")["photo"].nunique()
    return rows if len(photos) == 2 and photos.min() >= 2 else rows.iloc[:0]


def _metrics(
    table: pd.DataFrame,
    resampled: Float[np.ndarray, "places resamples"],
    rows: pd.DataFrame,
    names: tuple[str, str],
    statistics: StatisticsParams,
) -> dict[str, Metric]:
    """Of each that is read the place that was best on the fitted half, held to the other half; and the gaps."""
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


def _photo_weights(
    photos: np.ndarray, resamples: int, generator: np.random.Generator
) -> Float[np.ndarray, "resamples images"]:
    """How often each image is in each resample of the photos."""
    places = np.unique(photos, return_inverse=True)[1]
    return draw_photos(int(places.max()) + 1, resamples, generator)[:, places].astype(np.float64)


ANSWERS = "answers.parquet"


def write_concept(
    folder: Path, sites: Collection[str], shards: list[Path], image_ids: list[str], made_by: dict[str, Any]
) -> None:
    """Write `features/SITE` and `stream/SITE` by position, and the answers (image_id, answer), from `FeatureReader`."""
    for site in sites:
        for kind, end in (("features", ""), (STREAM, ".stream")):
            vectors = {position: vectors_of(shards, f"{site}.{position}{end}") for position in POSITIONS}
            activations.write(folder / kind, site, image_ids, vectors, made_by)
    answers = pd.DataFrame({"image_id": image_ids, "answer": answers_of(shards)})
    tables.write(answers, folder / ANSWERS, made_by)


def readings(folder: Path, reads: str, sites: Collection[str], image_ids: list[str]) -> Iterator[Readings]:
    """What was read of these images at every place: features, or the stream if `reads` says so."""
    kind = STREAM if reads == STREAM else "features"
    for site in sites:
        for position in POSITIONS:
            yield Readings(reads, site, position, activations.read(folder / kind, site, position, image_ids))
