"""The untrained twin: the source in everything but its weights, and those by seed alone."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import load_file
from transformers import LlavaForConditionalGeneration

from signbridge.core.errors import SignBridgeError
from signbridge.vlm.extraction import Reader
from signbridge.vlm.loading import (
    FolderModel,
    HubModel,
    LoadedModel,
    load,
)
from signbridge.vlm.untrained_twin import untrained_twin
from tests.vlm.conftest import CPU, PROMPT, tiny_random

MINIATURE = Path(__file__).parents[2] / "models/miniature"
SETTINGS = {"quantization": "none", "dequantize": "auto", "dtype": "float32", "prompt": PROMPT, "max_new_tokens": 5}


def folder_model(path: Path, **changes: str) -> FolderModel:
    return FolderModel(source="folder", path=str(path), **(SETTINGS | changes))


def weights_of(entry: FolderModel) -> dict[str, torch.Tensor]:
    files = sorted(Path(entry.path).glob("*.safetensors"))
    return {name: tensor for file in files for name, tensor in load_file(file).items()}


@pytest.fixture(scope="module")
def twin(tmp_path_factory) -> FolderModel:
    """The miniature's twin of seed 0."""
    return untrained_twin(folder_model(MINIATURE), 0, tmp_path_factory.mktemp("twins") / "twin", Path("unused"))


@pytest.fixture
def saved(tmp_path, tiny) -> Path:
    """The tiny random model in a folder of its own."""
    folder = tmp_path / "saved"
    tiny.model.save_pretrained(folder)
    tiny.processor.save_pretrained(folder)
    return folder


def test_the_twin_has_its_sources_weights_by_name_and_shape_and_no_value(twin):
    ours, theirs = weights_of(twin), weights_of(folder_model(MINIATURE))
    assert {name: weight.shape for name, weight in ours.items()} == {name: w.shape for name, w in theirs.items()}
    for name, weight in ours.items():
        drawn = weight.unique().numel() > 1  # norms and biases start as ones and zeros, as in any model
        assert not drawn or not torch.isclose(weight, theirs[name].float()).all(), name
    assert sum(weight.unique().numel() > 1 for weight in ours.values()) > 100


def test_the_twin_reads_and_answers_as_its_source_is_read(twin, tmp_path, images):
    trained, untrained = load(folder_model(MINIATURE), tmp_path, CPU), load(twin, tmp_path, CPU)
    assert untrained.end_tokens == trained.end_tokens
    assert untrained.parts.image_token_id == trained.parts.image_token_id
    ours = Reader(untrained, twin.prompt, twin.max_new_tokens, batch_size=2)
    theirs = Reader(trained, PROMPT, 5, batch_size=2)
    assert ours.prepare(images[:1])["input_ids"].tolist() == theirs.prepare(images[:1])["input_ids"].tolist()
    one, other = ours.read(images[:2]), theirs.read(images[:2])
    assert list(one.vectors) == list(other.vectors)
    for name, vectors in one.vectors.items():
        assert vectors.shape == other.vectors[name].shape, name
        assert not (vectors == other.vectors[name]).all(), name
    assert len(one.answers) == 2


def test_one_seed_repeats_to_the_byte_and_another_gives_other_weights(twin, tmp_path):
    again = untrained_twin(folder_model(MINIATURE), 0, tmp_path / "again", tmp_path)
    other = untrained_twin(folder_model(MINIATURE), 1, tmp_path / "other", tmp_path)
    files = sorted(file.name for file in Path(twin.path).iterdir())
    assert files == sorted(file.name for file in Path(again.path).iterdir())
    for name in files:
        assert (Path(twin.path) / name).read_bytes() == (Path(again.path) / name).read_bytes(), name
    assert not torch.equal(*(weights_of(entry)["language_model.lm_head.weight"] for entry in (twin, other)))


def test_threads_do_not_change_what_a_seed_draws(twin, tmp_path):
    """In a process of its own, with another number of them."""
    code = (
        "import pathlib\n"
        "from signbridge.vlm.loading import FolderModel\n"
        "from signbridge.vlm.untrained_twin import untrained_twin\n"
        f"entry = FolderModel(source='folder', path={str(MINIATURE)!r}, **{SETTINGS!r})\n"
        f"untrained_twin(entry, 0, pathlib.Path({str(tmp_path / 'twin')!r}), pathlib.Path('unused'))\n"
    )
    threads = str(3 - min(2, torch.get_num_threads()))
    environment = {**os.environ, "OMP_NUM_THREADS": threads, "PYTHONPATH": str(MINIATURE.parents[1])}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment, timeout=120)
    (folder,) = (tmp_path / "twin").iterdir()
    assert folder.name == Path(twin.path).name
    assert (folder / "model.safetensors").read_bytes() == (Path(twin.path) / "model.safetensors").read_bytes()


def test_every_file_beside_the_weights_is_the_sources_own(twin):
    for file in MINIATURE.glob("*.json"):
        assert (Path(twin.path) / file.name).read_bytes() == file.read_bytes(), file.name
    assert {file.suffix for file in Path(twin.path).iterdir()} == {".json", ".safetensors"}


def test_a_source_without_generation_settings_has_a_twin_without(tmp_path, saved):
    (saved / "generation_config.json").unlink()
    entry = untrained_twin(folder_model(saved), 0, tmp_path / "twin", tmp_path)
    assert {file.name for file in Path(entry.path).iterdir()} == {file.name for file in saved.iterdir()}
    assert load(entry, tmp_path, CPU).end_tokens == load(folder_model(saved), tmp_path, CPU).end_tokens


def test_the_global_generator_is_left_alone(tmp_path):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    untrained_twin(tiny_random(), 1, tmp_path / "twin", tmp_path)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_weights_are_written_in_the_entrys_dtype(tmp_path, dtype):
    entry = untrained_twin(folder_model(MINIATURE, dtype=dtype), 0, tmp_path / "twin", tmp_path)
    assert {str(weight.dtype) for weight in weights_of(entry).values()} == {f"torch.{dtype}"}
    assert load(entry, tmp_path, CPU).model.dtype == getattr(torch, dtype)


def test_a_random_models_twin_is_another_draw_of_its_architecture_with_the_same_seed_too(tmp_path, tiny: LoadedModel):
    loaded = load(untrained_twin(tiny_random(seed=0), 0, tmp_path / "twin", tmp_path), tmp_path, CPU)
    ours, theirs = loaded.model.state_dict(), tiny.model.state_dict()
    assert {name: weight.shape for name, weight in ours.items()} == {name: w.shape for name, w in theirs.items()}
    assert not torch.equal(ours["lm_head.weight"], theirs["lm_head.weight"])


def test_a_hub_models_twin_is_made_from_its_snapshot_in_the_cache(tmp_path, saved, monkeypatch):
    """Which holds links into a store of files: the twin holds files."""
    entry = HubModel(source="hub", hub_id="some/model", revision="0" * 40, **SETTINGS)
    snapshot = tmp_path / "hub/models--some--model/snapshots" / entry.revision
    snapshot.mkdir(parents=True)
    for file in saved.iterdir():
        (snapshot / file.name).symlink_to(file)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    of_hub = untrained_twin(entry, 0, tmp_path / "of_hub", tmp_path)
    assert not any(file.is_symlink() for file in Path(of_hub.path).iterdir())
    of_folder = untrained_twin(folder_model(saved), 0, tmp_path / "of_folder", tmp_path)
    assert Path(of_hub.path).name == Path(of_folder.path).name
    load(of_hub, tmp_path, CPU)


def test_a_hub_that_cannot_be_reached_is_said_in_two_lines(tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    entry = HubModel(source="hub", hub_id="some/model", revision="0" * 40, **SETTINGS)
    with pytest.raises(SignBridgeError, match="model some/model at 000000000000 cannot be had") as refused:
        untrained_twin(entry, 0, tmp_path / "twin", tmp_path)
    assert len(str(refused.value).splitlines()) == 2


def test_a_twin_of_an_nf4_model_is_quantised_as_it_is(tmp_path):
    entry = untrained_twin(tiny_random(quantization="nf4"), 1, tmp_path / "twin", tmp_path)
    kinds = {type(layer).__name__ for layer in load(entry, tmp_path, CPU).model.modules()}
    assert "Linear4bit" in kinds


def test_tied_weights_stay_tied_and_are_written_once(tmp_path, saved, tiny):
    config = type(tiny.model.config).from_pretrained(saved, trust_remote_code=False)
    config.tie_word_embeddings = config.text_config.tie_word_embeddings = True
    LlavaForConditionalGeneration(config).save_pretrained(saved)
    entry = untrained_twin(folder_model(saved), 0, tmp_path / "twin", tmp_path)
    assert weights_of(entry).keys() == weights_of(folder_model(saved)).keys()
    model = load(entry, tmp_path, CPU).model
    assert model.lm_head.weight.data_ptr() == model.get_input_embeddings().weight.data_ptr()


def test_weights_in_several_files_are_read_back_whole(tmp_path, saved, monkeypatch):
    whole = untrained_twin(folder_model(saved), 0, tmp_path / "whole", tmp_path)
    monkeypatch.setattr("signbridge.vlm.untrained_twin.SHARD_SIZE", "4MB")
    parts = untrained_twin(folder_model(saved), 0, tmp_path / "parts", tmp_path)
    assert len(list(Path(parts.path).glob("*.safetensors"))) > 1
    ours, theirs = load(parts, tmp_path, CPU).model.state_dict(), load(whole, tmp_path, CPU).model.state_dict()
    assert all(torch.equal(ours[name], weight) for name, weight in theirs.items())


def test_a_source_in_several_files_leaves_none_of_its_own_behind(tmp_path, saved, tiny):
    (saved / "model.safetensors").unlink()
    tiny.model.save_pretrained(saved, max_shard_size="4MB")
    entry = untrained_twin(folder_model(saved), 0, tmp_path / "twin", tmp_path)
    assert [file.name for file in Path(entry.path).glob("model*")] == ["model.safetensors"]
    load(entry, tmp_path, CPU)


def test_a_twin_that_is_there_is_not_drawn_again_and_half_of_one_is_not_kept(tmp_path):
    scratch = tmp_path / "twin"
    (scratch / "unfinished").mkdir(parents=True)
    (scratch / "unfinished/model.safetensors").write_bytes(b"half")
    first = untrained_twin(tiny_random(), 1, scratch, tmp_path)
    weights = Path(first.path) / "model.safetensors"
    before = weights.stat()
    assert untrained_twin(tiny_random(), 1, scratch, tmp_path) == first
    assert (weights.stat().st_ino, weights.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    other = untrained_twin(tiny_random(), 2, scratch, tmp_path)
    assert list(scratch.iterdir()) == [Path(other.path)], "at full size each would take 14 GB"


def test_a_source_whose_weights_do_not_fit_its_configuration_is_refused(tmp_path, saved):
    config = saved / "config.json"
    config.write_text(config.read_text().replace('"intermediate_size": 864', '"intermediate_size": 640'))
    with pytest.raises(SignBridgeError, match=r"do not fit config\.json.*\[320, 864\].*\[320, 640\]") as refused:
        untrained_twin(folder_model(saved), 0, tmp_path / "twin", tmp_path)
    assert len(str(refused.value).splitlines()) <= 2


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ('{"model_type": "nonsense"}', r"config\.json: model family 'nonsense' is not known"),
        (
            '{"model_type": "llava", "text_config": {"hidden_size": "wide"}}',
            r"cannot be loaded \(.*Its files are damaged",
        ),
        (
            '{"model_type": "llava", "text_config": {"model_type": "nonsense"}}',
            r"cannot be loaded \(.*Its files are dam",
        ),
    ],
)
def test_a_configuration_that_makes_no_model_is_refused(tmp_path, saved, config, message):
    (saved / "config.json").write_text(config)
    with pytest.raises(SignBridgeError, match=message) as refused:
        untrained_twin(folder_model(saved), 0, tmp_path / "twin", tmp_path)
    assert len(str(refused.value).splitlines()) <= 2


def test_a_disk_too_full_for_the_weights_is_said_before_it_is_filled(tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda folder: SimpleNamespace(free=1_000_000))
    with pytest.raises(
        SignBridgeError, match=r"weights take 0\.\d GB, 0\.0 GB are free.*untrained_twin out"
    ) as refused:
        untrained_twin(tiny_random(), 0, tmp_path / "twin", tmp_path)
    assert len(str(refused.value).splitlines()) == 1
    assert not list((tmp_path / "twin").rglob("*.safetensors"))


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(SignBridgeError, match="nowhere: no such model folder"):
        untrained_twin(folder_model(tmp_path / "nowhere"), 0, tmp_path / "twin", tmp_path)
