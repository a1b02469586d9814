"""One model in several kinds of weights: how far its vectors drift, site by site, and what becomes of its answers."""

import pandas as pd

from signbridge.report.charts.by_depth import lines_by_depth
from signbridge.report.inputs import Models
from signbridge.report.page_parts import Picture, Section, Table
from signbridge.report.wording import EDITED, listing, number, percent, plural, points_with_interval

TITLE = "One model in several kinds of weights"


def section(models: Models) -> Section | None:
    """How far NF4 and 16 bits lie apart; None where no model was read in more than one kind of weights."""
    if models.drift.empty:
        return None
    quoted = str(models.found["position"])
    rows = models.drift[models.drift["position"].isin([quoted, "image_mean"])]
    at_tokens = rows["site"].str.startswith(("layer_", "embedding"))
    rows = rows[~(at_tokens & (rows["position"] != quoted))]
    depth = models.accuracy.drop_duplicates(["model", "site"]).set_index(["model", "site"])["relative_depth"]
    rows = rows.assign(relative_depth=depth.reindex(pd.MultiIndex.from_frame(rows[["model", "site"]])).to_numpy())
    kinds = models.models.set_index("model")["quantization"]
    lead = (
        "The same weights were read packed and not. The relative error of a site is the norm of the difference of all "
        "its vectors over the norm of the reference's. A model whose tower stays in 16 bits tells whether the drift "
        "comes from there. How accurate probes are in either is among the pairs above.",
        _answers(models, kinds),
        *_patching_in_words(models),
    )
    return Section("drift", TITLE, lead, (_picture(models, rows),), tables=_patching(models))


def _answers(models: Models, kinds: pd.Series) -> str:
    pairs = models.drift.drop_duplicates(["reference", "model"]).to_dict("records")
    said = [
        f"{row['model']} ({kinds[row['model']]}) gives {percent(row['same_answer'])} of the images the answer of "
        f"{row['reference']} ({kinds[row['reference']]})"
        for row in pairs
    ]
    return f"{listing(said)}."


def _of_patching(models: Models) -> pd.DataFrame:
    """The rows on patching; with all tokens the effect is 1 in any weights."""
    return models.patching_drift[models.patching_drift["position"] != "all"]


def _patching_in_words(models: Models) -> tuple[str, ...]:
    rows = _of_patching(models).to_dict("records")
    if not rows:
        return ()
    worst = max(rows, key=lambda row: abs(row["difference"]))
    return (
        f"{plural(worst['pairs'], 'pair')} of photos were patched into each other in each kind of weights. An effect "
        f"is the share of the gap between two answers' logits that the other image's stream carries. It moves most in "
        f"{worst['model']}, at {worst['site']}, {EDITED[worst['position']]}: by "
        f"{points_with_interval(worst['difference'], worst['low'], worst['high'])}.",
    )


def _patching(models: Models) -> tuple[Table, ...]:
    rows = _of_patching(models).to_dict("records")
    cells = tuple(
        (row["model"], row["site"], EDITED[row["position"]], percent(row["effect_reference"]), percent(row["effect"]),
         points_with_interval(row["difference"], row["low"], row["high"]))
        for row in rows
    )  # fmt: skip
    columns = ("model", "site", "tokens", "effect in the reference", "effect", "difference")
    return (Table("Effects of patching in other weights", columns, cells),) if cells else ()


def _picture(models: Models, rows: pd.DataFrame) -> Picture:
    order = list(dict.fromkeys(models.drift["model"]))
    worst = rows.loc[rows.groupby("model", sort=False)["relative_error"].idxmax()].to_dict("records")
    sees = " ".join(
        f"{row['model']} is farthest from {row['reference']} at {row['site']}: relative error "
        f"{number(row['relative_error'], 3)}, cosine {number(row['cosine'], 3)}."
        for row in worst
    )
    cells = tuple(
        (row["model"], row["site"], number(row["relative_error"], 4), number(row["cosine"], 4), number(row["cka"], 4))
        for row in rows.to_dict("records")
    )
    twin = Table("Drift by site", ("model", "site", "relative error", "cosine", "CKA"), cells)
    spec = lines_by_depth(rows, "relative_error", order, "relative error")
    return Picture("drift-depth", "Relative error of every site", sees, twin, spec)
