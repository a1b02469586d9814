"""The stage `extract`: once as DVC runs it, in a process of its own, else in this one."""

import io
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from ruamel.yaml import YAML
from safetensors.numpy import load_file, save_file

from signbridge.core import activations, tables
from signbridge.core.errors import PartDone, SignBridgeError
from signbridge.core.shards import write_shard
from signbridge.datasets.images import decode_png, encode_png
from signbridge.vlm import shard_runs
from signbridge.vlm.chosen import AS_READ, MODEL
from signbridge.vlm.store import random_directions
from stages.extract import main
from tests.conftest import ROOT, Workspace

ACTIVATIONS = Path("data/activations")


@pytest.fixture
def study(workspace, monkeypatch) -> Workspace:
    """The committed params and a sample of five images."""
    monkeypatch.setenv("SIGNBRIDGE_BATCH_SIZE", "2")
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 256, (5, 28, 28), dtype=np.uint8)
    sample = pd.DataFrame(
        {
            "image_id": [f"A-{index}" for index in range(5)],
            "label": list("AABBB"),
            "photo": [f"A-{index}" for index in range(5)],
            "image": [encode_png(image) for image in pixels],
        }
    )
    tables.write(sample, "data/sample.parquet", {})
    workspace.set(model="tiny-random")
    workspace.describe_model()
    return workspace


def test_writes_every_site_at_every_position_with_what_made_it(study, monkeypatch):
    monkeypatch.setenv("SIGNBRIDGE_SHARD_IMAGES", "4")
    main()
    folder = ACTIVATIONS
    sites = activations.sites(folder)
    assert sites == ["pixels", "vision", "projector", "embedding", *(f"layer_{block:02d}" for block in range(9))]
    assert {path.stem for path in folder.iterdir()} == set(sites)
    sample = tables.read("data/sample.parquet")
    for site in sites:
        table = tables.read(folder / f"{site}.parquet", ["image_id", "position"])
        expected = [(image, position) for position in activations.positions_of(site) for image in sample["image_id"]]
        assert sorted(table.itertuples(index=False, name=None)) == sorted(expected)
    made_by = tables.made_by(folder / "layer_03.parquet")
    assert made_by["model"]["name"] == "tiny-random"
    assert made_by["model"]["quantization"] == "none"
    assert made_by["model_folder_sha256"] == "that of the stage model"
    assert set(made_by["packages"]) == {"torch", "transformers", "bitsandbytes", "pillow"}
    assert made_by["read_on"] == {"device": "cpu", "batch_size": 2, "weights": "plain"}
    assert tables.read_json(AS_READ) == {**tables.read_json(MODEL), "weights": "plain"}
    answers = tables.read("data/answers.parquet")
    assert answers.columns.tolist() == ["image_id", "label", "prompt", "answer"]
    assert answers["image_id"].tolist() == sample["image_id"].tolist()
    assert not Path(".scratch/extract").exists(), "finished shards are cleared away"


def test_pixels_are_the_images_own(study):
    main()
    sample = tables.read("data/sample.parquet")
    pixels = activations.read(ACTIVATIONS, "pixels", "flat", sample["image_id"].tolist())
    expected = np.stack([decode_png(png).reshape(-1) for png in sample["image"]])
    np.testing.assert_array_equal(pixels, expected)


def test_what_is_not_to_be_stored_is_on_no_disk(study):
    main()
    ids = tables.read("data/sample.parquet")["image_id"].tolist()
    whole = activations.read(ACTIVATIONS, "layer_03", "prompt_last", ids)
    study.set(extract__store={"sites": ["layer_03"], "positions": ["prompt_last"], "dtype": "float16", "project": 8})
    main()
    assert activations.sites(ACTIVATIONS) == ["pixels", "layer_03"]
    assert {path.name for path in ACTIVATIONS.iterdir()} >= {"pixels.parquet", "layer_03.parquet"}
    assert activations.positions_in(ACTIVATIONS, "layer_03") == ["prompt_last"]
    made_by = activations.made_by(ACTIVATIONS, "layer_03")
    assert made_by["store"]["project"] == 8
    projected = whole @ random_directions(whole.shape[1], 8, torch.device("cpu")).numpy()
    stored = activations.read(ACTIVATIONS, "layer_03", "prompt_last", ids)
    np.testing.assert_allclose(stored, projected, rtol=1e-3, atol=1e-2)
    with pytest.raises(SignBridgeError, match="site 'layer_03' has no position 'image_mean'"):
        activations.read(ACTIVATIONS, "layer_03", "image_mean", ids)


def test_parts_of_a_run_write_no_table_and_the_last_run_finds_them(study, monkeypatch, capsys):
    monkeypatch.setenv("SIGNBRIDGE_SHARD_IMAGES", "2")
    main()
    whole = {path.name: path.read_bytes() for path in ACTIVATIONS.iterdir()}
    shutil.rmtree(ACTIVATIONS)
    for part in ("1/3", "3/3"):  # as if the second machine had failed
        monkeypatch.setenv("SIGNBRIDGE_PART", part)
        with pytest.raises(PartDone, match=f"part {part} is done"):
            main()
    assert not ACTIVATIONS.exists()
    monkeypatch.delenv("SIGNBRIDGE_PART")
    wrote = []
    monkeypatch.setattr(shard_runs, "write_shard", lambda *a: (write_shard(*a), wrote.append(a[0].name)))
    main()
    assert wrote == ["shard-0001.safetensors"]
    assert {path.name: path.read_bytes() for path in ACTIVATIONS.iterdir()} == whole


def test_two_runs_are_equal_to_the_byte(study):
    main()
    first = {path: path.read_bytes() for path in sorted(Path("data").rglob("*.parquet"))}
    shutil.rmtree(".scratch", ignore_errors=True)
    shutil.rmtree(ACTIVATIONS)
    Path("data/answers.parquet").unlink()
    done = study.run("extract")
    assert done.returncode == 0, done.stderr
    assert {path: path.read_bytes() for path in sorted(Path("data").rglob("*.parquet"))} == first
    assert len(first) > 10


@pytest.mark.parametrize(
    ("environment", "model", "said"),
    [
        ({"SIGNBRIDGE_DEVICE": "tpu9"}, "tiny-random", "SIGNBRIDGE_DEVICE=tpu9"),
        ({"SIGNBRIDGE_BATCH_SIZE": "3"}, "tiny-random", "SIGNBRIDGE_BATCH_SIZE=3: expected a power of two"),
        ({"SIGNBRIDGE_SHARD_IMAGES": "many"}, "tiny-random", "SIGNBRIDGE_SHARD_IMAGES=many"),
        ({}, "llava-2", "no 'llava-2' in models.yaml. There are: gemma-3-12b-it, gemma-3-4b-it, instructblip-vicuna"),
        ({}, "miniature", "data/model.json: made by another model than miniature. Make it again with `dvc repro`."),
    ],
)
def test_what_cannot_be_used_is_said_and_no_table_is_touched(study, monkeypatch, environment, model, said):
    kept = Path("data/answers.parquet")
    kept.write_bytes(b"an earlier run's")
    study.set(model=model)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert said in study.message_of_failure(main)
    assert kept.read_bytes() == b"an earlier run's"


def test_a_missing_digest_of_the_model_says_how_to_make_it(study):
    Path("data/model.json").unlink()
    assert study.message_of_failure(main).startswith("error: data/model.json: not there. Make it with `dvc repro`")


def test_a_missing_sample_says_how_to_make_it(study):
    Path("data/sample.parquet").unlink()
    assert "data/sample.parquet: no such table. Make it with `dvc repro`" in study.message_of_failure(main)


@pytest.fixture
def own_folder(study) -> Path:
    """The model of the project in a folder that may be changed, and the study set to read it."""
    folder = Path(
        shutil.copytree(ROOT / "models/miniature", "mine", ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    )
    study.set(model="mine", models__mine=YAML(typ="safe").load(ROOT / "models.yaml")["miniature"] | {"path": "mine"})
    study.describe_model()
    return folder


def test_weights_that_are_no_numbers_end_the_run_before_a_table_is_written(study, own_folder):
    weights = load_file(own_folder / "model.safetensors")
    (name,) = (name for name in weights if "language_model" in name and "layers.7.mlp.up_proj" in name)
    weights[name][0, 0] = np.nan
    save_file(weights, own_folder / "model.safetensors", metadata={"format": "pt"})
    message = study.message_of_failure(main)
    assert "layer_07." in message
    assert "not finite (nan, float32) for image number 0 (counted from 0)" in message
    assert not ACTIVATIONS.exists()
    assert not list(Path(".scratch/extract").rglob("*.safetensors"))


def test_a_yes_on_standard_input_runs_no_code_of_the_model_folder(study, own_folder, monkeypatch, capsys):
    (own_folder / "own.py").write_text("open('MARKER', 'w').write('ran')")
    config = json.loads((own_folder / "config.json").read_text())
    (own_folder / "config.json").write_text(
        json.dumps(config | {"model_type": "own", "auto_map": {"AutoConfig": "own.A"}})
    )
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n" * 9))
    message = study.message_of_failure(main)
    assert "mine/config.json: names code of a repository (auto_map), which is never run" in message
    assert "Do you wish" not in "".join(capsys.readouterr())
    assert sys.stdin.tell() == 0, "nothing was asked"
    assert not Path("MARKER").exists()
