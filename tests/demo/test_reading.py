"""One picture through the model gives what the pipeline gives for it."""

import threading

import numpy as np
import pytest
from PIL import Image

from signbridge.core import tables
from signbridge.demo.analysis import Analysis, Picture
from signbridge.demo.reading import read
from signbridge.demo.study import DemoStudy
from signbridge.probing.probes import load


def test_an_image_of_the_sample_is_read_as_extract_read_it(in_study, reader):
    study = DemoStudy()
    answers = tables.read("data/answers.parquet")["answer"].tolist()
    for row in (0, 11, 29):
        reading = read(study, reader, study.image(study.sample["image"].iloc[row]))
        assert reading.answer == answers[row]
        for place in study.places:
            expected = study.vectors(place)[row]
            np.testing.assert_allclose(reading.vectors[place], expected, atol=2e-3 * np.abs(expected).max())


def test_letters_are_those_of_the_stored_probes(in_study, reader):
    study = DemoStudy()
    reading = read(study, reader, study.image(study.sample["image"].iloc[3]))
    assert set(reading.probabilities) == set(study.places)
    for site, position in (("pixels", "flat"), ("vision", "image_mean"), study.best):
        probe = load(f"data/probes/{site}.safetensors", position, "sample")
        expected = probe.predict_probability(reading.vectors[site, position][None])[0]
        np.testing.assert_array_equal(reading.probabilities[site, position], expected)


def test_what_the_model_saw_is_the_picture_at_the_towers_size(in_study, reader):
    study = DemoStudy()
    picture = Image.fromarray(np.tile(np.linspace(0, 255, 28).astype(np.uint8), (28, 1))).convert("RGB")
    seen = read(study, reader, picture).seen
    size = reader.loaded.processor.image_processor.crop_size
    assert seen.size == (size["width"], size["height"])
    shades = np.asarray(seen.convert("L")).astype(int).mean(axis=0)
    assert shades[0] < 40
    assert shades[-1] > 215
    assert (np.diff(shades) > -3).all()  # not mirrored


def test_the_switch_makes_a_picture_like_the_datasets_and_leaves_the_samples_own_alone(in_study, reader):
    study = DemoStudy()
    analysis = Analysis(study, lambda: reader)
    generator = np.random.default_rng(0)
    colours = Image.fromarray(generator.integers(0, 256, (60, 90, 3), np.uint8))
    pixels = {switch: analysis.read(Picture(colours, []), switch).vectors["pixels", "flat"] for switch in (True, False)}
    assert not np.array_equal(pixels[True], pixels[False])
    middle = np.asarray(colours.crop((15, 0, 75, 60)).convert("L").resize((28, 28), Image.Resampling.BOX))
    np.testing.assert_array_equal(pixels[True], middle.reshape(-1))
    example = analysis.example(2)
    readings = [analysis.read(example, switch) for switch in (True, False)]
    np.testing.assert_array_equal(readings[0].vectors[study.best], readings[1].vectors[study.best])


def test_an_example_is_read_once(in_study, reader, monkeypatch):
    analysis = Analysis(DemoStudy(), lambda: reader)
    first = analysis.read_example(1)
    monkeypatch.setattr(analysis, "read", lambda *_: pytest.fail("read again"))
    assert analysis.read_example(1) is first


def test_whoever_asks_for_a_model_that_did_not_load_is_told_why(in_study):
    def broken():
        raise ValueError("no such model")

    analysis = Analysis(DemoStudy(), broken)
    with pytest.raises(ValueError, match="no such model"):
        analysis.reader()
    assert not analysis.is_loading


@pytest.mark.parametrize("ended", [False, True])
def test_a_model_that_fails_to_load_as_the_program_ends_is_no_error(in_study, caplog, ended):
    """As an executor fails once the interpreter shuts down."""
    began, may_fail, loading = threading.Event(), threading.Event(), []

    def broken():
        loading.append(threading.current_thread())
        began.set()
        may_fail.wait(10)
        raise RuntimeError("cannot schedule new futures after interpreter shutdown")

    analysis = Analysis(DemoStudy(), broken)
    assert began.wait(10)
    if ended:
        analysis.end()
    may_fail.set()
    loading[0].join(10)
    assert not loading[0].is_alive()
    assert ("cannot be loaded" in caplog.text) != ended
