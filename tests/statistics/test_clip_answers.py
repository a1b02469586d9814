"""Answers about clips: what names a sign or a movement, and what order adds to the words."""

import numpy as np
import pandas as pd
import pytest

from signbridge.statistics.clip_answers import answers_table, named_with_synonyms
from signbridge.statistics.intervals import StatisticsParams

NAMES = ["right", "left", "thank_you", "J"]
SYNONYMS = {"right": ["rightward", "to the right side"], "thank_you": ["thanks"]}


@pytest.mark.parametrize(
    ("answer", "named"),
    [
        ("Right.", "right"),
        ("It goes rightward", "right"),
        ("to the RIGHT side, rightward", "right"),
        ("right or left", None),
        ("rightwards", None),
        ("Thanks!", "thank_you"),
        ("thank you", "thank_you"),
        ("J", "J"),
        ("", None),
    ],
)
def test_a_name_or_one_of_its_synonyms_counts_and_two_names_do_not(answer, named):
    assert named_with_synonyms(answer, NAMES, SYNONYMS) == named


def test_order_adds_to_the_words_what_it_adds_to_the_same_clips():
    clips = pd.DataFrame(
        {"clip": list("abcdefgh"), "signer": list("ppqqrrss"), "movement": ["right", "left"] * 3 + [""] * 2}
    )
    answers = {
        "in_order": clips.assign(answer=clips["movement"]),
        "shuffled": clips.assign(answer="right"),
    }
    statistics = StatisticsParams(confidence=0.9, resamples=100)
    table = answers_table(answers, clips, "movement", {}, statistics, np.random.default_rng(0)).set_index("reading")
    assert table["named"].tolist() == [1.0, 0.5], "clips without a movement are left out"
    assert table.loc["shuffled", "over"] == 0.5
    assert table.loc["shuffled", "p_value"] == 2 / 2**3
    unknown = clips.assign(movement="")
    assert answers_table(answers, unknown, "movement", {}, statistics, np.random.default_rng(0)).empty
