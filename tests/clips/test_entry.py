"""Which clips an entry chooses."""

import pytest

from signbridge.clips.entry import ClipEntry, Recording, chosen
from signbridge.core.errors import SignBridgeError


def rows(*counts: tuple[str, str, int]) -> list[Recording]:
    return [
        Recording(f"{label}-{signer}-{number}", label, signer, "all", str(number))
        for label, signer, count in counts
        for number in range(count)
    ]


ROWS = rows(("FEW", "P1", 1), ("BOTH", "P1", 3), ("BOTH", "P2", 1), ("MANY", "P1", 4), ("MANY", "P3", 2))


def of(clips: list[Recording]) -> list[str]:
    return sorted({clip.label for clip in clips})


def test_all_clips_are_kept_unless_the_entry_says_otherwise():
    assert chosen(ROWS, ClipEntry()) == ROWS


def test_a_number_takes_the_most_frequent_glosses_or_the_first_of_the_sources_order():
    assert of(chosen(ROWS, ClipEntry(glosses=1))) == ["MANY"]
    assert of(chosen(ROWS, ClipEntry(glosses=2))) == ["BOTH", "MANY"]
    assert of(chosen(ROWS, ClipEntry(glosses=1), ["FEW", "MANY", "BOTH"])) == ["FEW"]


def test_listed_glosses_and_signers_are_taken_and_no_others():
    assert chosen(ROWS, ClipEntry(glosses=["MANY", "FEW"], signers=["P1"])) == [
        row for row in ROWS if row.label != "BOTH" and row.signer == "P1"
    ]
    assert {clip.signer for clip in chosen(ROWS, ClipEntry(signers=2))} == {"P1", "P3"}


def test_clips_of_a_sign_are_spread_over_its_signers_before_a_signer_gives_a_second():
    kept = chosen(ROWS, ClipEntry(clips_per_sign=2))
    assert [(row.label, row.signer, row.place) for row in kept] == [
        ("FEW", "P1", "0"), ("BOTH", "P1", "0"), ("BOTH", "P2", "0"), ("MANY", "P1", "0"), ("MANY", "P3", "0"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ({"glosses": ["MANNY"]}, "glosses: no clip of 'MANNY'. Did you mean 'MANY'?"),
        ({"signers": ["P9", "P1"]}, "signers: no clip of 'P9'. There are: P1, P3, P2."),
        ({"glosses": 4}, "glosses: 4, but there are 3. Ask for fewer."),
        ({"glosses": ["FEW"], "signers": ["P3"]}, "no clip is of one of `glosses` and by one of `signers`."),
    ],
)
def test_a_choice_that_finds_nothing_is_said(wanted, said):
    with pytest.raises(SignBridgeError) as raised:
        chosen(ROWS, ClipEntry(**wanted))
    assert said in str(raised.value)
