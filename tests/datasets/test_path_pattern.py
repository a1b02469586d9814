import re

import pytest
from ruamel.yaml import YAML

from signbridge.core.errors import SignBridgeError
from signbridge.datasets.path_pattern import Said, compiled, said
from tests.conftest import ROOT

WHOLE = r"(?P<signer>P\d+)/(?P<label>[a-z])/(?P<clip>take\d+)_(?P<photo>\d+)\.png$"


def test_signer_clip_and_photo_have_names_that_no_other_has():
    found = [
        said(compiled(WHOLE), f"{signer}/{label}/take1_7.png", upper=True)
        for signer in ("P1", "P2")
        for label in ("a", "b")
    ]
    assert found[0] == Said("P1/a/take1_7.png", "A", "all", "P1", "P1/A/take1", "P1/A/take1/7")
    assert len({image.clip for image in found}) == len({image.photo for image in found}) == 4


@pytest.mark.parametrize("above", ["", "dataset5/", "home/ann/signs/"])
def test_the_id_does_not_hang_on_where_the_folder_lies(above):
    assert said(compiled(WHOLE), f"{above}P1/a/take1_7.png", upper=False).image_id == "P1/a/take1_7.png"


def test_without_a_label_the_folder_is_the_class():
    found = said(compiled(r"(?P<signer>P\d+)_"), "here/B/P3_1.jpg", upper=False)
    assert (found.image_id, found.label, found.signer) == ("B/P3_1.jpg", "B", "P3")


@pytest.mark.parametrize(("word", "split"), [("Train", "train"), ("val", "valid"), ("TEST", "test")])
def test_the_split_is_found_in_any_usual_spelling(word, split):
    assert said(compiled("(?P<split>[A-Za-z]+)_set/(?P<label>[A-Z])/"), f"{word}_set/A/1.png", False).split == split


def test_a_path_that_is_not_of_the_pattern_says_nothing():
    assert said(compiled(WHOLE), "P1/a/depth1_7.png", upper=False) is None


@pytest.mark.parametrize(
    ("pattern", "path", "words"),
    [
        ("(?P<label>[A-Z]", "", ["`pattern` is no regular expression", "position 0"]),
        ("(?P<letter>[A-Z])", "", ["a group 'letter'", "label, signer, clip, photo, split"]),
        (r"(?P<label>[A-Z]?)_\d", "_1.png", ["_1.png: ", "finds no label in it"]),
        (r"(?P<signer>P\d)", "P1.png", ["P1.png: ", "finds no label in it"]),
        ("(?P<split>.)/(?P<label>.)/", "x/A/1.png", ["'x' is no split", "train, valid or test"]),
    ],
)
def test_a_pattern_that_does_not_do_says_what_is_wrong(pattern, path, words):
    with pytest.raises(SignBridgeError) as error:
        said(compiled(pattern), path, upper=False)
    assert all(word in str(error.value) for word in words), str(error.value)


def test_the_worked_example_of_the_docs_finds_what_it_says():
    section = (ROOT / "docs/datasets.md").read_text(encoding="utf-8").partition("## Your own photos")[2]
    paths, entry = re.findall(r"```(?:yaml)?\n(.*?)```", section, re.DOTALL)[:2]
    pattern = compiled(YAML(typ="safe").load(entry)["mine"]["pattern"])
    found = [said(pattern, path, upper=False) for path in paths.splitlines()]
    assert [(image.label, image.signer, image.clip) for image in found[:3]] == [
        ("A", "anna", "anna/A/take1"),
        ("B", "anna", "anna/B/take1"),
        ("A", "ben", "ben/A/take2"),
    ]
    assert found[3:] == [None]
