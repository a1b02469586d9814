"""Made-up findings about clips: order is held from `layer_01` on, or nowhere."""

from functools import cache
from typing import Any

import numpy as np
import pandas as pd

from signbridge.core.names import ALL_FRAMES, IN_ORDER, MOVEMENT, READINGS, SHAPE, SIGN
from signbridge.statistics import motion
from signbridge.statistics.clip_answers import answers_table
from signbridge.statistics.frame_effect import frame_findings, frame_table
from signbridge.statistics.intervals import StatisticsParams
from signbridge.statistics.motion_summary import findings_of

STATISTICS = StatisticsParams(confidence=0.95, resamples=200)
SIGNERS = 6
LAYERS = ["layer_00", "layer_01", "layer_02"]
PLACES = {
    "vision": "video_mean",
    "projector": "video_mean",
    "embedding": "video_mean",
    **dict.fromkeys(LAYERS, "prompt_last"),
}
SEES = ("pixels", "pixel_differences", "tower_in_order")
TRUTHS = ("held", "nothing")


def clips() -> pd.DataFrame:
    """Two shapes, two movements, four takes of each by every signer."""
    rows = [
        (f"{shape}-{movement}-{signer}-{take}", f"{shape}-{movement}", f"s{signer}", "all", 8, shape, movement, "path")
        for shape in "BL" for movement in ("right", "left") for signer in range(SIGNERS) for take in range(4)
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=["clip", "label", "signer", "split", "frames", "shape", "movement", "kind"])


def share(truth: str, series: str, target: str, site: str) -> float:
    """What is told: of every four takes so many are right."""
    if target == SHAPE or series in SEES:
        return 1.0
    holds = truth == "held" and series in (IN_ORDER, "reversed") and site in LAYERS[1:]
    return (1.0 if site == "layer_02" else 0.75) if holds else 0.5


def predictions(truth: str, series: str, places: dict[str, str]) -> pd.DataFrame:
    """The first takes of every sign and signer are those that are told."""
    table = clips()
    take = table["clip"].str[-1].astype(int)
    parts = []
    for target, column, group in ((MOVEMENT, "movement", table["shape"] + " path"), (SHAPE, "shape", table["movement"]),
                                  (SIGN, "label", "all clips")):  # fmt: skip
        for site, position in places.items():
            right = take < 4 * share(truth, series, target, site)
            parts.append(
                pd.DataFrame({"target": target, "group": group, "site": site, "position": position,
                              "fold": table["signer"].str[1:].astype(int), "clip": table["clip"],
                              "label": table[column], "predicted": table[column].where(right, "?")})
            )  # fmt: skip
    return pd.concat(parts, ignore_index=True)


@cache
def probed(truth: str) -> dict[str, motion.Probed]:
    """Every reading with its choices, and the baselines; leave them as they are."""
    found = {}
    for reading in READINGS:
        chose = [
            (target, "g", site, position, fold, 20, 1.0, share(truth, reading, target, site), False)
            for target in (MOVEMENT, SHAPE, SIGN) for site, position in PLACES.items() for fold in range(SIGNERS)
        ]  # fmt: skip
        columns = ["target", "group", "site", "position", "fold", "clips", "C", "inner_accuracy", "at_edge"]
        found[reading] = motion.Probed(predictions(truth, reading, PLACES), pd.DataFrame(chose, columns=columns))
    return found | {name: motion.Probed(predictions(truth, name, {name: "flat"})) for name in (*SEES, "pixels_mean")}


@cache
def compared(truth: str) -> dict[str, pd.DataFrame]:
    """The tables of `compare`; leave them as they are."""
    random, table = np.random.default_rng(0), clips()
    every = probed(truth)
    measured = motion.measured(motion.everything(every, table, "prompt_last"), STATISTICS, random)
    found = {"accuracy": measured.accuracy(), "order": motion.order_table(measured)}
    found["controls"] = motion.controls_table(measured)
    draws = [("layer_02", "prompt_last", draw, 0.45 + 0.01 * draw) for draw in range(10)]
    draws = pd.DataFrame(draws, columns=["site", "position", "draw", "accuracy"])
    found["other_clip"] = motion.other_clip_table(found["accuracy"], draws, 0.95)
    backwards = every[IN_ORDER].predictions.query("target == 'movement' and position == 'prompt_last'")
    backwards = backwards.assign(predicted=backwards["label"].map({"right": "left", "left": "right"}))
    found["reversed"] = motion.reversed_table(backwards, every[IN_ORDER], table, "prompt_last", (STATISTICS, random))
    found["frames"] = frame_table(patched(), table.set_index("clip")["signer"], STATISTICS, random)
    said = {reading: table.assign(answer=table["movement"] if reading == IN_ORDER else "right") for reading in READINGS}
    found["answers"] = answers_table(said, table, "movement", {}, STATISTICS, random)
    return found


def patched() -> pd.DataFrame:
    """The fourth of eight frames moves half of the gap at the embedding, all frames all of it."""
    table = clips()
    right, left = (table[table["movement"] == way]["clip"].tolist()[:12] for way in ("right", "left"))
    rows = [
        (pair, receiver, "embedding", frame, 2.0, 2.0 * moved, moved > 0.5, 0.0)
        for pair, both in enumerate(zip(right, left, strict=True)) for receiver in both
        for frame, moved in [*((number, 0.5 * (number == 3)) for number in range(8)), (ALL_FRAMES, 1.0)]
    ]  # fmt: skip
    columns = ["pair", "receiver", "site", "frame", "gap", "moved", "says_donor", "moved_by_itself"]
    return pd.DataFrame(rows, columns=columns)


def findings(truth: str) -> dict[str, Any]:
    """The findings of `compare`."""
    table, found, in_order = clips(), compared(truth), probed(truth)[IN_ORDER]
    return {
        "model": "tiny", "clips": len(table), "signers": SIGNERS, "signs": 4, "frames": 8, "position": "prompt_last",
        "confidence": 0.95, "pairs_of_signs": 2, "text_names": "movement", "text_chance": 0.5,
        **findings_of(found, in_order.predictions, in_order.choices, "prompt_last", 0.05, [1, 2]),
        **frame_findings(found["frames"], 20),
    }  # fmt: skip
