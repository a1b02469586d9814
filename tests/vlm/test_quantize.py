"""`quantize: decoder`: NF4 packs the decoder blocks alone; vision tower, projector and unembedding stay as they are."""

import pytest
import torch
from torch import nn

from signbridge.vlm import packed_weights
from signbridge.vlm.families import parts_of
from signbridge.vlm.loading import load
from signbridge.vlm.needs import needs_of
from signbridge.vlm.nf4 import modules_beside, packed_layers
from signbridge.vlm.random_weights import tiny_config
from tests.vlm.conftest import CPU, tiny_random

NF4 = {"quantization": "nf4", "dequantize": "never", "dtype": "bfloat16"}
PROMPTS = {"llava": "<image>\nWhich?", "gemma3": "<start_of_image>Which?"}


def packed_by(family: str, scratch, quantize: str):
    """The names of the packed layers, and the model."""
    entry = tiny_random(**NF4, family=family, prompt=PROMPTS[family], quantize=quantize)
    model = load(entry, scratch, CPU).model
    layers = set(packed_layers(model))
    return {name for name, module in model.named_modules() if module in layers}, model


@pytest.mark.parametrize("family", PROMPTS)
def test_every_layer_of_the_decoder_is_packed_and_no_other(model_scratch, family):
    names, model = packed_by(family, model_scratch, "decoder")
    inside = {module for block in parts_of(model).blocks for module in block.modules()}
    linear = {name for name, module in model.named_modules() if isinstance(module, nn.Linear) and module in inside}
    assert names == linear
    others = [weight for name, weight in model.named_parameters() if ".layers." not in name or "vision" in name]
    assert {weight.dtype for weight in others} == {torch.bfloat16}
    everything, _ = packed_by(family, model_scratch, "all")
    assert names < everything
    assert any("vision" in name for name in everything)
    assert not any("lm_head" in name for name in names | everything)


def test_what_it_takes_is_counted(model_scratch):
    entry = tiny_random(**NF4, quantize="decoder")
    _, model = packed_by("llava", model_scratch, "decoder")
    held = model.get_memory_footprint()
    for layer in packed_layers(model):
        held += layer.weight.quant_state.absmax.nbytes + layer.weight.quant_state.state2.absmax.nbytes
    said = needs_of(tiny_config(), entry).weights
    assert abs(said - held) < 0.005 * held
    assert said > needs_of(tiny_config(), tiny_random(**NF4)).weights


def test_the_untrained_twin_and_kept_weights_are_packed_alike(model_scratch, tmp_path, monkeypatch):
    monkeypatch.setattr(packed_weights, "LARGE", 0)
    names, _ = packed_by("llava", model_scratch, "decoder")
    entry = tiny_random(**NF4, quantize="decoder")
    kept = [load(entry, tmp_path, CPU).model for _ in range(2)]  # the second reads what the first has packed
    twin = load(entry, tmp_path, CPU, twin_seed=0).model
    for model in (*kept, twin):
        layers = set(packed_layers(model))
        assert {name for name, module in model.named_modules() if module in layers} == names


def test_names_are_of_whole_modules_that_lie_beside_the_decoder():
    model = nn.ModuleDict({"model": nn.ModuleDict({
        "tower": nn.Linear(1, 1), "text": nn.ModuleDict({"embed": nn.Linear(1, 1), "layers": nn.ModuleList()}),
    }), "lm_head": nn.Linear(1, 1)})  # fmt: skip
    assert modules_beside(model, "model.text.layers") == ["lm_head", "model.tower", "model.text.embed"]
