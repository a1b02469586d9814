"""Models of the classes that pretrained autoencoders belong to, read by the code that reads LLaVA."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import LlavaForConditionalGeneration

from signbridge.causal.damage import read_described
from signbridge.causal.patching import patch, patch_one_by_one
from signbridge.core.names import PATCHED
from signbridge.vlm.answering import prefill, read_and_answer
from signbridge.vlm.branching import clean_run, leave
from signbridge.vlm.catalog import FolderModel
from signbridge.vlm.extraction import Reader
from signbridge.vlm.key_value_cache import roomy_cache
from signbridge.vlm.letter_scoring import class_log_probabilities
from signbridge.vlm.loading import LoadedModel, load
from signbridge.vlm.needs import tokens_of_image
from signbridge.vlm.residual import decoder_sites, editing, reading, reading_up_to
from tests.vlm import other_families

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("families")


@pytest.fixture(scope="module", params=list(other_families.WRITERS))
def reader(request, folders) -> Reader:
    return _reader(folders, request.param)


def _reader(folders: Path, family: str, dtype: str = "float32") -> Reader:
    if not (folders / family).exists():
        other_families.WRITERS[family](folders / family)
    prompt = other_families.PROMPTS[family]
    entry = FolderModel(
        source="folder", path=str(folders / family), quantization="none", dequantize="never", dtype=dtype,
        prompt=prompt, max_new_tokens=3,
    )  # fmt: skip
    return Reader(load(entry, folders, CPU), prompt, 3, 2)


def picture(seed: int, width: int = 28, height: int = 28) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def streams_of(loaded: LoadedModel, inputs) -> dict[str, torch.Tensor]:
    found = {}
    with torch.inference_mode(), reading(loaded.parts, lambda site, stream: found.update({site: stream.clone()})):
        found["logits"] = loaded.model(**inputs).logits
    return found


@pytest.mark.parametrize("family", list(other_families.WRITERS))
def test_an_image_takes_as_many_tokens_as_its_family_says_and_each_layer_is_read(folders, family):
    reader = _reader(folders, family)
    inputs = reader.prepare([picture(0), picture(1)])
    is_image = inputs["input_ids"] == reader.loaded.parts.image_token_id
    expected = {"llava-gemma": 16, "gemma3": 4, "llava-next": 16 + 16 + 4}[family]
    assert is_image.sum(1).tolist() == [expected, expected]
    assert tokens_of_image(reader.loaded.model.config) == expected
    streams = streams_of(reader.loaded, inputs)
    hidden = reader.loaded.model(**inputs, output_hidden_states=True).hidden_states
    for block, after in enumerate(hidden[1:-1]):
        torch.testing.assert_close(streams[f"layer_{block:02d}"], after)


def test_every_site_is_read_of_every_image_and_whatever_ran_beside_it(reader):
    together = reader.read([picture(0), picture(1), picture(2)]).vectors
    alone = reader.read([picture(1)]).vectors
    for name, vectors in together.items():
        assert len(vectors) == 3, name
        np.testing.assert_allclose(vectors[1], alone[name][0], atol=1e-4, err_msg=name)


def test_images_of_several_sizes_are_read_as_each_would_be_alone(folders):
    """Tiles of LLaVA-NeXT: the rows of tower and projector are not images, and prompts differ in length."""
    reader = _reader(folders, "llava-next")
    sizes = [(28, 28), (56, 28), (50, 50)]
    images = [picture(seed, *size) for seed, size in enumerate(sizes)]
    inputs = reader.prepare(images)
    lengths = (inputs["input_ids"] == reader.loaded.parts.image_token_id).sum(1)
    assert len(set(lengths.tolist())) > 1
    model, parts = reader.loaded.model, reader.loaded.parts
    with torch.inference_mode():
        vectors, _ = prefill(model, parts, inputs, roomy_cache(len(parts.blocks), 1))
        for row, image in enumerate(images):
            alone, _ = prefill(model, parts, reader.prepare([image]), roomy_cache(len(parts.blocks), 1))
            for site, positions in alone.items():
                for position, vector in positions.items():
                    torch.testing.assert_close(vectors[site][position][row], vector[0], atol=1e-4, rtol=1e-4)


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


def test_a_branch_that_leaves_unedited_ends_as_the_clean_run(reader):
    inputs = reader.prepare([picture(0), picture(1)])
    clean = clean_run(reader.loaded, inputs, 0, kept=inputs["input_ids"].shape[1])
    for site in ("embedding", "layer_01"):
        logits = leave(reader.loaded, clean, 0, {site: clean.streams[site]}, kept=clean.logits.shape[1]).logits
        torch.testing.assert_close(logits, clean.logits, atol=1e-4, rtol=1e-4)


def test_a_branch_that_leaves_behind_the_first_token_or_before_the_last_ends_as_the_clean_run(reader):
    inputs = reader.prepare([picture(0), picture(1)])
    clean = clean_run(reader.loaded, inputs, 0)
    is_image = inputs["input_ids"][0] == reader.loaded.parts.image_token_id
    before_image, last = int(is_image.nonzero()[0, 0]), inputs["input_ids"].shape[1] - 1
    for start in (before_image, last):
        rows = clean.tail("layer_00", start)
        logits = leave(reader.loaded, clean, start, {"layer_00": rows}).logits
        torch.testing.assert_close(logits, clean.logits, atol=1e-4, rtol=1e-4)


def test_image_tokens_of_gemma_3_see_the_tokens_after_them(folders):
    """And so must a branch: the stream of an image token depends on the last one of its image."""
    reader = _reader(folders, "gemma3")
    inputs = reader.prepare([picture(0)])
    clean = clean_run(reader.loaded, inputs, 0)
    where = (inputs["input_ids"][0] == reader.loaded.parts.image_token_id).nonzero().flatten()
    edited = clean.streams["embedding"].clone()
    edited[0, where[-1]] += 10
    seen = {}
    leave(reader.loaded, clean, 0, {"embedding": edited}, on_site=lambda site, stream: seen.update({site: stream}))
    moved = (seen["layer_00"] - clean.streams["layer_00"]).abs().amax(-1)[0]
    assert (moved[where] > 1e-3).all()
    assert moved[: where[0]].max() < 1e-5
    with pytest.raises(ValueError, match="within an image"):
        leave(reader.loaded, clean, int(where[1]), {"embedding": edited[:, where[1] :]})


def test_classes_of_several_tokens_are_scored_as_by_a_plain_pass(reader):
    """Also where the model is told which tokens are of an image, and where its image token is not `<image>`."""
    loaded, classes = reader.loaded, [[5], [5, 6], [7, 8, 9]]
    inputs = reader.asking("user <image> What is it?:", "prompts.offer_letters", 1).prepare([picture(0)])
    scores = class_log_probabilities(loaded.model, loaded.parts, inputs, classes)[0]
    for tokens, score in zip(classes, scores, strict=True):
        ids = torch.cat([inputs["input_ids"], torch.tensor([tokens])], dim=1)
        fed = {**inputs, "input_ids": ids}
        if "token_type_ids" in inputs:
            fed["token_type_ids"] = (ids == loaded.parts.image_token_id).long()
        with torch.inference_mode():
            following = loaded.model(**fed).logits[0, -len(tokens) - 1 : -1].log_softmax(-1)
        expected = following.gather(-1, torch.tensor(tokens)[:, None]).sum()
        torch.testing.assert_close(score, expected, atol=1e-4, rtol=1e-4)


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


def test_descriptions_are_fed_behind_the_prompt(reader):
    """Their tokens are text, also where the model is told which tokens are of an image."""
    images, described = [picture(0), picture(1)], [[5, 6, 7], [8, 9]]
    read = read_described(reader, images, described, "every", ["layer_01"])
    for row, (image, tokens) in enumerate(zip(images, described, strict=True)):
        inputs = reader.prepare([image])
        fed = torch.cat([inputs["input_ids"], torch.tensor([tokens])], dim=1)
        more = {"input_ids": fed}
        if "token_type_ids" in inputs:
            more["token_type_ids"] = torch.cat([inputs["token_type_ids"], torch.zeros(1, len(tokens), dtype=int)], 1)
        with torch.inference_mode():
            logits = reader.loaded.model(**{**inputs, **more}).logits[0, -len(tokens) - 1 : -1]
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


def test_logits_in_half_precision_are_those_of_the_stream_in_float32(folders, reader):
    """Final norm and unembedding as the family has them, of a clean run and of a branch."""
    family = reader.loaded.model.config.model_type.replace("_", "-")
    half = _reader(folders, {"llava": "llava-gemma"}.get(family, family), "bfloat16")
    inputs, streams = half.to_device(half.prepare([picture(0), picture(1)])), {}
    *_, last = decoder_sites(half.loaded.parts)
    with (
        torch.inference_mode(),
        reading(half.loaded.parts, lambda site, stream: streams.update({site: stream.clone()})),
    ):
        clean = clean_run(half.loaded, inputs, first=0)
    exact = _reader(folders, family if family != "llava" else "llava-gemma").loaded
    with torch.inference_mode():
        for mine, theirs in zip(exact.model.parameters(), half.loaded.model.parameters(), strict=True):
            mine.copy_(theirs)
        expected = exact.model.get_output_embeddings()(exact.parts.final_norm(streams[last][:, -1:].float()))
        branch = leave(
            half.loaded, clean, clean.input_ids.shape[1] - 1, {last: clean.tail(last, clean.input_ids.shape[1] - 1)}
        )
    assert clean.logits.dtype == branch.logits.dtype == torch.float32
    torch.testing.assert_close(clean.logits, expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(branch.logits, expected, rtol=1e-5, atol=1e-6)
