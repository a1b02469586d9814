"""The extract stage as DVC runs it: a process of its own, in a folder with params and a sample."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from signbridge.core import activations, tables
from signbridge.datasets.images import encode_png

ROOT = Path(__file__).parents[2]


@pytest.fixture
def study(tmp_path):
    """The committed params and a sample of five images."""
    shutil.copy(ROOT / "params.yaml", tmp_path)
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
    tables.write(sample, tmp_path / "data/sample.parquet", {})
    use_model(tmp_path, "tiny-random")
    (tmp_path / "data/model.json").write_text('{"folder_sha256": "that of the stage model"}')
    return tmp_path


def use_model(folder: Path, name: str) -> None:
    params = (folder / "params.yaml").read_text()
    line = next(line for line in params.splitlines() if line.startswith("model:"))
    (folder / "params.yaml").write_text(params.replace(line, f"model: {name}"))


def extract(folder: Path, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "stages.extract"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "SIGNBRIDGE_BATCH_SIZE": "2", **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_writes_every_site_at_every_position_with_what_made_it(study):
    done = extract(study, SIGNBRIDGE_SHARD_IMAGES="4")
    assert done.returncode == 0, done.stderr
    folder = study / "data/activations"
    sites = activations.sites(folder)
    assert sites == ["pixels", "vision", "projector", "embedding", *(f"layer_{block:02d}" for block in range(9))]
    assert {path.stem for path in folder.iterdir()} == set(sites)
    sample = tables.read(study / "data/sample.parquet")
    for site in sites:
        table = tables.read(folder / f"{site}.parquet", ["image_id", "position"])
        expected = [(image, position) for position in activations.positions_of(site) for image in sample["image_id"]]
        assert sorted(table.itertuples(index=False, name=None)) == sorted(expected)
    made_by = tables.made_by(folder / "layer_03.parquet")
    assert made_by["model"]["name"] == "tiny-random"
    assert made_by["model"]["quantization"] == "none"
    assert made_by["model_folder_sha256"] == "that of the stage model"
    assert set(made_by["packages"]) == {"torch", "transformers", "bitsandbytes", "pillow"}
    answers = tables.read(study / "data/answers.parquet")
    assert answers.columns.tolist() == ["image_id", "label", "prompt", "answer"]
    assert answers["image_id"].tolist() == sample["image_id"].tolist()
    assert not (study / ".scratch/extract").exists(), "finished shards are cleared away"


def test_pixels_are_the_images_own(study):
    extract(study)
    sample = tables.read(study / "data/sample.parquet")
    pixels = activations.read(study / "data/activations", "pixels", "flat", sample["image_id"].tolist())
    from signbridge.datasets.images import decode_png

    expected = np.stack([decode_png(png).reshape(-1) for png in sample["image"]])
    np.testing.assert_array_equal(pixels, expected)


def test_two_runs_are_equal_to_the_byte(study, tmp_path_factory):
    other = tmp_path_factory.mktemp("other") / "study"
    shutil.copytree(study, other)
    for folder in (study, other):
        assert extract(folder).returncode == 0
    for path in sorted((study / "data").rglob("*.parquet")):
        assert path.read_bytes() == (other / path.relative_to(study)).read_bytes(), path.name


@pytest.mark.parametrize(
    ("environment", "model", "said"),
    [
        ({"SIGNBRIDGE_DEVICE": "tpu9"}, "tiny-random", "SIGNBRIDGE_DEVICE=tpu9"),
        ({"SIGNBRIDGE_BATCH_SIZE": "3"}, "tiny-random", "SIGNBRIDGE_BATCH_SIZE=3: expected a power of two"),
        ({"SIGNBRIDGE_SHARD_IMAGES": "many"}, "tiny-random", "SIGNBRIDGE_SHARD_IMAGES=many"),
        ({}, "llava-2", "no 'llava-2' under 'models'. There are: gemma-3-4b-it, llava-1-5-7b, llava-gemma-2b, "),
        ({}, "miniature", "models/miniature: no such model folder"),
    ],
)
def test_what_cannot_be_used_is_said_and_no_table_is_touched(study, environment, model, said):
    kept = study / "data/answers.parquet"
    kept.write_bytes(b"an earlier run's")
    use_model(study, model)
    done = extract(study, **environment)
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) <= 2
    assert kept.read_bytes() == b"an earlier run's"


def test_a_missing_digest_of_the_model_says_how_to_make_it(study):
    (study / "data/model.json").unlink()
    done = extract(study)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error: data/model.json: not there. Make it with `dvc repro`")


def test_a_missing_sample_says_how_to_make_it(study):
    (study / "data/sample.parquet").unlink()
    done = extract(study)
    assert done.returncode == 1
    assert "data/sample.parquet: no such table. Make it with `dvc repro`" in done.stderr
