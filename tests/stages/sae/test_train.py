"""The stage `sae.train`, with the tiny random model."""

import socket
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sae_lens import SAE

from signbridge.core import params, tables
from signbridge.datasets.images import encode_png
from signbridge.sae import training
from signbridge.vlm import model_run
from stages.sae import train
from tests.stages.causal_study import Killed
from tests.stages.sae_study import write_images
from tests.stages.small_study import (
    as_declared,
    copy_into,
    declared,
    outputs,
    working_in,
    written_by,
)

pytestmark = pytest.mark.slow  # autoencoders are trained

PHRASES = [f"The {finger} finger is {how}." for finger in ("index", "middle", "ring") for how in ("up", "bent")]
PRESET = {"architecture": "batchtopk", "width": 64, "k": 16, "tokens": 2048, "batch": 256, "buffer": 1024, "lr": 0.001,
          "warm_up": 0.1, "decay": 0.2, "mean_norm": "sqrt_width", "dead_after": 3}  # fmt: skip
STANDARD = {**{key: value for key, value in PRESET.items() if key != "k"}, "architecture": "standard", "l1": 1.0,
            "l1_ramp": 0.1}  # fmt: skip
LAYERS = [0, 1]
STEPS = PRESET["tokens"] // PRESET["batch"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> tuple[Path, dict[str, bytes]]:
    """The folder of a study whose stage has run, and what it wrote."""
    folder = tmp_path_factory.mktemp("sae")
    with working_in(folder) as workspace, pytest.MonkeyPatch.context() as here:
        here.setenv("SIGNBRIDGE_DEVICE", "cpu")
        here.setenv("SIGNBRIDGE_BATCH_SIZE", "8")
        Path("corpus.txt").write_text("\n".join(PHRASES), encoding="utf-8")
        workspace.set(
            model="tiny-random", questions__corpus="corpus.txt", questions__templates=[], sae_presets__small=PRESET,
            sae_presets__relu=STANDARD,
        )  # fmt: skip
        prompts = ["own", "USER: <image>\nDescribe the hand.\nASSISTANT: The fingers are {words}."]
        workspace.set_in(params.SAE, sae={"preset": "small", "layers": LAYERS, "text_share": 0.3, "prompts": prompts})
        pixels = np.random.default_rng(0).integers(0, 256, (6, 28, 28), dtype=np.uint8)
        images = {"image_id": [f"image-{row}" for row in range(6)], "label": list("AABBCC"),
                  "image": [encode_png(image) for image in pixels]}  # fmt: skip
        write_images(pd.DataFrame(images))
        workspace.describe_model()
        return folder, written_by(train.main)


@pytest.fixture
def study(workspace, finished, monkeypatch):
    monkeypatch.setenv("SIGNBRIDGE_DEVICE", "cpu")
    monkeypatch.setenv("SIGNBRIDGE_BATCH_SIZE", "8")
    return copy_into(workspace, finished[0])


def test_the_stage_writes_what_it_declares(finished):
    assert as_declared("sae.train", finished[1]) == declared("sae.train")
    sites = [f"layer_{layer:02d}" for layer in LAYERS]
    of_sites = {
        f"{site}/{file}" for site in sites for file in ("cfg.json", "sae_weights.safetensors", "pca.safetensors")
    }
    names = {path.removeprefix("data/sae/autoencoders/") for path in finished[1]}
    assert names == {"training.parquet", "passages.parquet"} | of_sites


def test_sae_lens_opens_what_is_stored(study):
    for layer in LAYERS:
        autoencoder = SAE.load_from_disk(train.AUTOENCODERS / f"layer_{layer:02d}")
        assert autoencoder.cfg.metadata.hook_name == f"blocks.{layer}.hook_resid_post"
        assert autoencoder.cfg.metadata.model_name == "tiny-random"
        assert autoencoder.cfg.normalize_activations == "none"
        given = torch.randn(5, autoencoder.cfg.d_in)
        assert autoencoder(given).shape == given.shape


def test_the_log_has_both_kinds_of_tokens_and_says_what_made_it(study):
    log = tables.read(train.AUTOENCODERS / "training.parquet")
    assert log.groupby("site")["step"].max().tolist() == [STEPS] * len(LAYERS)
    assert log[["variance_explained_image", "variance_explained_text"]].notna().all(axis=None)
    made_by = tables.made_by(train.AUTOENCODERS / "training.parquet")
    assert made_by["preset"]["k"] == PRESET["k"]
    assert made_by["sites"] == ["layer_00", "layer_01"]
    assert len(made_by["images_sha256"]) == len(made_by["corpus_sha256"]) == 64


def test_equal_params_give_equal_bytes(study):
    expected = outputs()
    train.main()
    assert outputs() == expected
    assert not Path(".scratch/sae_train").exists()


def test_keys_are_in_one_order_whatever_process_writes_them(study):
    """Sets of strings come in another order in every process."""
    before = (train.AUTOENCODERS / "layer_00/cfg.json").read_bytes()
    assert study.run("sae.train", PYTHONHASHSEED="1").returncode == 0
    assert (train.AUTOENCODERS / "layer_00/cfg.json").read_bytes() == before


def test_a_killed_run_goes_on_to_the_same_bytes(study, monkeypatch):
    expected, taken = outputs(), []
    monkeypatch.setattr(training, "SECONDS_BETWEEN_CHECKPOINTS", 0)
    take_step = training._step

    def dies_in_the_fifth(site, trainer, *args):
        if trainer.n_training_steps == 4:
            raise Killed
        return take_step(site, trainer, *args)

    def counted(site, trainer, *args):
        taken.append((site, trainer.n_training_steps))
        return take_step(site, trainer, *args)

    monkeypatch.setattr(training, "_step", dies_in_the_fifth)
    with pytest.raises(Killed):
        train.main()
    assert outputs() == expected, "nothing is touched before the work is done"
    monkeypatch.setattr(training, "_step", counted)
    train.main()
    assert sorted(taken) == [(f"layer_{layer:02d}", step) for layer in LAYERS for step in range(4, STEPS)]
    assert outputs() == expected


def test_another_setting_does_not_go_on_from_what_is_kept(study, monkeypatch):
    monkeypatch.setattr(training, "SECONDS_BETWEEN_CHECKPOINTS", 0)

    def dies(self, *args):
        write(self, *args)
        raise Killed

    write = training.Checkpoints.write
    with monkeypatch.context() as here:
        here.setattr(training.Checkpoints, "write", dies)
        with pytest.raises(Killed):
            train.main()
    study.set_in(params.SAE, sae__preset="relu")
    train.main()
    assert SAE.load_from_disk(train.AUTOENCODERS / "layer_00").cfg.architecture() == "standard"
    assert not Path(".scratch/sae_train").exists()


def test_nothing_is_asked_of_a_network(study, monkeypatch):
    def refused(*_):
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refused)
    monkeypatch.setattr(socket, "getaddrinfo", refused)
    train.main()


def change(study, changed: dict) -> None:
    """Set params where they belong."""
    for key, value in changed.items():
        if key.startswith("sae__"):
            study.set_in(params.SAE, **{key: value})
        else:
            study.set(**{key: value})


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"sae__layers": [0, 99]}, "stages/sae/params.yaml: sae.layers"),
        ({"sae__text_share": 1.5}, "sae.text_share"),
        ({"sae__preset": "big"}, "sae.preset"),
        ({"sae_presets__small": {**PRESET, "buffer": 100}}, "a buffer of 100"),
        ({"sae__prompts": ["no image in it"]}, "stages/sae/params.yaml: sae.prompts must hold <image> exactly once"),
        ({"questions__corpus": "absent.txt"}, "absent.txt"),
        ({"sae_presets__small": {**PRESET, "tokens": 100}}, "presets.yaml: small"),
        ({"sae_presets__small": {**PRESET, "k": 10**6}}, "fewer than k"),
        ({"sae_presets__small": {**PRESET, "width": "16x"}}, "'small' does not fit the model tiny-random"),
    ],
)
def test_params_that_cannot_be_are_refused_by_their_key(study, changed, said):
    before = outputs()
    change(study, changed)
    assert said in study.message_of_failure(train.main)
    assert outputs() == before


def test_prompts_that_all_need_words_which_are_not_known_are_refused(study):
    study.set_in(params.SAE, sae__prompts=["USER: <image>\nThe fingers are {words}."])
    write_images(tables.read("data/images.parquet").assign(label="a hand"))
    assert "sae.prompts" in study.message_of_failure(train.main)


def test_a_missing_extra_says_how_to_install_it(study, monkeypatch):
    monkeypatch.setitem(sys.modules, "sae_lens", None)
    assert "-e '.[sae]'" in study.message_of_failure(train.main)


def test_a_model_that_the_preset_does_not_fit_is_refused_before_its_weights_are_read(study, monkeypatch):
    def loads(*_):
        raise AssertionError("the model was loaded")

    monkeypatch.setattr(model_run, "load", loads)
    study.set(sae_presets__small={**PRESET, "width": "16x"})
    said = study.message_of_failure(train.main)
    assert "2,048 tokens (8 steps)" in said
    assert "5,120 features 6 examples to learn 320 numbers" in said


def test_what_training_left_unread_is_listed(study):
    passages = tables.read(train.AUTOENCODERS / "passages.parquet")
    assert passages.loc[passages["kind"] == "texts", "item"].tolist() == PHRASES
    assert passages.loc[passages["kind"] == "images", "item"].tolist() == [f"image-{row}" for row in range(6)]
    assert not passages["unread"].any(), "it read all of so few"
