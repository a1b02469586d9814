"""A concept that is known of every hand, "a finger is up": which hands it holds for, and which can be steered."""

import pandas as pd
from pydantic import Field

from signbridge.core.params import Section
from signbridge.datasets.hands import Finger


class ConceptParams(Section):
    """The section `concept` of stages/sae/params.yaml."""

    finger: Finger
    prompt: str = Field(min_length=1)  # ends where the model is about to say how the finger is held


def concept_names(finger: Finger) -> tuple[str, str]:
    """The labels of hands for which the concept does not hold, and of those for which it does."""
    return f"{finger} finger not up", f"{finger} finger up"


def with_concept(sample: pd.DataFrame, finger: Finger, hands: pd.DataFrame) -> tuple[pd.DataFrame, tuple[str, str]]:
    """The rows of `sample` (image_id, label, group) whose pose is known, labelled by the concept; and its two labels.

    `hands` has the columns image_id and `up_FINGER`, which is missing where no pose is known. The second label is that
    of hands for which the concept holds. No row is returned where one of the labels has fewer than two groups.
    """
    names = concept_names(finger)
    is_up = hands.set_index("image_id")[f"up_{finger}"].dropna().astype(bool)
    rows = sample[sample["image_id"].isin(is_up.index)]
    labels = [names[int(is_up[image_id])] for image_id in rows["image_id"]]
    return _if_enough(rows.assign(label=labels).reset_index(drop=True)), names


def with_answers(rows: pd.DataFrame, names: tuple[str, str], answers: pd.DataFrame) -> pd.DataFrame:
    """The rows of `with_concept` that can be steered, with what the model says of them (`answers`: image_id, answer).

    The target of steering is the commonest answer to hands for which the concept holds. Other hands that already get
    this answer are left out. No row is returned where one of the labels has fewer than two groups left.
    """
    rows = rows.merge(answers, on="image_id", validate="1:1")
    holds = rows["label"] == names[1]
    counts = rows.loc[holds, "answer"].value_counts()
    if counts.empty:
        return rows
    commonest = min(counts.index[counts == counts.max()])
    return _if_enough(rows[holds | (rows["answer"] != commonest)].reset_index(drop=True))


def _if_enough(rows: pd.DataFrame) -> pd.DataFrame:
    """`rows` if each of two labels has two groups or more, so that both can be halved; else none of them."""
    groups = rows.groupby("label")["group"].nunique()
    return rows if len(groups) == 2 and groups.min() >= 2 else rows.iloc[:0]
