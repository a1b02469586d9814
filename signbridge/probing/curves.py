"""All accuracies of a study on the same resamples of its photos, so that any two can be compared."""

from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from signbridge.peak import headline_predictions
from signbridge.probing.statistics import (
    Difference,
    StatisticsParams,
    at_the_edges,
    compare,
    draw_photos,
    interval,
    resampled_accuracy,
)

KEY = ["series", "protocol", "site", "position"]
BEST = "best"  # the site of a headline: the layer that each fold chose for itself


class Curves(NamedTuple):
    """One column an accuracy."""

    table: pd.DataFrame  # series, protocol, site, position, depth, accuracy, low, high, images_tested; a row a column
    resampled: Float[np.ndarray, "resamples curves"]
    confidence: float

    @property
    def model(self) -> pd.DataFrame:
        """The rows of the model itself, site by site; the index is the column."""
        return self.table[(self.table["series"] == "model") & (self.table["site"] != BEST)]

    def column(self, series: str, protocol: str, site: str, position: str) -> int | None:
        """Which column holds this accuracy; None if it was not measured."""
        found = np.flatnonzero((self.table[KEY] == [series, protocol, site, position]).all(axis=1))
        return int(found[0]) if len(found) else None

    def minus(self, first: int, second: int) -> Difference:
        """Accuracy `first` minus accuracy `second`, with its interval on the same resamples."""
        return self.compare(np.array([first]), np.array([second]))

    def compare(self, first: Int[np.ndarray, "pairs"], second: Int[np.ndarray, "pairs"]) -> Difference:
        """Accuracies `first` minus accuracies `second`, pair by pair."""
        return compare(self.resampled, self.table["accuracy"].to_numpy(), first, second, self.confidence)


def with_headlines(
    predictions: pd.DataFrame, choices: pd.DataFrame, controls: pd.DataFrame, control_choices: pd.DataFrame
) -> pd.DataFrame:
    """Everything that was predicted, each row with its `series`, for `curves`.

    The series `model` and one a control, as they are, and at the site `best` what the layers that each fold chose read:
    of the model, and of the controls that chose for themselves.
    """
    series = {"model": predictions, **dict(list(controls.groupby("control", sort=False)))}
    chosen = {"model": choices, **dict(list(control_choices.groupby("control", sort=False)))}
    tables = [table.assign(series=name) for name, table in series.items()]
    for name, of_series in chosen.items():
        for position in of_series["position"].unique():
            best = headline_predictions(series[name], of_series, position)
            tables.append(best.assign(series=name, site=BEST))
    return pd.concat(tables, ignore_index=True)


def curves(
    predictions: pd.DataFrame, photo_of: pd.Series, params: StatisticsParams, generator: np.random.Generator
) -> Curves:
    """Every accuracy in `predictions` (series, protocol, site, position, image_id, label, predicted).

    Sites come in the order of `predictions`, which is that of depth; `depth` counts them.
    `photo_of` gives the photo of each image_id of the sample: the photos resampled are all of its photos.
    """
    key = [predictions[column] for column in KEY]
    number, photo = pd.MultiIndex.from_arrays(key).factorize()[0], pd.Index(photo_of.unique())
    where = photo.get_indexer(predictions["image_id"].map(photo_of)), number
    right, tested = (np.zeros((len(photo), number.max() + 1)) for _ in range(2))
    np.add.at(right, where, predictions["label"].to_numpy() == predictions["predicted"].to_numpy())
    np.add.at(tested, where, 1)

    resampled = resampled_accuracy(draw_photos(len(photo), params.resamples, generator), right, tested)
    low, high = at_the_edges(*interval(resampled, params.confidence), right, tested, params.confidence)
    table = predictions[KEY].drop_duplicates().reset_index(drop=True)
    table["depth"] = pd.factorize(table["site"])[0]
    table["accuracy"] = right.sum(axis=0) / tested.sum(axis=0)
    table["low"], table["high"] = low, high
    table["images_tested"] = predictions.groupby(number)["image_id"].nunique().to_numpy()
    return Curves(table, resampled, params.confidence)
