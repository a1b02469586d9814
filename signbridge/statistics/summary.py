"""The findings of a study in single numbers, and which of them are metrics; the notebook's figures beside them.

`data/statistics/findings.json` holds all of them, `metrics/probe.json` those that experiments are compared by.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd

from signbridge.core.activations import TEXT_POSITION, TEXT_SITE
from signbridge.core.tables import Metric
from signbridge.probing.peak import chosen_layer, headline_position, layer_of_each_fold
from signbridge.statistics.curves import BEST, Curves
from signbridge.statistics.description_length import CodeLengths
from signbridge.statistics.intervals import permutation_p_value, wilson

# What the notebook printed: LLaVA-1.5-7B, Sign Language MNIST, 60 test images, at the last token of its own answer.
TESTED = 60
RIGHT = {"layer_08": 43, "layer_16": 49, "layer_24": 46, "layer_31": 44}  # its README says 72.7 % for the first: 43.6
PUBLISHED_POSITION = "answer_last"  # its hooks stay on while text is generated
HUB_ID = "llava-hf/llava-1.5-7b-hf"
SOURCE = "sign_mnist"


class Study(NamedTuple):
    """What decides whether two studies ask the same thing of the same."""

    hub_id: str | None  # of the model
    source: str | None  # of the images
    strategy: str | None  # by which the sample was drawn


NOTEBOOK = Study(HUB_ID, SOURCE, "signbridge")


def published_table(accuracy: pd.DataFrame, study: Study, confidence: float) -> pd.DataFrame:
    """The notebook's printed figures beside those of this study.

    Columns: site, published_accuracy, published_low, published_high (Wilson's: no more is known than 60 images),
    reproduced_accuracy, reproduced_low, reproduced_high (under `signbridge` at the notebook's position; empty where
    there is no such layer), leaking (of this study; true where it did not run that split, as the notebook's did),
    comparable (whether `study` is the notebook's own).
    """
    right = np.array(list(RIGHT.values()))
    low, high = wilson(right, np.full_like(right, TESTED), confidence)
    published = pd.DataFrame(
        {
            "site": list(RIGHT),
            "published_accuracy": right / TESTED,
            "published_low": low,
            "published_high": high,
        }
    )
    rows = accuracy[(accuracy["protocol"] == "signbridge") & (accuracy["position"] == PUBLISHED_POSITION)]
    names = {name: f"reproduced_{name}" for name in ("accuracy", "low", "high")}
    table = published.merge(rows[["site", *names, "leaking"]].rename(columns=names), on="site", how="left")
    here = accuracy.loc[accuracy["protocol"] == "signbridge", "leaking"]
    return table.assign(leaking=bool(here.any()) if len(here) else True, comparable=study == NOTEBOOK)


# The metrics of `metrics/probe.json`, each with the finding that it is. What has a copy in training leaks.
HEADLINE = {
    "accuracy": "grouped_peak_accuracy",
    "accuracy_low": "grouped_peak_low",
    "accuracy_high": "grouped_peak_high",
    "best_layer": "grouped_peak_site",
    "position": "grouped_position",
    "stands_out": "grouped_stands_out",
    "over_pixels": "grouped_over_pixels",
    "over_pixels_low": "grouped_over_pixels_low",
    "over_pixels_high": "grouped_over_pixels_high",
    "over_vision": "grouped_over_vision",
    "over_vision_low": "grouped_over_vision_low",
    "over_vision_high": "grouped_over_vision_high",
    "over_untrained_twin": "grouped_over_untrained_twin",
    "over_untrained_twin_low": "grouped_over_untrained_twin_low",
    "over_untrained_twin_high": "grouped_over_untrained_twin_high",
    "over_answer": "grouped_over_answer",
    "shuffled_labels": "grouped_shuffled_labels",
    "chance": "chance",
    "leaking_split_accuracy": "signbridge_leaking_peak_accuracy",
    "notebook_split_accuracy": "signbridge_peak_accuracy",  # of a sample without copies
    "pixels": "grouped_pixels",
    "leaking_split_pixels": "signbridge_leaking_pixels",
    "signer_worth": "signer_worth",  # where signers are known
    "signer_worth_low": "signer_worth_low",
    "signer_worth_high": "signer_worth_high",
    "images": "images",
    "photos": "photos",
    "letters": "letters",
    "model": "model",
}

Numbers = dict[str, Metric]
LEVELS = {"pixels": ("pixels", "flat"), "vision": ("vision", "image_mean"), "answer": (TEXT_SITE, TEXT_POSITION)}


class Findings(NamedTuple):
    """Everything that the summary is drawn from."""

    curves: Curves
    choices: pd.DataFrame  # data/choices.parquet
    peaks: pd.DataFrame  # of `curves.peak_table`
    controls: pd.DataFrame  # of `curves.controls_table`
    shuffled: pd.DataFrame  # data/control_probes/shuffled_labels.parquet
    codes: CodeLengths
    chance: float


def summary(findings: Findings, copies_in_train: dict[str, float]) -> Numbers:
    """The headline of each protocol and what it stands beside; what was not measured is left out.

    The numbers of `signbridge` begin with `signbridge_leaking_` where images that it tests have a copy in training.
    """
    numbers: Numbers = {"chance": findings.chance, "confidence": findings.curves.confidence}
    if "grouped" in copies_in_train:
        numbers |= _grouped(findings)
    if "signbridge" in copies_in_train:
        prefix = notebook_prefix(copies_in_train)
        numbers |= {f"{prefix}{key}": value for key, value in _notebook(findings).items()}
        numbers[f"{prefix}copies_in_train"] = copies_in_train["signbridge"]
    return numbers


def notebook_prefix(copies_in_train: dict[str, float]) -> str:
    """What the findings under the notebook's protocol begin with: whether they leak."""
    return "signbridge_leaking_" if copies_in_train.get("signbridge", 0) > 0 else "signbridge_"


def _notebook(findings: Findings) -> Numbers:
    """As the notebook would say it: the highest of its layers' accuracies, whatever the position."""
    table = findings.curves.table
    layers = table[(table["protocol"] == "signbridge") & table["site"].str.startswith("layer_")]
    numbers = _levels(findings.curves, "signbridge")
    if len(layers):
        peak = layers.loc[layers["accuracy"].idxmax()]
        numbers |= {"peak_site": peak["site"], "peak_position": peak["position"]} | _accuracy("peak_accuracy", peak)
        numbers["gain_over_chance"] = float(peak["accuracy"] - findings.chance)
    for row in layers[layers["position"] == PUBLISHED_POSITION].itertuples():
        if row.site in RIGHT:
            numbers[f"{row.site}_{PUBLISHED_POSITION}"] = float(row.accuracy)
    return numbers


def _grouped(findings: Findings) -> Numbers:
    curves = findings.curves
    numbers = _levels(curves, "grouped")
    position = headline_position(findings.choices)
    best = curves.column("model", "grouped", BEST, position) if position else None
    if best is not None:
        numbers |= _headline(findings, position, best)
        beside = {name: curves.column("model", "grouped", *cell) for name, cell in LEVELS.items()}
        beside["untrained_twin"] = curves.column("untrained_twin", "grouped", BEST, position)
        for name, column in beside.items():
            if column is not None:
                gap = curves.minus(best, column)
                numbers |= {
                    f"over_{name}": float(gap.difference[0]),
                    f"over_{name}_low": float(gap.low[0]),
                    f"over_{name}_high": float(gap.high[0]),
                }
                numbers[name] = float(curves.table.loc[column, "accuracy"])
        numbers |= _controls(findings, position, float(curves.table.loc[best, "accuracy"]))
    return {f"grouped_{name}": value for name, value in numbers.items()}


def _headline(findings: Findings, position: str, best: int) -> Numbers:
    layer = chosen_layer(findings.choices, position)
    chosen = layer_of_each_fold(findings.choices, position)["site"]
    peaks = findings.peaks[findings.peaks["position"] == position]
    row = findings.curves.table.loc[best]
    compression = findings.codes.table.set_index(["site", "position"])["compression"].get((layer, position))
    folds = layer_of_each_fold(findings.choices, position).merge(findings.choices)
    return {
        "position": position,
        "peak_site": layer,
        "peak_share_of_folds": float((chosen == layer).mean()),
        **_accuracy("peak_accuracy", row),
        "gain_over_chance": float(row["accuracy"] - findings.chance),
        "tied_layers": int(peaks["tied_with_best"].sum()),
        "stands_out": bool(len(peaks) > 1 and peaks["tied_with_best"].sum() == 1),
        "largest_peak_probability": float(peaks["peak_probability"].max()),
        "folds": len(folds),
        "folds_at_edge": int(folds["at_edge"].sum()),  # whose penalty is an end of the list
        **({} if compression is None else {"compression": float(compression)}),
        **findings.codes.growth(position),
    }


def _controls(findings: Findings, position: str, accuracy: float) -> Numbers:
    """What the controls read at the layer that most folds chose, and the test against shuffled labels."""
    layer = chosen_layer(findings.choices, position)
    here = findings.controls[(findings.controls["site"] == layer) & (findings.controls["position"] == position)]
    numbers: Numbers = {
        row.control: float(row.accuracy) for row in here.itertuples() if row.control != "untrained_twin"
    }
    shuffled = findings.shuffled
    draws = shuffled.loc[(shuffled["site"] == layer) & (shuffled["position"] == position), "accuracy"]
    if len(draws):
        # One layer's: the headline's layers were chosen inside the training folds, so it is no best of many.
        numbers["p_value"] = permutation_p_value(accuracy, draws.to_numpy())
        numbers["shuffled_draws"] = len(draws)
        numbers["accuracy_over_chance"] = accuracy - numbers["shuffled_labels"]
    return numbers


def _levels(curves: Curves, protocol: str) -> Numbers:
    columns = {name: curves.column("model", protocol, *cell) for name, cell in LEVELS.items()}
    return {name: float(curves.table.loc[column, "accuracy"]) for name, column in columns.items() if column is not None}


def _accuracy(name: str, row: pd.Series) -> Numbers:
    stem = name.removesuffix("_accuracy")
    return {name: float(row["accuracy"]), f"{stem}_low": float(row["low"]), f"{stem}_high": float(row["high"])}
