"""The twin of a chart by layer: a row a layer, a column a series."""

from collections.abc import Callable

import pandas as pd

from signbridge.report.page_parts import Table


def layer_table(caption: str, rows: pd.DataFrame, written: Callable[[float, float, float], str]) -> Table:
    """`rows` are those of `lines_by_site` (series, site, accuracy, low, high), each `written` into its cell."""
    names, sites = (list(dict.fromkeys(rows[name])) for name in ("series", "site"))
    cells = {
        (row["series"], row["site"]): written(row["accuracy"], row["low"], row["high"]) for _, row in rows.iterrows()
    }
    by_site = tuple((site, *(cells.get((name, site), "–") for name in names)) for site in sites)
    return Table(caption, ("layer", *names), by_site)
