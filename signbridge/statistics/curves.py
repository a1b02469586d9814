"""All accuracies of a study on the same resamples of its photos, so that any two can be compared.

From them come the tables of the study: accuracy by site in order of depth, accuracy by letter and pairs of letters,
every pair of layers compared, how good a claim each layer has to be the peak, and the controls beside the model.
"""

from itertools import combinations
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from signbridge.probing.peak import headline_predictions, layer_of_each_fold
from signbridge.statistics.intervals import (
    Difference,
    StatisticsParams,
    at_the_edges,
    compare,
    draw_groups,
    group_bootstrap,
    holm,
    interval,
    peak_probability,
    permutation_p_value,
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
    predictions: pd.DataFrame, group_of: pd.Series, params: StatisticsParams, generator: np.random.Generator
) -> Curves:
    """Every accuracy in `predictions` (series, protocol, site, position, image_id, label, predicted).

    Sites come in the order of `predictions`, which is that of depth; `depth` counts them.
    `group_of` gives the group (photo, clip or signer) of each image_id of the sample: all of its groups are resampled.
    """
    key = [predictions[column] for column in KEY]
    number, group = pd.MultiIndex.from_arrays(key).factorize()[0], pd.Index(group_of.unique())
    where = group.get_indexer(predictions["image_id"].map(group_of)), number
    right, tested = (np.zeros((len(group), number.max() + 1)) for _ in range(2))
    np.add.at(right, where, predictions["label"].to_numpy() == predictions["predicted"].to_numpy())
    np.add.at(tested, where, 1)

    resampled = resampled_accuracy(draw_groups(len(group), params.resamples, generator), right, tested)
    low, high = at_the_edges(*interval(resampled, params.confidence), right, tested, params.confidence)
    table = predictions[KEY].drop_duplicates().reset_index(drop=True)
    table["depth"] = pd.factorize(table["site"])[0]
    table["accuracy"] = right.sum(axis=0) / tested.sum(axis=0)
    table["low"], table["high"] = low, high
    table["images_tested"] = predictions.groupby(number)["image_id"].nunique().to_numpy()
    return Curves(table, resampled, params.confidence)


def copies_in_train(predictions: pd.DataFrame, group_of: pd.Series) -> dict[str, float]:
    """By protocol, the share of tested images that have an image of the same group among the training images.

    A probe is trained on all images of the sample that it is not tested on. `group_of` is by image_id.
    """
    tests = predictions[["protocol", "repeat", "fold", "image_id"]].drop_duplicates()
    shares = {}
    for protocol, of_protocol in tests.groupby("protocol", sort=False):
        leaks = []
        for _, tested in of_protocol.groupby(["repeat", "fold"]):
            in_test = group_of.index.isin(tested["image_id"])
            leaks.append(group_of[in_test].isin(group_of[~in_test]))
        shares[protocol] = float(pd.concat(leaks).mean())
    return shares


ACCURACY_COLUMNS = ["protocol", "site", "depth", "position", "accuracy", "low", "high", "images_tested", "leaking"]
ACCURACY_COLUMNS += ["folds_at_edge"]


def accuracy_table(curves: Curves, copies_in_train: dict[str, float], choices: pd.DataFrame) -> pd.DataFrame:
    """One row a protocol, site and position of the model itself, with the bootstrap interval over photos.

    The notebook's protocol comes first, and what the answers give away after the last site. `leaking` is true where
    `copies_in_train`, the share of tested images with a copy in training, is not zero. `folds_at_edge` counts the folds
    whose penalty is an end of the list that they chose from: 0 where none was chosen.
    """
    table = curves.model.assign(leaking=curves.model["protocol"].map(copies_in_train) > 0)
    edges = choices.groupby(["protocol", "site", "position"])["at_edge"].sum()
    cells = pd.MultiIndex.from_frame(table[["protocol", "site", "position"]])
    table["folds_at_edge"] = edges.reindex(cells, fill_value=0).to_numpy(dtype=int)
    table = table.sort_values(["protocol", "depth"], ascending=[False, True], kind="stable", ignore_index=True)
    return table[ACCURACY_COLUMNS]


def letter_accuracy(
    headline: pd.DataFrame, group_of: pd.Series, params: StatisticsParams, generator: np.random.Generator
) -> pd.DataFrame:
    """One row a letter: letter, images, accuracy, low, high. `headline` has image_id, label and predicted."""
    group = headline["image_id"].map(group_of).rename("group")
    right = (headline["label"] == headline["predicted"]).astype(float).rename("right")
    counts = right.groupby([group, headline["label"]]).agg(["sum", "count"]).reset_index()
    right, tested = (
        counts.pivot_table(values=value, index="group", columns="label", fill_value=0.0) for value in ("sum", "count")
    )
    low, high = group_bootstrap(
        right.to_numpy(float), tested.to_numpy(float), params.confidence, params.resamples, generator
    )
    table = headline.groupby("label")["image_id"].nunique().rename_axis("letter").rename("images").reset_index()
    return table.assign(accuracy=(right.sum() / tested.sum()).to_numpy(), low=low, high=high)


def confused_pairs(headline: pd.DataFrame) -> pd.DataFrame:
    """Pairs of letters taken for each other, the most confused first: letter_a, letter_b, count, share.

    `count` adds both directions over all repeats; `share` is of all tests of both letters.
    """
    wrong = headline[headline["label"] != headline["predicted"]]
    pairs = np.sort(wrong[["label", "predicted"]].to_numpy().astype(str), axis=1)
    counts = pd.DataFrame(pairs, columns=["letter_a", "letter_b"]).value_counts().rename("count").reset_index()
    tests = headline["label"].value_counts()
    of_pair = (tests.reindex(counts[letter]).to_numpy() for letter in ("letter_a", "letter_b"))
    counts["share"] = counts["count"] / sum(of_pair)
    return counts.sort_values(["share", "letter_a", "letter_b"], ascending=[False, True, True], ignore_index=True)


def layer_comparison(curves: Curves) -> pd.DataFrame:
    """One row a position and pair of layers: position, site_a, site_b, difference, low, high, p_value, p_holm.

    `difference` is the accuracy of a minus that of b under `grouped`; Holm corrects for all pairs of a position.
    """
    tables = []
    for position, layers in _layers(curves).groupby("position", sort=False):
        first, second = np.array(list(combinations(layers.index, 2)), dtype=int).reshape(-1, 2).T
        difference = curves.compare(first, second)
        tables.append(
            pd.DataFrame(
                {
                    "position": position,
                    "site_a": curves.table["site"].to_numpy()[first],
                    "site_b": curves.table["site"].to_numpy()[second],
                    **difference._asdict(),
                    "p_holm": holm(difference.p_value),
                }
            )
        )
    columns = ["position", "site_a", "site_b", "difference", "low", "high", "p_value", "p_holm"]
    return pd.concat(tables, ignore_index=True)[columns] if tables else pd.DataFrame(columns=columns)


def peak_table(curves: Curves, comparison: pd.DataFrame, choices: pd.DataFrame) -> pd.DataFrame:
    """One row a position and layer: how good a claim it has to be the peak.

    Columns: position, site, depth, accuracy, peak_probability (share of resamples in which it is highest),
    share_chosen (of the folds that chose it inside their training images), tied_with_best (not worse than the layer of
    highest accuracy by the corrected test). A layer stands out if it is the only one tied with the best.
    """
    layers = _layers(curves)
    level = 1 - curves.confidence
    apart = comparison[comparison["p_holm"] < level]
    tables = []
    for position, rows in layers.groupby("position", sort=False):
        best = rows.loc[rows["accuracy"].idxmax(), "site"]
        pairs = apart[(apart["position"] == position) & ((apart["site_a"] == best) | (apart["site_b"] == best))]
        worse = {*pairs["site_a"], *pairs["site_b"]} - {best}
        chosen = layer_of_each_fold(choices, position)["site"].value_counts(normalize=True)
        tables.append(
            pd.DataFrame(
                {
                    "position": position,
                    "site": rows["site"],
                    "depth": rows["depth"],
                    "accuracy": rows["accuracy"],
                    "peak_probability": peak_probability(curves.resampled[:, rows.index]),
                    "share_chosen": rows["site"].map(chosen).fillna(0.0),
                    "tied_with_best": ~rows["site"].isin(worse),
                }
            )
        )
    columns = ["position", "site", "depth", "accuracy", "peak_probability", "share_chosen", "tied_with_best"]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=columns)


def _layers(curves: Curves) -> pd.DataFrame:
    """The layers of the model under `grouped`; the index is the column in `curves`."""
    model = curves.model
    return model[(model["protocol"] == "grouped") & model["site"].str.startswith("layer_")]


SHUFFLED = "shuffled_labels"
CONTROL_COLUMNS = [
    "control",
    "site",
    "depth",
    "position",
    "accuracy",
    "low",
    "high",
    "over_control",
    "over_control_low",
    "over_control_high",
    "p_value",
]


def controls_table(curves: Curves, shuffled: pd.DataFrame) -> pd.DataFrame:
    """One row a control, site and position under `grouped`, in the columns of `COLUMNS`.

    `shuffled` has the accuracy of every draw of shuffled labels: site, position, draw, accuracy. `over_control` is the
    accuracy of the model less that of the control. Of shuffled labels it is accuracy over chance: no photo is on both
    sides of the split, so nothing can be remembered. Its interval is over photos, and that of the shuffled labels
    themselves over draws. `p_value` is the permutation test's, and only theirs.
    """
    model = curves.model[curves.model["protocol"] == "grouped"]
    tables = [_read_controls(curves, model), _shuffled(curves, model, shuffled)]
    return pd.concat([table for table in tables if len(table)] or tables, ignore_index=True)[CONTROL_COLUMNS]


def _read_controls(curves: Curves, model: pd.DataFrame) -> pd.DataFrame:
    """The controls that were read through the model: untrained twin, no image, another letter's image."""
    table = curves.table
    controls = table[(table["series"] != "model") & (table["site"] != BEST)]
    model_column = pd.Series(model.index, index=pd.MultiIndex.from_frame(model[["site", "position"]]))
    cells = pd.MultiIndex.from_frame(controls[["site", "position"]])
    difference = curves.compare(model_column.reindex(cells).to_numpy(dtype=int), controls.index.to_numpy())
    return controls.rename(columns={"series": "control"}).assign(
        over_control=difference.difference,
        over_control_low=difference.low,
        over_control_high=difference.high,
        p_value=np.nan,
    )


def _shuffled(curves: Curves, model: pd.DataFrame, shuffled: pd.DataFrame) -> pd.DataFrame:
    of_cell = dict(list(shuffled.groupby(["site", "position"], sort=False)["accuracy"]))
    tail = (1 - curves.confidence) / 2
    rows = []
    for row in model.itertuples():
        if (row.site, row.position) not in of_cell:
            continue
        draws = of_cell[row.site, row.position].to_numpy()
        mean = draws.mean()
        low, high = np.quantile(draws, [tail, 1 - tail])
        rows.append(
            {
                "control": SHUFFLED,
                "site": row.site,
                "depth": row.depth,
                "position": row.position,
                "accuracy": mean,
                "low": low,
                "high": high,
                "over_control": row.accuracy - mean,
                "over_control_low": row.low - mean,
                "over_control_high": row.high - mean,
                "p_value": permutation_p_value(row.accuracy, draws),
            }
        )
    return pd.DataFrame(rows, columns=CONTROL_COLUMNS)
