"""What tuning takes of memory: LLaVA-1.5-7B's numbers, measured on its shape, and a refusal before it is loaded."""

import numpy as np
import pytest
import torch
from ruamel.yaml import YAML

from benchmarks.live_memory import LiveMemory
from benchmarks.llava_shape import llava_1_5_7b_config
from signbridge.core import params
from signbridge.core.errors import SignBridgeError
from signbridge.datasets.images import encode_png
from signbridge.finetune import memory, training_step
from signbridge.finetune.memory import GIB, check_room, room_for_tuning
from signbridge.finetune.settings import Recipe
from signbridge.finetune.training import examples, tune
from signbridge.vlm.catalog import FolderModel
from signbridge.vlm.extraction import Reader
from signbridge.vlm.families.adapted import adapted_layers
from signbridge.vlm.loading import load
from signbridge.vlm.needs import needs_of
from signbridge.vlm.random_weights import write_random_llava
from tests.conftest import ROOT
from tests.vlm.conftest import CPU, PROMPT, tiny_random

PRESETS = YAML(typ="safe").load((ROOT / params.FINETUNE).read_text(encoding="utf-8"))["presets"]
LLAVA = Recipe.model_validate(PRESETS["llava-1-5-7b"])


def room(recipe: Recipe = LLAVA, blocks: range = range(32), there: float = 16 * GIB, **entry):
    config = llava_1_5_7b_config()
    entry = tiny_random(**{"quantization": "nf4", "dequantize": "auto", "dtype": "float16", **entry})
    return room_for_tuning(config, entry, needs_of(config, entry), recipe, blocks, int(there))


def test_llava_is_tuned_on_a_card_of_12_gib():
    found = room()
    assert 3.5 < found.weights / GIB < 4.5
    assert found.adapter / GIB == pytest.approx(40e6 * 20 / GIB, rel=0.02), "40 million parameters"
    assert 0.3 < found.image / GIB < 1
    assert found.at_once(8) < 12 * GIB


def test_what_saves_memory_is_counted():
    assert room(there=80 * GIB).weights > 3 * room().weights, "where there is room, packed weights are expanded"
    assert room(blocks=range(21, 32)).adapter < room().adapter / 2
    plain = LLAVA.model_copy(update={"checkpointing": False})
    assert room(plain).image > 10 * room().image
    assert room(plain, range(21, 32)).image < room(plain).image / 2, "no gradient goes below the first tuned block"
    assert room(LLAVA.model_copy(update={"r": 32})).adapter == 2 * room().adapter


def test_too_little_memory_is_said_with_what_to_do_and_images_at_once_fit(monkeypatch):
    entry = tiny_random()
    recipe = Recipe.model_validate(PRESETS["miniature"])
    assert check_room(entry, recipe, range(9), CPU) == recipe.batch
    needed = room_for_tuning(memory._config(entry), entry, needs_of(memory._config(entry), entry), recipe, range(9), 0)
    monkeypatch.setattr(memory, "all_bytes", lambda device: int(needed.at_once(0) + 2.6 * needed.image))
    assert check_room(entry, recipe, range(9), CPU) == 2
    monkeypatch.setattr(memory, "all_bytes", lambda device: int(needed.at_once(1) - 1))
    with pytest.raises(SignBridgeError, match="Set quantization: nf4 and dequantize: never") as raised:
        check_room(entry, recipe, range(9), CPU)
    assert all(len(line) < 400 for line in str(raised.value).splitlines())


def test_the_preflight_says_what_tuning_llava_by_its_preset_takes_beside_what_there_is(workspace, monkeypatch):
    workspace.set_in(params.FINETUNE, preset="llava-1-5-7b")
    entry = tiny_random(quantization="nf4", dequantize="auto", dtype="float16")
    monkeypatch.setattr(memory, "_config", lambda entry: llava_1_5_7b_config())
    monkeypatch.setattr(memory, "all_bytes", lambda device: 16 * GIB)
    said = memory.memory_of_tuning(entry, 32, CPU)
    expected = room().at_once(1) / GIB
    assert said.startswith(
        f"Memory of fine-tuning, preset llava-1-5-7b: tuning takes {expected:.1f} GiB with one image"
    )
    assert said.endswith("cpu has 16.0 GiB.")
    monkeypatch.setattr(memory, "all_bytes", lambda device: 4 * GIB)
    assert "\nThat is too little for it. Set quantization: nf4" in memory.memory_of_tuning(entry, 32, CPU)
    workspace.set_in(params.FINETUNE, preset="large")
    assert "not known. " in memory.memory_of_tuning(entry, 32, CPU)


@pytest.mark.slow
def test_three_steps_on_llavas_shape_with_two_blocks_of_full_width(tmp_path, monkeypatch):
    """Random weights in NF4, the recipe of the preset; the tower is cut to two layers."""
    config = llava_1_5_7b_config(2)
    config.vision_config.num_hidden_layers = 2
    write_random_llava(tmp_path / "model", config, seed=0, dtype=torch.bfloat16)
    entry = FolderModel(
        source="folder", path=str(tmp_path / "model"), quantization="nf4", dequantize="never", dtype="bfloat16",
        prompt=PROMPT, max_new_tokens=2,
    )  # fmt: skip
    loaded = load(entry, tmp_path, CPU)
    reader = Reader(loaded, PROMPT, 2, 1)
    pixels = np.random.default_rng(0).integers(0, 256, (3, 28, 28), dtype=np.uint8)
    todo = examples(reader, [encode_png(image) for image in pixels], list("ABC"))
    recipe = LLAVA.model_copy(update={"batch": 1, "epochs": 1.0, "looks": 1, "lr": 0.01})
    layers, peaks = adapted_layers(loaded.model, loaded.parts, range(2)), []
    take_step = training_step.Trainer.step

    def measured(self, *args):
        with LiveMemory() as live:
            loss = take_step(self, *args)
        peaks.append(live.peak)
        return loss

    monkeypatch.setattr(training_step.Trainer, "step", measured)
    found = tune(reader, layers, todo, todo[:1], recipe, 0, at_once=1)
    assert len(peaks) == 3
    assert np.isfinite(found.log["loss"]).all()
    assert len(found.weights) == 2 * 7 * 2
    assert any(weight.abs().max() > 0 for name, weight in found.weights.items() if "lora_B" in name)
    expected = room_for_tuning(config, entry, needs_of(config, entry), recipe, range(2), 0)
    of_step = expected.block + expected.image + expected.adapter
    assert 0.6 < max(peaks) / of_step < 1.4, f"{max(peaks) / GIB:.2f} GiB at the peak, {of_step / GIB:.2f} estimated"
