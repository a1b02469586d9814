"""Text against latent: what the answers say, what their words carry, and what the layers know beyond the word."""

import math

import pandas as pd

from signbridge.report.charts import style
from signbridge.report.charts.horizontal import intervals
from signbridge.report.charts.lines_by_site import lines_by_site
from signbridge.report.images import thumbnail
from signbridge.report.page_parts import (
    Card,
    Example,
    Picture,
    Section,
    Table,
    Thumbnail,
)
from signbridge.report.study import Study
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

TITLE = "What the text says, and what the layers know"
POOLED = "(all)"


def section(study: Study) -> Section:
    """The answers with their images, every reading of them, and the probes within one word."""
    if not study.answers or study.named_answers.empty:
        return Section("text", TITLE, ("The model was not asked in this run.",))
    pictures = [_readings(study)]
    within = study.within_word[study.within_word["word"] == POOLED]
    lead = [_answers(study), _information(study)]
    if within.empty:
        lead.append(
            f"No answer was given to enough photos of two {study.kind}s, so no probe could be fitted within one word."
        )
    else:
        pictures.append(_within_word(study, within))
    return Section("text", TITLE, tuple(line for line in lead if line), tuple(pictures), cards=_cards(study))


def _answers(study: Study) -> str:
    right, any_letter, commonest = (
        study.number(key, "answers")
        for key in ("share_naming_right_letter", "share_naming_any_letter", "share_commonest_answer")
    )
    return (
        f"Asked, the model gave {plural(study.number('distinct_answers', 'answers'), 'different answer')} to "
        f"{plural(study.number('images', 'answers'), 'image')}, the commonest to {percent(commonest)} of them. "
        f"{percent(any_letter)} name a {study.kind} at all, {percent(right)} the right one."
    )


def _information(study: Study) -> str:
    bits, entropy = study.number("information_bits", "answers"), study.number("letter_bits", "answers")
    if math.isnan(bits):
        return ""
    p, bias = p_value(study.number("information_p_value", "answers")), study.number("information_bias_bits", "answers")
    return (
        f"The answer carries {number(bits, 2)} of the {number(entropy, 2)} bits that the {study.kind} has (mutual "
        f"information; {number(bias, 2)} bits of bias, which shuffled {study.kind}s show as well, are taken off"
        f"{'; ' + p if p else ''})."
    )


def _readings(study: Study) -> Picture:
    """Every way to get the letter out, the text's first."""
    ways = [
        ("the answer names\nthe right one", "answers", "share_naming_right_letter", "chance"),
        ("best reading of\nthe answer's word", "answers", "reading", "chance"),
        ("the model chooses\nfrom a list", "answers", "zero_shot_accuracy", "zero_shot_chance"),
        ("probe within images\nof the same word", "answers", "within_word_accuracy", "within_word_chance"),
        ("probe, layer chosen\ninside the folds", "probe", "grouped_peak_accuracy", "chance"),
    ]
    rows = []
    for name, metrics, key, chance in ways:
        rows.append(
            (name, *study.share(key, metrics), study.number(chance, "probe" if chance == "chance" else "answers"))
        )
    table = pd.DataFrame(rows, columns=["name", "accuracy", "low", "high", "chance"])
    table = table[table["accuracy"].notna()]
    twin = Table(
        f"Share of the {study.kind}s got right, way by way",
        ("way", "right", "interval", "chance"),
        tuple(
            (row["name"].replace("\n", " "), percent(row["accuracy"]), interval(row["low"], row["high"]),
             percent(row["chance"]))
            for _, row in table.iterrows()
        ),
    )  # fmt: skip
    spec = intervals(table, "right; tick: chance", row=46)
    return Picture("readings", f"Ways to get the {study.kind} out", _sees_readings(study), twin, spec)


def _sees_readings(study: Study) -> str:
    difference = study.share("grouped_over_answer")
    sees = ""
    if difference.low > 0:
        sees = f"The layers know {points_with_interval(*difference)} more than any reading of the word. "
    elif difference.known:
        shown = points_with_interval(*difference)
        sees = f"The layers are not shown to know more than a reading of the word ({shown}). "
    chosen, chance = study.share("zero_shot_accuracy", "answers"), study.number("zero_shot_chance", "answers")
    if not chosen.known:
        return f"{sees}The model was not asked to choose from a list."
    above = "above" if chosen.low > chance else "not shown to be above"
    return (
        f"{sees}Offered all {study.kind}s, the model itself picks the right one for {share_with_interval(*chosen)}, "
        f"{above} chance ({percent(chance)})."
    )


def _within_word(study: Study, pooled: pd.DataFrame) -> Picture:
    named = {position: one.name for position, one in style.POSITIONS.items()}
    lines = pooled.assign(series=pooled["position"].map(named))
    chance = float(pooled["chance"].iloc[0])
    level = pd.DataFrame(
        {"series": style.CHANCE.name, "site": study.sites, "accuracy": chance, "low": math.nan, "high": math.nan}
    )
    drawn = pd.concat([lines[["series", "site", "accuracy", "low", "high"]], level])
    words = study.within_word[study.within_word["word"] != POOLED]
    twin = Table(
        "Share read right among images with the same answer",
        ("answer", f"{study.kind}s", "images", "photos", "chance", "site", "position", "read right"),
        tuple(
            (short(row["word"]), short(row["letters"]), count(row["images"]), count(row["photos"]),
             percent(row["chance"]), row["site"], row["position"],
             share_with_interval(row["accuracy"], row["low"], row["high"]))
            for _, row in study.within_word.iterrows()
        ),
    )  # fmt: skip
    spec = lines_by_site(drawn, study.sites, [*style.POSITIONS.values(), style.CHANCE], "read right, same word")
    return Picture("within-word", "Beyond the word", _sees_within_word(study, chance, words), twin, spec)


def _sees_within_word(study: Study, chance: float, words: pd.DataFrame) -> str:
    different = plural(words["word"].nunique(), "word")
    among = f"Probes fitted and tested only among images that got the same word ({different})."
    share = study.share("within_word_accuracy", "answers")
    if not share.known:
        return f"{among} Chance is {percent(chance)}."
    verdict = "the layer knows more than the word" if share.low > chance else "not shown to know more than the word"
    site = study.answers.get("within_word_site", "the best layer")
    return f"{among} At {site} {share_with_interval(*share)}, chance {percent(chance)}: {verdict}."


def _cards(study: Study) -> tuple[Card, ...]:
    """Each letter's commonest answers, each with the first image that got it."""
    png = dict(zip(study.sample["image_id"], study.sample["image"], strict=True))
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
