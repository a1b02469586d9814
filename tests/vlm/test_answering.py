"""Reading and answering in batches, held to the notebook's own way: hooks left on while `generate` runs."""

import numpy as np
import pytest
import torch
from transformers import BatchFeature

from signbridge.vlm.answering import read_and_answer
from signbridge.vlm.extraction import Reader
from signbridge.vlm.residual import decoder_sites
from tests.vlm.conftest import PROMPT

NO_END = [10_000]  # no token of the vocabulary


def notebook_loop(loaded, inputs: BatchFeature, max_new_tokens: int, end_tokens: list[int]):
    """One image: hooks on the blocks' outputs stay on during `generate`; the last call's last token is what is kept."""
    kept = {}

    def keep(block):
        def hook(module, args, output):
            stream = output[0] if isinstance(output, tuple) else output
            kept.setdefault(block, []).append(stream[:, -1].clone())

        return hook

    handles = [module.register_forward_hook(keep(block)) for block, module in enumerate(loaded.parts.blocks)]
    try:
        tokens = loaded.model.generate(
            **inputs, do_sample=False, max_new_tokens=max_new_tokens, eos_token_id=end_tokens, pad_token_id=3
        )
    finally:
        for handle in handles:
            handle.remove()
    new = tokens[0, inputs["input_ids"].shape[1] :].tolist()
    return new, {block: (calls[0][0], calls[-1][0]) for block, calls in kept.items()}


def first_tokens(loaded, inputs) -> list[list[int]]:
    return read_and_answer(loaded.model, loaded.parts, inputs, 8, NO_END).answers


def some_end_early(answers: list[list[int]]) -> list[int]:
    """End tokens at which the answers end after different numbers of tokens."""
    return [answers[0][2], answers[1][4]]


def prepare(loaded, images):
    return Reader(loaded, PROMPT, 20, batch_size=len(images)).prepare(images)


@pytest.mark.parametrize("ending", ["limit", "early", "at once", "one token"])
def test_answers_and_vectors_are_those_of_the_notebooks_loop(tiny, images, ending):
    inputs = prepare(tiny, images)
    free = first_tokens(tiny, inputs)
    end_tokens, limit, lengths_expected = {
        "limit": (NO_END, 8, lambda lengths: set(lengths) == {8}),
        "early": (some_end_early(free), 8, lambda lengths: len(set(lengths)) > 2),
        "at once": ([free[0][0]], 8, lambda lengths: lengths[0] == 1),
        "one token": (NO_END, 1, lambda lengths: set(lengths) == {1}),
    }[ending]
    batch = read_and_answer(tiny.model, tiny.parts, inputs, limit, end_tokens)
    assert lengths_expected([len(answer) for answer in batch.answers])
    for row, image in enumerate(images):
        answer, kept = notebook_loop(tiny, prepare(tiny, [image]), limit, end_tokens)
        assert batch.answers[row] == answer
        for block, (first, last) in kept.items():
            vectors = batch.vectors[f"layer_{block:02d}"]
            torch.testing.assert_close(vectors["prompt_last"][row], first, rtol=1e-3, atol=1e-4)
            torch.testing.assert_close(vectors["answer_last"][row], last, rtol=1e-3, atol=1e-4)


def test_layers_are_the_streams_before_the_final_norm(tiny, images):
    inputs = prepare(tiny, images)
    vectors = read_and_answer(tiny.model, tiny.parts, inputs, 1, NO_END).vectors
    with torch.inference_mode():
        states = tiny.model(**inputs, output_hidden_states=True).hidden_states
    sites = decoder_sites(tiny.parts)
    assert len(states) == len(sites) == 10
    for site, state in zip(sites[:-1], states[:-1], strict=True):
        torch.testing.assert_close(vectors[site]["prompt_last"], state[:, -1])
    last = vectors[sites[-1]]["prompt_last"]
    torch.testing.assert_close(tiny.parts.final_norm(last), states[-1][:, -1])
    assert not torch.allclose(last, states[-1][:, -1])


def test_image_mean_is_the_mean_over_exactly_the_image_tokens(tiny, images):
    inputs = prepare(tiny, images)
    vectors = read_and_answer(tiny.model, tiny.parts, inputs, 1, NO_END).vectors
    with torch.inference_mode():
        states = tiny.model(**inputs, output_hidden_states=True).hidden_states
    is_image = inputs["input_ids"] == tiny.parts.image_token_id
    assert is_image.sum(dim=1).tolist() == [49] * len(images)
    for row in range(len(images)):
        slow = np.mean([states[5][row, token].numpy() for token in is_image[row].nonzero().flatten()], axis=0)
        np.testing.assert_allclose(vectors["layer_04"]["image_mean"][row].numpy(), slow, rtol=1e-4, atol=1e-6)


def test_the_decoder_takes_in_what_the_projector_gives(tiny, images):
    vectors = read_and_answer(tiny.model, tiny.parts, prepare(tiny, images), 1, NO_END).vectors
    torch.testing.assert_close(vectors["embedding"]["image_mean"], vectors["projector"]["image_mean"])


def test_vision_is_the_towers_layer_that_the_model_uses_without_its_class_token(tiny, images):
    inputs = prepare(tiny, images)
    vectors = read_and_answer(tiny.model, tiny.parts, inputs, 1, NO_END).vectors
    with torch.inference_mode():
        tower = tiny.model.model.vision_tower(inputs["pixel_values"], output_hidden_states=True)
    used = tower.hidden_states[tiny.model.config.vision_feature_layer][:, 1:]
    torch.testing.assert_close(vectors["vision"]["image_mean"], used.mean(dim=1))


@pytest.fixture
def one_thread():
    """Products on one thread: several split sums by the shape of a batch, and so round them in another order."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("one_thread")
def test_padding_on_the_left_changes_no_vector(tiny, images):
    """Prompts of different lengths in one batch, as families with many image sizes give."""
    long = PROMPT.replace("Answer", "Think first, then answer")
    texts = [PROMPT, long, PROMPT]
    together = tiny.processor(images=images[:3], text=texts, return_tensors="pt", padding=True)
    assert not together["attention_mask"].all()
    batch = read_and_answer(tiny.model, tiny.parts, together, 6, NO_END)
    for row, (image, text) in enumerate(zip(images[:3], texts, strict=True)):
        alone = tiny.processor(images=[image], text=[text], return_tensors="pt")
        single = read_and_answer(tiny.model, tiny.parts, alone, 6, NO_END)
        assert batch.answers[row] == single.answers[0]
        for position, vector in single.vectors["layer_08"].items():
            torch.testing.assert_close(batch.vectors["layer_08"][position][row], vector[0], rtol=1e-3, atol=1e-5)


def test_an_image_in_the_middle_of_text_is_averaged_without_the_text(tiny, images):
    """Image tokens at another place in each prompt: no slice is shared, so the mask decides."""
    texts = ["USER: <image>\nWhat?\nASSISTANT:", "USER: Well, <image>\nso?\nASSISTANT:"]
    inputs = tiny.processor(images=images[:2], text=texts, return_tensors="pt", padding=True)
    vectors = read_and_answer(tiny.model, tiny.parts, inputs, 1, NO_END).vectors
    torch.testing.assert_close(vectors["embedding"]["image_mean"], vectors["projector"]["image_mean"])


def test_hooks_are_gone_after_a_pass_that_fails(tiny, images):
    modules = [tiny.parts.projector, tiny.parts.final_norm, *tiny.parts.blocks]

    def hooks() -> int:
        return sum(len(module._forward_pre_hooks) + len(module._forward_hooks) for module in modules)

    before = hooks()
    inputs = prepare(tiny, images)
    inputs["pixel_values"] = inputs["pixel_values"][:, :, :5]
    with pytest.raises(ValueError, match="image"):
        read_and_answer(tiny.model, tiny.parts, inputs, 1, NO_END)
    assert hooks() == before
