"""What a model is said to need, against the model itself: its bytes once loaded, its vectors, its operations."""

import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import LlavaConfig

from benchmarks.llava_shape import llava_1_5_7b_config
from signbridge.vlm.extraction import Reader
from signbridge.vlm.loading import LoadedModel, load
from signbridge.vlm.needs import Needs, needs_of
from signbridge.vlm.random_weights import tiny_config
from tests.vlm.conftest import CPU, PROMPT, tiny_random

NOTEBOOK_PROMPT_TFLOP = 8.4  # docs/gpu.md, counted with 32 stubbed blocks


def of(config: LlavaConfig, quantization: str = "none", dtype: str = "float32") -> Needs:
    return needs_of(config, tiny_random(quantization=quantization, dtype=dtype))


def bytes_held(loaded: LoadedModel) -> int:
    """Of all weights and buffers, and of what unpacks the packed ones."""
    held = loaded.model.get_memory_footprint()
    for module in loaded.model.modules():
        state = getattr(getattr(module, "weight", None), "quant_state", None)
        if state is not None:
            held += state.absmax.nbytes + state.state2.absmax.nbytes
    return held


def test_weights_take_what_they_take_once_loaded(tiny):
    assert of(tiny_config()).weights == of(tiny_config()).expanded == bytes_held(tiny)


def test_packed_weights_take_what_they_take_once_loaded(model_scratch):
    packed = load(tiny_random(quantization="nf4"), model_scratch, CPU)
    held, said = bytes_held(packed), of(tiny_config(), "nf4")
    assert abs(said.weights - held) < 0.005 * held
    assert said.expanded == of(tiny_config()).weights > 3 * held / 2


def test_weights_that_were_packed_when_they_were_saved_count_alike():
    packed = tiny_config()
    packed.quantization_config = {"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}
    assert of(packed, "nf4") == of(tiny_config(), "nf4")


def test_the_vectors_of_an_image_take_what_they_take_when_they_are_read(tiny, images):
    read = Reader(tiny, PROMPT, 2, batch_size=1).read(images[:1])
    assert of(tiny_config()).stored == sum(vectors.nbytes for vectors in read.vectors.values())
    assert of(tiny_config(), dtype="float16").stored == of(tiny_config()).stored / 2


@torch.inference_mode()
def test_operations_are_those_that_pytorch_counts(tiny, images):
    said, reader = of(tiny_config()), Reader(tiny, PROMPT, 2, batch_size=1)
    inputs = reader.to_device(reader.prepare(images[:1]))
    tokens = inputs["input_ids"].shape[1]
    with FlopCounterMode(display=False) as counted:
        tiny.model(**inputs, logits_to_keep=1)
    # The prompt's own words take another number of tokens in a real model's tokenizer than in this small one.
    expected = said.prompt + said.word * (tokens - said.prompt_tokens)
    assert abs(counted.get_total_flops() - expected) < 0.05 * expected
    assert int((inputs["input_ids"] == tiny.parts.image_token_id).sum()) == said.image_tokens


def test_the_notebooks_model_needs_what_the_guide_to_gpus_says():
    said = of(llava_1_5_7b_config(), "nf4", "float16")
    assert abs(said.prompt / 1e12 - NOTEBOOK_PROMPT_TFLOP) < 0.2
    assert 3.6 < said.weights / 2**30 < 3.9
    assert abs(said.expanded / 1e9 - 14.1) < 0.1
    assert round(300 * said.stored / 1e9, 1) == 0.2
