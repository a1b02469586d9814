"""How the lenses' words are shown to a reader: tokens that cannot be read, and sentences that are too long."""

import pandas as pd

BROKEN = "\N{REPLACEMENT CHARACTER}"  # what part of a character decodes to


def shown_words(table: pd.DataFrame) -> pd.Series:
    """The words of `data/lenses/words.parquet` as they are shown; where one cannot be read, the name of its token."""
    readable = table["word"].map(lambda word: word != "" and word.isprintable() and BROKEN not in word).astype(bool)
    by_name = ("token " + table["token"]).where(table["token"] != "", "(no token)")  # rows that fill up a vocabulary
    return table["word"].where(readable, by_name)


def excerpt(sentence: str, start: int, end: int, longest: int) -> tuple[str, int, int]:
    """The sentence, and where its word starts and ends; of one that is too long what is around the word.

    `longest` is in characters. It is cut at white space where there is any; an ellipsis stands for what was left out.
    """
    if len(sentence) <= longest:
        return sentence, start, end
    end = min(end, start + longest)
    first = max(0, min(start - (longest - (end - start)) // 2, len(sentence) - longest))
    last = first + longest
    if first:
        first += max(sentence[first - 1 : start].find(" "), 0)
    if last < len(sentence) and (space := sentence.rfind(" ", end, last + 1)) > 0:
        last = space
    before, after = "…" if first else "", "…" if last < len(sentence) else ""
    moved = len(before) - first
    return f"{before}{sentence[first:last]}{after}", start + moved, end + moved
