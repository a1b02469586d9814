"""Minimal pairs: photos that differ in one bent finger, in the text, in the stream, and patched into each other."""

import pandas as pd

from signbridge.core.names import NAMED, RANDOM
from signbridge.report.curve import lines_by_site
from signbridge.report.inputs import Causal
from signbridge.report.page_parts import Cell, Picture, Section, Table, Thumbnail, layer_table, thumbnail
from signbridge.report.palette import FINGER_READ, PATCHED
from signbridge.report.wording import count, number, percent, points_with_interval, share_with_interval

TITLE = "One finger moved and nothing else: minimal pairs"
FINGERS = 4
EXAMPLES = 6
READ = {
    "pixels": "the pixels",
    "vision": "the tower's mean over image tokens",
    "image_tokens": "the decoder's last image tokens",
    "prompt_last": "its last token of the prompt",
}


def section(causal: Causal) -> Section | None:
    """What a bent finger changes; none where the images of the dataset are not drawn."""
    if causal.minimal_read.empty:
        return None
    patched = [] if causal.minimal_patched.empty else [_patched(causal)]
    return Section("minimal-pairs", TITLE, _lead(causal), (_read(causal), *patched), tables=_examples(causal))


def answer(causal: Causal) -> tuple[str, ...]:
    """Whether the text follows a finger that the stream tells; none without pairs."""
    if causal.minimal_read.empty:
        return ()
    found = causal.found
    read = found.share("minimal_read_prompt_last")
    there = "tells" if read.low > 1 / FINGERS else "is not shown to tell"
    return (
        f"Where one finger is bent and nothing else changes, {percent(found.number('minimal_changed'))} of the "
        f"descriptions change; the last token {there} which finger it was ({percent(read.value)} of four).",
    )


def _lead(causal: Causal) -> tuple[str, ...]:
    found = causal.found
    read = "; ".join(
        f"{name} {share_with_interval(*found.share(f'minimal_read_{key}'))}"
        for key, name in READ.items()
        if f"minimal_read_{key}" in found
    )
    paragraphs = [
        f"{count(found.number('minimal_photos'))} photos were drawn again, once for each finger, with that finger bent "
        f"further by {number(found.number('minimal_degrees'), 0)} degrees at its knuckle. Signer, view, light, "
        "background and the filters of the copy are the same to the number. The description changes in "
        f"{share_with_interval(*found.share('minimal_changed'))} of {count(found.number('minimal_pairs'))} pairs.",
        "Which finger moved is read from the difference of the two images' vectors, by the mean differences of "
        f"other photos of the letter. Right of four: {read}. Fitted on fingers shuffled within each photo, no place "
        f"reads more than {percent(found.number('minimal_read_shuffled'))}. What pixels tell and a later site does not "
        "was lost on the way, whatever features are sought there.",
    ]
    if "minimal_steered" in found:
        over = found.share("minimal_steered_over_other")
        more = points_with_interval(*over)
        verdict = f"{more} more than" if over.low > 0 else f"not shown to be more ({more}) than"
        paragraphs.append(
            f"Added to the image tokens at {found['minimal_steered_site']}, the mean difference of the finger moves "
            f"the text {percent(found.number('minimal_steered'))} of the way to that of the moved hand: {verdict} "
            "the mean difference of another finger, made as long."
        )
    return tuple(paragraphs)


def _read(causal: Causal) -> Picture:
    rows = causal.minimal_read
    wanted = (rows["fitted_on"] == NAMED) | ((rows["fitted_on"] == RANDOM) & (rows["position"] == "image_tokens"))
    rows = rows[wanted]
    keys = rows["position"].where(rows["fitted_on"] == NAMED, RANDOM)
    columns = {"accuracy": "value", "accuracy_low": "low", "accuracy_high": "high"}
    drawn = rows.rename(columns=columns).assign(series=[FINGER_READ[key].name for key in keys])
    sites = list(dict.fromkeys(rows["site"]))
    spec = lines_by_site(drawn, sites, list(FINGER_READ.values()), "finger read right")
    twin = layer_table("Finger read right, by site", drawn, share_with_interval)
    sees = "At each site: how often the finger that moved is read right from a pair. Four fingers: 25 % by chance."
    return Picture("minimal-read", "Which finger moved, read from the difference", sees, twin, spec)


def _patched(causal: Causal) -> Picture:
    rows = causal.minimal_patched
    rows = rows[rows["position"].isin(list(PATCHED))]
    columns = {"effect": "value", "effect_low": "low", "effect_high": "high"}
    drawn = rows.rename(columns=columns).assign(series=rows["position"].map(lambda at: PATCHED[at].name))
    spec = lines_by_site(drawn, list(dict.fromkeys(rows["site"])), list(PATCHED.values()), "answer moved")
    twin = layer_table("How far the description moves, by site and token", drawn, share_with_interval)
    sees = (
        f"The two images of {count(causal.found.number('minimal_patched_pairs'))} pairs whose descriptions differ, "
        "patched into each other at the first word that differs. What stands between image and word is the question."
    )
    return Picture("minimal-patched", "Where the difference of one finger is carried", sees, twin, spec)


def _examples(causal: Causal) -> tuple[Table, ...]:
    """Pairs whose descriptions differ, of as many photos as there are."""
    changed = causal.minimal_said[causal.minimal_said["changed"].astype(bool)]
    shown = pd.concat([changed.drop_duplicates("photo"), changed]).drop_duplicates(["photo", "finger"])[:EXAMPLES]
    if shown.empty:
        return ()

    def picture(png: bytes, letter: str, finger: str | None = None) -> Cell:
        return Thumbnail(thumbnail(png), f"{letter}, {finger} finger bent" if finger else letter)

    rows = tuple(
        (f"{row.letter}, {row.finger}", picture(row.unmoved, row.letter),
         picture(row.moved, row.letter, row.finger), row.before, row.after) for row in shown.itertuples()
    )  # fmt: skip
    return (
        Table("Pairs whose descriptions differ", ("hand, finger", "photo", "finger bent", "before", "after"), rows),
    )
