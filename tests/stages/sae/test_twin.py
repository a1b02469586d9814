"""The stage `sae.twin`: what the stage `sae.train` does, of the tiny random model's twin."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from sae_lens import SAE

import signbridge.vlm.model_run
from signbridge.core import activations, params, tables
from signbridge.sae import training
from stages import extract_controls
from stages.sae import features as features_stage
from stages.sae import train, twin
from tests.stages.causal_study import (
    IDS,
    Killed,
    continued,
    copy_to_run,
    resumes_with_the_same_bytes,
)
from tests.stages.sae_study import PRESET, SITES
from tests.stages.small_study import (
    as_declared,
    declared,
    outputs,
    written_by,
)

pytestmark = pytest.mark.slow  # autoencoders are trained

CONCEPT = twin.TWIN / "concept"
BOTH = (train.AUTOENCODERS, twin.TWIN / "sae")  # folders of autoencoders


@pytest.fixture(scope="module")
def finished(tmp_path_factory, of_features) -> tuple[Path, dict[str, bytes]]:
    """The folder of a study whose stage has run, and what it wrote."""
    folder = tmp_path_factory.mktemp("sae_twin")
    with continued(of_features[0], folder):
        return folder, written_by(twin.main)


@pytest.fixture
def study(workspace, finished, monkeypatch):
    return copy_to_run(workspace, finished[0], monkeypatch)


def read(folder: Path, kind: str, site: str, position: str = "prompt_last") -> np.ndarray:
    return activations.read(folder / kind, site, position, IDS)


def test_what_is_declared_is_written(finished):
    assert as_declared("sae.twin", finished[1]) == declared("sae.twin")
    files = ("cfg.json", "sae_weights.safetensors", "pca.safetensors")
    stored = {f"sae/{site}/{file}" for site in SITES for file in files}
    of_concept = {f"concept/{kind}/{site}.parquet" for kind in ("features", "stream") for site in SITES}
    of_sample = {f"sample/{site}.parquet" for site in SITES}
    names = {path.removeprefix("data/sae/twin/") for path in finished[1]}
    items = {"features.parquet", *(f"items/{site}.parquet" for site in SITES)}
    assert names == {"sae/training.parquet", "concept/answers.parquet"} | stored | of_concept | of_sample | items


def test_the_same_items_are_read_as_of_the_model(study):
    for site in SITES:
        of_model, of_twin = (
            tables.read(folder / f"items/{site}.parquet") for folder in (features_stage.FEATURES, twin.TWIN)
        )
        assert of_model[["kind", "item"]].equals(of_twin[["kind", "item"]])
        assert (of_twin["tokens"] > 0).all()
        assert "nll" not in of_twin


def test_features_are_those_that_the_twins_autoencoders_make_of_the_twins_stream(study):
    for site in SITES:
        autoencoder = SAE.load_from_disk(twin.TWIN / "sae" / site)
        with torch.inference_mode():
            expected = autoencoder.encode(torch.from_numpy(read(CONCEPT, "stream", site)))
        np.testing.assert_allclose(read(CONCEPT, "features", site), expected, rtol=1e-3, atol=1e-4)
        assert read(CONCEPT, "features", site, "image_mean").any()


def test_the_sample_is_read_by_the_same_twin_under_the_models_own_prompt(study):
    """Its streams are those that the controls have of the twin; what image tokens say does not depend on the prompt."""
    extract_controls.main()
    for site in SITES:
        stream = read(extract_controls.ACTIVATIONS, "untrained_twin", site)
        autoencoder = SAE.load_from_disk(twin.TWIN / "sae" / site)
        with torch.inference_mode():
            expected = autoencoder.encode(torch.from_numpy(stream))
        np.testing.assert_allclose(read(twin.TWIN, "sample", site), expected, rtol=1e-3, atol=1e-4)
        assert not np.allclose(read(twin.TWIN, "sample", site), read(CONCEPT, "features", site), atol=1e-3)
        means = read(twin.TWIN, "sample", site, "image_mean")
        np.testing.assert_allclose(means, read(CONCEPT, "features", site, "image_mean"), rtol=1e-3, atol=1e-4)


def test_the_twin_is_another_model_whose_autoencoders_are_trained_as_the_models(study):
    models = features_stage.FEATURES / "concept"
    for site in SITES:
        ours, theirs = (SAE.load_from_disk(folder / site) for folder in BOTH)
        assert ours.cfg.to_dict().keys() == theirs.cfg.to_dict().keys()
        assert ours.W_dec.shape == theirs.W_dec.shape
        assert not torch.allclose(ours.W_dec, theirs.W_dec)
        assert not np.allclose(read(CONCEPT, "stream", site), read(models, "stream", site), atol=1e-2)
    of_model, of_twin = (tables.made_by(folder / "training.parquet") for folder in BOTH)
    same = ("preset", "sae", "seed", "sites", "images_sha256", "corpus_sha256", "read")
    assert {name: of_model[name] for name in same} == {name: of_twin[name] for name in same}
    assert "twin_seed" not in of_model
    assert of_twin["twin_seed"] == tables.made_by(CONCEPT / "answers.parquet")["twin_seed"]
    logged = [tables.read(folder / "training.parquet")["step"].max() for folder in BOTH]
    assert logged == [PRESET["tokens"] // PRESET["batch"]] * 2


def test_the_same_study_gives_the_same_bytes_and_nothing_is_left_behind(study, finished):
    twin.main()
    assert {path: Path(path).read_bytes() for path in finished[1]} == finished[1]
    assert not Path(".scratch/sae_twin").exists()


def test_a_twin_that_the_study_leaves_out_is_not_trained(study, monkeypatch):
    monkeypatch.setattr(signbridge.vlm.model_run, "load", lambda *_: pytest.fail("a model was loaded"))
    study.set(controls__read=["no_image"])
    twin.main()
    assert twin.TWIN.is_dir()
    assert not any(twin.TWIN.iterdir())


def test_another_seed_draws_another_twin(study):
    before = read(CONCEPT, "stream", SITES[0])
    study.set(controls__twin_seed=99)
    twin.main()
    assert not np.allclose(read(CONCEPT, "stream", SITES[0]), before, atol=1e-2)


def test_a_run_killed_as_it_reads_the_concept_goes_on_to_the_same_bytes(study, monkeypatch):
    resumes_with_the_same_bytes(twin.main, monkeypatch, killed_after=3, shards=2 + 2 + 1 + 2)


def test_a_run_killed_as_it_trains_goes_on_to_the_same_bytes(study, monkeypatch):
    expected, steps = outputs(), []
    monkeypatch.setattr(training, "SECONDS_BETWEEN_CHECKPOINTS", 0)
    take_step = training._step

    def dies_in_the_second(site, trainer, *args):
        if trainer.n_training_steps == 1:
            raise Killed
        return take_step(site, trainer, *args)

    def counted(site, trainer, *args):
        steps.append((site, trainer.n_training_steps))
        return take_step(site, trainer, *args)

    monkeypatch.setattr(training, "_step", dies_in_the_second)
    with pytest.raises(Killed):
        twin.main()
    assert outputs() == expected, "nothing is touched before the work is done"
    monkeypatch.setattr(training, "_step", counted)
    twin.main()
    assert sorted(steps) == [(site, 1) for site in SITES]
    assert outputs() == expected


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"sae__preset": "big"}, "sae.preset"),
        ({"sae_presets__small": {**PRESET, "width": "16x"}}, "does not fit the model tiny-random"),
        ({"concept__finger": "thumb"}, "concept.finger"),
        ({"concept__prompt": ""}, "concept.prompt"),
        ({"concept__prompt": "The finger is"}, "stages/sae/params.yaml: concept.prompt must hold <image> exactly once"),
        ({"controls__twin_seed": -1}, "controls.twin_seed"),
    ],
)
def test_params_that_cannot_be_are_refused_by_their_key(study, finished, changed, said):
    for key, value in changed.items():
        if key.startswith(("sae__", "concept")):
            study.set_in(params.SAE, **{key: value})
        else:
            study.set(**{key: value})
    assert said in study.message_of_failure(twin.main)
    assert {path: Path(path).read_bytes() for path in finished[1]} == finished[1]


def test_a_missing_extra_says_how_to_install_it(study, monkeypatch):
    monkeypatch.setitem(sys.modules, "sae_lens", None)
    assert "-e '.[sae]'" in study.message_of_failure(twin.main)
