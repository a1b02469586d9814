"""What the tables of the question about clips amount to: its findings, and the few that are metrics."""

from collections.abc import Mapping, Sequence

import pandas as pd

from signbridge.core.activations import layer_site
from signbridge.core.names import IN_ORDER, MOVEMENT, SHAPE, SHUFFLED, SIGN
from signbridge.core.tables import Metric
from signbridge.statistics.motion import ALL, BEST, TWIN, layer_of_each_fold

NOWHERE = "none"  # of `order_from`: no layer is told apart
# The metrics of metrics/motion.json, which are the findings of the same names.
HEADLINE = [
    "order_adds", "order_adds_low", "order_adds_high", "order_adds_p_value", "best_layer", "order_from",
    "movement_in_order", "movement_shuffled", "movement_chance", "movement_middle_frame", "movement_single_frames",
    "movement_other_clip", "movement_vision", "movement_pixels", "movement_tower_in_order", "twin_order_adds",
    "reversed_names_other", "order_adds_to_shape", "order_adds_to_sign", "sign_in_order", "text_in_order",
    "text_shuffled", "clips", "signers", "model",
]  # fmt: skip


def chance(predictions: pd.DataFrame, target: str) -> float:
    """The share that is right if every clip is taken for the commonest of its group, weighted by clips."""
    rows = predictions[predictions["target"] == target].drop_duplicates(["group", "clip"])
    commonest = rows.groupby("group")["label"].agg(lambda labels: labels.value_counts().iloc[0])
    return float(commonest.sum() / len(rows))


def order_from(order: pd.DataFrame, position: str, level: float, of: str = "", kind: str = ALL) -> str:
    """The first layer at which order adds to movement, told apart among all layers; `NOWHERE` if there is none."""
    rows = order[(order["of"] == of) & (order["target"] == MOVEMENT) & (order["kind"] == kind)]
    rows = rows[(rows["position"] == position) & rows["site"].str.startswith("layer_")]
    told = rows[(rows["p_max"] < level) & (rows["difference"] > 0)]
    return str(told["site"].iloc[0]) if len(told) else NOWHERE


def largest_step(order: pd.DataFrame, position: str) -> str:
    """The layer at which what order adds to movement rises most over the layer before; `NOWHERE` if it never rises."""
    rows = order[(order["of"] == "") & (order["target"] == MOVEMENT) & (order["kind"] == ALL)]
    rows = rows[(rows["position"] == position) & rows["site"].str.startswith("layer_")]
    steps = rows["difference"].diff().fillna(rows["difference"]).round(12)
    return str(rows.loc[steps.idxmax(), "site"]) if len(rows) and steps.max() > 0 else NOWHERE


def findings_of(
    found: Mapping[str, pd.DataFrame],
    in_order: pd.DataFrame,
    choices: pd.DataFrame,
    position: str,
    level: float,
    taught: Sequence[int] | None,
) -> dict[str, Metric]:
    """Findings by name, from the tables `accuracy`, `order`, `controls`, `other_clip`, `reversed` and `answers`.

    `in_order` and `choices` are the predictions and choices of the clips in order; `taught` the decoder blocks of the
    model that learnt to tell movement, where that is known.
    """
    order = found["order"]
    said: dict[str, Metric] = {}
    for target, name in ((MOVEMENT, ""), (SHAPE, "_to_shape"), (SIGN, "_to_sign")):
        if target not in set(in_order["target"]):
            continue
        said |= _of_target(found, target, name, position)
        said[f"{target}_chance"] = chance(in_order, target)
    twin = order[(order["of"] == TWIN) & (order["target"] == MOVEMENT) & (order["kind"] == ALL)]
    twin = twin[(twin["site"] == BEST) & (twin["position"] == position)]
    if len(twin):
        said |= _with_ends("twin_order_adds", twin.iloc[0], "difference")
        said["twin_order_adds_p_value"] = float(twin["p_value"].iloc[0])
    if MOVEMENT in set(in_order["target"]):
        chosen = layer_of_each_fold(choices, MOVEMENT, position)["site"].value_counts()
        said["best_layer"] = min(chosen.index[chosen == chosen.max()])
        said["best_layer_share_of_folds"] = float(chosen.max() / chosen.sum())
        said["order_from"] = order_from(order, position, level)
        said["order_step"] = largest_step(order, position)
        said["twin_order_from"] = order_from(order, position, level, TWIN)
        null = found["other_clip"]
        null = null[(null["site"] == said["best_layer"]) & (null["position"] == position)]
        if len(null):
            said["movement_other_clip"] = float(null["accuracy"].iloc[0])
            said["movement_other_clip_p_value"] = float(null["p_value"].iloc[0])
    if taught:
        said["taught_from"], said["taught_to"] = layer_site(min(taught)), layer_site(max(taught))
    backwards = found["reversed"]
    backwards = backwards[(backwards["kind"] == ALL) & (backwards["site"] == BEST)]
    if len(backwards):
        said |= _with_ends("reversed_names_other", backwards.iloc[0], "backwards")
        said["in_order_names_other"] = float(backwards["in_order"].iloc[0])
    for row in found["answers"].to_dict("records"):
        said |= _with_ends(f"text_{row['reading']}", row, "named")
    return said


def _of_target(found: Mapping[str, pd.DataFrame], target: str, name: str, position: str) -> dict[str, Metric]:
    """What is read of one target in order and otherwise, and what order adds to it."""
    accuracy, order, controls = (found[table] for table in ("accuracy", "order", "controls"))
    rows = accuracy[(accuracy["target"] == target) & (accuracy["kind"] == ALL) & (accuracy["site"] == BEST)]
    said: dict[str, Metric] = {}
    for reading in (IN_ORDER, SHUFFLED):
        row = rows[rows["series"] == reading].iloc[0]
        said |= _with_ends(f"{target}_{reading}", row, "accuracy")
    adds = order[(order["of"] == "") & (order["target"] == target) & (order["kind"] == ALL)]
    adds = adds[(adds["site"] == BEST) & (adds["position"] == position)].iloc[0]
    said |= _with_ends(f"order_adds{name}", adds, "difference")
    said[f"order_adds{name}_p_value"] = float(adds["p_value"])
    beside = controls[(controls["target"] == target) & (controls["site"] != BEST)]
    for row in beside.to_dict("records"):
        key = f"{target}_{row['control']}" + ("_own" if row["control"] == SHUFFLED else "")
        said[key] = float(row["accuracy"])
    return said


def _with_ends(name: str, row: Mapping | pd.Series, column: str) -> dict[str, Metric]:
    return {name: float(row[column]), f"{name}_low": float(row["low"]), f"{name}_high": float(row["high"])}
