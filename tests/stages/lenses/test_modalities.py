"""The stage `modalities`, with the tiny random model."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from signbridge.core import params, tables
from signbridge.lenses.modalities import whole_phrases
from signbridge.vlm.extraction import Reader
from signbridge.vlm.loading import ModelParams, device_from_environment, load
from signbridge.vlm.text import text_tokens
from stages.lenses import lens, modalities, text_index
from tests.stages.causal_study import copy_to_run, resumes_with_the_same_bytes
from tests.stages.lens_study import IMAGES, PHRASES, PHRASES_CHOSEN, relabel, with_modalities
from tests.stages.small_study import as_declared, declared, written_by

MEASURES = {"text_near_image", "image_near_text", "text_near_image_centred", "image_near_text_centred"}


CAPTIONS = {"A": "The fingers are bent.", "B": "The fingers are together and up."}


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> tuple[Path, dict[str, bytes]]:
    """The folder of a study whose stage has run, and what it wrote."""
    folder = tmp_path_factory.mktemp("modalities")
    with with_modalities(folder):
        return folder, written_by(modalities.main)


@pytest.fixture
def study(workspace, finished, monkeypatch):
    return copy_to_run(workspace, finished[0], monkeypatch)


def test_what_is_declared_is_written(finished):
    assert as_declared("lenses.modalities", finished[1]) == declared("lenses.modalities")


def test_every_image_phrase_and_caption_has_its_mean_at_every_layer_of_the_lenses(study):
    items = tables.read(modalities.ITEMS)
    text_index.main()
    lens.main()
    lenses = tables.read(lens.WORDS)
    assert list(dict.fromkeys(items["site"])) == list(dict.fromkeys(lenses["site"]))
    for _, here in items.groupby("site"):
        of_kind = {kind: rows["item"].tolist() for kind, rows in here.groupby("kind")}
        assert of_kind.keys() == {"image", "text", "caption"}
        assert of_kind["image"] == of_kind["caption"] == list(dict.fromkeys(lenses["image_id"]))
        assert len(of_kind["image"]) == IMAGES
        assert of_kind["text"] == sorted(of_kind["text"], key=PHRASES.index)
        assert len(set(of_kind["text"])) == PHRASES_CHOSEN
    assert np.isfinite(np.stack(items["mean"])).all()
    assert (np.linalg.norm(np.stack(items["unit_mean"]), axis=1) <= 1 + 1e-6).all()


def test_the_means_are_those_of_each_text_read_alone(study):
    items = tables.read(modalities.ITEMS)
    sample = tables.read("data/sample.parquet").set_index("image_id")
    _, model = params.selected("model", params.MODELS, ModelParams)
    loaded = load(model, Path(".scratch/models"), device_from_environment())
    reader = Reader(loaded, model.prompt, model.max_new_tokens, batch_size=8)
    site = items["site"].iloc[-1]
    for kind in ("text", "caption"):
        here = items[(items["kind"] == kind) & (items["site"] == site)]
        texts = here["item"].tolist()
        if kind == "caption":
            texts = [CAPTIONS[label] for label in sample.loc[texts, "label"]]
        for text, mean in zip(texts, here["mean"], strict=True):
            alone = reader.read(whole_phrases(loaded.processor.tokenizer, [text]), text_tokens(reader, [site]))
            np.testing.assert_allclose(mean, alone.vectors[site].mean(0), rtol=1e-3, atol=1e-4)


def test_neighbours_are_shares_at_every_layer(study):
    items, neighbours = tables.read(modalities.ITEMS), tables.read(modalities.NEIGHBOURS)
    assert set(neighbours["measure"]) == MEASURES
    assert neighbours["value"].between(0, 1).all()
    for site in set(items["site"]):
        here = neighbours[neighbours["site"] == site]
        assert set(here["measure"]) == MEASURES
        for kind, measure in (("image", "text_near_image"), ("text", "image_near_text")):
            of_kind = items.loc[(items["site"] == site) & (items["kind"] == kind), "item"]
            assert set(here.loc[here["measure"] == measure, "item"]) <= set(of_kind)


def test_the_same_study_gives_the_same_bytes(study, finished):
    modalities.main()
    assert {path: Path(path).read_bytes() for path in finished[1]} == finished[1]


@pytest.mark.parametrize("killed_after", [1, 3])  # among the images, and among the phrases
@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_bytes(study, monkeypatch, killed_after):
    resumes_with_the_same_bytes(modalities.main, monkeypatch, killed_after, shards=2 + 4)


def test_classes_that_are_no_letters_have_captions_only_of_their_names(study):
    relabel([f"thumb_{label}" for label in tables.read("data/sample.parquet")["label"]])
    modalities.main()
    assert set(tables.read(modalities.ITEMS)["kind"]) == {"image", "text"}
    study.set_in(params.LENSES, modalities__caption="This is {label}.")
    modalities.main()
    means = of_captions(tables.read(modalities.ITEMS))
    assert means.nunique() == 2, "one a class"


def of_captions(items: pd.DataFrame) -> pd.Series:
    """Each caption's mean at the last layer, as a string of bytes."""
    here = items[(items["kind"] == "caption") & (items["site"] == items["site"].iloc[-1])]
    return here["mean"].map(lambda mean: mean.tobytes())


def test_another_brace_in_the_caption_is_refused_before_the_model_is_run(study, monkeypatch):
    study.set_in(params.LENSES, modalities__caption="A {letter}.")
    monkeypatch.setattr(modalities, "model_run", None)
    assert "modalities.caption" in study.message_of_failure(modalities.main)


def test_templates_without_their_word_are_refused_before_the_model_is_run(study, monkeypatch):
    study.set(questions__templates=["A finger."])
    monkeypatch.setattr(modalities, "model_run", None)
    assert "questions.templates" in study.message_of_failure(modalities.main)


def test_words_in_templates_are_phrases_too(study):
    Path("corpus.txt").write_text("up\nbent", encoding="utf-8")
    study.set(questions__templates=["The finger is {word}.", "It is {word}."])
    modalities.main()
    items = tables.read(modalities.ITEMS)
    assert set(items.loc[items["kind"] == "text", "item"]) == {
        "The finger is up.", "It is up.", "The finger is bent.", "It is bent.",
    }  # fmt: skip


def test_a_missing_corpus_is_named(study):
    Path("corpus.txt").unlink()
    assert "corpus.txt" in study.message_of_failure(modalities.main)


def test_a_missing_sample_is_named_and_older_tables_are_kept(study, finished):
    Path("data/sample.parquet").unlink()
    assert "sample.parquet" in study.message_of_failure(modalities.main)
    assert {path: Path(path).read_bytes() for path in finished[1]} == finished[1]
