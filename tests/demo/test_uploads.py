"""What a visitor uploads becomes an upright RGB picture, or a sentence."""

import contextlib
import io
import re

import numpy as np
import pytest
from PIL import Image

from signbridge.demo.study import DemoStudy, Format
from signbridge.demo.uploads import UploadError, open_upload, prepared
from tests.demo import pictures


def grey(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("L")).astype(int)


def test_an_ordinary_picture_comes_through_unchanged_and_without_a_word(tmp_path):
    upload = open_upload(pictures.png(tmp_path))
    assert upload.image.mode == "RGB"
    assert upload.notes == []
    np.testing.assert_array_equal(grey(upload.image), pictures.shades())


@pytest.mark.parametrize(
    ("make", "note", "tolerance"),
    [
        (pictures.animation, "3 frames; only the first", 0),
        (pictures.cmyk, r"printing colours \(CMYK\)", 12),
        (pictures.sixteen_bit, "upper 8 bits", 0),
        (pictures.lying_on_its_side, "turned upright", 0),
    ],
)
def test_unusual_pictures_are_shown_as_they_were_meant_and_the_visitor_is_told(tmp_path, make, note, tolerance):
    upload = open_upload(make(tmp_path))
    assert len(upload.notes) == 1
    assert re.search(note, upload.notes[0])
    assert upload.image.mode == "RGB"
    np.testing.assert_allclose(grey(upload.image), pictures.shades(), atol=tolerance)


def test_behind_what_is_transparent_lies_white_as_in_the_dataset(tmp_path):
    upload = open_upload(pictures.transparent(tmp_path))
    assert set(upload.image.get_flattened_data()) == {(255, 255, 255)}
    assert "filled with white" in upload.notes[0]


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (pictures.text, "not a picture that can be read"),
        (pictures.svg, "SVG drawing"),
        (pictures.truncated, "damaged or cut short"),
        (pictures.one_pixel, "1 x 1 pixels: too few"),
        (pictures.gigantic, "far too large: at most 50 megapixels"),
        (pictures.large, "10,000 x 6,000 pixels; at most 50 megapixels"),
        (pictures.strip, "a strip of 2,000 x 20"),
    ],
)
def test_what_cannot_be_shown_gets_a_sentence(tmp_path, make, sentence):
    with pytest.raises(UploadError, match=sentence) as caught:
        open_upload(make(tmp_path))
    assert str(caught.value).endswith(".")
    assert str(tmp_path) not in str(caught.value)


def test_a_file_that_is_gone_gets_a_sentence(tmp_path):
    with pytest.raises(UploadError, match="did not arrive"):
        open_upload(tmp_path / "gone.png")


@pytest.mark.parametrize("seed", range(60))
def test_no_damage_to_a_file_leads_to_anything_else_than_a_sentence(tmp_path, seed):
    generator = np.random.default_rng(seed)
    makers = [pictures.png, pictures.animation, pictures.cmyk, pictures.sixteen_bit, pictures.tiff, pictures.webp]
    path = makers[seed % len(makers)](tmp_path)
    content = bytearray(path.read_bytes())
    for place in generator.integers(0, len(content), 1 + seed // 4):
        content[place] = generator.integers(0, 256)
    path.write_bytes(bytes(content[: int(generator.integers(1, len(content) + 1))]))
    with contextlib.suppress(UploadError):
        assert open_upload(path).image.mode == "RGB"


def test_colour_stays_colour_unless_the_images_of_the_study_are_grey():
    red = np.zeros((40, 30, 3), np.uint8) + np.array([200, 30, 30], np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(red).save(buffer, format="PNG")
    upload = open_upload(buffer.getvalue())
    np.testing.assert_array_equal(np.asarray(upload.image), red)
    for grey_study, colours in ((False, 1), (True, 0)):
        form = Format(square=False, side=None, grey=grey_study)
        spread = np.ptp(np.asarray(prepared(upload.image, form)), axis=2)
        assert (spread > 0).mean() == colours
    np.testing.assert_array_equal(np.asarray(DemoStudy.image(buffer.getvalue())), red)
