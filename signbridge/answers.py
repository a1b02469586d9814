"""What the text gives away: which sign, if any, each answer of the model names."""

import re
from collections.abc import Iterable

import pandas as pd

COMMONEST = 3  # answers listed a letter

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
    """The metrics of the text, from the table of `with_named`; shares are of all images."""
    names_any = named["named"] != ""
    return {
        "images": len(named),
        "distinct_answers": int(named["answer"].nunique()),
        "share_commonest_answer": float(named["answer"].value_counts(normalize=True).max()),
        "best_reading": best_reading(named),
        "share_naming_any_letter": float(names_any.mean()),
        "share_naming_no_letter": float((~names_any).mean()),
        "share_naming_right_letter": float((named["named"] == named["label"]).mean()),
    }
