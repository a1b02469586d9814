"""Does a layer stand out? Peak probabilities, distances to the best, and description length."""

import math

import pandas as pd

from signbridge.report.charts.by_site import compression_by_site, distances_to_best, peak_probabilities
from signbridge.report.inputs import Study
from signbridge.report.page_parts import Picture, Section, Table
from signbridge.report.sentences import standing
from signbridge.report.wording import (
    POSITIONS,
    number,
    p_value,
    percent,
    plural,
    points_with_interval,
)

TITLE = "Does a layer stand out?"


def section(study: Study) -> Section | None:
    """Whether the best layer differs from the others, and how many bits each site saves."""
    peaks = study.peak_probability[study.peak_probability["position"] == study.position].sort_values("depth")
    pictures, lead = [], ()
    if not peaks.empty:
        verdict = standing(study).removeprefix("and ").removeprefix("but ")
        lead = (
            f"{verdict[0].upper()}{verdict[1:]}. The accuracy in the answer above is nested: layer and penalty were "
            "chosen inside the training folds, so the choice of the best layer does not raise it."
            f"{_edges(study)}",
        )
        pictures.append(_probabilities(study, peaks))
        best = str(peaks.loc[peaks["accuracy"].idxmax(), "site"])
        distances = _distances(study, best, peaks)
        if not distances.empty:
            pictures.append(_compared(study, distances, best, list(peaks["site"])))
    if not study.description_length.empty:
        pictures.append(_description_length(study))
    return Section("layers", TITLE, lead, tuple(pictures)) if pictures else None


def _probabilities(study: Study, peaks: pd.DataFrame) -> Picture:
    top = peaks.loc[peaks["peak_probability"].idxmax()]
    chosen = peaks.loc[peaks["share_chosen"].idxmax()]
    sees = (
        f"With the {study.group.many} resampled, {top['site']} is the highest in {percent(top['peak_probability'])} "
        "of the draws; "
        f"the training folds chose {chosen['site']} most often, {percent(chosen['share_chosen'])} of them."
    )
    columns = ("site", "read right", "probability to be the peak", "chosen by folds", "told apart from the best")
    rows = tuple(
        (row["site"], *(percent(row[column]) for column in ("accuracy", "peak_probability", "share_chosen")),
         "no" if row["tied_with_best"] else "yes, worse")
        for _, row in peaks.iterrows()
    )  # fmt: skip
    twin = Table("Every layer's probability to be the peak", columns, rows)
    spec = peak_probabilities(peaks, list(peaks["site"]))
    return Picture("peak-probability", "The probability of each layer to be the peak", sees, twin, spec)


def _distances(study: Study, best: str, peaks: pd.DataFrame) -> pd.DataFrame:
    """Each other layer minus the best: site, difference, low, high (points), p_holm, tied, reads."""
    pairs = study.layer_comparison[study.layer_comparison["position"] == study.position]
    below = pairs[pairs["site_b"] == best].rename(columns={"site_a": "site"})
    above = pairs[pairs["site_a"] == best].rename(columns={"site_b": "site", "low": "high", "high": "low"})
    above = above.assign(**{name: -above[name] for name in ("difference", "low", "high")})
    table = pd.concat([below, above])[["site", "difference", "low", "high", "p_holm"]]
    table = table.merge(peaks[["site", "depth", "tied_with_best"]]).sort_values("depth")
    reads = [
        points_with_interval(*row) for row in table[["difference", "low", "high"]].itertuples(index=False, name=None)
    ]
    scaled = {name: table[name] * 100 for name in ("difference", "low", "high")}
    return table.assign(reads=reads, tied=table["tied_with_best"], **scaled)


def _compared(study: Study, distances: pd.DataFrame, best: str, sites: list[str]) -> Picture:
    sees = (
        f"Each layer minus {best}, the highest, on the same resamples of {study.group.many}. After Holm's correction "
        f"{int((~distances['tied']).sum())} of the {plural(len(distances), 'other layer')} can be told apart from it."
    )
    columns = ("site", f"difference from {best}", "Holm-corrected p", "told apart")
    rows = tuple(
        (row["site"], row["reads"], p_value(row["p_holm"]), "no" if row["tied"] else "yes")
        for _, row in distances.iterrows()
    )
    twin = Table(f"Every layer against {best}", columns, rows)
    return Picture(
        "distances", "How far each layer lies from the best", sees, twin, distances_to_best(distances, sites)
    )


def _description_length(study: Study) -> Picture:
    table = study.description_length
    shortest = table.loc[table["bits"].idxmin()]
    pixels = table[table["site"] == "pixels"]["compression"]
    beside = f"; raw pixels: {number(pixels.iloc[0], 2)} times" if len(pixels) else ""
    orders = int(table["orders"].sum())
    sees = (
        "The length of an online code of the labels (Voita and Titov 2020): a label costs more bits where the probe "
        f"predicts it less well, so it also measures how few photos the probe needs. Shortest at {shortest['site']}, "
        f"{shortest['position']}: {_bits(shortest['bits'], shortest['low'], shortest['high'])} where a uniform code "
        f"needs {number(shortest['uniform_bits'], 0)}, {number(shortest['compression'], 2)} times shorter{beside}."
        f"{_growth(study)} The intervals are over {study.group.many} and orders of sending. The penalty of the "
        "shortest code was "
        f"an end of the list in {int(table['at_edge'].sum())} of {orders} codes."
    )
    columns = ("site", "position", "bits", "uniform code", "times shorter", "codes with C at an end of the list")
    rows = tuple(
        (
            row["site"],
            row["position"],
            _bits(row["bits"], row["low"], row["high"]),
            number(row["uniform_bits"], 0),
            number(row["compression"], 2),
            f"{int(row['at_edge'])} of {int(row['orders'])}",
        )
        for _, row in table.iterrows()
    )
    twin = Table("Description length of all labels", columns, rows)
    return Picture("description-length", "Description length", sees, twin, compression_by_site(table, study.sites))


def _bits(bits: float, low: float, high: float) -> str:
    """`280 bits (240 to 320)`."""
    return f"{number(bits, 0)} bits ({number(low, 0)} to {number(high, 0)})"


def _growth(study: Study) -> str:
    """Whether the code of the last layer is longer than that of the first: both named before anything is measured."""
    growth, low, high = (study.found.number(f"grouped_code_growth_{name}") for name in ("bits", "low", "high"))
    if math.isnan(growth):
        return ""
    first, last = (study.found.number(f"grouped_code_{which}_layer_bits") for which in ("first", "last"))
    apart = "the last needs more" if low > 0 else "the last needs fewer" if high < 0 else "they are not told apart"
    between = f"{number(growth, 0)} ({number(low, 0)} to {number(high, 0)})"
    return (
        f" From the first layer to the last, at the {POSITIONS[study.position]}, it goes from {number(first, 0)} to "
        f"{number(last, 0)} bits, a difference of {between}: {apart}."
    )


def _edges(study: Study) -> str:
    """How often the penalty that was chosen is an end of the list, so that a wider list might read more."""
    edge, folds = (study.found.number(f"grouped_{name}") for name in ("folds_at_edge", "folds"))
    here = study.accuracy["site"].str.startswith("layer_") & (study.accuracy["position"] == study.position)
    layers = study.accuracy[here]
    if math.isnan(edge) or layers.empty:
        return ""
    pixels = study.accuracy.loc[study.accuracy["site"] == "pixels", "folds_at_edge"]
    return (
        f" The penalty is an end of its list in {int(edge)} of these {int(folds)} choices, at a layer in at most "
        f"{int(layers['folds_at_edge'].max())}"
        + (f" and at the pixels in {int(pixels.max())}." if len(pixels) else ".")
    )
