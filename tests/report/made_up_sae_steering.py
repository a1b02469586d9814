"""Made-up steering by single features: towards the concept it works, away from it it does not."""

import math
from typing import Any

import pandas as pd

from signbridge.report.columns import COLUMNS

PUSHED = ("feature", "clamp", "clamp_decoded", "feature_down")
DIRECTIONS = (*PUSHED, "random", "like_features", "neighbours", "equal_logit", "like_features_down", "neighbours_down",
              "equal_logit_down")  # fmt: skip
MOST = {
    "concept": dict(zip(DIRECTIONS, (0.7, 0.6, 0.55, 0.2, 0.0, 0.1, 0.05, 0.08, 0.15, 0.02, 0.01), strict=True)),
    "concept_undone": dict.fromkeys(DIRECTIONS, 0.01),
    "classes": dict(zip(DIRECTIONS, (0.5, 0.5, 0.4, 0.1, *[0.0] * 7), strict=True)),
}
NULLS = ("random", "like_features", "neighbours", "equal_logit")
DOWN = {null: f"{null}_down" for null in NULLS[1:]}
STRENGTHS = (0.0, 1.0, 2.0)


def tables(blocks: list[str], sample: pd.DataFrame) -> dict[str, Any]:
    """The tables and the metrics that `Sae` has of it, by name."""
    sites = blocks[-1:]
    doses, areas, metrics, texts, features = [], [], {"model": "tiny (a test bed)"}, [], []
    letters = list(dict.fromkeys(sample["label"]))
    for steered, most in MOST.items():
        at = "image" if steered == "classes" else "every"
        pair = (letters[0], letters[-1]) if steered == "classes" else ("index finger not up", "index finger up")
        a, b = pair[::-1] if steered == "concept_undone" else pair
        for site in sites:
            metrics |= {f"{steered}_images": 8, f"{steered}_draws": 2}
            features.append((a, b, at, site, 179, 54, steered))
            for direction, top in most.items():
                place = (site, int(site[-2:]), at, "every_step", direction)
                doses += [
                    (steered, *place, strength, top * strength / 2, top * strength / 3, top * strength / 2 + 0.05,
                     float(strength == 2 and top > 0.4), 0.1 * strength, 0.05 * strength, 0.2 * strength)
                    for strength in STRENGTHS
                ]  # fmt: skip
                area = (top / 2, top / 3, top / 2 + 0.05)
                areas.append((steered, site, at, "every_step", direction, *area, *area, math.nan))
                texts += [
                    (a, b, site, at, "every_step", direction, strength, sample["image_id"].iloc[0], "It is down.",
                     f"{direction} made it up.", steered)
                    for strength in STRENGTHS[1:] if direction in (*PUSHED, "random")
                ]  # fmt: skip
                if direction in PUSHED:
                    metrics |= _at_its_best(f"{steered}_{direction}", site, at, top, most)
    return {
        "steering": pd.DataFrame(doses, columns=["steered", *COLUMNS["steering"]]),
        "steering_area": pd.DataFrame(areas, columns=["steered", *COLUMNS["steering_area"]]),
        "steered": metrics if sites else {},
        "descriptions": pd.DataFrame(
            texts, columns=["a", "b", "site", "at", "during", "direction", "strength", "image_id", "before", "after",
                            "steered"],
        ),
        "steered_features": pd.DataFrame(features, columns=["a", "b", "at", "site", "up", "down", "steered"]),
    }  # fmt: skip


def _at_its_best(key: str, site: str, at: str, top: float, most: dict[str, float]) -> dict[str, Any]:
    found = {f"{key}_best_site": site, f"{key}_best_at": at, f"{key}_best_during": "every_step",
             f"{key}_best_strength": 2.0, f"{key}_says": 1.0 * (top > 0.4), f"{key}_damage": 0.2}  # fmt: skip
    own = DOWN if key.endswith("_down") else {}
    gaps = {
        "probability": top,
        "natural_probability": top / 2,
        **{f"over_{null}": top - most[own.get(null, null)] for null in NULLS},
    }
    for name, value in gaps.items():
        found |= {f"{key}_{name}": value, f"{key}_{name}_low": value - 0.02, f"{key}_{name}_high": value + 0.02}
    return found
