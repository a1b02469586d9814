"""The stage `sae`, with the tiny random model."""

import socket
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sae_lens import SAE

from signbridge.core import tables
from signbridge.datasets.images import encode_png
from signbridge.sae import training, training_run
from stages.sae import train
from tests.stages.causal_study import Killed
from tests.stages.small_study import (
    as_declared,
    copy_into,
    declared,
    outputs,
    working_in,
    written_by,
)

PHRASES = [f"The {finger} finger is {how}." for finger in ("index", "middle", "ring") for how in ("up", "bent")]
PRESET = {"architecture": "batchtopk", "width": "2x", "k": 4, "tokens": 2048, "batch": 256, "buffer": 1024, "lr": 0.001,
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
            model="tiny-random",
            text_index={"corpus": "corpus.txt", "templates": [], "contexts": 1, "layers": "published",
                        "storage": "float8"},
            sae={"preset": "small", "layers": LAYERS, "text_share": 0.3,
                 "prompts": ["own", "USER: <image>\nDescribe the hand.\nASSISTANT: The fingers are {words}."],
                 "pretrained": "none"},
            sae_presets={"small": PRESET, "relu": STANDARD},
        )  # fmt: skip
        pixels = np.random.default_rng(0).integers(0, 256, (6, 28, 28), dtype=np.uint8)
        images = {"image_id": [f"image-{row}" for row in range(6)], "label": list("AABBCC"),
                  "image": [encode_png(image) for image in pixels]}  # fmt: skip
        tables.write(pd.DataFrame(images), "data/images.parquet", {"source": "sign_mnist"})
        Path("data/model.json").write_text('{"folder_sha256": "that of the stage model"}')
        return folder, written_by(train.main)


@pytest.fixture
def study(workspace, finished, monkeypatch):
    monkeypatch.setenv("SIGNBRIDGE_DEVICE", "cpu")
    monkeypatch.setenv("SIGNBRIDGE_BATCH_SIZE", "8")
    return copy_into(workspace, finished[0])


def test_the_stage_writes_what_it_declares(finished):
    assert as_declared("sae", finished[1]) == declared("sae")
    sites = [f"layer_{layer:02d}" for layer in LAYERS]
    assert {path.removeprefix("data/sae/") for path in finished[1]} == {
        "training.parquet", *(f"{site}/{file}" for site in sites for file in ("cfg.json", "sae_weights.safetensors"))
    }  # fmt: skip


def test_sae_lens_opens_what_is_stored(study):
    for layer in LAYERS:
        autoencoder = SAE.load_from_disk(train.SAES / f"layer_{layer:02d}")
        assert autoencoder.cfg.metadata.hook_name == f"blocks.{layer}.hook_resid_post"
        assert autoencoder.cfg.metadata.model_name == "tiny-random"
        assert autoencoder.cfg.normalize_activations == "none"
        given = torch.randn(5, autoencoder.cfg.d_in)
        assert autoencoder(given).shape == given.shape


def test_the_log_has_both_kinds_of_tokens_and_says_what_made_it(study):
    log = tables.read(train.SAES / "training.parquet")
    assert log.groupby("site")["step"].max().tolist() == [STEPS] * len(LAYERS)
    assert log[["variance_explained_image", "variance_explained_text"]].notna().all(axis=None)
    made_by = tables.made_by(train.SAES / "training.parquet")
    assert made_by["preset"]["k"] == PRESET["k"]
    assert made_by["sites"] == ["layer_00", "layer_01"]
    assert len(made_by["images_sha256"]) == len(made_by["corpus_sha256"]) == 64


def test_equal_params_give_equal_bytes(study):
    expected = outputs()
    train.main()
    assert outputs() == expected
    assert not Path(".scratch/sae").exists()


def test_keys_are_in_one_order_whatever_process_writes_them(study):
    """Sets of strings come in another order in every process."""
    before = (train.SAES / "layer_00/cfg.json").read_bytes()
    study.run("sae", PYTHONHASHSEED="1")
    assert (train.SAES / "layer_00/cfg.json").read_bytes() == before


def test_a_killed_run_goes_on_to_the_same_bytes(study, monkeypatch):
    expected, taken = outputs(), []
    monkeypatch.setattr(training_run, "SECONDS_BETWEEN_CHECKPOINTS", 0)
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
    monkeypatch.setattr(training_run, "SECONDS_BETWEEN_CHECKPOINTS", 0)

    def dies(self, *args):
        write(self, *args)
        raise Killed

    write = training.Checkpoints.write
    with monkeypatch.context() as here:
        here.setattr(training.Checkpoints, "write", dies)
        with pytest.raises(Killed):
            train.main()
    study.set(sae__preset="relu")
    train.main()
    assert SAE.load_from_disk(train.SAES / "layer_00").cfg.architecture() == "standard"
    assert not Path(".scratch/sae").exists()


def test_nothing_is_asked_of_a_network(study, monkeypatch):
    def refused(*_):
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refused)
    monkeypatch.setattr(socket, "getaddrinfo", refused)
    train.main()


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"sae__layers": [0, 99]}, "sae.layers"),
        ({"sae__text_share": 1.5}, "sae.text_share"),
        ({"sae__preset": "big"}, "sae.preset"),
        ({"sae_presets__small": {**PRESET, "buffer": 100}}, "a buffer of 100"),
        ({"sae__prompts": ["no image in it"]}, "sae.prompts"),
        ({"text_index__corpus": "absent.txt"}, "absent.txt"),
        ({"sae_presets__small": {**PRESET, "tokens": 100}}, "sae_presets.small"),
        ({"sae_presets__small": {**PRESET, "k": 10**6}}, "fewer than k"),
    ],
)
def test_params_that_cannot_be_are_refused_by_their_key(study, changed, said):
    before = outputs()
    study.set(**changed)
    assert said in study.message_of_failure(train.main)
    assert outputs() == before


def test_prompts_that_all_need_words_which_are_not_known_are_refused(study):
    study.set(sae__prompts=["USER: <image>\nThe fingers are {words}."])
    table = tables.read("data/images.parquet").assign(label="a hand")
    tables.write(table, "data/images.parquet", {"source": "folder"})
    assert "sae.prompts" in study.message_of_failure(train.main)


def test_a_missing_extra_says_how_to_install_it(study, monkeypatch):
    monkeypatch.setitem(sys.modules, "sae_lens", None)
    assert "-e '.[sae]'" in study.message_of_failure(train.main)
