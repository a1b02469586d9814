"""What `dvc plots show` and `dvc plots diff` draw: small CSV tables, for the templates below `.dvc/plots/`.

Layers are numbers, so that experiments that probed other layers lie on one axis.
"""

from collections.abc import Mapping

import pandas as pd

from signbridge.core.activations import TEXT_SITE
from signbridge.core.tables import Metric

# The words under which a reader who knows nothing of the project finds the two protocols.
SPLITS = {"grouped": "no photo on both sides", "signbridge": "notebook's split"}
BASELINES = {"pixels": "pixels", "vision": "vision", "answer": TEXT_SITE}  # column: site


def plots(found: Mapping[str, pd.DataFrame], findings: Mapping[str, Metric]) -> dict[str, pd.DataFrame]:
    """The tables by name, from those of the stage `statistics` and its findings."""
    position = findings.get("grouped_position")
    return {
        "layers": layers(found["accuracy"]),
        "controls": controls(found["accuracy"], found["controls"], position),
        "confusion": confusion(found["confusion"]),
        "letters": found["letter_accuracy"],
    }


def layers(accuracy: pd.DataFrame) -> pd.DataFrame:
    """One row a split, position and layer: split, position, layer (a number), accuracy, low, high.

    Beside them the columns of `BASELINES`: the accuracy at that site on the same split, empty where it was not probed.
    """
    table = _numbered(accuracy)
    for column, site in BASELINES.items():
        of_protocol = accuracy[accuracy["site"] == site].drop_duplicates("protocol").set_index("protocol")["accuracy"]
        table[column] = table["protocol"].map(of_protocol)
    table["split"] = [
        f"{SPLITS.get(protocol, protocol)}{' (leaks)' if leaking else ''}"
        for protocol, leaking in zip(table["protocol"], table["leaking"], strict=True)
    ]
    return table[["split", "position", "layer", "accuracy", "low", "high", *BASELINES]]


def controls(accuracy: pd.DataFrame, controls: pd.DataFrame, position: Metric | None) -> pd.DataFrame:
    """One row a layer and series, the model and each control, at `position`, no photo on both sides.

    Columns: layer, series, accuracy, low, high.
    """
    model = accuracy[accuracy["protocol"] == "grouped"].assign(control="model")
    table = pd.concat([model, controls], ignore_index=True)
    table = _numbered(table[table["position"] == position]).rename(columns={"control": "series"})
    return table[["layer", "series", "accuracy", "low", "high"]]


def confusion(quoted: pd.DataFrame) -> pd.DataFrame:
    """One row a pair of letters: actual, predicted, share (of the tests of the actual letter).

    Pairs that never occur have a share of 0, so that every experiment has the same cells.
    """
    letters = sorted(set(quoted["actual"]) | set(quoted["predicted"]))
    pairs = pd.MultiIndex.from_product([letters, letters], names=["actual", "predicted"])
    counts = quoted.value_counts(["actual", "predicted"]).reindex(pairs, fill_value=0)
    tests = counts.groupby("actual").transform("sum").clip(lower=1)
    return (counts / tests).rename("share").reset_index()


def _numbered(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of decoder layers, with their number as `layer`."""
    rows = table[table["site"].str.startswith("layer_")]
    return rows.assign(layer=rows["site"].str.removeprefix("layer_").astype(int))
