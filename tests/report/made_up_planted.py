"""A made-up run of the pipeline `planted`."""

import numpy as np
import pandas as pd

from signbridge.report.columns import COLUMNS
from signbridge.report.inputs import Findings, Planted
from signbridge.report.settings import Settings
from signbridge.statistics import planted as scoring

SITES = ["vision", "projector", "embedding", *(f"layer_{block:02d}" for block in range(12))]
BLOCKS = [6, 7, 8]


def planted(sample: pd.DataFrame, settings: Settings) -> Planted:
    """A run in which probe, patching and knockout find the variable, and a lens sees nothing."""
    late = [0.5 if place < 9 else 0.97 for place in range(len(SITES))]
    places = [(site, "image_mean", 0.5) for site in SITES[:3]]
    places += [(site, "prompt_last", value) for site, value in zip(SITES[2:], late[2:], strict=True)]
    rows = [
        (reader, site, position, SITES.index(site), value if reader == "model" else 0.5)
        for reader in ("model", "untrained_twin")
        for site, position, value in places
    ]
    accuracy = pd.DataFrame(rows, columns=["reader", "site", "position", "depth", "value"])
    accuracy = accuracy.assign(low=accuracy["value"] - 0.02, high=accuracy["value"] + 0.02)
    gap = late[-1] - accuracy["value"]
    accuracy = accuracy.assign(last_over=gap, last_over_low=gap - 0.01, last_over_high=gap + 0.03)
    of_model = accuracy[(accuracy["reader"] == "model") & (accuracy["position"] == "prompt_last")]
    lenses = of_model.assign(lens="embedding", value=0.5)
    cut = of_model.assign(edit="question", value=[1.0 if site <= "layer_07" else 0.0 for site in of_model["site"]])
    patched = of_model.assign(edit="patching", value=2 * (of_model["value"] - 0.5))
    edited = pd.concat([patched, cut.iloc[1:], cut.iloc[1:].assign(edit="image", value=0.0)])
    curves = scoring.curves(accuracy, lenses, edited.rename(columns={"site": "place"}))
    scored = scoring.verdicts(curves, BLOCKS, 0.2, 1)
    asked = pd.DataFrame({"right": [True] * 9 + [False], "photo": np.arange(10)})
    found = scoring.findings(accuracy, asked, pd.DataFrame({"pair": [0, 1]}), scored, BLOCKS)
    verdicts = pd.DataFrame(
        [(method, *one[:3], ", ".join(map(str, one.marked)), one.false_marks) for method, one in scored.items()],
        columns=COLUMNS["planted_verdicts"],
    ).astype({"located": "Int64"})
    letter = pd.DataFrame({"site": SITES, "depth": range(len(SITES)), "accuracy": 0.97, "low": 0.95, "high": 0.99})
    found |= {"model": "miniature (a note)", "confidence": 0.95, "least_step": 0.2, "within": 1}
    return Planted(Findings(found), sample, settings, letter, accuracy, curves, verdicts, tuple(BLOCKS))
