"""A variable whose depth is known: where probes read it, where each method says it arises, and who is right."""

import pandas as pd

from signbridge.core.activations import layer_site
from signbridge.report.curve import lines_by_site
from signbridge.report.inputs import Planted
from signbridge.report.page_parts import Picture, Section, Table, layer_table
from signbridge.report.palette import CHANCE, PLANTED
from signbridge.report.wording import count, listing, number, percent, share_with_interval

TITLE = "Where the answer arises, and which method says so"
METHODS = {
    "probe": "a linear probe of the last token",
    "patching": "patching the last token",
    "knockout_question": "attention knockout, last token to the question",
    "knockout_image": "attention knockout, last token to the image",
    "logit_lens": "LogitLens at the last token",
    "embedding_lens": "EmbeddingLens at the last token",
    "untrained_twin": "a linear probe of the untrained twin (control)",
}
LETTER = PLANTED["probe"]._replace(
    name="the letter, as the study reads it", dash=(2, 2), shape="diamond", colour="#6B6B6B"
)


def section(planted: Planted) -> Section:
    """The curves beside the letter's, and every method against the truth."""
    pictures = (_accuracy(planted), _curves(planted))
    return Section("planted", TITLE, _lead(planted), pictures, tables=(_verdicts(planted), _before(planted)))


def answer(planted: Planted) -> tuple[str, ...]:
    """What probes read below and above the planted blocks, and how many methods are right."""
    found = planted.found
    judged = int(found.number("methods_found") + found.number("methods_missed") + found.number("methods_false"))
    named = {verdict: _named(planted, verdict) for verdict in ("found", "missed", "false")}
    said = [
        f"{count(len(named['found']))} of {count(judged)} methods find it within {_within(planted)} of "
        f"{_truth(planted)}"
    ]
    said += [f"missed by {listing(named['missed'])}"] if named["missed"] else []
    said += [f"placed elsewhere by {listing(named['false'])}"] if named["false"] else []
    return (
        f"Below the planted blocks a probe of the last token reads at most {percent(found.number('below'))} of the "
        f"answers ({percent(0.5, 0)} by chance), at the last layer {percent(found.number('last_layer'))}.",
        f"{'; '.join(said)}.",
    )


def _lead(planted: Planted) -> tuple[str, ...]:
    found = planted.found
    return (
        "The model is asked whether a named finger is raised, or whether it is lowered. The answer is an exclusive-or "
        "of what the image and what the question shows, so neither tells it alone: each image gets both answers. "
        f"{_truth(planted, capital=True)} were taught to answer, and nothing else in the model was. The embedding of "
        "the two words was fitted so that the blocks below pass on hardly anything of which of them was read. "
        f"The model's own answers are right for {percent(found.number('answers_right'))} of "
        f"{count(found.number('questions'))} questions about {count(found.number('photos'))} photos.",
        "Each method gives a curve from 0 (nothing) to 1 (all). A block that changes it by "
        f"{percent(found.number('least_step'), 0)} or more is marked, and the method locates the change at the largest "
        f"step. Found: within {_within(planted)} of the planted ones. False: elsewhere. Missed: no block is marked. A "
        "mark elsewhere counts as false even where the change is found.",
    )


def _truth(planted: Planted, capital: bool = False) -> str:
    blocks = listing([str(block) for block in planted.blocks])
    return f"{'B' if capital else 'b'}locks {blocks}"


def _within(planted: Planted) -> str:
    within = int(planted.found.number("within"))
    return f"{within} block" if within == 1 else f"{within} blocks"


def _named(planted: Planted, verdict: str) -> list[str]:
    rows = planted.verdicts[planted.verdicts["verdict"] == verdict]
    return [METHODS[method] for method in rows["method"] if method != "untrained_twin"]


def _accuracy(planted: Planted) -> Picture:
    at_last = planted.accuracy[planted.accuracy["position"] == "prompt_last"]
    names = {"model": PLANTED["probe"], "untrained_twin": PLANTED["untrained_twin"]}
    parts = [at_last[at_last["reader"] == reader].assign(series=series.name) for reader, series in names.items()]
    sites = list(at_last["site"].unique())
    letter = planted.letter[planted.letter["site"].isin(sites)].rename(columns={"accuracy": "value"})
    parts.append(letter.assign(series=LETTER.name))
    parts.append(pd.DataFrame({"site": sites, "value": 0.5, "low": 0.5, "high": 0.5}).assign(series=CHANCE.name))
    table = pd.concat(parts, ignore_index=True)[["series", "site", "value", "low", "high"]]
    series = [LETTER, *names.values(), CHANCE]
    sees = (
        "The letter is there from the first block on, so no method that looks for it can be wrong about depth. The "
        "planted answer is at chance until the blocks that were taught it. Chance of the answer is 50 %, of the letter "
        f"{percent(planted.chance, 0)}."
    )
    return _picture("planted-accuracy", "What a probe of the last token reads", sees, table, sites, series, "accuracy")


def _curves(planted: Planted) -> Picture:
    series = [one for method, one in PLANTED.items() if method in set(planted.curves["method"])]
    name = {method: one.name for method, one in PLANTED.items()}
    table = planted.curves.assign(series=planted.curves["method"].map(name))
    sites = [site for site in table["site"].unique() if site.startswith("layer_")]
    table = table[table["site"].isin(sites)]
    sees = (
        "0 is nothing and 1 is all: of a probe or lens from chance to always right, of an edit from the clean run to "
        "the other answer (patching) or to none (knockout). Knockout falls where the others rise: what is not seen "
        "from a block on is lost, until that block has been passed."
    )
    return _picture("planted-curves", "Every method on one scale", sees, table, sites, series, "share")


def _picture(name: str, title: str, sees: str, table: pd.DataFrame, sites: list, series: list, axis: str) -> Picture:
    twin = layer_table(title, table, share_with_interval)
    return Picture(name, title, sees, twin, lines_by_site(table, sites, series, axis))


def _verdicts(planted: Planted) -> Table:
    rows = tuple(
        (
            METHODS[row["method"]],
            row["verdict"] if row["method"] != "untrained_twin" else "nothing to find",
            "–" if pd.isna(row["located"]) else layer_site(int(row["located"])),
            number(row["step"], 2),
            row["marked"] or "–",
            count(row["false_marks"]),
        )
        for _, row in planted.verdicts.iterrows()
    )
    columns = ("method", "verdict", "located at", "step there", "blocks marked", "marked falsely")
    return Table(f"Every method against the truth: {_truth(planted)}", columns, rows)


def _before(planted: Planted) -> Table:
    rows = planted.accuracy[planted.accuracy["position"] == "image_mean"]
    cells = rows.set_index(["site", "reader"])
    readers = ("model", "untrained_twin")
    shown = tuple(
        (site, *(share_with_interval(*cells.loc[(site, reader), ["value", "low", "high"]]) for reader in readers))
        for site in rows["site"].unique()
    )
    caption = "The mean over image tokens, which stand before the question: chance by construction"
    return Table(caption, ("site", "the model", "untrained twin"), shown)
