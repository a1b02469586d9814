"""The twin of a chart of dose and response: a row a point."""

import pandas as pd

from signbridge.report.page_parts import Table
from signbridge.report.wording import number, percent, share_with_interval


def dose_table(caption: str, rows: pd.DataFrame, series: str, probability: str) -> Table:
    """`rows` are those of `dose_response`, and `says`; `series` and `probability` are how these columns are called."""
    return Table(
        caption,
        (series, "strength", probability, "text says it", "damage (nats a token)"),
        tuple(
            (row["series"], format(row["strength"], "g"),
             share_with_interval(row["probability"], row["low"], row["high"]), percent(row["says"]),
             number(row["damage"], 2)) for _, row in rows.iterrows()
        ),
    )  # fmt: skip
