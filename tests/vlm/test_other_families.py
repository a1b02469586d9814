"""Models of every family, read and edited by the code that reads LLaVA: what `test_conformance.py` does not ask."""

import copy
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from transformers import LlavaForConditionalGeneration

from signbridge.causal.damage import read_described
from signbridge.causal.patching import patch, patch_one_by_one
from signbridge.core.errors import SignBridgeError
from signbridge.core.model_folder import blocks_in_weights
from signbridge.core.names import PATCHED
from signbridge.lenses.lens import logit_lens
from signbridge.lenses.patches import patch_tokens
from signbridge.planted import reading as planted
from signbridge.vlm.answering import read_and_answer
from signbridge.vlm.branching import clean_run, leave
from signbridge.vlm.catalog import FolderModel
from signbridge.vlm.conformance import plain_pass
from signbridge.vlm.extraction import Reader
from signbridge.vlm.families.parts import grid_of_image, with_text_behind
from signbridge.vlm.letter_scoring import class_log_probabilities, continuations
from signbridge.vlm.library_errors import check_blocks
from signbridge.vlm.loading import LoadedModel, load
from signbridge.vlm.needs import needs_of
from signbridge.vlm.residual import decoder_sites, editing, reading, reading_up_to
from tests.vlm import other_families
from tests.vlm.conftest import tiny_random

CPU = torch.device("cpu")
SIZES = ((28, 28), (56, 28))


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("families")


@pytest.fixture(scope="module", params=list(other_families.ALL_WRITERS))
def family(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def reader(family, folders) -> Reader:
    return _reader(folders, family)


def _reader(folders: Path, family: str, dtype: str = "float32") -> Reader:
    if not (folders / family).exists():
        other_families.ALL_WRITERS[family](folders / family)
    prompt = other_families.PROMPTS[family]
    entry = FolderModel(
        source="folder", path=str(folders / family), quantization="none", dequantize="never", dtype=dtype,
        prompt=prompt, max_new_tokens=3,
    )  # fmt: skip
    return Reader(load(entry, folders, CPU), prompt, 3, 2)


def picture(seed: int, width: int = 28, height: int = 28) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def with_behind(loaded: LoadedModel, inputs, tokens: list[list[int]]):
    """A whole pass of the library's own, with text behind the prompts."""
    own = {name: given for name, given in inputs.items() if name != "position_ids"}
    return plain_pass(loaded, with_text_behind(loaded.parts, own, torch.tensor(tokens)))


def streams_of(loaded: LoadedModel, inputs) -> dict[str, torch.Tensor]:
    found = {}
    with torch.inference_mode(), reading(loaded.parts, lambda site, stream: found.update({site: stream.clone()})):
        found["logits"] = loaded.model(**inputs).logits
    return found


# In tiles, patches or pixels that the processor's own file decides, the small ones differ from what is published.
OF_PUBLISHED_SIZES = ("qwen2-vl", "qwen2-5-vl", "qwen3-vl", "smolvlm")


def test_an_image_takes_as_many_tokens_as_the_configuration_tells(family, reader):
    inputs = reader.prepare([picture(0), picture(1)])
    is_image = inputs["input_ids"] == reader.loaded.parts.image_token_id
    needs = needs_of(reader.loaded.model.config, tiny_random(prompt=reader.prompt, max_new_tokens=3))
    assert needs.prompt > 0
    if family not in OF_PUBLISHED_SIZES:
        assert is_image.sum(1).tolist() == [needs.image_tokens] * 2


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("family", list(other_families.WRITERS))
def test_words_and_image_tokens_enter_block_0_scaled_as_in_training(folders, family, dtype):
    """Gemma multiplies words by the root of the width, rounded to the dtype; LLaVA-Gemma its image tokens as well.

    Once: if Transformers scaled again what comes in, either of the two would be scaled twice.
    """
    loaded = _reader(folders, family, dtype).loaded
    inputs = Reader(loaded, other_families.PROMPTS[family], 1, 1).prepare([picture(0)])
    inputs = inputs.to(CPU, dtype=getattr(torch, dtype))
    streams = streams_of(loaded, inputs)
    is_image = inputs["input_ids"][0] == loaded.parts.image_token_id
    words = loaded.model.get_input_embeddings().weight[inputs["input_ids"][0, ~is_image]]
    root = torch.tensor(other_families.WIDTH**0.5, dtype=words.dtype)
    assert streams["embedding"].dtype == words.dtype
    assert torch.equal(streams["embedding"][0, ~is_image], words * (1 if family == "llava-next" else root))
    if family == "llava-next":  # puts tiles together, with a token at the end of each row
        given = set(map(tuple, streams["projector"].flatten(0, 1).tolist()))
        entering = set(map(tuple, streams["embedding"][0, is_image].tolist()))
        assert len(entering - given) == 1
    else:
        image_tokens = streams["projector"][0] * (root if family == "llava-gemma" else 1)
        assert torch.equal(streams["embedding"][0, is_image], image_tokens)


def test_llava_gemma_answers_as_with_a_decoder_that_scales_all_that_comes_in(folders):
    """What `GemmaModel.forward` did when it was trained, restated: the same logits, and the same greedy answer."""
    loaded = _reader(folders, "llava-gemma").loaded
    inputs = Reader(loaded, other_families.PROMPTS["llava-gemma"], 4, 1).prepare([picture(0)])
    plain = LlavaForConditionalGeneration.from_pretrained(folders / "llava-gemma", trust_remote_code=False).eval()
    lookup = plain.get_input_embeddings()
    lookup.embed_scale.fill_(1)
    root = other_families.WIDTH**0.5

    def scaled(_, args, kwargs):
        return args, {**kwargs, "inputs_embeds": kwargs["inputs_embeds"] * root}

    plain.model.language_model.register_forward_pre_hook(scaled, with_kwargs=True)
    with torch.inference_mode():
        torch.testing.assert_close(loaded.model(**inputs).logits, plain(**inputs).logits, atol=1e-4, rtol=1e-4)
    expected = plain.generate(**inputs, max_new_tokens=4, do_sample=False)[0, inputs["input_ids"].shape[1] :].tolist()
    model, parts = loaded.model, loaded.parts
    assert read_and_answer(model, parts, inputs, 4, loaded.end_tokens).answers == [expected]


def test_image_tokens_are_scaled_once_where_nf4_weights_are_expanded(folders):
    if not (folders / "llava-gemma").exists():
        other_families.write_llava_gemma(folders / "llava-gemma")
    prompt = other_families.PROMPTS["llava-gemma"]
    entry = FolderModel(
        source="folder", path=str(folders / "llava-gemma"), quantization="nf4", dequantize="always", dtype="float32",
        prompt=prompt, max_new_tokens=3,
    )  # fmt: skip
    loaded = load(entry, folders, CPU)
    inputs = Reader(loaded, prompt, 1, 1).prepare([picture(0)])
    streams = streams_of(loaded, inputs)
    is_image = inputs["input_ids"][0] == loaded.parts.image_token_id
    expected = streams["projector"][0] * other_families.WIDTH**0.5
    torch.testing.assert_close(streams["embedding"][0, is_image], expected)


def test_an_edit_of_what_the_projector_gives_is_scaled_with_it(folders):
    loaded = _reader(folders, "llava-gemma").loaded
    inputs = Reader(loaded, other_families.PROMPTS["llava-gemma"], 1, 1).prepare([picture(0)])
    is_image = inputs["input_ids"][0] == loaded.parts.image_token_id
    with editing(loaded.parts, lambda site, stream: torch.ones_like(stream) if site == "projector" else stream):
        streams = streams_of(loaded, inputs)
    torch.testing.assert_close(streams["projector"], torch.ones_like(streams["projector"]))
    entering = streams["embedding"][0, is_image]
    torch.testing.assert_close(entering, torch.full_like(entering, other_families.WIDTH**0.5))


def test_classes_of_several_tokens_are_scored_as_by_a_plain_pass(reader):
    """Also where the model is told which tokens are of an image, and where its image token is not `<image>`."""
    loaded, classes = reader.loaded, [[5], [5, 6], [7, 8, 9]]
    inputs = reader.asking("user <image> What is it?:", "prompts.offer_letters", 1).prepare([picture(0)])
    scores = class_log_probabilities(loaded.model, loaded.parts, inputs, classes)[0]
    for tokens, score in zip(classes, scores, strict=True):
        logits = with_behind(loaded, inputs, [tokens]).logits[0, -len(tokens) - 1 : -1]
        expected = logits.log_softmax(-1).gather(-1, torch.tensor(tokens)[:, None]).sum()
        torch.testing.assert_close(score, expected, atol=1e-4, rtol=1e-4)


GRIDS = {  # rows and columns of the tokens of an image of 28 x 28 pixels, and of 56 x 28
    "llava-gemma": ((4, 4), (4, 4)), "gemma3": ((2, 2), (2, 2)), "paligemma": ((4, 4), (4, 4)),
    "qwen2-vl": ((2, 2), (2, 4)), "qwen2-5-vl": ((2, 2), (2, 4)), "qwen3-vl": ((2, 2), (2, 4)),
    "mistral3": ((2, 2), (2, 4)), "pixtral": ((4, 4), (4, 8)), "internvl": ((2, 2), None),
}  # fmt: skip


def test_image_tokens_that_are_tiles_or_queries_are_no_grid_of_patches(family, reader):
    found = tuple(grid_of_image(reader.loaded.parts, reader.prepare([picture(0, *size)])) for size in SIZES)
    assert found == GRIDS.get(family, (None, None))


def test_lenses_do_not_mix_up_the_patches_of_images_that_take_different_numbers_of_tokens(folders):
    reader = _reader(folders, "llava-next")
    with pytest.raises(SignBridgeError, match="different numbers of tokens"):
        reader.read([picture(0, *size) for size in SIZES], patch_tokens(reader, ["embedding"], 4))


def test_the_names_of_weights_tell_the_decoder_blocks_and_another_number_is_refused(family, reader, folders, tmp_path):
    """Of weights in shards by the index alone, which is fetched before them."""
    names = load_file(folders / family / "model.safetensors")
    index = {"weight_map": dict.fromkeys(names, "model-00001-of-00001.safetensors")}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    assert blocks_in_weights(folders / family) == blocks_in_weights(tmp_path) == other_families.BLOCKS
    config = copy.deepcopy(reader.loaded.model.config)
    check_blocks(config, tmp_path)
    config.get_text_config().num_hidden_layers = 2
    with pytest.raises(SignBridgeError, match=r"the weights hold 3 decoder blocks, and config\.json says 2"):
        check_blocks(config, tmp_path)


def test_the_logit_lens_at_the_end_is_what_the_model_says_next(reader):
    """Its tokens, in order, and the logits that are quoted: PaliGemma's own are drawn to within 3."""
    model, parts = reader.loaded.model, reader.loaded.parts
    streams = streams_of(reader.loaded, reader.prepare([picture(0)]))
    expected = streams["logits"][0, -1]
    last = streams[decoder_sites(parts)[-1]][0, -1:]
    every = torch.arange(len(expected))  # each token a word of its own
    score, token = logit_lens(last, parts, model.get_output_embeddings(), every, 20)
    torch.testing.assert_close(score[0], expected.topk(20).values, atol=1e-5, rtol=1e-5)
    assert token[0].tolist() == expected.topk(20).indices.tolist()


def test_the_logits_of_a_planted_question_are_drawn_as_the_models_own(folders, monkeypatch):
    monkeypatch.setattr(planted, "answer_tokens", lambda reader: (5, 6))
    reader = _reader(folders, "paligemma")
    asked = planted.Asked(picture(0), reader.prompt)
    found = reader.read([asked], planted.question_work(reader, lenses=True)).vectors
    with torch.inference_mode():
        expected = reader.loaded.model(**reader.prepare([picture(0)])).logits[0, -1, [5, 6]]
    last = decoder_sites(reader.loaded.parts)[-1]
    np.testing.assert_allclose(found[f"logit.{last}"][0], expected, atol=1e-5)


def test_an_answer_follows_the_prompt_as_the_processor_ends_it(family, reader):
    """PaliGemma's puts a new line behind a prompt: behind one the answer's first token has no space before it."""
    tokenizer, prompt = reader.loaded.processor.tokenizer, reader.prompt
    (answer,) = continuations(reader.loaded.processor, prompt, ["fist"])
    assert tokenizer.decode(answer) == ("fist" if family == "paligemma" or prompt.endswith("\n") else " fist")


def test_the_greedy_answer_is_that_of_the_librarys_own_loop(reader):
    """Which counts positions, marks tokens and calls the model in its own way."""
    loaded = reader.loaded
    inputs = reader.prepare([picture(0, 56, 28)])
    answer = read_and_answer(loaded.model, loaded.parts, inputs, 4, loaded.end_tokens).answers[0]
    own = {name: given for name, given in inputs.items() if name != "position_ids"}
    said = loaded.model.generate(**own, max_new_tokens=4, do_sample=False)[0].tolist()
    for module in loaded.model.modules():
        if hasattr(module, "rope_deltas"):
            module.rope_deltas = None
    assert said[-len(answer) :] == answer


def test_patching_is_a_whole_pass_for_each_cell(reader):
    loaded = reader.loaded
    inputs = reader.prepare([picture(0), picture(1)])
    a, b = reader.prepare([picture(0)]), reader.prepare([picture(1)])
    found = patch(loaded, inputs, [(5, 6)])
    cells = [(site, position) for site in decoder_sites(loaded.parts) for position in PATCHED]
    for run, (receiver, donor, of_receiver, of_donor) in enumerate(((a, b, 5, 6), (b, a, 6, 5))):
        with torch.inference_mode():
            slow = torch.stack(list(patch_one_by_one(loaded, receiver, donor, cells)))
        expected = slow[:, of_donor] - slow[:, of_receiver]
        np.testing.assert_allclose(found.patched[run].ravel(), expected, atol=1e-4, rtol=1e-4)


def test_what_is_heard_of_a_branch_is_the_stream_of_a_whole_edited_pass_from_its_start_on(reader):
    """Also where the branch is run from an earlier token on than it was asked to leave at."""
    loaded = reader.loaded
    inputs = reader.prepare([picture(0), picture(1)])
    start, (*_, site, last) = inputs["input_ids"].shape[1] - 1, decoder_sites(loaded.parts)
    clean, heard = clean_run(loaded, inputs, start), {}
    rows = clean.tail(site, start).roll(1, 0)
    leave(loaded, clean, start, {site: rows}, on_site=lambda at, stream: heard.update({at: stream.clone()}))

    def edit(at: str, stream: torch.Tensor) -> torch.Tensor:
        return torch.cat([stream[:, :start], rows], dim=1) if at == site else stream

    expected = plain_pass(loaded, inputs, edit).streams
    assert list(heard) == [site, last]
    torch.testing.assert_close(heard[site], rows)
    torch.testing.assert_close(heard[last], expected[last][:, start:], atol=1e-4, rtol=1e-4)


def test_descriptions_are_fed_behind_the_prompt(reader):
    """Their tokens are text, also where the model is told which tokens are of an image."""
    images, described = [picture(0), picture(1)], [[5, 6, 7], [8, 9]]
    read = read_described(reader, images, described, "every", ["layer_01"])
    for row, (image, tokens) in enumerate(zip(images, described, strict=True)):
        inputs = reader.prepare([image])
        logits = with_behind(reader.loaded, inputs, [tokens]).logits[0, -len(tokens) - 1 : -1]
        chosen = logits.log_softmax(-1).gather(-1, torch.tensor(tokens)[:, None])
        torch.testing.assert_close(read.unedited[row], -chosen.mean(), atol=1e-4, rtol=1e-4)


@torch.inference_mode()
def test_a_pass_that_ends_at_the_deepest_site_reads_to_the_byte_what_a_whole_one_does(reader):
    """And runs no block behind it, while a pass after it runs them all."""
    loaded, found, run = reader.loaded, {}, []
    inputs = reader.prepare([picture(0), picture(1)])
    whole = streams_of(loaded, inputs)
    handles = [
        block.register_forward_hook(lambda *_, number=number: run.append(number))
        for number, block in enumerate(loaded.parts.blocks)
    ]
    with reading_up_to(loaded.parts, ["layer_01", "embedding"], lambda site, stream: found.update({site: stream})):
        loaded.model(**inputs, use_cache=False, logits_to_keep=1)
    ended_after = list(run)
    again = streams_of(loaded, inputs)
    for handle in handles:
        handle.remove()
    assert list(found) == ["embedding", "layer_01"]
    assert all(torch.equal(stream, whole[site]) for site, stream in found.items())
    assert ended_after == [0, 1]
    assert all(torch.equal(again[site], whole[site]) for site in whole), "the model is left as it was"


def test_logits_in_half_precision_are_those_of_the_stream_in_float32(folders, family):
    """Final norm and unembedding as the family has them, of a clean run and of a branch."""
    half = _reader(folders, family, "bfloat16")
    inputs = half.to_device(half.prepare([picture(0), picture(1)]))
    *_, last = decoder_sites(half.loaded.parts)
    with torch.inference_mode():
        clean = clean_run(half.loaded, inputs, first=0)
    exact = _reader(folders, family).loaded
    with torch.inference_mode():
        for mine, theirs in zip(exact.model.parameters(), half.loaded.model.parameters(), strict=True):
            mine.copy_(theirs)
        expected = exact.model.get_output_embeddings()(exact.parts.final_norm(clean.streams[last][:, -1:].float()))
        if family == "paligemma":
            expected = 3 * torch.tanh(expected / 3)
        branch = leave(
            half.loaded, clean, clean.input_ids.shape[1] - 1, {last: clean.tail(last, clean.input_ids.shape[1] - 1)}
        )
    assert clean.logits.dtype == branch.logits.dtype == torch.float32
    torch.testing.assert_close(clean.logits, expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(branch.logits, expected, rtol=1e-5, atol=1e-6)
