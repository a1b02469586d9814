"""What a page says where signers are held out, and that without them it speaks of photos."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from signbridge.report.figures.class_grid import MOST_LETTERS, MOST_SIGNERS, class_grid_by_signer
from signbridge.report.inputs import Inputs
from signbridge.report.misread import EACH, WITHOUT_SIGNERS, most_misread
from signbridge.report.pages import study_page
from signbridge.report.sections import audit, confusions, ladder, signers
from signbridge.report.sentences import answer, few_groups
from tests.report import made_up, made_up_signers

PEOPLE = made_up_signers.study()
PHOTOS = made_up.study()


def plain(text: str) -> str:
    return " ".join(text.split()).replace("\u2212", "-")


def said_on_the_page_of(run: Inputs) -> str:
    """All that stands on its page, before it becomes HTML."""
    return plain(str(made_up.PAGES[type(run)](run)))


def test_every_sentence_on_splits_and_intervals_names_what_is_held_out():
    by_photo, by_signer = said_on_the_page_of(PHOTOS), said_on_the_page_of(PEOPLE)
    of_groups = {
        "in photos that it was not fitted on": "in images of signers that it was not fitted on",
        "no photo on both sides": "no signer on both sides",
        "photos resampled": "signers resampled",
        "The other split keeps all copies of a photo on one side": "The other split keeps all images of a signer on "
        "one",
        "No test image has a copy of its photo in training": "No test image has its signer in training",
        "With the photos resampled": "With the signers resampled",
        "The intervals are over photos and orders": "The intervals are over signers and orders",
    }
    for photos, people in of_groups.items():
        assert photos in by_photo
        assert people not in by_photo
        assert people in by_signer
        assert photos not in by_signer
    assert "signer" not in by_photo


@pytest.mark.parametrize("run", [made_up.causal(), made_up.sae()], ids=["causal", "sae"])
def test_further_questions_name_the_groups_of_the_sample(run):
    assert run.group.many == "photos"
    people = replace(run, sample=run.sample.assign(signer=run.sample["image_id"].str[-1]))
    one = replace(run, sample=run.sample.assign(signer="P1"))
    assert (people.group.many, one.group.many) == ("signers", "photos"), "one signer alone cannot be held out"
    assert "half of the signers" in said_on_the_page_of(people)
    assert "half of the photos" in said_on_the_page_of(run)


def test_few_signers_are_said_to_be_few_on_the_first_screen_and_beside_the_curves():
    said = "3, which is few: intervals resample these alone, so they are rough and mostly too narrow"
    assert few_groups(PEOPLE).startswith(said)
    assert dict(study_page(PEOPLE).facts)["signers"].startswith(said)
    assert said in plain(" ".join(ladder.section(PEOPLE).lead))
    many = made_up_signers.study(tuple(f"P{number:02d}" for number in range(25)))
    assert few_groups(many) == few_groups(PHOTOS) == ""
    assert dict(study_page(many).facts)["signers"] == "25"
    assert "photos" not in dict(study_page(PHOTOS).facts)


def test_a_split_without_copies_that_has_the_signer_in_training_is_not_said_to_be_clean():
    leakage = {**PEOPLE.leakage, "signbridge_copies_in_train": 0.0}
    clean = made_up_signers.study(leakage=leakage, found={**made_up.study(leaking=False).found},
                                  accuracy=made_up.study(leaking=False).accuracy)  # fmt: skip
    said = plain(answer(clean)[1])
    assert "nothing leaks: no image tested has a copy of its photo in training" in said
    assert "but their signer is in training: of the images tested under the notebook's split 100.0 %" in said


# The seen and the unseen signer ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("low", "high", "says"),
    [(0.02, 0.22, "knowing the signer is worth 12.0 points (2.0 to 22.0)"),
     (-0.05, 0.29, "knowing the signer is not shown to be worth anything (12.0 points (-5.0 to 29.0)"),
     (-0.3, -0.1, "with the signer known it reads less")],
)  # fmt: skip
def test_what_knowing_the_signer_is_worth_is_said_at_the_layer_of_the_headline(low, high, says):
    table = PEOPLE.signers.assign(low=low, high=high)
    picture = signers.seen_and_unseen(made_up_signers.study(signers=table))
    sees = plain(picture.sees)
    assert f"At {PEOPLE.found['grouped_peak_site']} it reads 90.0 % and 78.0 %: {says}" in sees
    assert sees.endswith("At raw pixels the difference is 30.0 points.")
    assert [row[0] for row in picture.twin.rows] == PEOPLE.sites
    series = {row["series"] for row in picture.spec["datasets"][picture.spec["data"]["name"]]}
    assert series == {"signer seen in training", "signer not seen", "chance"}


def test_without_signers_there_is_no_such_picture():
    assert signers.seen_and_unseen(PHOTOS) is None
    assert len(ladder.section(PHOTOS).pictures) == 2
    assert len(ladder.section(PEOPLE).pictures) == 3


# The audit ------------------------------------------------------------------------------------------------------------


def test_the_audit_says_for_each_protocol_what_stands_in_training():
    [table] = [table for table in audit.section(PEOPLE).tables if "in training" in table.columns[1]]
    assert table.columns[1:4] == ("a copy in training", "its clip in training", "its signer in training")
    rows = [tuple(map(plain, row)) for row in table.rows]
    assert rows[0] == ("the notebook's split (leaking)", "25.0 %", "75.0 %", "100.0 %", "78.0 %")
    assert rows[1] == ("no signer on both sides", "0.0 %", "0.0 %", "0.0 %", "41.0 %")
    assert not any("in training" in table.columns[1] for table in audit.section(PHOTOS).tables)


def test_the_audit_counts_signers_where_they_are_known():
    facts = {row[0]: row[1:] for row in audit.section(PEOPLE).tables[0].rows}
    assert facts["signers"] == ("10", "3")
    assert facts["photos that two signers have"] == ("2", "–")
    assert len(audit.section(PHOTOS).tables[0].rows) == len(facts) - 2


# What is read wrong ---------------------------------------------------------------------------------------------------


def predictions(**read: list[str]) -> pd.DataFrame:
    """Tests of images of A (`a1`) and B (`b1`): what each is read as."""
    rows = [(name, name[0].upper(), predicted) for name, each in read.items() for predicted in each]
    return pd.DataFrame(rows, columns=["image_id", "label", "predicted"])


def test_the_images_that_are_read_wrong_most_often_come_first_with_what_they_are_taken_for():
    tests = predictions(a1=["A", "B", "C"], a2=["C", "C", "B"], b1=["B", "B", "B"], b2=["A", "B", "B"])
    sample = pd.DataFrame({"image_id": ["a1", "a2", "b1", "b2"], "label": list("AABB")})
    found = most_misread(tests, sample)
    assert found.images == 3
    assert found.worst.to_numpy().tolist() == [
        ["a2", "A", "C", 3, 3, ""], ["a1", "A", "B", 2, 3, ""], ["b2", "B", "A", 1, 3, ""],
    ]  # fmt: skip
    assert most_misread(tests.assign(predicted=tests["label"]), sample).worst.empty
    assert most_misread(tests.iloc[:0], sample).images == 0


@pytest.mark.parametrize("known", [True, False])
def test_of_each_signer_the_worst_are_shown(known):
    names = [f"a{number}" for number in range(50)]
    sample = pd.DataFrame({"image_id": names, "label": "A"})
    sample = sample.assign(signer=["P1"] * 40 + ["P2"] * 10) if known else sample
    worst = most_misread(predictions(**{name: ["B"] for name in names}), sample).worst
    assert worst["who"].value_counts().to_dict() == ({"P1": EACH, "P2": EACH} if known else {"": WITHOUT_SIGNERS})


def test_the_page_shows_them_by_signer_with_the_true_and_the_read_letter():
    misread = most_misread(made_up.predictions(PEOPLE), PEOPLE.sample)
    gallery = confusions.section(made_up_signers.study(misread=misread)).gallery
    assert [name for name, _ in gallery.groups] == ["Signer P1", "Signer P2", "Signer P3"]
    [_, examples] = gallery.groups[0]
    assert [example.answer for example in examples] == ["D, read as A"] * 2 + ["C, read as A"] * 2
    assert [example.share for example in examples] == ["2 of 2 tests"] * 2 + ["1 of 2 tests"] * 2
    assert plain(gallery.sees).startswith("12 images of 24 are read wrong in one test or more at layer_02")
    assert examples[0].image.alt == "D, read as A in 2 of 2 tests"
    assert confusions.section(PHOTOS).gallery is None


# The class grid -------------------------------------------------------------------------------------------------------


def test_the_class_grid_has_a_row_for_each_signer_and_a_blank_where_there_is_no_image():
    red = np.zeros((20, 40, 3), np.uint8) + np.array([255, 0, 0], np.uint8)
    figure = class_grid_by_signer(["A", "B"], ["P1", "P2"], {("A", "P1"): red, ("B", "P2"): red[..., 0]})
    [axes] = figure.axes
    assert [label.get_text() for label in axes.get_xticklabels()] == ["A", "B"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["P1", "P2"]
    colour, grey = axes.images
    assert colour.get_array().shape == (20, 40, 3)
    assert grey.get_clim() == (0, 255)
    left, right, bottom, top = colour.get_extent()
    assert (right - left) / (bottom - top) == pytest.approx(2), "its own proportions"
    assert (round((left + right) / 2), round((top + bottom) / 2)) == (0, 0)


def test_many_letters_and_signers_stay_within_a_page():
    letters, people = [f"word {number}" for number in range(60)], [f"P{number}" for number in range(40)]
    images = {(letter, signer): np.zeros((4, 4), np.uint8) for letter in letters[:3] for signer in people}
    figure = class_grid_by_signer(letters, people, images)
    width, height = figure.get_size_inches()
    assert width <= 6.5
    assert height <= 11
    assert len(figure.axes[0].images) == 3 * MOST_SIGNERS
    assert len(figure.axes[0].get_xticks()) == MOST_LETTERS
