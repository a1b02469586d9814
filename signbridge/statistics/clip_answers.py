"""What the model's words say of a clip: the sign, or the movement, with synonyms, in order and otherwise."""

import re
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from signbridge.core.names import IN_ORDER
from signbridge.statistics.answers import named_class
from signbridge.statistics.effects import effects
from signbridge.statistics.intervals import StatisticsParams, interval
from signbridge.statistics.motion import flipped

ANSWERED = ["reading", "named", "low", "high", "names_any", "over", "over_low", "over_high", "p_value"]


def named_with_synonyms(answer: str, names: Sequence[str], synonyms: Mapping[str, Sequence[str]]) -> str | None:
    """The one of `names` that `answer` names, by itself or by one of its synonyms; None if none, or more than one.

    Words count whole, in either case (`answers.named_class`); of synonyms that overlap the longest counts.
    """
    name_of = {word.lower(): name for name in names for word in synonyms.get(name, ())}
    if name_of:
        longest_first = "|".join(re.escape(word) for word in sorted(name_of, key=len, reverse=True))
        pattern = re.compile(rf"(?<!\w)(?:{longest_first})(?!\w)", re.IGNORECASE)
        answer = pattern.sub(lambda found: name_of[found[0].lower()], answer)
    return named_class(answer, names)


def answers_table(
    answers: Mapping[str, pd.DataFrame],
    clips: pd.DataFrame,
    name: str,
    synonyms: Mapping[str, Sequence[str]],
    statistics: StatisticsParams,
    generator: np.random.Generator,
) -> pd.DataFrame:
    """A row a reading (`ANSWERED`): the share of clips whose answer names the truth, and what the clips in order add.

    `answers` (clip, answer) are by reading. The truth is the column `name` of `clips` (clip, signer, ...); clips of
    which it is unknown are left out. `names_any` is the share whose answer names one of the names at all.
    """
    known = clips[clips[name] != ""]
    if known.empty:
        return pd.DataFrame(columns=ANSWERED)
    names = sorted(known[name].unique())
    tables = []
    for reading, table in answers.items():
        rows = known[["clip", "signer", name]].merge(table[["clip", "answer"]], on="clip")
        said = [named_with_synonyms(answer, names, synonyms) or "" for answer in rows["answer"]]
        tables.append(rows.assign(reading=reading, said=said))
    rows = pd.concat(tables, ignore_index=True)
    rows["right"] = (rows["said"] == rows[name]).astype(float)
    found = effects(rows, ["reading"], "signer", "right", statistics, generator)
    table = found.table("named", statistics.confidence, share=True)
    table = table.rename(columns={"named_low": "low", "named_high": "high"})
    in_order = int(np.flatnonzero(table["reading"] == IN_ORDER)[0])
    low, high = interval(found.resampled[:, [in_order]] - found.resampled, statistics.confidence)
    p_value, _ = flipped(found.sums[:, [in_order]] - found.sums, generator)
    any_name = (rows["said"] != "").groupby(rows["reading"]).mean()
    return table.assign(
        names_any=table["reading"].map(any_name), over=found.overall[in_order] - found.overall, over_low=low,
        over_high=high, p_value=p_value,
    )[ANSWERED]  # fmt: skip


def chance_of_names(clips: pd.DataFrame, name: str) -> float:
    """The share of the commonest name among the clips that have one; NaN where none has."""
    known = clips.loc[clips[name] != "", name]
    return float(known.value_counts(normalize=True).max()) if len(known) else float("nan")
