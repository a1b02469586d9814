"""What a reader can point at: the right words in the right place, by a rule that knows no result, in few bytes."""

import base64
import json

import numpy as np
import pytest

from signbridge.lenses.patches import grid_of
from signbridge.report.lens_words import excerpt
from signbridge.report.patch_words import cells_of, chosen_images, patch_words
from tests.report import made_up, made_up_lenses
from tests.report.reading import Page, usual_page

HOSTILE = "</script><script>alert(1)</script><!--"


def said(data: dict, image: int, lens: int, site: int, patch: int) -> list[dict]:
    """The words of one cell, put together from the tables of texts as the script does."""
    columns = data["said"][image][lens]
    start = (site * len(data["patches"]) + patch) * data["k"]
    found = []
    for place in range(start, start + data["k"]):
        if columns["word"][place] < 0:
            continue
        one = {"word": data["words"][columns["word"][place]], "score": columns["score"][place] / 100}
        if "context" in columns:
            sentence, first, last = data["contexts"][columns["context"][place]]
            one |= {"sentence": data["sentences"][sentence], "in_sentence": data["sentences"][sentence][first:last]}
            one |= {"text_site": data["text_sites"][columns["text_site"][place]]}
        found.append(one)
    return found


def test_every_word_of_the_table_stands_at_its_own_image_lens_layer_and_patch():
    run = made_up.lenses(images_a_letter=4)
    data = patch_words(run).data
    ids = chosen_images(*_ids_and_labels(run), 12)
    rows = run.words[run.words["image_id"].isin(ids)].groupby(["image_id", "lens", "site", "patch"])
    lenses = ["embedding", "logit", "latent"]
    assert len(rows) == len(ids) * 3 * len(data["sites"]) * 9
    for (image, lens, site, patch), of_cell in rows:
        found = said(data, ids.index(image), lenses.index(lens), data["sites"].index(site), patch)
        assert [one["word"] for one in found] == of_cell["word"].tolist()
        assert [one["score"] for one in found] == pytest.approx(of_cell["score"].tolist(), abs=0.005)
        if lens == "latent":
            assert [one["sentence"] for one in found] == of_cell["sentence"].tolist()
            assert [one["in_sentence"] for one in found] == of_cell["word"].tolist()
            assert {one["text_site"] for one in found} == {"layer_02"}


def test_words_that_are_missing_leave_a_gap_and_shift_nothing():
    run = made_up.lenses(images_a_letter=2)
    words = run.words
    gone = (words["lens"] == "latent") & (words["patch"] == 4) & (words["rank"] == 1)
    data = patch_words(made_up.lenses(images_a_letter=2, words=words[~gone])).data
    assert [one["word"].rsplit(".", 1)[1] for one in said(data, 0, 2, 0, 4)] == ["2"]
    assert len(said(data, 0, 2, 0, 5)) == 2


def test_a_word_holds_whatever_its_case_and_only_where_the_hand_is_known():
    run = made_up.lenses(images_a_letter=2)
    first, *others = run.true_words
    data = patch_words(made_up.lenses(images_a_letter=2, true_words=dict.fromkeys(others, frozenset({"up"})))).data
    shown = chosen_images(*_ids_and_labels(run), 12)
    assert shown[0] == first
    assert data["holds"][0] is data["true_words"][0] is None
    assert [data["words"][place] for place in data["holds"][1]] == ["Up"]
    assert data["true_words"][1] == ["up"]


def test_the_hands_share_of_a_patch_is_told_in_per_cent_where_it_is_known():
    assert patch_words(made_up.lenses()).data["hand"][0] == [0, 10, 20, 30, 40, 50, 60, 70, None]


def _ids_and_labels(run):
    ids = list(dict.fromkeys(run.words["image_id"]))
    return ids, dict(zip(run.sample["image_id"], run.sample["label"], strict=True))


# --- Which images ----------------------------------------------------------------------------------------------------


def test_of_many_classes_an_even_share_gets_its_first_image():
    labels = {f"{letter}-{number}": letter for letter in "ABCDEFGHIJ" for number in range(3)}
    assert chosen_images(list(labels), labels, 4) == ["A-0", "D-0", "G-0", "J-0"]


def test_of_few_classes_more_images_are_taken_in_turn():
    labels = {f"{letter}-{number}": letter for letter in "BA" for number in range(5)}
    assert chosen_images(list(labels), labels, 5) == ["A-0", "A-1", "A-2", "B-0", "B-1"]
    assert chosen_images(["B-0", "A-3"], labels, 5) == ["A-3", "B-0"]


def test_which_images_are_shown_does_not_depend_on_what_they_say():
    run = made_up.lenses()
    other = made_up.lenses(words=run.words.assign(word="up"), true_words={})
    assert patch_words(run).images == patch_words(other).images


# --- How many bytes --------------------------------------------------------------------------------------------------


def _size(part) -> int:
    return len(json.dumps(part.data, separators=(",", ":")))


def test_what_does_not_fit_is_left_out_image_by_image_and_said():
    run = made_up.lenses(images_a_letter=6)
    whole = patch_words(run)
    assert len(whole.images) == 12
    assert "keep the page small" not in " ".join(whole.sees)
    half = patch_words(run, budget=_size(whole) // 2)
    assert 4 <= len(half.images) < 12
    assert _size(half) <= _size(whole) // 2
    assert half.sites == whole.sites
    assert f"no more than {len(half.images)} images." in " ".join(half.sees)


def test_where_one_image_is_too_much_its_layers_are_thinned_evenly():
    run = made_up.lenses(layers=8)
    few = patch_words(run, budget=_size(patch_words(run)) // 24)
    assert len(few.images) == 1
    assert 1 < len(few.sites) < 9
    assert (few.sites[0], few.sites[-1]) == ("embedding", "layer_07")
    assert f"1 image and {len(few.sites)} of 9 layers" in " ".join(few.sees)


def test_every_patch_and_layer_of_a_large_model_stays_within_the_budget():
    sites = [f"layer_{block:02}" for block in range(11)]
    sample = made_up.lenses().sample
    words = made_up_lenses.words_table(sample["image_id"].iloc[:6].tolist(), sites, range(144))
    part = patch_words(made_up.lenses(words=words, grid=(12, 12)))
    assert len(part.images) >= 1
    assert _size(part) <= 1_000_000


# --- Where patches lie -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("tokens", "most"), [(49, 49), (576, 49), (576, 576), (256, 10), (1, 1)])
def test_targets_fill_the_picture_without_overlap_and_hold_their_patch(tokens, most):
    side = round(tokens**0.5)
    cells = cells_of(grid_of(tokens, most).tolist(), (side, side))
    assert sum(cell.width * cell.height for cell in cells) == pytest.approx(100 * 100, rel=1e-4)
    for cell in cells:
        assert cell.left <= 100 * cell.column / side + 1e-3
        assert cell.left + cell.width >= 100 * (cell.column + 1) / side - 1e-3
        assert cell.top <= 100 * cell.row / side + 1e-3
        assert cell.top + cell.height >= 100 * (cell.row + 1) / side - 1e-3


def test_patches_are_numbered_row_by_row():
    [first, second] = cells_of([5, 6], (4, 3))
    assert (first.row, first.column) == (1, 2)
    assert (second.row, second.column) == (2, 0)


def test_tokens_that_make_no_grid_stand_in_a_line_and_the_page_says_so():
    part = patch_words(made_up.lenses(grid=None))
    assert part.data["cells"] is part.data["grid"] is None
    assert "numbered line" in " ".join(part.sees)


def test_of_a_grid_that_is_looked_at_in_part_the_page_says_which():
    said = " ".join(patch_words(made_up.lenses(grid=(6, 6))).sees)
    assert "Of the 36 patches of an image 9 were read" in said
    assert "were read, those" not in " ".join(patch_words(made_up.lenses()).sees)


# --- On the page -----------------------------------------------------------------------------------------------------


def test_a_run_without_words_has_nothing_to_point_at_and_the_page_stands():
    run = made_up.lenses(words=made_up.lenses().words.iloc[:0])
    assert patch_words(run) is None
    assert not Page(made_up.page(run)).all("div", id="patch-words")


def test_without_a_script_the_page_says_what_is_missing_and_shows_a_sample():
    section = usual_page(made_up.lenses).section("lenses")
    [part] = section.all("div", id="patch-words")
    [explorer] = part.all("div", id="patch-words-explorer")
    assert "hidden" in explorer.attributes
    assert "needs a script" in part.all("noscript")[0].text
    [twin] = part.all("details")
    rows = twin.all("tbody")[0].all("tr")
    assert len(rows) == 12 * 3
    assert "«latent.A-000-0.embedding.4.1»" in rows[0].text
    assert "✓" not in rows[0].text


def test_the_sample_marks_words_that_hold():
    words = made_up_lenses.words_table(["A-000-0"], ["embedding"], [7, 8, 9])
    part = patch_words(made_up.lenses(words=words, grid=None))
    [row] = part.twin.rows
    assert row[4].startswith("✓ Up, latent.")


def test_controls_have_names_and_the_script_has_their_data():
    part = usual_page(made_up.lenses).all("div", id="patch-words")[0]
    assert len(part.all("fieldset")) == len(part.all("legend")) == 2
    [slider] = part.all("input", type="range")
    assert slider.attributes["aria-valuetext"] == "embedding"
    assert slider.attributes["max"] == "4"
    assert [label.attributes["for"] for label in part.all("label") if "for" in label.attributes] == [
        slider.attributes["id"]
    ]
    assert json.loads(part.all("script", id="patch-words-data")[0].raw)["patches"] == list(range(9))


def test_hostile_words_and_sentences_stay_text():
    run = made_up.lenses(images_a_letter=2)
    words = run.words.assign(word=HOSTILE, token=HOSTILE, sentence=HOSTILE, start=0, end=len(HOSTILE))
    hostile = made_up.lenses(images_a_letter=2, words=words, true_words={"A-000-0": frozenset({HOSTILE})})
    usual, found = Page(made_up.page(run)), Page(made_up.page(hostile))
    assert len(found.all("script")) == len(usual.all("script"))
    data = json.loads(found.all("script", id="patch-words-data")[0].raw)
    assert data["words"] == [HOSTILE]


def test_a_photo_is_made_small_and_a_small_image_is_passed_on():
    run = made_up.lenses(images_a_letter=2)
    photo = made_up.png(np.random.default_rng(0).integers(0, 256, (600, 800, 3), dtype=np.uint8))
    sample = run.sample.assign(image=[photo, *run.sample["image"].iloc[1:]])
    part = patch_words(made_up.lenses(images_a_letter=2, sample=sample))
    assert part.images[0].source.startswith("data:image/jpeg;base64,")
    assert len(part.images[0].source) < 100_000
    assert part.images[1].source == f"data:image/png;base64,{base64.b64encode(sample['image'].iloc[2]).decode()}"


@pytest.mark.parametrize("word", ["first", "middle", "last"])
def test_a_long_sentence_is_cut_around_its_word(word):
    sentence = f"first {'before ' * 50}middle {'after ' * 50}last"
    start = sentence.index(word)
    text, first, last = excerpt(sentence, start, start + len(word), 60)
    assert text[first:last] == word
    assert len(text) <= 62
    assert set(text.strip("…").split()) <= {"first", "before", "middle", "after", "last"}
    assert (text[0] == "…") == (word != "first")
    assert (text[-1] == "…") == (word != "last")


def test_a_word_without_end_is_cut_too():
    assert excerpt("x" * 500, 0, 500, 40)[0] == "x" * 40 + "…"


def test_tokens_that_are_nothing_to_read_are_shown_by_their_names():
    words = made_up_lenses.words_table(["A-000-0"], ["embedding"], [0], k=4)
    odd = ["", "\N{REPLACEMENT CHARACTER}", "\x14", ""]
    words["word"] = odd * 3
    words["token"] = ["\u0120", "\u00e8", "\u0114", ""] * 3
    data = patch_words(made_up.lenses(words=words, grid=(1, 1))).data
    assert data["words"] == ["token \u0120", "token \u00e8", "token \u0114", "(no token)"]
