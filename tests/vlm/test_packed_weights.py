"""Packed weights that are kept: the same numbers, from fewer bytes; and what happens where they cannot be."""

import errno
import json
import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from transformers import BitsAndBytesConfig, PreTrainedModel

from signbridge.core.model_folder import WEIGHTS
from signbridge.vlm import packed_weights
from signbridge.vlm.catalog import FolderModel
from signbridge.vlm.extraction import Reader
from signbridge.vlm.loading import LoadedModel, load
from tests.vlm.conftest import CPU, PROMPT


@pytest.fixture(scope="module")
def source(tiny, tmp_path_factory) -> Path:
    """The tiny random model as somebody's folder."""
    folder = tmp_path_factory.mktemp("source") / "model"
    tiny.model.save_pretrained(folder)
    tiny.processor.save_pretrained(folder)
    return folder


@pytest.fixture(autouse=True)
def every_model_is_large(monkeypatch):
    monkeypatch.setattr(packed_weights, "LARGE", 0)


@pytest.fixture
def models(tmp_path) -> Path:
    return tmp_path / ".scratch" / "models"


def packed(source: Path, models: Path, dtype: str = "float16", dequantize: str = "never") -> LoadedModel:
    entry = FolderModel(
        source="folder", path=str(source), quantization="nf4", dequantize=dequantize, dtype=dtype, prompt=PROMPT,
        max_new_tokens=2,
    )  # fmt: skip
    return load(entry, models, CPU)


def without_weights(source: Path, folder: Path) -> Path:
    """A folder like `source` whose file of weights is as large and as old, and holds zeros alone."""
    shutil.copytree(source, folder, copy_function=shutil.copy2)
    weights = folder / WEIGHTS
    there, content = weights.stat(), bytearray(weights.read_bytes())
    header = 8 + int.from_bytes(content[:8], "little")
    content[header:] = bytes(len(content) - header)
    weights.write_bytes(content)
    os.utime(weights, ns=(there.st_atime_ns, there.st_mtime_ns))
    return folder


@pytest.mark.parametrize(
    ("dtype", "dequantize"),
    [
        ("float16", "never"),
        pytest.param("bfloat16", "always", marks=pytest.mark.slow),
        pytest.param("float32", "never", marks=pytest.mark.slow),
    ],
)
def test_the_second_load_reads_the_kept_weights_alone_and_gives_the_same_bytes_at_every_site(
    source, models, tmp_path, images, dtype, dequantize
):
    own = shutil.copytree(source, tmp_path / "own", copy_function=shutil.copy2)
    first = packed(own, models, dtype, dequantize)
    [kept] = models.iterdir()
    shutil.rmtree(own)
    again = packed(without_weights(source, own), models, dtype, dequantize)
    assert list(models.iterdir()) == [kept]
    assert sum(file.stat().st_size for file in kept.glob("*.safetensors")) < 0.6 * (own / WEIGHTS).stat().st_size
    assert first.end_tokens == again.end_tokens
    assert first.model.dtype == again.model.dtype
    for (name, mine), theirs in zip(first.model.named_parameters(), again.model.parameters(), strict=True):
        assert torch.equal(mine, theirs), name
    read, read_again = (Reader(loaded, PROMPT, 1, batch_size=1).read(images[:1]) for loaded in (first, again))
    for name, vectors in read.vectors.items():
        assert vectors.tobytes() == read_again.vectors[name].tobytes(), name


def place(folder: Path, models: Path, dtype: torch.dtype | None = torch.float16) -> Path | None:
    """Where the weights of a folder would be kept, packed for `dtype` or not at all."""
    how = dtype and BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_compute_dtype=dtype)
    return packed_weights.packed_folder(folder, how, CPU, models)


def test_other_weights_settings_and_dtypes_are_kept_apart(source, models, tmp_path):
    own = shutil.copytree(source, tmp_path / "own")
    places = [place(own, models), place(own, models, torch.bfloat16)]
    (own / WEIGHTS).touch()
    places.append(place(own, models))
    (own / "generation_config.json").write_text("{}")
    places.append(place(own, models))
    assert len(set(places)) == 4
    assert place(own, models) == places[-1]


def test_small_models_packed_ones_and_plain_ones_are_not_kept(source, models, tmp_path, monkeypatch):
    assert place(source, models) is not None
    assert place(source, models, None) is None
    already = shutil.copytree(source, tmp_path / "already")
    config = json.loads((already / "config.json").read_text())
    (already / "config.json").write_text(json.dumps({**config, "quantization_config": {"load_in_4bit": True}}))
    assert place(already, models) is None
    monkeypatch.setattr(packed_weights, "LARGE", 2**31)
    assert place(source, models) is None


def _full_at_once(monkeypatch, models):
    monkeypatch.setattr(packed_weights.shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))


def _full_on_the_way(monkeypatch, models):
    save = PreTrainedModel.save_pretrained

    def until_full(self, folder, **settings):
        save(self, folder, **settings)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(PreTrainedModel, "save_pretrained", until_full)


def _no_folder(monkeypatch, models):
    models.parent.mkdir()
    models.write_text("a file where the folder would be")


@pytest.mark.parametrize("refuse", [_full_at_once, _full_on_the_way, _no_folder])
def test_where_they_cannot_be_kept_nothing_is_left_half_written_and_one_line_says_so(
    tiny, source, models, monkeypatch, caplog, refuse
):
    refuse(monkeypatch, models)
    packed_weights.keep_packed(tiny.model, source, models / "packed")
    [said] = [record for record in caplog.records if record.name == packed_weights.__name__]
    assert said.levelname == "WARNING"
    assert "are not kept" in said.getMessage()
    assert "\n" not in said.getMessage()
    assert not models.is_dir() or list(models.iterdir()) == []


def test_kept_weights_that_were_cut_short_are_removed_to_be_made_again(source, tmp_path, caplog):
    kept = shutil.copytree(source, tmp_path / "kept")
    assert packed_weights.is_kept(kept)
    weights = kept / WEIGHTS
    weights.write_bytes(weights.read_bytes()[:100_000])
    assert not packed_weights.is_kept(kept)
    assert not kept.exists()
    assert "made again" in caplog.text
