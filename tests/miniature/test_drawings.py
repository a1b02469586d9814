"""The hands of the lessons are the rendered dataset's own, under other seeds, drawn once."""

import contextlib
from pathlib import Path

import numpy as np
from PIL import Image
from ruamel.yaml import YAML

from models.miniature.drawings import SIZES, draw
from models.miniature.train import Recipe
from signbridge.rendered.dataset import RenderedParams, render
from signbridge.rendered.letter_poses import LETTERS


def test_the_copies_are_those_of_the_rendered_dataset_at_both_sizes(tmp_path):
    drawn = draw(seed=3, photos=2, copies=2, scratch=tmp_path, workers=1)
    assert drawn.images.shape == (2 * len(LETTERS), 2, 56, 56)
    for copy, size in enumerate(SIZES):
        dataset = render(RenderedParams(source="rendered", seed=3, size=size, photos=2, copies=2))
        for photo, image in enumerate(dataset[copy::2]):
            enlarged = Image.fromarray(image.pixels).resize((56, 56), Image.Resampling.BICUBIC)
            np.testing.assert_array_equal(drawn.images[photo, copy], np.asarray(enlarged))
            assert LETTERS[drawn.letters[photo]] == image.label


def test_letters_that_are_there_are_not_drawn_again(tmp_path):
    first = draw(seed=3, photos=1, copies=1, scratch=tmp_path, workers=1)
    files = {path.stem: path for path in tmp_path.glob("*/*.npy")}
    files["Q"].unlink()
    made = {letter: path.stat().st_mtime_ns for letter, path in files.items() if letter != "Q"}
    again = draw(seed=3, photos=1, copies=1, scratch=tmp_path, workers=1)
    np.testing.assert_array_equal(first.images, again.images)
    assert {letter: path.stat().st_mtime_ns for letter, path in files.items() if letter != "Q"} == made


def test_a_half_written_letter_is_not_taken_for_a_whole_one(tmp_path, monkeypatch):
    def stopped(file, array):
        file.write(b"half")
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(np, "save", stopped)
        with contextlib.suppress(KeyboardInterrupt):
            draw(seed=3, photos=1, copies=1, scratch=tmp_path, workers=1)
    assert len(draw(seed=3, photos=1, copies=1, scratch=tmp_path, workers=1).images) == len(LETTERS)


def test_no_study_draws_the_hands_of_the_lessons():
    datasets = YAML(typ="safe").load(Path("datasets.yaml").read_text(encoding="utf-8"))
    studied = {entry["seed"] for entry in datasets.values() if entry["source"] == "rendered"}
    assert studied.isdisjoint({Recipe().hands_seed, Recipe().hands_seed + 1})
