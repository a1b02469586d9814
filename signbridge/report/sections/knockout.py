"""Attention knockout: what is left of the answer where tokens no longer see others, block by block."""

import pandas as pd

from signbridge.core.names import EDGES, LAST_TO_IMAGE, NAMED, ONWARDS, RANDOM, WINDOW
from signbridge.report.charts.by_site import map_by_site
from signbridge.report.curve import lines_by_site
from signbridge.report.inputs import Causal
from signbridge.report.page_parts import Picture, Section, layer_table
from signbridge.report.palette import KNOCKED_OUT
from signbridge.report.wording import count, percent, points_with_interval, share_with_interval

TITLE = "Which tokens are read, and until where: attention knockout"
NO_LONGER = {
    "last_to_image": "the last token no longer sees the image",
    "last_to_question": "the last token no longer sees the question",
    "question_to_image": "the question no longer sees the image",
}


def section(causal: Causal) -> Section | None:
    """What cutting the edges takes of the answer, from each block on and in windows."""
    if causal.knockout.empty:
        return None
    return Section("knockout", TITLE, _lead(causal), (_onwards(causal), _windows(causal)))


def answer(causal: Causal) -> tuple[str, ...]:
    """What the last token loses with the image, and until which block it reads it; none where nothing was cut."""
    if causal.knockout.empty:
        return ()
    found = causal.found
    lost = found.share(f"knockout_{LAST_TO_IMAGE}_lost")
    if found.number(f"knockout_{LAST_TO_IMAGE}_over_random_low") <= 0:
        return ("A last token that sees no image is not shown to lose more than one that does not see other tokens.",)
    return (
        f"A last token that sees no image loses {percent(lost.value)} of the answer's probability; from "
        f"{found[f'knockout_{LAST_TO_IMAGE}_half_site']} on it loses less than half of that.",
    )


def _lead(causal: Causal) -> tuple[str, ...]:
    found = causal.found
    sentences = []
    for edges in EDGES:
        if f"knockout_{edges}_lost" not in found:
            continue
        lost, over = (found.share(f"knockout_{edges}_{name}") for name in ("lost", "over_random"))
        beyond = f"{points_with_interval(*over)} more than" if over.low > 0 else "not shown to be more than"
        sentences.append(
            f"Where {NO_LONGER[edges]} in any block, {share_with_interval(*lost)} of the probability is lost: {beyond} "
            "under the null."
        )
    half, low, high = (found.get(f"knockout_{LAST_TO_IMAGE}_half_site{end}") for end in ("", "_low", "_high"))
    between = str(low) if low == high else f"{low} to {high}"
    most = found.number(f"knockout_{LAST_TO_IMAGE}_window_lost")
    return (
        "Attention knockout (Geva et al. 2023) cuts edges: a query no longer sees some keys, in a span of blocks. The "
        "weights of the other keys sum to one again. It is measured how much of the probability of the model's own "
        f"answer is lost, over {count(found.number('knockout_images'))} photos. The null cuts as many other keys, "
        "drawn at random, or all others where there are fewer; never the first token.",
        " ".join(sentences),
        f"From {half} on ({between} in {percent(found.number('confidence'), 0)} of the resamples) a cut between last "
        "token and image takes at most half of what it takes in all blocks: most of the image was read before. Cut in "
        f"any {count(found.number('knockout_window'))} blocks alone, it takes at most {percent(most)}: "
        + (
            "what some blocks do not read, others do."
            if most < found.number(f"knockout_{LAST_TO_IMAGE}_lost") / 2
            else f"the image is read at {found[f'knockout_{LAST_TO_IMAGE}_window_site']} and the blocks behind it."
        ),
    )


def _rows(causal: Causal, span: str) -> pd.DataFrame:
    """The curves over that span: series, site (the first that is cut), value, low, high."""
    rows = causal.knockout[causal.knockout["span"] == span]
    of_null = (rows["keys"] == RANDOM) & (rows["edges"] == LAST_TO_IMAGE)
    rows = rows[(rows["keys"] == NAMED) | of_null]
    names = [
        KNOCKED_OUT[RANDOM if keys == RANDOM else edges].name
        for edges, keys in zip(rows["edges"], rows["keys"], strict=True)
    ]
    columns = {"first": "site", "lost": "value", "lost_low": "low", "lost_high": "high"}
    return rows.rename(columns=columns).assign(series=names)[["series", "site", "value", "low", "high"]]


def _onwards(causal: Causal) -> Picture:
    rows = _rows(causal, ONWARDS)
    spec = lines_by_site(rows, list(dict.fromkeys(rows["site"])), list(KNOCKED_OUT.values()), "probability lost")
    tokens = causal.knockout[causal.knockout["edges"] == LAST_TO_IMAGE].groupby("keys")["tokens"].first()
    sees = (
        "At each site: the share of the answer's probability that is lost where the edges are cut in this block and "
        f"in all behind it. The image has {count(tokens.get(NAMED, 0))} tokens, the null cuts "
        f"{count(tokens.get(RANDOM, 0))}."
    )
    twin = layer_table("Probability lost where edges are cut from a block on", rows, share_with_interval)
    return Picture("knockout-onwards", "Cut from a block on to the last", sees, twin, spec)


def _windows(causal: Causal) -> Picture:
    rows = _rows(causal, WINDOW)
    sites = list(dict.fromkeys(rows["site"]))
    names = rows["series"].str.replace(" to ", "\nto ")  # a line feed starts another line, for small screens
    drawn = rows.assign(name=names, value=rows["value"].clip(0, 1))[["site", "name", "value"]]
    spec = map_by_site(drawn, sites, "probability lost")
    sees = (
        f"Cut in {count(causal.found.number('knockout_window'))} blocks in a row alone, from the named one on. A pale "
        "window is needed; where all are dark no few blocks are, since others read the same tokens."
    )
    twin = layer_table("Probability lost by window of blocks", rows, share_with_interval)
    return Picture("knockout-windows", "Cut in a window of blocks", sees, twin, spec)
