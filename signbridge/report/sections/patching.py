"""Activation patching: at which site and token the answer is carried, beside where a probe reads the letter."""

import pandas as pd

from signbridge.report.charts.by_site import map_by_site
from signbridge.report.curve import lines_by_site
from signbridge.report.inputs import Causal
from signbridge.report.page_parts import Picture, Section, Table, layer_table
from signbridge.report.palette import PATCHED, PROBED
from signbridge.report.wording import (
    EDITED,
    count,
    percent,
    points,
    share_with_interval,
)

HARDLY = 0.1  # of the answer
HARDLY_ROUNDED = 0.001
TITLE = "Which tokens carry the answer: patching"
NO_FIGURE = "There is no curve here: nothing was patched."
PARTS = {"attention": "attention, all heads", "mlp": "MLP"}


def section(causal: Causal) -> Section | None:
    """What moves the answer at each site and token, and the curve beside the probe's."""
    if causal.patching.empty:
        return None
    parts = [] if causal.parts.empty else [_parts(causal)]
    return Section("patching", TITLE, (*_lead(causal), *_of_parts(causal)), (_heat_map(causal), *parts))


def answer(causal: Causal) -> tuple[str, ...]:
    """From which site on the last token carries the answer, as a sentence; none where nothing was patched."""
    if causal.patching.empty:
        return ()
    return (
        f"The last token of the prompt carries the answer from {causal.found['patching_handover_site']} on: before it, "
        "patching the image tokens moves the answer more.",
    )


def _handover(causal: Causal) -> str:
    found = causal.found
    low, high = (found[f"patching_handover_site_{end}"] for end in ("low", "high"))
    between = str(low) if low == high else f"{low} to {high}"
    carried = " and ".join(
        f"{name} {percent(found.number(f'patching_handover_{position}'))}"
        for position, name in (("prompt_last", "last token"), ("image", "image tokens"))
    )
    return (
        f"From {found['patching_handover_site']} on ({between} in {percent(found.number('confidence'), 0)} of the "
        "resamples) the last token carries more of the answer than the image tokens do. There the shares are: "
        f"{carried}."
    )


def _lead(causal: Causal) -> tuple[str, ...]:
    found = causal.found
    logits = (
        f"the logits of the two {causal.kind}s that the prompt names"
        if found.get("patching_question") == "two_letters"
        else "the logits of the two images' answers"
    )
    step = points(found.number("patching_largest_step"))
    return (
        f"A probe shows that the {causal.kind} can be read, not that the model uses it. Patching tests the use: in the "
        f"run on one photo, the residual stream at one site is replaced by that of another photo, for "
        f"{count(found.number('patching_pairs'))} pairs of photos. The difference of {logits} tells how far the answer "
        "moves to that of the other photo: 0 is not at all, 1 is all the way. Streams of real runs and logit "
        f"differences are used, as Zhang and Nanda (2023) recommend. {_noise(causal)}",
        f"{_handover(causal)} The largest step of the last token's share is at {found['patching_largest_step_site']}, "
        f"{step} in one block. {_read_before(causal)}",
    )


def _noise(causal: Causal) -> str:
    """How far rounding moves the answer, beside which the effects are to be seen."""
    noise = causal.found.number("patching_noise")
    most = f"by less than {percent(HARDLY_ROUNDED)}" if noise < HARDLY_ROUNDED else f"by up to {percent(noise, 2)}"
    return f"A photo patched into itself moves it {most}: that is rounding, and an effect no larger says nothing."


def _read_before(causal: Causal) -> str:
    """Whether a probe reads the letter at the last token where the answer hardly depends on it."""
    effect = causal.patching[causal.patching["position"] == "prompt_last"].set_index("site")["effect"]
    layers = causal.probed[causal.probed["site"].str.startswith("layer_") & causal.probed["site"].isin(effect.index)]
    if layers.empty:
        return "No layer was probed at the last token, so where the letter can be read there is not known."
    read = layers[layers["site"].map(effect) < HARDLY]
    if read.empty:
        return "At every probed layer a patch of the last token moves the answer."
    best = read.loc[read["accuracy"].idxmax()]
    moved = percent(effect[best["site"]])
    if best["low"] <= causal.chance:
        return (
            f"Where a patch of the last token hardly moves the answer, a probe is not shown to read the {causal.kind}."
        )
    return (
        f"At {best['site']} a probe of the last token reads {percent(best['accuracy'])} of the {causal.kind}s, but a "
        f"patch of that token moves the answer by only {moved}: the {causal.kind} is there and hardly used."
    )


def _of_parts(causal: Causal) -> tuple[str, ...]:
    """The attention, the MLP and the head that carry most at the last token."""
    found, said = causal.found, []
    for kind, name in (("attention", "attention of a block"), ("mlp", "MLP"), ("head", "head")):
        if f"parts_{kind}_effect" in found:
            effect = share_with_interval(*found.share(f"parts_{kind}_effect"))
            said.append(f"the {name} that moves most is at {found[f'parts_{kind}_site']}, {effect}")
    if not said:
        return ()
    return (
        f"Parts of one block alone, at the last token: {'; '.join(said)}. Each is chosen on half of the pairs and "
        "quoted on the other half. Where every part moves little and the stream all, many blocks add to the answer.",
    )


def _parts(causal: Causal) -> Picture:
    rows = causal.parts[causal.parts["position"] == "prompt_last"]
    names = rows["part"].map(lambda part: PARTS.get(part, part.replace("_", " ").replace(" 0", " ")))
    drawn = rows.assign(name=names, value=rows["effect"].clip(0, 1))
    sites = list(dict.fromkeys(rows["site"]))
    spec = map_by_site(drawn[["site", "name", "value"]], sites, "answer moved", row=26)
    cells = rows.assign(series=names, value=rows["effect"], low=rows["effect_low"], high=rows["effect_high"])
    twin = layer_table("How far the answer moves, by block and part", cells, share_with_interval)
    sees = (
        "What one part of one block adds at the last token is that of the other photo; all else is the photo's own. "
        "The first row is all heads of the block together."
    )
    return Picture("patching-parts", "How far the answer moves, by head and MLP", sees, twin, spec)


def figure(causal: Causal) -> Picture | None:
    """The curve of patching beside the probe's: what the page shows first."""
    return None if causal.patching.empty else _beside_the_probe(causal)


def _beside_the_probe(causal: Causal) -> Picture:
    probe = PROBED._replace(name=PROBED.name.format(kind=causal.kind))
    curves = [causal.probed.rename(columns={"accuracy": "value"}).assign(series=probe.name)]
    for position, series in PATCHED.items():
        rows = causal.patching[causal.patching["position"] == position]
        rows = rows.rename(columns={"effect": "value", "effect_low": "low", "effect_high": "high"})
        curves.append(rows.assign(series=series.name))
    table = pd.concat([curve[["series", "site", "value", "low", "high"]] for curve in curves], ignore_index=True)
    sites = list(causal.patching["site"].unique())
    spec = lines_by_site(table, sites, [probe, *PATCHED.values()], "share")
    cells = {(row["series"], row["site"]): share_with_interval(row["value"], row["low"], row["high"])
             for _, row in table.iterrows()}  # fmt: skip
    columns = [probe.name, *(series.name for series in PATCHED.values())]
    twin = Table(
        "What is read and what is used, by site", ("site", *columns),
        tuple((site, *(cells.get((column, site), "–") for column in columns)) for site in sites),
    )  # fmt: skip
    sees = (
        "Diamonds: how often a probe reads the letter. The others: how much of the answer the last token, the image "
        "tokens and the question's carry at that depth. At the last site only the last token is still read, so its "
        "curve ends at 1. At the embedding it is the same token in every prompt, so its curve begins at 0."
    )
    return Picture("patching-curve", "Where it is read, and where it is used", sees, twin, spec)


def _heat_map(causal: Causal) -> Picture:
    rows, sites = causal.patching, list(causal.patching["site"].unique())
    order = [position for position in EDITED if position in set(rows["position"])]
    drawn = pd.concat([rows[rows["position"] == position] for position in order])
    drawn = drawn.assign(name=drawn["position"].map(EDITED), value=drawn["effect"].clip(0, 1))
    spec = map_by_site(drawn[["site", "name", "value"]], sites, "answer moved")
    cells = {(row["site"], row["position"]): (row["effect"], row["says_donor"]) for _, row in rows.iterrows()}
    columns = [name for position in order for name in (EDITED[position], "other answer likeliest")]
    table = tuple((site, *(percent(value) for position in order for value in cells[site, position])) for site in sites)
    twin = Table("How far the answer moves, and how often it becomes the other's", ("site", *columns), table)
    sees = (
        "With all tokens patched the rest of the run is that of the other photo, so that row is 1 by construction. "
        "Where the other rows do not add up to it, tokens carry the answer together."
    )
    return Picture("patching-map", "How far the answer moves, by site and token", sees, twin, spec)
