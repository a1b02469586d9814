"""Models side by side: all their accuracies on the same resamples of the same photos, so that any two are paired.

A layer's relative depth is the share of decoder blocks that a vector has passed: 0 where it enters the first, 1 after
the last. So models of another number of blocks share an axis.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float

from signbridge.core.activations import TEXT_POSITION, TEXT_SITE, block_of
from signbridge.core.tables import Metric
from signbridge.probing.peak import chosen_layer, headline_predictions
from signbridge.probing.settings import SideBySideParams
from signbridge.statistics.answers import likeliest_letter, with_named
from signbridge.statistics.curves import BEST, KEY, Curves, curves
from signbridge.statistics.intervals import (
    StatisticsParams,
    holm,
    interval,
    peak_probability,
    permutation_p_value,
)

# Two sites beside the text: the letter that the answer names, and the one of the highest probability, is right.
NAMED, LIKELIEST = "named", "likeliest"
# What is compared between models, by what is said of it.
COMPARED = {"decoder": BEST, "vision tower": "vision", "answer names it": NAMED, "likeliest letter": LIKELIEST}
OVER = {"pixels": "pixels", "vision": "vision", "named": NAMED, "likeliest": LIKELIEST, "read_answer": TEXT_SITE}
ANSWERS = ("named", "likeliest", "read_answer")  # the ways to take an answer
CONTROLLED = {"decoder": BEST, "vision tower": "vision"}  # what each control is held against
CONTROL_COLUMNS = ["model", "what", "control", "accuracy", "low", "high"]
CONTROL_COLUMNS += ["over_control", "over_control_low", "over_control_high"]
MOST = 3  # models of which metrics/models.json has keys of their own


class ModelResults(NamedTuple):
    """What was found of one model."""

    predictions: pd.DataFrame
    choices: pd.DataFrame
    answers: pd.DataFrame  # image_id, label, answer
    controls: pd.DataFrame  # predictions at the tower and the layers that folds chose, by control; may be empty
    shuffled: pd.DataFrame  # site, position, draw, accuracy on shuffled letters, of the tower and the best layer
    scores: pd.DataFrame  # the log-probability of each letter, by image; empty where it could not be had
    made_by: Mapping[str, Any]  # of the answers


def compare_models(
    results: Mapping[str, ModelResults],
    photo_of: pd.Series,
    params: SideBySideParams,
    statistics: StatisticsParams,
    generator: np.random.Generator,
) -> dict[str, pd.DataFrame]:
    """The tables `accuracy`, `models`, `controls`, `differences` and `peaks`. `photo_of` is by image_id."""
    position = params.positions[0]
    measured = curves(_everything(results, position), photo_of, statistics, generator)
    blocks = {name: _blocks(one.predictions) for name, one in results.items()}
    depths = {name: _peak_depths(measured, name, position, blocks[name]) for name in results}
    return {
        "accuracy": _accuracy(measured, blocks),
        "models": _models(results, measured, position, blocks, depths),
        "controls": _controls(results, measured),
        "differences": _differences(measured, list(results), position),
        "peaks": _peaks(depths, params.same_depth, statistics.confidence),
    }


def relative_depth(site: str, blocks: int) -> float:
    """The share of decoder blocks that a vector has passed at `site`; NaN before the decoder."""
    if site == "embedding":
        return 0.0
    block = block_of(site)
    return float("nan") if block is None else (block + 1) / blocks


def _everything(results: Mapping[str, ModelResults], position: str) -> pd.DataFrame:
    """All predictions, each with its model as the `series`: as they are, of the chosen layers, of what the model says.

    What it says is the letter that its answer names, and the one that it gives the highest probability.
    """
    tables = []
    for name, one in results.items():
        best = headline_predictions(one.predictions, one.choices, position).assign(site=BEST)
        said = {NAMED: with_named(one.answers).rename(columns={"named": "predicted"})}
        if len(one.scores):
            said[LIKELIEST] = likeliest_letter(one.scores)
        own = [table.assign(protocol="grouped", site=site, position=TEXT_POSITION) for site, table in said.items()]
        own += _of_controls(one, position)
        columns = [*KEY[1:], "image_id", "label", "predicted"]
        tables += [table[columns].assign(series=name) for table in (one.predictions, best, *own)]
    return pd.concat(tables, ignore_index=True)


def _of_controls(one: ModelResults, position: str) -> list[pd.DataFrame]:
    """The predictions of each control, at sites of its own: at the layers that the folds chose, and at the tower."""
    found = []
    for control, rows in one.controls.groupby("control", sort=False):
        best = headline_predictions(rows, one.choices, position)
        found += [best.assign(site=_under(control, BEST)), rows[rows["site"] == "vision"].assign(site=_under(control))]
    return found


def _under(control: str, site: str = "vision") -> str:
    """The site of the model's series where what `site` reads under a control stands."""
    return f"{site} under {control}"


def _blocks(predictions: pd.DataFrame) -> int:
    """How many decoder blocks the model has, of which all are probed."""
    return 1 + max(block for site in predictions["site"].unique() if (block := block_of(site)) is not None)


class _Depths(NamedTuple):
    """The relative depth of a model's peak; of peaks that tie, the mean."""

    overall: float
    resampled: Float[np.ndarray, "resamples"]


def _layers(measured: Curves, name: str, position: str | None = None) -> pd.DataFrame:
    table = measured.table
    rows = table[(table["series"] == name) & table["site"].str.startswith("layer_")]
    return rows if position is None else rows[rows["position"] == position]


def _peak_depths(measured: Curves, name: str, position: str, blocks: int) -> _Depths:
    layers = _layers(measured, name, position)
    depth = np.array([relative_depth(site, blocks) for site in layers["site"]])
    values = np.vstack([layers["accuracy"].to_numpy(), measured.resampled[:, layers.index]])
    highest = values >= values.max(axis=1, keepdims=True) - 1e-12
    peaks = (highest * depth).sum(axis=1) / highest.sum(axis=1)
    return _Depths(float(peaks[0]), peaks[1:])


def _accuracy(measured: Curves, blocks: Mapping[str, int]) -> pd.DataFrame:
    """One row a model, site and position, with the probability of a layer to be the peak of its position."""
    beside = measured.table["site"].isin([BEST, NAMED, LIKELIEST]) | measured.table["site"].str.contains(" under ")
    table = measured.table[~beside].rename(columns={"series": "model"})
    table["relative_depth"] = [
        relative_depth(site, blocks[name]) for site, name in zip(table["site"], table["model"], strict=True)
    ]
    table["peak_probability"] = np.nan
    for name in blocks:
        for _, rows in _layers(measured, name).groupby("position", sort=False):
            table.loc[rows.index, "peak_probability"] = peak_probability(measured.resampled[:, rows.index])
    columns = ["model", "site", "position", "relative_depth", "accuracy", "low", "high", "peak_probability"]
    return table[columns].reset_index(drop=True)


def _models(
    results: Mapping[str, ModelResults],
    measured: Curves,
    position: str,
    blocks: Mapping[str, int],
    depths: Mapping[str, _Depths],
) -> pd.DataFrame:
    """One row a model: what its decoder, tower and text read, each beside the decoder, its peak, and what it takes."""
    rows = []
    for name, one in results.items():
        needs, entry = one.made_by["needs"], one.made_by["model"]
        low, high = interval(depths[name].resampled[:, None], measured.confidence)
        best_site = chosen_layer(one.choices, position)
        null = one.shuffled.loc[one.shuffled["site"] == best_site, "accuracy"]
        row = {
            "model": name, "quantization": _weights(entry), "dtype": entry["dtype"], "prompt": entry["prompt"],
            "blocks": blocks[name], "parameters": needs["parameters"], "weights": needs["weights"],
            "image_tokens": needs["image_tokens"],
            "flop": needs["prompt"] + needs["word"] * entry["max_new_tokens"],
            "best_site": best_site, "null": float(null.mean()),
            "p_value": permutation_p_value(_accuracy_at(measured, name, best_site, position), null.to_numpy()),
            "peak_depth": depths[name].overall, "peak_depth_low": float(low[0]), "peak_depth_high": float(high[0]),
        }  # fmt: skip
        best = _column(measured, name, BEST)
        row |= _measured(measured, "decoder", best)
        for what, site in OVER.items():  # what the decoder reads over these
            column = _column(measured, name, site)
            row |= _measured(measured, what, column) | _over(measured, what, best, column)
        rows.append(row)
    return pd.DataFrame(rows)


def _controls(results: Mapping[str, ModelResults], measured: Curves) -> pd.DataFrame:
    """One row a model, thing that is controlled and control: what is read under it, and how much more without it."""
    rows = []
    for name, one in results.items():
        for control in one.controls["control"].unique():
            for what, site in CONTROLLED.items():
                own, under = _column(measured, name, site), _column(measured, name, _under(control, site))
                if None not in (own, under):
                    values = _measured(measured, "accuracy", under) | _over(measured, "control", own, under)
                    rows.append([name, what, control, *values.values()])
    return pd.DataFrame(rows, columns=CONTROL_COLUMNS)


def _accuracy_at(measured: Curves, name: str, site: str, position: str) -> float:
    return float(measured.table.loc[measured.column(name, "grouped", site, position), "accuracy"])


def _weights(entry: Mapping[str, Any]) -> str:
    if entry["quantization"] == "none":
        return str(entry["dtype"])
    return f"nf4, {entry['dtype']}" if entry["quantize"] == "all" else f"nf4 of the decoder, {entry['dtype']}"


def _column(measured: Curves, name: str, site: str) -> int | None:
    """The column of the one position at which `site` was measured; None where it was not."""
    found = measured.table.index[(measured.table["series"] == name) & (measured.table["site"] == site)]
    return int(found[0]) if len(found) else None


def _measured(measured: Curves, what: str, column: int | None) -> dict[str, float]:
    values = [float("nan")] * 3 if column is None else measured.table.loc[column, ["accuracy", "low", "high"]].tolist()
    return dict(zip((what, f"{what}_low", f"{what}_high"), map(float, values), strict=True))


def _over(measured: Curves, what: str, best: int | None, column: int | None) -> dict[str, float]:
    values = [float("nan")] * 3
    if best is not None and column is not None:
        gap = measured.minus(best, column)
        values = [float(gap.difference[0]), float(gap.low[0]), float(gap.high[0])]
    return dict(zip((f"over_{what}", f"over_{what}_low", f"over_{what}_high"), values, strict=True))


def _differences(measured: Curves, names: Sequence[str], position: str) -> pd.DataFrame:
    """One row a pair of models and thing compared, on the same photos; Holm corrects for all rows."""
    rows, columns = [], []
    for what, site in COMPARED.items():
        for pair in combinations(names, 2):
            both = [_column(measured, name, site) for name in pair]
            if None not in both:
                rows.append((what, *pair))
                columns.append(both)
    first, second = np.array(columns, dtype=int).reshape(-1, 2).T
    gap = measured.compare(first, second)
    table = pd.DataFrame(rows, columns=["what", "model_a", "model_b"])
    return table.assign(**gap._asdict(), p_holm=holm(gap.p_value))


def _peaks(depths: Mapping[str, _Depths], same_depth: float, confidence: float) -> pd.DataFrame:
    """One row a pair of models: how far their peaks lie apart, in shares of the decoder.

    `same` is the share of resamples in which they lie nearer than `same_depth` to each other.
    """
    columns = ["model_a", "model_b", "difference", "low", "high", "same"]
    rows = []
    for a, b in combinations(depths, 2):
        apart = depths[a].resampled - depths[b].resampled
        low, high = interval(apart[:, None], confidence)
        same = float((np.abs(apart) < same_depth).mean())
        rows.append((a, b, depths[a].overall - depths[b].overall, float(low[0]), float(high[0]), same))
    return pd.DataFrame(rows, columns=columns)


def findings_of(found: Mapping[str, pd.DataFrame], params: SideBySideParams) -> dict[str, Metric]:
    """What the tables of `compare_models` amount to, by name; what was not measured is left out."""
    models, differences = found["models"], found["differences"]
    best = models.loc[models["decoder"].idxmax()]
    of_decoder = differences[differences["what"] == "decoder"]
    findings: dict[str, Metric] = {
        "models": len(models), "position": params.positions[0], "same_depth": params.same_depth,
        "best_model": best["model"], "best_accuracy": best["decoder"], "best_accuracy_low": best["decoder_low"],
        "best_accuracy_high": best["decoder_high"], "pixels": best["pixels"], "pairs": len(of_decoder),
        "comparisons": len(differences), "best_over_vision": best["over_vision"],
        "best_over_answer": best[[f"over_{answer}" for answer in ANSWERS]].min(),  # taken in the way that is hardest
    }  # fmt: skip
    of_best = found["controls"].query("model == @best.model and what == 'decoder'").set_index("control")
    findings |= {f"best_over_{control}": over for control, over in of_best["over_control"].items()}
    for row in models.to_dict("records"):
        findings |= {f"{row['model']}_accuracy": row["decoder"], f"{row['model']}_peak_depth": row["peak_depth"]}
        findings |= {f"{row['model']}_over_named_letter": row["over_named"]}
        findings |= {f"{row['model']}_over_likeliest_letter": row["over_likeliest"]}
    return {name: value for name, value in findings.items() if value == value}


def headline_of(names: Sequence[str]) -> dict[str, str]:
    """The metrics of `metrics/models.json`, each with the finding that it is: of the first `MOST` models their own."""
    of_each = ("accuracy", "peak_depth", "over_named_letter", "over_likeliest_letter")
    own = [f"{name}_{what}" for name in names[:MOST] for what in of_each]
    keys = ("models", "best_model", "best_accuracy", "best_accuracy_low", "best_accuracy_high")
    keys += ("best_over_vision", "best_over_answer", "best_over_no_image", "best_over_other_letter")
    keys += ("pixels", "chance", "images", "photos")
    return {key: key for key in (*keys, *own)}
