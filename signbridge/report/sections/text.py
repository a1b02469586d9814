"""Text against layers: what the answers say, what their words carry, and what the layers hold beyond the word."""

import math

import pandas as pd

from signbridge.report import palette
from signbridge.report.charts.shares import intervals
from signbridge.report.curve import lines_by_site
from signbridge.report.inputs import Study
from signbridge.report.page_parts import (
    Card,
    Example,
    Picture,
    Section,
    Table,
    Thumbnail,
    thumbnail,
)
from signbridge.report.wording import (
    count,
    interval,
    number,
    p_value,
    percent,
    plural,
    points_with_interval,
    share_with_interval,
    short,
)

TITLE = "What the text says, and what the layers hold"
POOLED = "(all)"


def section(study: Study) -> Section | None:
    """The answers with their images, what can be guessed from them, and the probes within one word."""
    if not study.text or study.named_answers.empty:
        return None
    pictures = [_readings(study)]
    within = study.within_word[study.within_word["word"] == POOLED]
    lead = [_answers(study), _information(study)]
    if within.empty:
        lead.append(
            f"No answer was given to enough {study.group.many} of two {study.kind}s, so no probe could be fitted "
            "within one word."
        )
    else:
        pictures.append(_within_word(study, within))
    return Section("text", TITLE, tuple(line for line in lead if line), tuple(pictures), cards=_cards(study))


def _answers(study: Study) -> str:
    right, any_letter, commonest = (
        study.text.number(key)
        for key in ("share_naming_right_letter", "share_naming_any_letter", "share_commonest_answer")
    )
    return (
        f"The model gave {plural(study.text.number('distinct_answers'), 'different answer')} to "
        f"{plural(study.text.number('images'), 'image')}, the commonest to {percent(commonest)} of them. "
        f"{percent(any_letter)} name a {study.kind} at all, {percent(right)} the right one."
    )


def _information(study: Study) -> str:
    bits, entropy = study.text.number("information_bits"), study.text.number("letter_bits")
    if math.isnan(bits):
        return ""
    p, bias = p_value(study.text.number("information_p_value")), study.text.number("information_bias_bits")
    return (
        f"The answer carries {number(bits, 2)} of the {number(entropy, 2)} bits of the {study.kind} (mutual "
        f"information, less a bias of {number(bias, 2)} bits, which shuffled {study.kind}s show too"
        f"{'; ' + p if p else ''})."
    )


def _readings(study: Study) -> Picture:
    """Every way to obtain the letter, those of the text first."""
    chance = study.found.number("chance")
    ways = [
        ("the answer names\nthe right one", study.text.share("share_naming_right_letter"), chance),
        ("best guess from\nthe answer's word", study.text.share("reading"), chance),
        (
            "the model chooses\nfrom a list",
            study.text.share("zero_shot_accuracy"),
            study.text.number("zero_shot_chance"),
        ),
        (
            "probe within images\nof the same word",
            study.text.share("within_word_accuracy"),
            study.text.number("within_word_chance"),
        ),
        ("probe, layer chosen\ninside the folds", study.found.share("grouped_peak_accuracy"), chance),
    ]
    rows = [(name, *share, by_chance) for name, share, by_chance in ways]
    table = pd.DataFrame(rows, columns=["name", "value", "low", "high", "chance"])
    table = table[table["value"].notna()]
    twin = Table(
        f"Share of the {study.kind}s named right, by method",
        ("method", "right", "interval", "chance"),
        tuple(
            (row["name"].replace("\n", " "), percent(row["value"]), interval(row["low"], row["high"]),
             percent(row["chance"]))
            for _, row in table.iterrows()
        ),
    )  # fmt: skip
    spec = intervals(table, "right; tick: chance", row=46)
    return Picture("readings", f"Ways to obtain the {study.kind}", _sees_readings(study), twin, spec)


def _sees_readings(study: Study) -> str:
    difference = study.found.share("grouped_over_answer")
    sees = ""
    if difference.low > 0:
        sees = (
            f"A probe of the layers is {points_with_interval(*difference)} better than the best guess from the answer. "
        )
    elif difference.known:
        shown = points_with_interval(*difference)
        sees = f"A probe of the layers is not shown to be better than the best guess from the answer ({shown}). "
    chosen, chance = study.text.share("zero_shot_accuracy"), study.text.number("zero_shot_chance")
    if not chosen.known:
        return f"{sees}The model was not asked to choose from a list."
    above = "above" if chosen.low > chance else "not shown to be above"
    return (
        f"{sees}Given a list of all {study.kind}s, the model chooses the right one for {share_with_interval(*chosen)} "
        f"of the images, {above} chance ({percent(chance)})."
    )


def _within_word(study: Study, pooled: pd.DataFrame) -> Picture:
    named = {position: one.name for position, one in palette.POSITIONS.items()}
    lines = pooled.assign(series=pooled["position"].map(named))
    chance = float(pooled["chance"].iloc[0])
    level = pd.DataFrame(
        {"series": palette.CHANCE.name, "site": study.sites, "value": chance, "low": math.nan, "high": math.nan}
    )
    lines = lines.rename(columns={"accuracy": "value"})
    drawn = pd.concat([lines[["series", "site", "value", "low", "high"]], level])
    words = study.within_word[study.within_word["word"] != POOLED]
    twin = Table(
        "Share read right among images with the same answer",
        ("answer", f"{study.kind}s", "images", study.group.many, "chance", "site", "position", "read right"),
        tuple(
            (short(row["word"]), short(row["letters"]), count(row["images"]), count(row["photos"]),
             percent(row["chance"]), row["site"], row["position"],
             share_with_interval(row["accuracy"], row["low"], row["high"]))
            for _, row in study.within_word.iterrows()
        ),
    )  # fmt: skip
    spec = lines_by_site(drawn, study.sites, [*palette.POSITIONS.values(), palette.CHANCE], "read right, same word")
    return Picture(
        "within-word", "Among images with the same answer", _sees_within_word(study, chance, words), twin, spec
    )


def _sees_within_word(study: Study, chance: float, words: pd.DataFrame) -> str:
    different = plural(words["word"].nunique(), "word")
    among = f"Probes fitted and tested only among images that got the same word ({different})."
    share = study.text.share("within_word_accuracy")
    if not share.known:
        return f"{among} Chance is {percent(chance)}."
    verdict = "the layer holds more than the word" if share.low > chance else "not shown to hold more than the word"
    site = study.text.get("within_word_site", "the best layer")
    return f"{among} At {site} {share_with_interval(*share)}, chance {percent(chance)}: {verdict}."


def _cards(study: Study) -> tuple[Card, ...]:
    """Each letter's commonest answers, each with the first image that was given it."""
    png = study.png
    first = study.named_answers.drop_duplicates(["label", "answer"]).set_index(["label", "answer"])["image_id"]
    cards = []
    for letter, rows in study.answers_by_letter.groupby("letter", sort=True):
        examples = []
        for _, row in rows.sort_values("rank").iterrows():
            image_id = first.get((letter, row["answer"]))
            alt = f"{short(str(letter))}, answered {short(row['answer']) or 'nothing'}"
            picture = Thumbnail(thumbnail(png[image_id]), alt) if image_id in png else None
            examples.append(Example(short(row["answer"]) or "(nothing)", percent(row["share"], 0), picture))
        cards.append(Card(short(str(letter)), tuple(examples)))
    return tuple(cards)
