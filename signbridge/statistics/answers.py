"""What the text gives away: which letter, if any, each answer names, and how much more a probe reads."""

import re
from collections.abc import Iterable

import numpy as np
import pandas as pd

from signbridge.core.activations import TEXT_SITE
from signbridge.probing.peak import headline_predictions
from signbridge.statistics.intervals import (
    StatisticsParams,
    compare,
    draw_groups,
    group_bootstrap,
    resampled_accuracy,
)

COMMONEST = 3  # answers listed a letter
# The metrics of `metrics/answers.json`, each with the finding that it is.
HEADLINE = {
    "text_names_right_letter": "share_naming_right_letter",
    "text_names_right_letter_low": "share_naming_right_letter_low",
    "text_names_right_letter_high": "share_naming_right_letter_high",
    "text_names_any_letter": "share_naming_any_letter",
    "scored_letters_accuracy": "zero_shot_accuracy",
    "decoded_answer_accuracy": "reading",
    "decoded_answer_accuracy_low": "reading_low",
    "decoded_answer_accuracy_high": "reading_high",
    "probe_over_text": "probe_minus_text",
    "probe_over_text_low": "probe_minus_text_low",
    "probe_over_text_high": "probe_minus_text_high",
    "probe_over_scored_letters": "probe_minus_zero_shot",
    "probe_over_decoded_answer": "probe_minus_reading",
    "probe_over_decoded_answer_low": "probe_minus_reading_low",
    "probe_over_decoded_answer_high": "probe_minus_reading_high",
    "answer_bits": "information_bits",
    "answer_bits_p_value": "information_p_value",
    "letter_bits": "letter_bits",
    "same_answer_accuracy": "within_word_accuracy",
    "same_answer_accuracy_low": "within_word_accuracy_low",
    "same_answer_accuracy_high": "within_word_accuracy_high",
    "same_answer_chance": "within_word_chance",
    "best_reading_of_answers": "best_reading",  # in hindsight, on these very images
    "distinct_answers": "distinct_answers",
    "model": "model",
}
# What the probe is compared with, and the finding that is the difference.
PROBE_MINUS = {
    "share_naming_right_letter": "probe_minus_text",
    "zero_shot_accuracy": "probe_minus_zero_shot",
    "reading": "probe_minus_reading",
}

_QUOTE = "[\"'`*“”‘’«»]"
# A letter that is part of no word (ASL), contraction (I'm), compound (V-sign) or abbreviation (O.K.).
_ALONE = r"(?<![\w])(?<!\w['’.-])([A-Za-z])(?!['’.-]?\w)"
_AFTER_THE_WORD_LETTER = re.compile(rf"\bletters?\b[\s:]*{_QUOTE}*{_ALONE}", re.IGNORECASE)
_QUOTED = re.compile(rf"{_QUOTE}{_ALONE}[.,]?{_QUOTE}")
_CAPITAL = re.compile(_ALONE.replace("A-Za-z", "B-HJ-Z"))
# A and I are words too, but no article and no "I" is followed by the end, a mark, or one of these words.
_CAPITAL_A_OR_I = re.compile(_ALONE.replace("A-Za-z", "AI") + r"(?=\s*(?:$|[^\w\s]|(?:and|or|in|is|from)\b))")


def named_letter(answer: str) -> str | None:
    """The letter A-Z that `answer` names, or None if it names none, or more than one.

    A letter is named where it stands alone, as no part of a word, and one of these holds:

    - it is all there is, but for quotes and other marks: `A`, `a.`, `"B"`;
    - it follows the word "letter", or is in quotes: `the letter a`, `the sign for 'a'`;
    - it is a capital: `V sign`, `ASL B`, `This is C.` The capitals A and I are words as well (`A hand`,
      `I love you`), so they count only before the end, a mark, or "and", "or", "in", "is", "from":
      `It is an A.`, `I or J`.

    What the letter is used for is not asked: `V sign`, the gesture, names V.
    """
    letters_and_digits = re.sub(r"[\W_]", "", answer)
    if re.fullmatch("[A-Za-z]", letters_and_digits):
        return letters_and_digits.upper()
    rules = (_AFTER_THE_WORD_LETTER, _QUOTED, _CAPITAL, _CAPITAL_A_OR_I)
    named = {letter.upper() for rule in rules for letter in rule.findall(answer)}
    return named.pop() if len(named) == 1 else None


def named_class(answer: str, classes: Iterable[str]) -> str | None:
    """The one class that `answer` names, or None if it names none, or more than one.

    A class whose name is a word or several is named where they occur as whole words, in either case; `-` and
    `_` in its name are spaces (`thank_you`), and where names overlap the longest wins. If some class is one
    letter, all 26 are sought, by the rule of `named_letter`: J is a wrong answer, but a letter.
    """
    words = {" ".join(re.split(r"[\s_-]+", name)).lower(): name for name in classes}
    letters = {name.upper(): words.pop(name) for name in list(words) if re.fullmatch("[a-z]", name)}
    text = re.sub(r"[\s_-]+", " ", answer)
    named = set()
    if words:
        longest_first = "|".join(re.escape(name) for name in sorted(words, key=len, reverse=True))
        pattern = re.compile(rf"(?<!\w)(?:{longest_first})(?!\w)", re.IGNORECASE)
        named |= {words[match.lower()] for match in pattern.findall(text)}
        answer = pattern.sub("0", text)  # a word, so that what is left beside it is not the whole answer
    if letters and (letter := named_letter(answer)):
        named.add(letters.get(letter, letter))
    return named.pop() if len(named) == 1 else None


def with_named(answers: pd.DataFrame) -> pd.DataFrame:
    """Every answer beside its letter and the one it names: image_id, label, answer, named (or empty)."""
    classes = sorted(answers["label"].unique())
    table = answers[["image_id", "label", "answer"]].copy()
    table["named"] = [named_class(answer, classes) or "" for answer in answers["answer"]]
    return table


def commonest_by_letter(answers: pd.DataFrame, commonest: int = COMMONEST) -> pd.DataFrame:
    """The commonest answers to each letter: letter, rank (from 1), answer, count, share (of its images).

    Answers as common as each other stand in alphabetical order.
    """
    counts = answers.groupby(["label", "answer"]).size().rename("count").reset_index()
    counts = counts.sort_values(["label", "count", "answer"], ascending=[True, False, True])
    counts["rank"] = counts.groupby("label").cumcount() + 1
    counts["share"] = (counts["count"] / counts.groupby("label")["count"].transform("sum")).round(6)
    counts = counts[counts["rank"] <= commonest].rename(columns={"label": "letter"})
    return counts[["letter", "rank", "answer", "count", "share"]].reset_index(drop=True)


def best_reading(answers: pd.DataFrame) -> float:
    """The share of images read right if each answer always meant the letter that it is most often given to.

    No reading of the answers could do better on these very images. Where most answers are given once it is close to
    one and says little: the cross-validated reading in `predictions.parquet` (site `answer`) does not have that fault.
    """
    of_answer = answers.groupby("answer")["label"]
    return float(of_answer.agg(lambda labels: labels.value_counts().max()).sum() / len(answers))


def summary(named: pd.DataFrame) -> dict[str, float | int]:
    """What is counted of the text, from the table of `with_named`; shares are of all images."""
    names_any = named["named"] != ""
    return {
        "images": len(named),
        "distinct_answers": int(named["answer"].nunique()),
        "share_commonest_answer": float(named["answer"].value_counts(normalize=True).max()),
        "best_reading": best_reading(named),
        "share_naming_any_letter": float(names_any.mean()),
        "share_naming_no_letter": float((~names_any).mean()),
    }


def likeliest_letter(scores: pd.DataFrame) -> pd.DataFrame:
    """The letter to which the model gives the highest probability, of equals the first: image_id, label, predicted.

    `scores` is the table `data/letter_scores.parquet`.
    """
    best = scores.groupby("image_id", sort=False)["log_probability"].idxmax()
    chosen = scores.loc[best, ["image_id", "label", "letter"]]
    return chosen.rename(columns={"letter": "predicted"}).reset_index(drop=True)


def zero_shot_summary(scores: pd.DataFrame) -> dict[str, float | int]:
    """Numbers to read beside the accuracy of the likeliest letter.

    `zero_shot_chance` is the share of the commonest letter, `zero_shot_distinct_letters` the number of letters that are
    the likeliest of some image, and `zero_shot_probability_of_letters` the mean probability of all letters together.
    """
    chosen = likeliest_letter(scores)
    of_image = np.exp(scores["log_probability"].astype(float)).groupby(scores["image_id"]).sum()
    return {
        "zero_shot_chance": float(chosen["label"].value_counts(normalize=True).max()),
        "zero_shot_distinct_letters": int(chosen["predicted"].nunique()),
        "zero_shot_probability_of_letters": float(of_image.mean()),
    }


def right_by_image(
    named: pd.DataFrame, scores: pd.DataFrame, predictions: pd.DataFrame, choices: pd.DataFrame, position: str | None
) -> pd.DataFrame:
    """For each image, whether text, scored letters, reading and probe are right: index image_id, a column a finding.

    share_naming_right_letter and zero_shot_accuracy are 0 or 1. Where protocol `grouped` was probed, `reading` is the
    share of its repeats that read the answer right; and where `position` is given, probe_accuracy that of the probes
    of the layer that was chosen there inside each fold.
    """
    right = pd.DataFrame({"share_naming_right_letter": _share_right(named.rename(columns={"named": "predicted"}))})
    right["zero_shot_accuracy"] = _share_right(likeliest_letter(scores))
    reading = predictions[(predictions["protocol"] == "grouped") & (predictions["site"] == TEXT_SITE)]
    if len(reading):
        right["reading"] = _share_right(reading)
    if position is not None:
        right["probe_accuracy"] = _share_right(headline_predictions(predictions, choices, position))
    return right


def intervals(
    right: pd.DataFrame, photo: pd.Series, statistics: StatisticsParams, generator: np.random.Generator
) -> dict[str, float]:
    """Of each column of `right_by_image` the mean, and its interval over photos as NAME_low and NAME_high.

    For the probe also its difference to each of the others, on the same resamples: probe_minus_text,
    probe_minus_zero_shot and probe_minus_reading, with _low and _high. `photo` is by image_id.
    """
    by_photo = right.groupby(photo.reindex(right.index).to_numpy())
    total, images = by_photo.sum().to_numpy(), by_photo.count().to_numpy(dtype=float)
    low, high = group_bootstrap(total, images, statistics.confidence, statistics.resamples, generator)
    metrics = _named_intervals(list(right.columns), right.mean().to_numpy(), low, high)
    if "probe_accuracy" not in right:
        return metrics
    others = [name for name in PROBE_MINUS if name in right]
    first = np.full(len(others), right.columns.get_loc("probe_accuracy"))
    second = np.array([right.columns.get_loc(name) for name in others])
    drawn = draw_groups(len(images), statistics.resamples, generator)
    values = resampled_accuracy(drawn, total, images)
    gap = compare(values, right.mean().to_numpy(), first, second, statistics.confidence)
    return metrics | _named_intervals([PROBE_MINUS[name] for name in others], gap.difference, gap.low, gap.high)


def _named_intervals(names: list[str], value: np.ndarray, low: np.ndarray, high: np.ndarray) -> dict[str, float]:
    metrics = {}
    for name, *numbers in zip(names, value, low, high, strict=True):
        metrics |= zip((name, f"{name}_low", f"{name}_high"), map(float, numbers), strict=True)
    return metrics


def _share_right(predictions: pd.DataFrame) -> pd.Series:
    """By image_id, the share of its predictions that are right."""
    return (predictions["label"] == predictions["predicted"]).groupby(predictions["image_id"]).mean()
