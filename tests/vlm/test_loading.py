"""Loading: NF4 as LLaVA-1.5-7B is loaded, and every way in which a model can be unusable."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from ruamel.yaml import YAML
from safetensors.torch import load_file, save_file
from transformers import LlavaProcessor

from signbridge.core.errors import SignBridgeError
from signbridge.vlm import loading, random_weights
from signbridge.vlm.catalog import FolderModel, HubModel, ModelParams, TinyRandomModel
from signbridge.vlm.extraction import Reader
from signbridge.vlm.loading import load
from tests.conftest import ROOT
from tests.vlm.conftest import CPU, PROMPT, tiny_random

SETTINGS = {
    "quantization": "none",
    "dequantize": "auto",
    "dtype": "float32",
    "prompt": PROMPT,
    "max_new_tokens": 20,
}


def folder_model(path) -> FolderModel:
    return FolderModel(source="folder", path=str(path), **SETTINGS)


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(tmp_path, tiny):
    same = load(tiny_random(), tmp_path, CPU).model
    other = load(tiny_random(seed=1), tmp_path, CPU).model
    for name, weight in tiny.model.state_dict().items():
        assert torch.equal(same.state_dict()[name], weight), name
    assert not torch.equal(other.lm_head.weight, tiny.model.lm_head.weight)


def test_tiny_random_is_a_few_million_parameters_in_llavas_class(tiny):
    assert type(tiny.model).__name__ == "LlavaForConditionalGeneration"
    assert 2e6 < sum(weight.numel() for weight in tiny.model.parameters()) < 13e6


def test_seeding_weights_leaves_the_global_generator_alone(tmp_path):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    load(tiny_random(seed=3), tmp_path, CPU)
    assert torch.equal(torch.rand(3), expected)


def test_nf4_quantises_every_linear_layer_but_the_unembedding(model_scratch):
    model = load(tiny_random(quantization="nf4"), model_scratch, CPU).model
    kinds = {name: type(layer).__name__ for name, layer in model.named_modules() if isinstance(layer, torch.nn.Linear)}
    assert kinds.pop("lm_head") == "Linear"
    assert set(kinds.values()) == {"Linear4bit"}
    state = model.get_decoder().layers[0].self_attn.q_proj.weight.quant_state
    assert state.quant_type == "nf4"
    assert state.nested


def test_expanded_nf4_weights_give_the_packed_weights_activations(model_scratch, images):
    packed = load(tiny_random(quantization="nf4", dequantize="never"), model_scratch, CPU)
    expanded = load(tiny_random(quantization="nf4", dequantize="always"), model_scratch, CPU)
    assert "Linear4bit" not in {type(layer).__name__ for layer in expanded.model.modules()}
    from_packed = Reader(packed, PROMPT, 5, batch_size=2).read(images)
    from_expanded = Reader(expanded, PROMPT, 5, batch_size=2).read(images)
    assert from_packed.answers == from_expanded.answers
    for name, vectors in from_packed.vectors.items():
        torch.testing.assert_close(torch.tensor(vectors), torch.tensor(from_expanded.vectors[name]), msg=name)


def test_nf4_is_not_the_unquantised_model(model_scratch, tiny, images):
    quantised = load(tiny_random(quantization="nf4"), model_scratch, CPU)
    ours = Reader(quantised, PROMPT, 1, batch_size=2).read(images).vectors["projector.image_mean"]
    full = Reader(tiny, PROMPT, 1, batch_size=2).read(images).vectors["projector.image_mean"]
    assert 0 < np.linalg.norm(ours - full) < 0.3 * np.linalg.norm(full)


def test_a_saved_model_is_read_back_from_its_folder(tmp_path, tiny, images):
    tiny.model.save_pretrained(tmp_path / "saved")
    tiny.processor.save_pretrained(tmp_path / "saved")
    again = load(folder_model(tmp_path / "saved"), tmp_path, CPU)
    ours = Reader(again, PROMPT, 3, batch_size=2).read(images)
    theirs = Reader(tiny, PROMPT, 3, batch_size=2).read(images)
    assert ours.answers == theirs.answers
    for name, vectors in ours.vectors.items():
        assert vectors.tobytes() == theirs.vectors[name].tobytes(), name


@pytest.fixture
def saved(tmp_path, tiny):
    folder = tmp_path / "saved"
    tiny.model.save_pretrained(folder)
    tiny.processor.save_pretrained(folder)
    return folder


def refusal(params, scratch) -> str:
    with pytest.raises(SignBridgeError) as refused:
        load(params, scratch, CPU)
    message = str(refused.value)
    assert len(message.splitlines()) <= 2
    return message


@pytest.mark.parametrize("module", [random_weights], ids=lambda module: module.__name__)
def test_a_random_model_of_other_code_is_made_anew(tmp_path, monkeypatch, module):
    load(tiny_random(), tmp_path, CPU)
    edited = tmp_path / "edited.py"
    edited.write_text(Path(module.__file__).read_text() + "# a remark")
    monkeypatch.setattr(module, "__file__", str(edited))
    load(tiny_random(), tmp_path, CPU)
    assert len(list(tmp_path.glob("tiny-random-*"))) == 2


def test_a_folder_that_is_not_there_is_named(tmp_path):
    assert "nowhere: no such model folder" in refusal(folder_model(tmp_path / "nowhere"), tmp_path)


def test_a_folder_without_a_configuration_is_named(tmp_path):
    (tmp_path / "empty").mkdir()
    assert "no config.json" in refusal(folder_model(tmp_path / "empty"), tmp_path)


def test_a_folder_without_weights_is_refused(saved, tmp_path):
    (saved / "model.safetensors").unlink()
    assert "no weights here" in refusal(folder_model(saved), tmp_path)


def test_pickled_weights_are_refused_and_never_opened(saved, tmp_path):
    (saved / "model.safetensors").unlink()
    torch.save({"w": torch.zeros(1)}, saved / "pytorch_model.bin")
    assert "pickled (pytorch_model.bin)" in refusal(folder_model(saved), tmp_path)


def test_truncated_weights_are_refused(saved, tmp_path):
    weights = saved / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    message = refusal(folder_model(saved), tmp_path)
    assert "model.safetensors: cut short (1,000 bytes)" in message
    assert "Fetch it again" in message


def test_weights_of_another_shape_are_refused(saved, tmp_path):
    config = saved / "config.json"
    config.write_text(config.read_text().replace('"intermediate_size": 864', '"intermediate_size": 640'))
    message = refusal(folder_model(saved), tmp_path)
    assert "do not fit config.json" in message
    assert "down_proj" in message


def test_missing_weights_are_not_drawn_at_random(saved, tmp_path):
    weights = load_file(saved / "model.safetensors")
    del weights["multi_modal_projector.linear_1.weight"]
    save_file(weights, saved / "model.safetensors", metadata={"format": "pt"})
    message = refusal(folder_model(saved), tmp_path)
    assert "1 missing keys" in message
    assert "multi_modal_projector.linear_1.weight" in message


def test_a_folder_without_a_processor_is_refused(saved, tmp_path):
    for name in ("processor_config.json", "tokenizer.json", "tokenizer_config.json"):
        (saved / name).unlink()
    assert "no processor_config.json or preprocessor_config.json here" in refusal(folder_model(saved), tmp_path)


def test_a_prompt_without_an_image_is_refused(tmp_path):
    assert "<image> exactly once" in refusal(tiny_random(prompt="USER: What?"), tmp_path)


def test_a_family_that_is_not_described_is_named(tmp_path):
    from transformers import BertConfig, BertModel

    from signbridge.vlm.families import parts_of

    config = BertConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8, vocab_size=9)
    with pytest.raises(SignBridgeError, match=r"'bert' is not known\. There are: blip-2, gemma3, .*llava, llava_next"):
        parts_of(BertModel(config))


def test_an_unreachable_hub_is_said_in_two_lines(tmp_path):
    """In a process of its own, with the hub's address pointing at a closed port."""
    code = (
        "import sys, time, torch, pathlib\n"
        "time.sleep = lambda seconds: None  # the library waits between its attempts\n"
        "from signbridge.core.command_line import run\n"
        "from signbridge.vlm.catalog import HubModel\n"
        "from signbridge.vlm.loading import load\n"
        f"params = HubModel(source='hub', hub_id='some/model', revision='{'0' * 40}', **{SETTINGS!r})\n"
        f"run(lambda: load(params, pathlib.Path({str(tmp_path)!r}), torch.device('cpu')))\n"
    )
    environment = {**os.environ, "HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "0"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=120)
    assert done.returncode == 1
    assert "some/model" in done.stderr
    assert "Check the network" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_hub_model_must_be_pinned_to_a_commit():
    with pytest.raises(ValidationError, match="revision"):
        HubModel(source="hub", hub_id="some/model", revision="main", **SETTINGS)


def test_every_model_of_the_catalog_is_well_formed():
    from signbridge.core import params

    for name in YAML(typ="safe").load(ROOT / params.MODELS):
        image_token = "<start_of_image>" if name == "gemma-3-4b-it" else "<image>"
        prompt = params.entry(name, ROOT / params.MODELS, ModelParams).prompt
        assert prompt == "auto" or prompt.count(image_token) == 1, name


def test_a_half_written_model_is_not_taken_for_a_whole_one(tmp_path, tiny):
    load(tiny_random(seed=9), tmp_path, CPU)
    (folder,) = tmp_path.iterdir()
    shutil.move(folder, tmp_path / f".{folder.name}.1.unfinished")
    again = load(tiny_random(seed=9), tmp_path, CPU)
    assert again.model is not tiny.model
    assert folder.exists()


def test_a_random_model_that_another_process_writes_at_the_same_time_is_taken(tmp_path, monkeypatch):
    """As entries do that share a seed, where models are read side by side."""
    replace = os.replace

    def after_another(unfinished, folder):
        shutil.copytree(unfinished, folder)
        replace(unfinished, folder)

    monkeypatch.setattr(random_weights.os, "replace", after_another)
    folder = random_weights.tiny_folder("llava", 9, tmp_path)
    assert list(tmp_path.iterdir()) == [folder]


@pytest.fixture
def no_weights(monkeypatch):
    """Loading stops where the weights would be read."""

    def read(*_, **__):
        raise AssertionError("the weights were read")

    monkeypatch.setattr(loading.AutoModelForImageTextToText, "from_pretrained", read)


def test_a_prompt_and_an_answer_longer_than_the_model_reads_are_refused(tmp_path, no_weights):
    message = refusal(tiny_random(max_new_tokens=600), tmp_path)
    assert "an answer up to 600 more; the model reads 512. Shorten the prompt, or lower max_new_tokens" in message


def test_a_processor_that_cuts_image_tokens_is_refused(tmp_path, monkeypatch, no_weights):
    def cut(self, *arguments, **how):
        raise ValueError("Mismatch in `image` token count between text and `input_ids`.")

    monkeypatch.setattr(LlavaProcessor, "__call__", cut)
    assert "If its settings cut texts short (truncation, max_length), take that out" in refusal(tiny_random(), tmp_path)


def test_what_an_entry_leaves_out_is_found_as_it_is_loaded(workspace, tmp_path):
    loaded = load(TinyRandomModel(source="tiny_random", family="gemma3", seed=0), tmp_path, CPU)
    assert loaded.model.dtype == torch.float32
