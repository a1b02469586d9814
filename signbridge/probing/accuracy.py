"""From single predictions to accuracies: the whole sweep as a table, and the few numbers that sum it up."""

import numpy as np
import pandas as pd

from signbridge.peak import Peak, peak_layer
from signbridge.probing import answer_reading
from signbridge.probing.protocols import Split
from signbridge.probing.settings import Intervals
from signbridge.probing.statistics import photo_bootstrap, wilson
from signbridge.probing.sweep import Scored

NOTEBOOK_LAYERS = ("layer_08", "layer_16", "layer_24", "layer_31")
# Where each protocol is quoted: the notebook read its model's own answer; no answer is known at the prompt's end.
QUOTED_POSITION = {"signbridge": "answer_last", "grouped": "prompt_last"}


def predictions_table(
    scored: list[Scored], splits: list[Split], image_ids: np.ndarray, labels: np.ndarray
) -> pd.DataFrame:
    """One row a prediction: protocol, site, position, repeat, fold, image_id, label, predicted, probability."""
    letters = np.unique(labels)
    tested = np.concatenate([np.flatnonzero(split.test) for split in splits])
    sizes = [int(split.test.sum()) for split in splits]
    one_cell = pd.DataFrame(
        {
            "protocol": np.repeat([split.protocol for split in splits], sizes),
            "repeat": np.repeat([split.repeat for split in splits], sizes).astype(np.int16),
            "fold": np.repeat([split.fold for split in splits], sizes).astype(np.int16),
            "image_id": image_ids[tested],
            "label": labels[tested],
        }
    )
    cells = [
        one_cell.assign(
            site=cell.site,
            position=cell.position,
            predicted=letters[np.concatenate(cell.predicted)],
            probability=np.concatenate(cell.probability).astype(np.float32),
        )
        for cell in scored
    ]
    columns = ["protocol", "site", "position", "repeat", "fold", "image_id", "label", "predicted", "probability"]
    return pd.concat(cells, ignore_index=True)[columns]


def accuracy_table(
    predictions: pd.DataFrame, sample: pd.DataFrame, intervals: Intervals, generator: np.random.Generator
) -> pd.DataFrame:
    """One row a protocol, site and position: accuracy, its interval, and how many images were tested.

    The interval is Wilson's under `signbridge`, where each image is tested once, and a bootstrap over photos under
    `grouped`. Sites come in the order of `predictions`, which is that of depth; `depth` counts them. What the answers
    give away comes after the last of them.
    """
    right = (predictions["label"] == predictions["predicted"]).astype(float)
    cell = [predictions[column] for column in ("protocol", "site", "position")]
    table = right.groupby(cell, sort=False).mean().rename("accuracy").reset_index()
    table.insert(2, "depth", pd.factorize(table["site"])[0])
    table = table.assign(low=np.nan, high=np.nan, images_tested=0)
    photo = predictions["image_id"].map(sample.set_index("image_id")["photo"])
    for protocol, rows in predictions.groupby("protocol", sort=False):
        these = table["protocol"] == protocol
        tested = rows["image_id"].nunique()
        table.loc[these, "images_tested"] = tested
        if protocol == "signbridge":
            count = np.rint(table.loc[these, "accuracy"].to_numpy() * tested).astype(int)
            low, high = wilson(count, np.full_like(count, tested), intervals.confidence)
        else:
            by_photo = rows.assign(photo=photo[rows.index], right=right[rows.index]).pivot_table(
                values="right", index="photo", columns=["site", "position"], aggfunc=["sum", "count"], sort=False
            )
            low, high = photo_bootstrap(
                by_photo["sum"].to_numpy(),
                by_photo["count"].iloc[:, 0].to_numpy(dtype=float),
                intervals.confidence,
                intervals.resamples,
                generator,
            )
            cells = pd.MultiIndex.from_frame(table.loc[these, ["site", "position"]])
            column = by_photo["sum"].columns.get_indexer(cells)
            low, high = low[column], high[column]
        table.loc[these, "low"], table.loc[these, "high"] = low, high
    return table.sort_values(["protocol", "depth"], ascending=[False, True], kind="stable", ignore_index=True)


def summary(
    predictions: pd.DataFrame, table: pd.DataFrame, sample: pd.DataFrame, copies_in_train: float
) -> dict[str, int | float | str]:
    """The numbers to compare two experiments by; those of sites that were not probed are left out.

    `copies_in_train` is the share of the images tested under `signbridge` that have a copy among its training images;
    above zero, that protocol's accuracies are partly recall of the photo.
    """
    letters = sample["label"].value_counts()
    chance = letters.max() / len(sample)
    numbers: dict[str, int | float | str] = {
        "images": len(sample),
        "photos": int(sample["photo"].nunique()),
        "letters": len(letters),
        "chance": float(chance),
    }
    cells = table.set_index(["protocol", "site", "position"])
    for protocol in table["protocol"].unique():
        peak = peak_layer(predictions, protocol)
        if peak:
            numbers |= {
                f"{protocol}_peak_site": peak.site,
                f"{protocol}_peak_position": peak.position,
                f"{protocol}_peak_accuracy": peak.accuracy,
                f"{protocol}_peak_low": float(cells.loc[(protocol, peak.site, peak.position), "low"]),
                f"{protocol}_peak_high": float(cells.loc[(protocol, peak.site, peak.position), "high"]),
                f"{protocol}_gain_over_chance": float(peak.accuracy - chance),
            }
        quoted = QUOTED_POSITION[protocol]
        wanted = {
            "pixels": "flat",
            "vision": "image_mean",
            answer_reading.SITE: answer_reading.POSITION,
            **dict.fromkeys(NOTEBOOK_LAYERS, quoted),
        }
        for site, position in wanted.items():
            if (protocol, site, position) in cells.index:
                name = f"{protocol}_{site}" + (f"_{position}" if site in NOTEBOOK_LAYERS else "")
                numbers[name] = float(cells.loc[(protocol, site, position), "accuracy"])
    if "signbridge" in set(table["protocol"]):
        numbers["signbridge_copies_in_train"] = copies_in_train
    return numbers


def confusion(predictions: pd.DataFrame) -> pd.DataFrame:
    """Actual and predicted letter of every test at the peak layer of `grouped`, or of what was probed instead."""
    protocols = list(predictions["protocol"].unique())
    protocol = "grouped" if "grouped" in protocols else protocols[0]
    peak = peak_layer(predictions, protocol) or _best_site(predictions[predictions["protocol"] == protocol])
    rows = predictions[
        (predictions["protocol"] == protocol)
        & (predictions["site"] == peak.site)
        & (predictions["position"] == peak.position)
    ]
    return rows[["label", "predicted"]].rename(columns={"label": "actual"})


def _best_site(predictions: pd.DataFrame) -> Peak:
    probed = predictions[predictions["site"] != answer_reading.SITE]
    right = probed["label"] == probed["predicted"]
    accuracy = right.groupby([probed["site"], probed["position"]], sort=False).mean()
    return Peak(*accuracy.idxmax(), float(accuracy.max()))
