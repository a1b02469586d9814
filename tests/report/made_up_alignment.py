"""A made-up comparison of image and text tokens: apart by neighbours, alike in geometry, more so in deeper layers."""

from typing import Any

import numpy as np
import pandas as pd

from signbridge.report.columns import COLUMNS
from signbridge.statistics.alignment import MEASURES

FIRST = {"cka": 0.3, "text_probe_on_image": 0.5, "text_probe_on_text": 0.99, "image_probe_on_image": 0.95}
RISE = {"cka": 0.2, "text_probe_on_image": 0.1, "text_near_image": 0.001}  # from the first site to the last
CLEAR = ("cka",)  # whose rise is beyond its interval


def tables(blocks: list[str]) -> dict[str, Any]:
    """The table and the metrics that `Lenses` has of it, by name."""
    sites = ["embedding", *blocks] if blocks else []
    rows, found = [], {"model": "tiny (a test bed)", "images": 20}
    for measure in MEASURES if sites else ():
        first, rise = FIRST.get(measure, 0.01), RISE.get(measure, 0.0)
        null = {"cka": 0.0, "text_probe_on_image": 0.5}.get(measure, np.nan)
        for place, site in enumerate(sites):
            value = first + rise * place / max(len(sites) - 1, 1)
            rows.append((measure, site, value, value - 0.02, value + 0.02, null, 0.9 if null == null else np.nan))
        half = rise / 2 if measure in CLEAR else 0.5
        name = f"{measure}_last_minus_first"
        found |= {f"{measure}_first": first, f"{measure}_last": first + rise}
        found |= {name: rise, f"{name}_low": rise - half, f"{name}_high": rise + half}
    return {"alignment": pd.DataFrame(rows, columns=COLUMNS["alignment"]), "aligned": found}
