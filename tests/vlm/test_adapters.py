"""Adapters: merged as PEFT merges them, refused where they are another model's, and which layers are adapted."""

import json
import shutil
import warnings
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file

from signbridge.core.errors import SignBridgeError
from signbridge.vlm.adapter_files import base_of, digest_of, written_for
from signbridge.vlm.catalog import HubModel
from signbridge.vlm.families import parts_of
from signbridge.vlm.families.adapted import adapted_layers
from signbridge.vlm.families.parts import Parts
from signbridge.vlm.loading import LoadedModel, load
from signbridge.vlm.needs import config_of
from tests.vlm import other_families
from tests.vlm.conftest import CPU, PROMPT, tiny_random

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


def write_adapter(folder: Path, loaded: LoadedModel, entry, blocks: range = range(9)) -> Path:
    """An adapter with random weights, written by PEFT, with its base written in; `loaded` holds it from then on."""
    pattern = adapted_layers(loaded.model, loaded.parts, blocks).pattern
    adapted = get_peft_model(loaded.model, LoraConfig(r=4, lora_alpha=8, target_modules=pattern))
    generator = torch.Generator().manual_seed(0)
    for name, weight in adapted.named_parameters():
        if "lora_B" in name:
            weight.data = 0.02 * torch.randn(weight.shape, generator=generator)
    adapted.save_pretrained(folder)
    said = json.loads((folder / CONFIG).read_text())
    (folder / CONFIG).write_text(json.dumps(written_for(said, base_of(entry))))
    return folder


@pytest.fixture(scope="module")
def adapter(tmp_path_factory, model_scratch) -> Path:
    return write_adapter(tmp_path_factory.mktemp("adapter"), load(tiny_random(), model_scratch, CPU), tiny_random())


def logits(loaded: LoadedModel, images) -> torch.Tensor:
    inputs = loaded.processor(images=images[:2], text=[PROMPT] * 2, return_tensors="pt")
    with torch.inference_mode():
        return loaded.model(**inputs, logits_to_keep=1).logits


def test_a_merged_adapter_gives_what_peft_gives(adapter, model_scratch, tiny, images):
    ours = load(tiny_random(adapter=str(adapter)), model_scratch, CPU)
    theirs = load(tiny_random(), model_scratch, CPU)
    base = logits(theirs, images)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "Unexpected keyword")
        theirs = theirs._replace(model=PeftModel.from_pretrained(theirs.model, adapter, trust_remote_code=False))
    expected = logits(theirs, images)
    assert (expected - base).abs().max() > 0.1
    torch.testing.assert_close(logits(ours, images), expected, atol=1e-4, rtol=1e-4)
    assert ours.model.state_dict().keys() == tiny.model.state_dict().keys(), "families read it as any other"


@pytest.mark.slow
def test_of_packed_weights_an_adapter_goes_into_the_values_that_they_stand_for(tmp_path, model_scratch, images):
    packed = tiny_random(quantization="nf4", dequantize="never")
    adapter = write_adapter(tmp_path, load(packed, model_scratch, CPU), packed)
    ours = load(packed.model_copy(update={"adapter": str(adapter)}), model_scratch, CPU)
    assert not any(type(layer).__name__ == "Linear4bit" for layer in ours.model.modules())
    theirs = load(packed, model_scratch, CPU)
    theirs = theirs._replace(model=PeftModel.from_pretrained(theirs.model, adapter, trust_remote_code=False))
    torch.testing.assert_close(logits(ours, images), logits(theirs, images), atol=2e-3, rtol=2e-3)
    with pytest.raises(
        SignBridgeError, match=r"an adapter of .*nf4 of all\), and the model is tiny_random llava \(seed 0\)"
    ):
        load(tiny_random(adapter=str(adapter)), model_scratch, CPU)


@pytest.mark.parametrize("change", [{"seed": 1}, {"family": "gemma3"}, {"untrained": 3}, {"quantization": "nf4"}])
def test_an_adapter_of_another_base_is_refused_before_anything_is_loaded(adapter, change, model_scratch, monkeypatch):
    monkeypatch.setattr("signbridge.vlm.loading.AutoModelForImageTextToText", None)
    with pytest.raises(SignBridgeError, match="an adapter of tiny_random llava") as raised:
        load(tiny_random(adapter=str(adapter), **change), model_scratch, CPU)
    assert max(map(len, str(raised.value).splitlines())) < 400


def test_another_commit_and_none_are_refused(adapter, tmp_path):
    entry = HubModel(hub_id="a/b", revision="0" * 40, adapter=str(tmp_path / "moved"))
    shutil.copytree(adapter, tmp_path / "moved")
    config = json.loads((adapter / CONFIG).read_text()) | {"base_model_name_or_path": "a/b"}
    for commit in ("1" * 40, None):
        (tmp_path / "moved" / CONFIG).write_text(json.dumps(config | {"revision": commit, "auto_mapping": None}))
        with pytest.raises(SignBridgeError, match=r"an adapter of a/b \((111111111111|None)\), and the model is a/b"):
            digest_of(entry)
    (tmp_path / "moved" / CONFIG).write_text(json.dumps(config | {"revision": "0" * 40, "auto_mapping": None}))
    assert len(digest_of(entry)) == 64


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"use_dora": True}, "use_dora: only plain LoRA"),
        ({"peft_type": "IA3"}, "IA3: only plain LoRA"),
        ({"bias": "all"}, "bias: only plain LoRA"),
        ({"r": None}, "not the configuration of an adapter"),
        (None, "no such file"),
    ],
)
def test_what_is_no_plain_adapter_is_refused(adapter, tmp_path, change, message):
    if change is not None:
        shutil.copytree(adapter, tmp_path / "other")
        said = json.loads((adapter / CONFIG).read_text()) | change
        (tmp_path / "other" / CONFIG).write_text(json.dumps(said))
    with pytest.raises(SignBridgeError, match=message):
        digest_of(tiny_random(adapter=str(tmp_path / "other")))


@pytest.mark.parametrize("damage", ["shape", "name", "nan", "cut"])
def test_a_damaged_adapter_changes_no_weight(adapter, tmp_path, damage, model_scratch):
    folder = tmp_path / "damaged"
    shutil.copytree(adapter, folder)
    weights = load_file(folder / WEIGHTS)
    name = next(name for name in weights if "lora_B" in name)
    if damage == "cut":
        (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:1000])
    else:
        first = weights.pop(name)
        weights[name.replace("layers.", "blocks.") if damage == "name" else name] = {
            "shape": first[:-1], "name": first, "nan": first * float("nan")
        }[damage].contiguous()  # fmt: skip
        save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})
    with pytest.raises(SignBridgeError, match=WEIGHTS):
        load(tiny_random(adapter=str(folder)), model_scratch, CPU)


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("families")


@pytest.mark.parametrize("family", list(other_families.ALL_WRITERS))
def test_attention_and_mlp_of_every_familys_decoder_are_adapted_and_nothing_else(family, folders):
    from transformers import AutoModelForImageTextToText

    other_families.ALL_WRITERS[family](folders / family)
    with torch.device("meta"):
        model = AutoModelForImageTextToText.from_config(config_of(folders / family), trust_remote_code=False)
    parts = parts_of(model)
    found = adapted_layers(model, parts, range(1, len(parts.blocks)))
    inside = {id(layer): name for name, layer in model.named_modules()}
    expected = {
        inside[id(layer)]
        for block in parts.blocks[1:]
        for layer in block.modules()
        if isinstance(layer, torch.nn.Linear)
    }
    assert set(found.layers) == expected, "every product of these blocks"
    of_a_block = len(found.layers) / (len(parts.blocks) - 1)
    assert of_a_block == (6 if family == "blip-2" else 7)


def test_a_decoder_without_layers_of_known_names_is_refused_with_a_sentence(tiny):
    nameless = Parts([torch.nn.ReLU()], tiny.parts.final_norm, tiny.parts.projector, 0)
    model = torch.nn.Module()
    model.block, model.config = nameless.blocks[0], tiny.model.config
    with pytest.raises(SignBridgeError, match="no layer to adapt in block of a 'llama'"):
        adapted_layers(model, nameless, range(1))
