"""The stage `sae.features`, with the tiny random model and autoencoders that were hardly trained."""

from pathlib import Path

import numpy as np
import pytest
import torch
from sae_lens import SAE

from signbridge.core import activations, params, tables
from signbridge.datasets.control_images import NO_IMAGE
from signbridge.datasets.images import encode_png
from signbridge.statistics.autoencoders import items_of
from signbridge.vlm.model_run import ModelRun
from stages import extract_controls
from stages.sae import features as features_stage
from stages.sae import train
from tests.stages.causal_study import (
    IDS,
    PHOTOS,
    copy_to_run,
    resumes_with_the_same_bytes,
)
from tests.stages.sae_study import (
    IMAGES,
    PHRASES,
    PHRASES_READ,
    SITES,
)
from tests.stages.small_study import (
    as_declared,
    declared,
    outputs,
)

NEEDED = [
    "training.parquet",
    "passages.parquet",
    "layer_01/cfg.json",
    "layer_01/sae_weights.safetensors",
    "layer_01/pca.safetensors",
]


@pytest.fixture
def study(workspace, finished, monkeypatch):
    return copy_to_run(workspace, finished[0], monkeypatch)


@pytest.fixture
def finished(of_features):
    """The folder of a study whose stage has run, and what it wrote."""
    return of_features


def made_by() -> dict:
    return tables.made_by(features_stage.FEATURES / "features.parquet")


def test_what_is_declared_is_written(finished):
    assert as_declared("sae.features", finished[1]) == declared("sae.features")
    names = {path.removeprefix("data/sae/features/") for path in finished[1]}
    kinds = ("items", "sample", "no_image", "concept/features", "concept/stream")
    of_sites = {f"{kind}/{site}.parquet" for kind in kinds for site in SITES}
    assert names == {"features.parquet", "concept/answers.parquet"} | of_sites


def test_every_image_and_phrase_that_is_judged_has_a_row_of_numbers(study):
    for site in SITES:
        items, lists = items_of(features_stage.FEATURES / "items", site)
        of_kind = {kind: rows["item"].tolist() for kind, rows in items.groupby("kind")}
        assert len(set(of_kind["image"])) == len(of_kind["image"]) <= IMAGES
        assert set(of_kind["image"]) <= set(PHOTOS)
        assert len(set(of_kind["text"])) == PHRASES_READ
        assert set(of_kind["text"]) <= set(PHRASES)
        assert np.isfinite(items.drop(columns=["kind", "item"]).to_numpy()).all()
        assert (items[["tokens", "deviation", "error", "nll"]] > 0).all(axis=None)
        assert all(len(rows) == len(items) for rows in (lists["mass"], lists["explained"]))


def test_what_training_read_is_left_out_where_there_is_enough_else(study):
    read = tables.made_by(train.AUTOENCODERS / "training.parquet")["read"]
    assert 0 < read["images"] < 21 * len(IDS)
    assert made_by()["images_in_training"] == made_by()["phrases_in_training"] == 0
    assert made_by()["phrases"] == PHRASES_READ
    study.set_in(params.SAE, sae__text_share=1.0)
    train.main()
    features_stage.main()
    assert made_by()["phrases_in_training"] == PHRASES_READ, "training read the corpus more than once"
    assert made_by()["images_in_training"] == 0
    assert made_by()["images"] == IMAGES


def test_features_of_the_sample_are_those_of_the_stored_activations(study):
    for site in SITES:
        autoencoder = SAE.load_from_disk(train.AUTOENCODERS / site)
        stream = activations.read(Path("data/activations"), site, "prompt_last", IDS)
        features = activations.read(features_stage.FEATURES / "sample", site, "prompt_last", IDS)
        with torch.inference_mode():
            np.testing.assert_allclose(features, autoencoder.encode(torch.from_numpy(stream)), rtol=1e-3, atol=1e-4)
        means = activations.read(features_stage.FEATURES / "sample", site, "image_mean", IDS)
        assert means.shape == features.shape
        assert ((means > 0).sum(1) > (features > 0).sum(1)).any(), "an image has more than its last token has"


def test_the_concept_is_read_under_a_prompt_of_its_own(study):
    """Its features are those of the stream that is stored beside them, which is not that of the model's own prompt."""
    folder = features_stage.FEATURES / "concept"
    for site in SITES:
        autoencoder = SAE.load_from_disk(train.AUTOENCODERS / site)
        stream = activations.read(folder / "stream", site, "prompt_last", IDS)
        features = activations.read(folder / "features", site, "prompt_last", IDS)
        with torch.inference_mode():
            np.testing.assert_allclose(features, autoencoder.encode(torch.from_numpy(stream)), rtol=1e-3, atol=1e-4)
        own = activations.read(Path("data/activations"), site, "prompt_last", IDS)
        assert not np.allclose(stream, own, atol=1e-2)
    assert tables.read(folder / "answers.parquet")["image_id"].tolist() == IDS
    before = activations.read(folder / "stream", SITES[0], "prompt_last", IDS)
    study.set_in(
        params.SAE, concept__prompt=tables.made_by(Path("data/activations/layer_00.parquet"))["model"]["prompt"]
    )
    features_stage.main()
    after = activations.read(folder / "stream", SITES[0], "prompt_last", IDS)
    own = activations.read(Path("data/activations"), SITES[0], "prompt_last", IDS)
    np.testing.assert_allclose(after, own, atol=1e-4)
    assert not np.allclose(after, before, atol=1e-2)


def test_no_image_is_the_grey_that_the_controls_show_once_for_every_image(study):
    extract_controls.main()
    for site in SITES:
        autoencoder = SAE.load_from_disk(train.AUTOENCODERS / site)
        stream = activations.read(extract_controls.ACTIVATIONS / NO_IMAGE, site, "prompt_last", IDS)
        features = activations.read(features_stage.FEATURES / NO_IMAGE, site, "prompt_last", IDS)
        with torch.inference_mode():
            np.testing.assert_allclose(features, autoencoder.encode(torch.from_numpy(stream)), rtol=1e-3, atol=1e-4)
        means = activations.read(features_stage.FEATURES / NO_IMAGE, site, "image_mean", IDS)
        assert (means == means[0]).all()
        assert means.any()


def test_no_image_is_read_once_in_every_size(study):
    path = Path("data/sample.parquet")
    table, wide = tables.read(path), encode_png(np.full((14, 28), 90, np.uint8))
    images = [wide if row in (1, 4) else png for row, png in enumerate(table["image"])]
    tables.write(table.assign(image=images), path, tables.made_by(path))
    counts = []
    read = ModelRun.read_in_shards

    def counted(self, images, work, title, unit, within, reader):
        counts.extend([len(images)] if within == NO_IMAGE else [])
        return read(self, images, work, title, unit, within, reader)

    with pytest.MonkeyPatch.context() as here:
        here.setattr(ModelRun, "read_in_shards", counted)
        features_stage.main()
    assert counts == [2]
    assert len(activations.read(features_stage.FEATURES / NO_IMAGE, SITES[0], "image_mean", IDS)) == len(IDS)


def test_without_that_control_no_image_is_not_read(study):
    study.set(controls__read=["other_letter"])
    features_stage.main()
    assert not (features_stage.FEATURES / NO_IMAGE).exists()


def test_features_have_a_row_each_with_shares_of_tokens(study):
    features = tables.read(features_stage.FEATURES / "features.parquet")
    for site, rows in features.groupby("site"):
        items, lists = items_of(features_stage.FEATURES / "items", site)
        assert rows["feature"].tolist() == list(range(lists["mass"].shape[1]))
        for kind in ("image", "text"):
            here = (items["kind"] == kind).to_numpy()
            mean = lists["mass"][here].sum(0) / items.loc[here, "tokens"].sum()
            np.testing.assert_allclose(rows[f"{kind}_mean"], mean, rtol=1e-5)
            assert rows[f"{kind}_fires"].between(0, 1).all()
        assert (rows["modality"].isna() == ((rows["image_fires"] == 0) & (rows["text_fires"] == 0))).all()


def test_the_same_study_gives_the_same_bytes(study, finished):
    features_stage.main()
    assert {path: Path(path).read_bytes() for path in finished[1]} == finished[1]
    assert not Path(".scratch/sae_features").exists()


@pytest.mark.parametrize("killed_after", [1, 3])
@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_bytes(study, monkeypatch, killed_after):
    resumes_with_the_same_bytes(features_stage.main, monkeypatch, killed_after, shards=1 + 2 + 2 + 2 + 1)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"read__images": 1}, "read.images"),
        ({"read__phrases": 1}, "read.phrases"),
        (
            {"concept__prompt": "The finger is"},
            "stages/sae/params.yaml: concept.prompt must hold <image> exactly once, not 0 times",
        ),
        ({"questions__describe": "<image><image>"}, "questions.describe must hold <image> exactly once, not 2 times"),
    ],
)
def test_params_that_cannot_be_are_refused_by_their_key(study, changed, said):
    before = outputs()
    for key, value in changed.items():
        study.set_in(params.PARAMS if key.startswith("questions") else params.SAE, **{key: value})
    assert said in study.message_of_failure(features_stage.main)
    assert outputs() == before


def test_a_corpus_of_one_phrase_is_refused(study):
    Path("corpus.txt").write_text("A hand.", encoding="utf-8")
    train.main()
    assert "corpus.txt" in study.message_of_failure(features_stage.main)


@pytest.mark.parametrize("missing", NEEDED)
def test_missing_autoencoders_are_named_and_older_tables_are_kept(study, finished, missing):
    (train.AUTOENCODERS / missing).unlink()
    assert Path(missing).name in study.message_of_failure(features_stage.main)
    assert {path: Path(path).read_bytes() for path in finished[1]} == finished[1]
