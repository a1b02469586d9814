"""What image tokens say in words: the share that can be read under each lens, and at which text layer."""

import math

import pandas as pd

from signbridge.report.charts.heat_map import position_by_site
from signbridge.report.charts.lines_by_site import lines_by_site
from signbridge.report.charts.style import BLUE, GREEN, GREY, VERMILLION, Series
from signbridge.report.page_parts import Picture, Section, Table
from signbridge.report.study import Study
from signbridge.report.wording import percent, plural, points_with_interval, share_with_interval

TITLE = "What image tokens say in words"
NAMES = {"embedding": "EmbeddingLens", "logit": "LogitLens", "latent": "LatentLens"}
LOOKS = {
    "embedding": Series(NAMES["embedding"], GREEN, "square", (2, 2)),
    "logit": Series(NAMES["logit"], VERMILLION, "triangle-up", (6, 3)),
    "latent": Series(NAMES["latent"], BLUE, "circle", (1, 0)),
}
OTHER = Series("null: another image's hand (LogitLens)", GREY, "stroke", (8, 4))


def section(study: Study) -> Section:
    """Interpretable shares against their nulls, and the mid-layer leap."""
    if study.lens_leap.empty:
        return Section("lenses", TITLE, ("No image token was looked at in words in this run.",))
    lead, pictures = [_lead(study)], []
    if study.lenses.empty:
        lead.append("Which words hold for these classes is not known, so no share of them can be told.")
    else:
        lead += [_verdict(study, lens) for lens in NAMES]
        lead += _control(study)
        pictures.append(_shares(study))
    return Section("lenses", TITLE, tuple(lead), (*pictures, _leap(study)))


def _lead(study: Study) -> str:
    return (
        "Each image token is compared with words: with the input embeddings (EmbeddingLens), by what the model would "
        "say next if the stream ended there (LogitLens), and with contextual vectors of text tokens at whatever text "
        f"layer is nearest (LatentLens, 2026), in {plural(study.number('images', 'lens'), 'image')}. A token is called "
        "interpretable where one of its words (up, bent, curved, hooked, spread, together, crossed) holds for the hand "
        "that the image shows. Many hands share them: what counts is what is left beyond the words of another image's "
        "hand."
    )


def _verdict(study: Study, lens: str) -> str:
    best = study.share(f"{lens}_best_over_other_image", "lens")
    holds = "more than another image's words would" if best.low > 0 else "no more than another image's words would"
    return (
        f"{NAMES[lens]}: {percent(study.number(f'{lens}_share', 'lens'))} of the tokens on average, "
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
    drawn = [rows.assign(series=rows["lens"].map(NAMES)).rename(columns=renamed)]
    null = rows[rows["lens"] == "logit"]
    drawn.append(null.assign(series=OTHER.name, accuracy=null["other_image"], low=float("nan"), high=float("nan")))
    table = pd.concat(drawn)[["series", "site", "accuracy", "low", "high"]]
    sites = list(dict.fromkeys(rows["site"]))
    spec = lines_by_site(table, sites, [*LOOKS.values(), OTHER], "interpretable share of image tokens")
    twin = Table(
        "Interpretable share by lens and visual layer",
        ("lens", "visual layer", "share", "another image's hand", "random words", "beyond another image"),
        tuple(
            (NAMES[row["lens"]], row["site"], share_with_interval(row["share"], row["share_low"], row["share_high"]),
             percent(row["other_image"]), percent(row["shuffled_words"]),
             points_with_interval(*row[["over_other_image", "over_other_image_low", "over_other_image_high"]]))
            for _, row in rows.iterrows()
        ),
    )  # fmt: skip
    sees = (
        "Grey: how often LogitLens's words would hold for the hand of another image, which is what hands have in "
        "common. Only what stands above it says something of this hand."
    )
    return Picture("lens-shares", "Interpretable share of image tokens", sees, twin, spec)


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
