"""Which heads and MLPs carry the answer: the share of the logit gap that each moves, and the largest of each kind.

Of many parts one is the largest by chance. It is chosen on half of the pairs and quoted on the other half, in both
roles, so that the choice does not inflate what is quoted.
"""

import numpy as np
import pandas as pd

from signbridge.core.names import ATTENTION, MLP
from signbridge.core.tables import Metric
from signbridge.statistics.effects import effects
from signbridge.statistics.intervals import StatisticsParams

PLACE = ["position", "part", "site"]
COLUMNS = [*PLACE, "depth", "effect", "effect_low", "effect_high"]
KINDS = (ATTENTION, MLP, "head")
HEADLINE = {
    **{
        f"{kind}_{name}": f"parts_{kind}_{finding}"
        for kind in KINDS
        for name, finding in {
            "effect": "effect",
            "effect_low": "effect_low",
            "effect_high": "effect_high",
            "layer": "site",
            "halves_agree": "halves_agree",
        }.items()
    },
    "head_part": "parts_head_part",
    "noise": "parts_noise",
    "pairs": "parts_pairs",
    "sweep": "sweep",
    "model": "model",
}  # by the name of a metric, the finding that it is


def parts_effects(
    table: pd.DataFrame, statistics: StatisticsParams, generator: np.random.Generator
) -> tuple[pd.DataFrame, dict[str, Metric]]:
    """The effects and the findings, from the stage `patch`'s table of heads and MLPs.

    A row a position, part (`attention`, `mlp`, `head_00` ...) and site (behind the block): depth (the number of the
    block), effect with its interval over pairs of photos. Findings are of the last token: of the attention, the MLP and
    the head that move most, `effect` on pairs that did not choose it, `site` over all pairs. Where nothing was patched
    there is no row.
    """
    if table.empty:
        return pd.DataFrame(columns=COLUMNS), {"parts_pairs": 0}
    found = effects(table, PLACE, "pair", "moved", statistics, generator, weight="gap").table(
        "effect", statistics.confidence
    )
    depth = found["site"].str.removeprefix("layer_").astype(int)
    noise = table["moved_by_itself"].abs().groupby([table[name] for name in PLACE]).sum()
    gaps = table["gap"].groupby([table[name] for name in PLACE]).sum()
    findings: dict[str, Metric] = {
        "parts_pairs": int(table["pair"].nunique()),
        "parts_noise": float((noise / gaps).max()),
    }
    at_last = table[table["position"] == "prompt_last"]
    for kind in KINDS:
        of_kind = at_last[at_last["part"].str.startswith(kind)]
        findings |= {f"parts_{kind}_{name}": value for name, value in _largest(of_kind, statistics, generator).items()}
    return found.assign(depth=depth)[COLUMNS], findings


def _largest(table: pd.DataFrame, statistics: StatisticsParams, generator: np.random.Generator) -> dict[str, Metric]:
    """The part that moves most: chosen on half of the pairs, quoted on the other, both ways."""
    second = pd.factorize(table["pair"], sort=True)[0] % 2 == 1
    if not second.any():  # a single pair, or none
        return {}
    chosen = {side: _first(table[second == side]) for side in (False, True)}
    at = pd.MultiIndex.from_frame(table[["part", "site"]])
    quoted = table[np.where(second, at.isin([chosen[False]]), at.isin([chosen[True]]))]
    found = effects(quoted.assign(all=0), ["all"], "pair", "moved", statistics, generator, weight="gap")
    overall = _first(table)
    return {
        **found.metrics("effect", 0, statistics.confidence),
        "part": overall[0], "site": overall[1], "halves_agree": set(chosen.values()) == {overall},
    }  # fmt: skip


def _first(table: pd.DataFrame) -> tuple[str, str]:
    sums = table.groupby(["part", "site"])[["moved", "gap"]].sum()
    return (sums["moved"] / sums["gap"]).idxmax()
