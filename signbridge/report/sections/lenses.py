"""What image tokens say in words: each patch, the share that can be read under each lens, and at which text layer."""

import math

import pandas as pd

from signbridge.core.names import DISPLAYED
from signbridge.report.charts.by_site import map_by_site
from signbridge.report.curve import lines_by_site
from signbridge.report.inputs import Lenses
from signbridge.report.page_parts import Picture, Section, Table
from signbridge.report.palette import BLUE, GREEN, LINE_ALONE, SOLID, VERMILLION, Series
from signbridge.report.patch_words import patch_words
from signbridge.report.wording import (
    listing,
    percent,
    plural,
    points_with_interval,
    share_with_interval,
)

TITLE = "What image tokens say in words"
_ENDS = ("difference_low", "difference_high")
LOOKS = {
    "embedding": Series(DISPLAYED["embedding"], GREEN, "square", (2, 2)),
    "logit": Series(DISPLAYED["logit"], VERMILLION, "triangle-up", (6, 3)),
    "latent": Series(DISPLAYED["latent"], BLUE, "circle", SOLID),
}
NULLS = {"other_image": "another image's hand", "shuffled_words": "shuffled words"}

UNKNOWN = "Which words hold for these hands is not known, so no interpretable share can be measured."


def section(lenses: Lenses) -> Section | None:
    """The words of single patches, interpretable shares against their nulls, and the mid-layer leap."""
    if lenses.leap.empty:
        return None
    lead, pictures = [_lead(lenses)], []
    if lenses.shares.empty:
        lead.append(UNKNOWN)
    else:
        lead += [_verdict(lenses, lens) for lens in DISPLAYED]
        lead += [_ahead(lenses), *_control(lenses)]
        pictures += [_shares(lenses, guesses) for guesses in sorted(lenses.shares["guesses"].unique())]
        if not lenses.on_hand.empty:
            lead.append(_where(lenses))
            pictures.append(_on_hand(lenses))
    return Section("lenses", TITLE, tuple(lead), (*pictures, _leap(lenses)), patch_words=patch_words(lenses))


def answer(lenses: Lenses) -> tuple[str, ...]:
    """Under which lenses the words describe the hand that is shown, in one sentence."""
    if lenses.shares.empty:
        return (UNKNOWN,)
    best = {lens: lenses.found.share(f"{lens}_over_null") for lens in DISPLAYED}
    shown = [f"{DISPLAYED[lens]} by {points_with_interval(*more)}" for lens, more in best.items() if more.low > 0]
    others = [DISPLAYED[lens] for lens, more in best.items() if not more.low > 0]
    describe = "At the best layer, a token's nearest word describes the hand more often than the harder of two nulls"
    found = (
        f"{describe}: under {listing(shown)}." if shown else "No lens gives words that are shown to describe the hand."
    )
    said = (found, f"That is not shown for {listing(others)}.") if shown and others else (found,)
    return (*said, _ahead(lenses)) if shown else said


def _lead(lenses: Lenses) -> str:
    return (
        "Three lenses give words for an image token: EmbeddingLens the nearest input embeddings, LogitLens the words "
        "that the model would say next if this were its last layer, and LatentLens (2026) the nearest contextual "
        f"vectors of text tokens, at any text layer. They read {plural(lenses.found.number('images'), 'image')}. A "
        "token is called interpretable if its nearest word holds for the hand in the image: how a finger is held (up, "
        "bent, curved, hooked, spread, together, crossed) or what the shape is called (fist, peace). Many hands share "
        "these words, so two nulls are taken: how often the word holds for the hand of another image, and how often it "
        "would if the words that the lens says had changed their meanings with one another. Quoted is the share over "
        "the harder of the two. Every lens has the same guesses: its nearest word, or its first few different words."
    )


def _verdict(lenses: Lenses, lens: str) -> str:
    first, best = (lenses.found.share(f"{lens}_{name}") for name in ("first_layer", "over_null"))
    holds = "above it" if best.low > 0 else "not shown to be above it"
    return (
        f"{DISPLAYED[lens]}: {percent(lenses.found.number(f'{lens}_share'))} of the tokens are interpretable "
        f"on average over the layers. Over the harder null that is {points_with_interval(*first)} at the first layer. "
        f"At the best, {lenses.found[f'{lens}_best_layer']}, that is {holds}: {points_with_interval(*best)} (the "
        "best of several layers is biased upwards)."
    )


def _ahead(lenses: Lenses) -> str:
    """Up to which layer LatentLens says more than LogitLens, by the nearest word."""
    rows, last = lenses.leads[lenses.leads["guesses"] == 1], lenses.found["latent_leads_up_to"]
    first, deepest = (points_with_interval(*rows.iloc[at][["difference", *_ENDS]]) for at in (0, -1))
    ahead = (
        f"ahead of LogitLens up to {last}"
        if last in set(rows["site"])
        else "at no layer shown to be ahead of LogitLens"
    )
    return (
        f"LatentLens is {ahead}: LatentLens minus LogitLens is {first} at {rows.iloc[0]['site']} and {deepest} at "
        f"{rows.iloc[-1]['site']}."
    )


def _control(lenses: Lenses) -> list[str]:
    """Whether the lens reads where there is something to read."""
    right = lenses.found.number("latent_text_words_right")
    if math.isnan(right):
        return []
    return [
        "A positive control: given a word of the corpus itself, to be found in other texts, LatentLens names "
        f"{percent(right)} of them right. Sentences that read alike up to the word do not count."
    ]


def _shares(lenses: Lenses, guesses: int) -> Picture:
    rows = lenses.shares[lenses.shares["guesses"] == guesses]
    names = {"over_null": "value", "over_null_low": "low", "over_null_high": "high"}
    table = rows.assign(series=rows["lens"].map(DISPLAYED)).rename(columns=names)
    sites = list(dict.fromkeys(rows["site"]))
    drawn = table[["series", "site", "value", "low", "high"]]
    spec = lines_by_site(drawn, sites, list(LOOKS.values()), "share over the harder null")
    by = "by the nearest word" if guesses == 1 else f"by the first {guesses} different words"
    twin = Table(
        f"Interpretable share by lens and visual layer, {by}",
        ("lens", "visual layer", "share", *NULLS.values(), "harder null", "over the harder null"),
        tuple(
            (DISPLAYED[row["lens"]], row["site"],
             share_with_interval(row["share"], row["share_low"], row["share_high"]),
             *(percent(row[null]) for null in NULLS), NULLS[row["harder_null"]],
             points_with_interval(*row[list(names)]))
            for _, row in rows.iterrows()
        ),
    )  # fmt: skip
    sees = (
        "Zero is the harder null: only what is above says something about this hand. Bands are intervals over photos."
    )
    name = "lens-shares" if guesses == 1 else "lens-shares-of-k"
    return Picture(name, f"Interpretable share of image tokens over the null, {by}", sees, twin, spec)


def _where(lenses: Lenses) -> str:
    """Whether tokens on the hand say more about it than those of the background."""
    found = {lens: lenses.found.share(f"{lens}_hand_minus_background") for lens in DISPLAYED}
    written = [f"{DISPLAYED[lens]} {points_with_interval(*more)}" for lens, more in found.items()]
    return (
        "Interpretable share over another image's hand, tokens on the hand minus tokens on the background, by the "
        "nearest word, all layers together: "
        f"{listing(written)}."
    )


def _on_hand(lenses: Lenses) -> Picture:
    table, parts = lenses.on_hand, []
    for where, name in (("hand", "on the hand"), ("background", "on the background")):
        names = {
            f"{where}_over_other_image{end}": to for end, to in (("", "value"), ("_low", "low"), ("_high", "high"))
        }
        parts.append(table.assign(series=table["lens"].map(DISPLAYED) + ", " + name).rename(columns=names))
    rows = pd.concat([part[["series", "site", "value", "low", "high"]] for part in parts], ignore_index=True)
    rows[["low", "high"]] = float("nan")  # six bands would hide each other; the table has them
    looks = [Series(f"{DISPLAYED[lens]}, on the hand", *look[1:]) for lens, look in LOOKS.items()]
    looks += [
        Series(f"{DISPLAYED[lens]}, on the background", look.colour, LINE_ALONE, (2, 4)) for lens, look in LOOKS.items()
    ]
    sites = list(dict.fromkeys(table["site"]))
    spec = lines_by_site(rows, sites, looks, "share over another image's hand")
    twin = Table(
        "Interpretable share on the hand and on the background",
        ("lens", "visual layer", "on the hand", "on the background", "over another image: hand minus background"),
        tuple(
            (DISPLAYED[row["lens"]], row["site"], *(
                share_with_interval(row[where], row[f"{where}_low"], row[f"{where}_high"])
                for where in ("hand", "background")
            ), points_with_interval(*row[["difference", "difference_low", "difference_high"]]))
            for _, row in table.iterrows()
        ),
    )  # fmt: skip
    sees = (
        "Share over another image's hand by the nearest word, for tokens whose patch the hand covers by half or "
        "more, and for the others (dotted). A token can also hold what another part of the image shows, because the "
        "vision tower mixes tokens."
    )
    return Picture("lens-hand", "On the hand and off it", sees, twin, spec)


def _leap(lenses: Lenses) -> Picture:
    rows, sites = lenses.leap, list(dict.fromkeys(lenses.leap["site"]))
    text_sites = sorted(rows["text_site"].unique(), reverse=True)
    drawn = pd.concat([rows[rows["text_site"] == text_site] for text_site in text_sites])
    drawn = drawn.assign(name="text " + drawn["text_site"], value=drawn["share"])
    spec = map_by_site(drawn[["site", "name", "value"]], sites, "share of nearest neighbours", row=30)
    cells = {(row["site"], row["text_site"]): percent(row["share"]) for _, row in rows.iterrows()}
    twin = Table(
        "Text layer of LatentLens's nearest neighbours, by visual layer", ("visual layer", *reversed(text_sites)),
        tuple((site, *(cells.get((site, text_site), "–") for text_site in reversed(text_sites))) for site in sites),
    )  # fmt: skip
    nearest = rows.loc[rows.groupby("site", sort=False)["share"].idxmax()]
    first, last = nearest.iloc[0], nearest.iloc[-1]
    sees = (
        "The mid-layer leap: in the models of the paper early visual layers are nearest to middle text layers. Here "
        f"the commonest text layer is {first['text_site']} for {first['site']}, {last['text_site']} for {last['site']}."
    )
    return Picture("lens-leap", "Which text layer is nearest", sees, twin, spec)
