"""What knowing the person is worth: the same probe, with the test signer's other images in training and without."""

import pandas as pd

from signbridge.report.curve import at_one_position, lines_by_site
from signbridge.report.inputs import Study
from signbridge.report.page_parts import Picture, Table
from signbridge.report.palette import CHANCE, SIGNERS
from signbridge.report.wording import p_value, percent, points, points_with_interval, share_with_interval


def seen_and_unseen(study: Study) -> Picture | None:
    """Accuracy at each site where the test signer was seen in training, and where not; None without signers."""
    if study.signers.empty:
        return None
    rows = at_one_position(study.signers, study.position or "prompt_last")
    if rows.empty:
        return None
    level = pd.DataFrame({"series": CHANCE.name, "site": rows["site"], "value": study.found.number("chance")})
    lines = pd.concat([*(_line(rows, name) for name in SIGNERS), level.assign(low=float("nan"), high=float("nan"))])
    spec = lines_by_site(lines, study.sites, [*SIGNERS.values(), CHANCE], "read right")
    twin = Table(
        "Share read right at each site, the test signer seen in training or not",
        ("site", "seen", "not seen", "difference", "p"),
        tuple(
            (row["site"], _share(row, "seen"), _share(row, "unseen"), _difference(row), p_value(row["p_value"]) or "–")
            for _, row in rows.iterrows()
        ),
    )
    return Picture("signers", "What knowing the signer is worth", _sees(study, rows), twin, spec)


def _line(rows: pd.DataFrame, name: str) -> pd.DataFrame:
    line = rows[["site", name, f"{name}_low", f"{name}_high"]]
    return line.set_axis(["site", "value", "low", "high"], axis=1).assign(series=SIGNERS[name].name)


def _share(row: pd.Series, name: str) -> str:
    return share_with_interval(row[name], row[f"{name}_low"], row[f"{name}_high"])


def _difference(row: pd.Series) -> str:
    return points_with_interval(row["difference"], row["low"], row["high"])


def _sees(study: Study, rows: pd.DataFrame) -> str:
    """The gap at the layer that most folds chose, or at the deepest site where that is not among them."""
    best = rows[rows["site"] == study.found.get("grouped_peak_site")]
    row = (best if len(best) else rows).iloc[-1]
    tested = ", ".join(part for part in (_difference(row), p_value(row["p_value"])) if part)
    if row["low"] > 0:
        verdict = f"knowing the signer is worth {tested}"
    elif row["high"] < 0:
        verdict = f"with the signer known it reads less: {tested}"
    else:
        verdict = f"knowing the signer is not shown to be worth anything ({tested})"
    pixels = rows[rows["site"] == "pixels"]["difference"]
    beside = f" At raw pixels the difference is {points(pixels.iloc[0])}." if len(pixels) else ""
    return (
        "The same probe with as many training images, once with other images of the test signer among them and once "
        f"with other signers alone. At {row['site']} it reads {percent(row['seen'])} and {percent(row['unseen'])}: "
        f"{verdict}.{beside}"
    )
