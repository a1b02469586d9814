"""What image tokens say in words: each patch, the share that can be read under each lens, and at which text layer."""

import math

import pandas as pd

from signbridge.core.names import DISPLAYED
from signbridge.report.charts.heat_map import position_by_site
from signbridge.report.charts.lines_by_site import lines_by_site
from signbridge.report.charts.style import (
    BLUE,
    GREEN,
    GREY,
    VERMILLION,
    Series,
)
from signbridge.report.page_parts import Picture, Section, Table
from signbridge.report.patch_words import patch_words
from signbridge.report.study import Study
from signbridge.report.wording import (
    listing,
    percent,
    plural,
    points_with_interval,
    share_with_interval,
)

TITLE = "What image tokens say in words"
LOOKS = {
    "embedding": Series(DISPLAYED["embedding"], GREEN, "square", (2, 2)),
    "logit": Series(DISPLAYED["logit"], VERMILLION, "triangle-up", (6, 3)),
    "latent": Series(DISPLAYED["latent"], BLUE, "circle", (1, 0)),
}
OTHER = Series("null: another image's hand (LogitLens)", GREY, "stroke", (8, 4))


def section(study: Study) -> Section:
    """The words of single patches, interpretable shares against their nulls, and the mid-layer leap."""
    if study.lens_leap.empty:
        return Section("lenses", TITLE, ("No image token was looked at in words in this run.",))
    lead, pictures = [_lead(study)], []
    if study.lenses.empty:
        lead.append("Which words hold for these classes is not known, so no share of them can be told.")
    else:
        lead += [_verdict(study, lens) for lens in DISPLAYED]
        lead += _control(study)
        pictures.append(_shares(study))
        if not study.lenses_on_hand.empty:
            lead.append(_where(study))
            pictures.append(_on_hand(study))
    return Section("lenses", TITLE, tuple(lead), (*pictures, _leap(study)), patch_words=patch_words(study))


def _lead(study: Study) -> str:
    return (
        "Each image token is compared with words: with the input embeddings (EmbeddingLens), by what the model would "
        "say next if the stream ended there (LogitLens), and with contextual vectors of text tokens at whatever text "
        f"layer is nearest (LatentLens, 2026), in {plural(study.number('images', 'lens'), 'image')}. A token is called "
        "interpretable where one of its words holds for the hand that the image shows: a way to hold a finger (up, "
        "bent, curved, hooked, spread, together, crossed) or the name of the shape (fist, peace). Many hands share "
        "them: what counts is what is left beyond the words of another image's hand."
    )


def _verdict(study: Study, lens: str) -> str:
    best = study.share(f"{lens}_best_over_other_image", "lens")
    holds = "more than another image's words would" if best.low > 0 else "no more than another image's words would"
    return (
        f"{DISPLAYED[lens]}: {percent(study.number(f'{lens}_share', 'lens'))} of the tokens on average, "
        f"{holds}, at the best of its layers ({study.lens[f'{lens}_best_site']}; {points_with_interval(*best)}; the "
        "best of several, so read it with care)."
    )


def _control(study: Study) -> list[str]:
    """Whether the lens reads where there is something to read."""
    right = study.number("latent_text_words_right", "lens")
    if math.isnan(right):
        return []
    return [
        "Tried on words of the corpus itself, each looked up in the other sentences, LatentLens names "
        f"{percent(right)} of them right: what it does not find in image tokens it could have found."
    ]


def _shares(study: Study) -> Picture:
    rows = study.lenses
    renamed = {"share": "accuracy", "share_low": "low", "share_high": "high"}
    drawn = [rows.assign(series=rows["lens"].map(DISPLAYED)).rename(columns=renamed)]
    null = rows[rows["lens"] == "logit"]
    drawn.append(null.assign(series=OTHER.name, accuracy=null["other_image"], low=float("nan"), high=float("nan")))
    table = pd.concat(drawn)[["series", "site", "accuracy", "low", "high"]]
    sites = list(dict.fromkeys(rows["site"]))
    spec = lines_by_site(table, sites, [*LOOKS.values(), OTHER], "interpretable share of image tokens")
    twin = Table(
        "Interpretable share by lens and visual layer",
        ("lens", "visual layer", "share", "another image's hand", "scrambled corpus", "beyond another image"),
        tuple(
            (DISPLAYED[row["lens"]], row["site"],
             share_with_interval(row["share"], row["share_low"], row["share_high"]),
             percent(row["other_image"]), percent(row["scrambled_corpus"]),
             points_with_interval(*row[["over_other_image", "over_other_image_low", "over_other_image_high"]]))
            for _, row in rows.iterrows()
        ),
    )  # fmt: skip
    sees = (
        "Grey: how often LogitLens's words would hold for the hand of another image, which is what hands have in "
        "common. Only what stands above it says something of this hand."
    )
    return Picture("lens-shares", "Interpretable share of image tokens", sees, twin, spec)


def _where(study: Study) -> str:
    """Whether the hand's own tokens say more of it than those of the background."""
    found = {lens: study.share(f"{lens}_hand_minus_background", "lens") for lens in DISPLAYED}
    written = [f"{DISPLAYED[lens]} {points_with_interval(*more)}" for lens, more in found.items()]
    return (
        "Tokens on the hand less tokens on the background, all layers together, beyond another image's words: "
        f"{listing(written)}."
    )


def _on_hand(study: Study) -> Picture:
    table, parts = study.lenses_on_hand, []
    for where, name in (("hand", "on the hand"), ("background", "on the background")):
        names = {
            f"{where}_over_other_image{end}": to for end, to in (("", "accuracy"), ("_low", "low"), ("_high", "high"))
        }
        parts.append(table.assign(series=table["lens"].map(DISPLAYED) + ", " + name).rename(columns=names))
    rows = pd.concat([part[["series", "site", "accuracy", "low", "high"]] for part in parts], ignore_index=True)
    rows[["low", "high"]] = float("nan")  # six bands would hide each other: they are in the table
    looks = [Series(f"{DISPLAYED[lens]}, on the hand", *look[1:]) for lens, look in LOOKS.items()]
    looks += [
        Series(f"{DISPLAYED[lens]}, on the background", look.colour, "stroke", (2, 4)) for lens, look in LOOKS.items()
    ]
    sites = list(dict.fromkeys(table["site"]))
    spec = lines_by_site(rows, sites, looks, "share beyond another image's words")
    twin = Table(
        "Interpretable share on the hand and on the background",
        ("lens", "visual layer", "on the hand", "on the background", "beyond another image: hand less background"),
        tuple(
            (DISPLAYED[row["lens"]], row["site"], *(
                share_with_interval(row[where], row[f"{where}_low"], row[f"{where}_high"])
                for where in ("hand", "background")
            ), points_with_interval(*row[["difference", "difference_low", "difference_high"]]))
            for _, row in table.iterrows()
        ),
    )  # fmt: skip
    sees = (
        "What is left beyond another image's words, of tokens whose patch the hand covers by half or more, and of the "
        "others (dotted). A token may well say what stands elsewhere in the image: in the tower all tokens meet."
    )
    return Picture("lens-hand", "On the hand and off it", sees, twin, spec)


def _leap(study: Study) -> Picture:
    rows, sites = study.lens_leap, list(dict.fromkeys(study.lens_leap["site"]))
    text_sites = sorted(rows["text_site"].unique(), reverse=True)
    drawn = pd.concat([rows[rows["text_site"] == text_site] for text_site in text_sites])
    drawn = drawn.assign(position="text " + drawn["text_site"], accuracy=drawn["share"])
    spec = position_by_site(drawn[["site", "position", "accuracy"]], sites, "share of nearest neighbours", row=30)
    cells = {(row["site"], row["text_site"]): percent(row["share"]) for _, row in rows.iterrows()}
    twin = Table(
        "Text layer of LatentLens's nearest neighbours, by visual layer", ("visual layer", *reversed(text_sites)),
        tuple((site, *(cells.get((site, text_site), "–") for text_site in reversed(text_sites))) for site in sites),
    )  # fmt: skip
    nearest = rows.loc[rows.groupby("site", sort=False)["share"].idxmax()]
    first, last = nearest.iloc[0], nearest.iloc[-1]
    sees = (
        "The mid-layer leap: in the models of the paper early visual layers lie nearest to middle text layers. Here "
        f"the commonest text layer is {first['text_site']} for {first['site']}, {last['text_site']} for {last['site']}."
    )
    return Picture("lens-leap", "Which text layer is nearest", sees, twin, spec)
