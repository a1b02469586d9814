"""How well does each method find a variable whose depth is known? Found, missed, false: every method against the truth.

Each method gives a curve over the decoder's blocks, from 0 (nothing) to 1 (all): how far a probe or a lens is from
chance to always right, how far a patch moves the answer to the donor's, how far the answer falls where the last token
no longer sees some tokens. A block by which the curve changes by `least_step` or more is marked. The change is located
at the block of the largest step. It is found within some blocks of the planted ones; elsewhere it is false; and it is
missed where no block is marked.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd

from signbridge.core.activations import block_of, layer_site
from signbridge.core.tables import Metric
from signbridge.statistics.effects import effects
from signbridge.statistics.intervals import StatisticsParams

FOUND, MISSED, FALSE = "found", "missed", "false"
LAST = "prompt_last"
CURVE = ["method", "site", "value", "low", "high"]
CHANCE = 0.5  # of two answers, each right as often
METHODS = ("probe", "patching", "knockout_question", "knockout_image", "logit_lens", "embedding_lens")
TWIN = "untrained_twin"
HEADLINE = {
    name: name
    for name in (
        "methods_found", "methods_missed", "methods_false", "below", "last_layer", "tower", "projector", "embedding",
        "untrained_twin", "answers_right", "marked_on_untrained_twin",
        *(f"{method}_at" for method in METHODS),
        "planted_first", "planted_last", "questions", "photos", "pairs", "model",
    )
}  # fmt: skip


class Verdict(NamedTuple):
    """One method against the truth."""

    verdict: str
    located: int | None  # the block of the largest step
    step: float  # by how much the curve changes there
    marked: list[int]  # the blocks that change it by `least_step` or more
    false_marks: int  # of them, how many lie elsewhere


def accuracies(probes: pd.DataFrame, statistics: StatisticsParams, generator: np.random.Generator) -> pd.DataFrame:
    """reader, site, position, depth, value, low, high: the accuracy of every probe, with its interval over photos.

    last_over, last_over_low, last_over_high: what the model's last layer reads at the last token of the prompt, less
    this row's accuracy, on the same resamples.
    """
    found = effects(probes, ["reader", "site", "position"], "photo", "right", statistics, generator)
    table = found.table("value", statistics.confidence, share=True)
    table.insert(3, "depth", table["site"].map(list(table["site"].unique()).index))
    table = table.rename(columns={"value_low": "low", "value_high": "high"})
    at_last = table["site"].map(block_of).where((table["reader"] == "model") & (table["position"] == LAST))
    gap = found.beyond(int(at_last.astype(float).idxmax())).table("last_over", statistics.confidence)
    return table.assign(**gap.drop(columns=found.keys.columns))


def lens_accuracies(
    lenses: pd.DataFrame, asked: pd.DataFrame, statistics: StatisticsParams, generator: np.random.Generator
) -> pd.DataFrame:
    """lens, site, value, low, high: how often a lens sees more of the right answer than of the other."""
    table = lenses.merge(asked[["question_id", "photo", "answer"]], on="question_id", validate="many_to_one")
    table = table.assign(right=(table["predicted"] == table["answer"]).astype(float))
    found = effects(table, ["lens", "site"], "photo", "right", statistics, generator)
    shares = found.table("value", statistics.confidence, share=True)
    return shares.rename(columns={"value_low": "low", "value_high": "high"})


def edit_effects(edits: pd.DataFrame, statistics: StatisticsParams, generator: np.random.Generator) -> pd.DataFrame:
    """edit, place, value, low, high: the share of the answer that each edit moves, with its interval over pairs."""
    found = effects(edits, ["edit", "place"], "pair", "moved", statistics, generator, weight="gap")
    table = found.table("value", statistics.confidence)
    return table.rename(columns={"value_low": "low", "value_high": "high"})


def curves(accuracy: pd.DataFrame, lenses: pd.DataFrame, edited: pd.DataFrame) -> pd.DataFrame:
    """Every method's curve on one scale, 0 to 1: method, site, value, low, high."""
    at_last = accuracy[accuracy["position"] == LAST]
    parts = []
    for reader, method in (("model", "probe"), (TWIN, TWIN)):
        parts.append(_from_chance(at_last[at_last["reader"] == reader]).assign(method=method))
    for lens in lenses["lens"].unique():
        parts.append(_from_chance(lenses[lenses["lens"] == lens]).assign(method=f"{lens}_lens"))
    for edit, method in (("patching", "patching"), ("question", "knockout_question"), ("image", "knockout_image")):
        rows = edited[edited["edit"] == edit].rename(columns={"place": "site"})
        parts.append(rows.assign(method=method))
    return pd.concat(parts, ignore_index=True)[CURVE]


def verdicts(curves: pd.DataFrame, planted: list[int], least_step: float, within: int) -> dict[str, Verdict]:
    """Each method of `curves` against the blocks that were planted."""
    return {
        method: score(_steps(rows), planted, least_step, within)
        for method, rows in curves.groupby("method", sort=False)
    }


def score(steps: dict[int, float], planted: list[int], least_step: float, within: int) -> Verdict:
    """What a method says whose curve changes by `steps` at each block."""
    marked = [block for block, step in steps.items() if step >= least_step]
    near = range(min(planted) - within, max(planted) + within + 1)
    false_marks = sum(block not in near for block in marked)
    largest = max(steps, key=steps.__getitem__)
    if not marked:
        return Verdict(MISSED, None, float(steps[largest]), marked, 0)
    verdict = FOUND if largest in near else FALSE
    return Verdict(verdict, largest, float(steps[largest]), marked, false_marks)


def findings(
    accuracy: pd.DataFrame, asked: pd.DataFrame, edits: pd.DataFrame, scored: dict[str, Verdict], planted: list[int]
) -> dict[str, Metric]:
    """The headline: what a probe reads where, and what each method says."""
    read = accuracy.set_index(["reader", "site", "position"])["value"]
    layers = [site for site in accuracy["site"].unique() if site.startswith("layer_")]
    below = [read["model", site, LAST] for site in layers[: min(planted)]]
    twin = read[TWIN]
    judged = {method: scored[method] for method in METHODS if method in scored}
    found: dict[str, Metric] = {
        "methods_found": sum(one.verdict == FOUND for one in judged.values()),
        "methods_missed": sum(one.verdict == MISSED for one in judged.values()),
        "methods_false": sum(one.verdict == FALSE for one in judged.values()),
        "last_layer": float(read["model", layers[-1], LAST]),
        "tower": float(read["model", "vision", "image_mean"]),
        "projector": float(read["model", "projector", "image_mean"]),
        "embedding": float(read["model", "embedding", LAST]),
        "untrained_twin": float(twin.loc[(twin - CHANCE).abs().idxmax()]),
        "marked_on_untrained_twin": len(scored[TWIN].marked),
        "answers_right": float(asked["right"].mean()),
        "planted_first": layer_site(min(planted)),
        "planted_last": layer_site(max(planted)),
        "questions": len(asked),
        "photos": int(asked["photo"].nunique()),
        "pairs": int(edits["pair"].nunique()),
    }
    if below:
        found["below"] = float(max(below, key=lambda value: abs(value - CHANCE)))
    found |= {
        f"{method}_at": "nowhere" if one.located is None else layer_site(one.located) for method, one in judged.items()
    }
    return found


def _from_chance(rows: pd.DataFrame) -> pd.DataFrame:
    scaled = rows[["value", "low", "high"]].sub(CHANCE).div(1 - CHANCE)
    return rows.assign(**scaled)


def _steps(rows: pd.DataFrame) -> dict[int, float]:
    """By how much each block changes a curve; what is cut from a block on falls where that block has been passed."""
    value = rows.set_index("site")["value"]
    blocks = sorted(block for site in value.index if (block := block_of(site)) is not None)
    at = [float(value[layer_site(block)]) for block in blocks]
    if rows["method"].iloc[0].startswith("knockout"):
        return {block: here - above for block, here, above in zip(blocks, at, [*at[1:], 0.0], strict=True)}
    return {
        block: here - below
        for block, here, below in zip(blocks, at, [float(value["embedding"]), *at[:-1]], strict=True)
    }
