"""Letters scored by the model: held to a plain pass over the whole text, token by token."""

import numpy as np
import pytest
import torch
from ruamel.yaml import YAML
from tokenizers import Tokenizer, models
from transformers import PaliGemmaProcessor, PreTrainedTokenizerFast

from signbridge.core.errors import SignBridgeError
from signbridge.core.shards import answers_of, vectors_of
from signbridge.vlm.chat_template import asking_instead
from signbridge.vlm.extraction import Reader, Work
from signbridge.vlm.letter_scoring import (
    VECTORS,
    class_log_probabilities,
    continuations,
    letter_scores,
    offering_prompt,
)
from signbridge.vlm.random_weights import llava_processor, tiny_config
from signbridge.vlm.shard_runs import read_in_shards
from tests.conftest import ROOT

TEMPLATE = "USER: <image>\nWhich letter does this hand show? Choose one of {letters}.\nASSISTANT:"
PROMPT = TEMPLATE.replace("{letters}", "A, B or C")


def scoring(loaded, prompt: str, classes: list[str], batch_size: int | None = None) -> tuple[Reader, Work]:
    """A reader that is asked with `prompt`, and the work of scoring the classes, as the stage has them."""
    asked = Reader(loaded, "<image>", 1, batch_size).asking(prompt, "prompts.offer_letters", 1)
    return asked, letter_scores(asked, classes)


def slow_log_probabilities(loaded, image, continuation: list[int]) -> float:
    """One image and class: a pass over prompt and class together, and the sum over the class's tokens."""
    inputs = loaded.processor(images=[image], text=[PROMPT], return_tensors="pt")
    prompt_tokens = inputs["input_ids"].shape[1]
    ids = torch.cat([inputs["input_ids"], torch.tensor([continuation])], dim=1)
    with torch.inference_mode():
        logits = loaded.model(input_ids=ids, pixel_values=inputs["pixel_values"]).logits[0].double()
    before = logits[prompt_tokens - 1 : -1].log_softmax(-1)
    return sum(float(row[token]) for row, token in zip(before, continuation, strict=True))


@pytest.mark.parametrize(
    ("classes", "offered"),
    [(["A", "B", "Y"], "A, B or Y"), (["A", "B"], "A or B"), (["A"], "A"), (["hi", "thank_you"], "hi or thank you")],
)
def test_the_prompt_offers_the_classes_as_one_would_say_them(classes, offered):
    assert offering_prompt(TEMPLATE, classes) == TEMPLATE.replace("{letters}", offered)


@pytest.mark.parametrize(("template", "times"), [("USER: <image> ASSISTANT:", 0), ("<image> {letters} {letters}:", 2)])
def test_a_prompt_without_one_place_for_the_letters_is_refused(template, times):
    with pytest.raises(SignBridgeError, match=rf"prompts\.offer_letters must hold {{letters}} .* not {times} times"):
        offering_prompt(template, ["A", "B"])


@pytest.mark.parametrize(("prompt", "times"), [("Which? ASSISTANT:", 0), ("<image><image> Which?", 2)])
def test_a_prompt_without_one_image_is_refused(tiny, prompt, times):
    with pytest.raises(SignBridgeError, match=rf"prompts\.offer_letters must hold <image> .* not {times} times"):
        scoring(tiny, prompt, ["A", "B"])


QUESTION = "What sign is being made in this image? Answer with one word."


def test_another_question_stands_in_the_form_of_the_models_own_prompt(tiny):
    assert (
        asking_instead(f"USER: <image>\n{QUESTION}\nASSISTANT:", QUESTION, "Which?", tiny.processor)
        == "USER: <image>\nWhich?\nASSISTANT:"
    )
    paligemma = object.__new__(PaliGemmaProcessor)
    own = "<image>answer en What sign is being made in this image?"
    assert asking_instead(own, QUESTION, "Which?", paligemma) == "<image>answer en Which?"
    with pytest.raises(SignBridgeError, match="does not hold `question` of params"):
        asking_instead("USER: <image>\nWho is it?\nASSISTANT:", QUESTION, "Which?", tiny.processor)


def test_every_prompt_that_the_catalog_writes_out_has_a_place_for_another_question():
    entries = YAML(typ="safe").load(ROOT / "models.yaml").values()
    written = [entry["prompt"] for entry in entries if "prompt" in entry]
    assert len(written) > 5
    of_clips = YAML(typ="safe").load(ROOT / "stages/motion/params.yaml")["question"]
    asked = (QUESTION, "answer en", of_clips)
    assert [prompt for prompt in written if not any(question in prompt for question in asked)] == []


def test_the_tokens_of_a_class_are_what_it_adds_to_the_prompt(tiny):
    classes = ["A", "B", "thank_you"]
    found = continuations(tiny.processor, PROMPT, classes)
    prompt = tiny.processor.tokenizer(PROMPT)["input_ids"]
    for name, tokens in zip(["A", "B", "thank you"], found, strict=True):
        assert tiny.processor.tokenizer(f"{PROMPT} {name}")["input_ids"] == prompt + tokens
        assert tiny.processor.tokenizer.decode(tokens).strip() == name


def test_classes_that_are_the_same_tokens_are_refused(tiny):
    with pytest.raises(SignBridgeError, match="classes 'thank_you' and 'thank-you' are the same tokens"):
        continuations(tiny.processor, PROMPT, ["thank_you", "A", "thank-you"])


def test_a_tokenizer_that_joins_prompt_and_answer_is_refused():
    """Its last token of the prompt would be another than the one that the model is asked to go on from."""
    characters = {character: index for index, character in enumerate("<image>: AB")}
    joining = Tokenizer(models.BPE({**characters, ": ": 20}, [(":", " ")]))
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=joining, extra_special_tokens={"image_token": "<image>"}, unk_token="<"
    )
    processor = llava_processor(tiny_config(), tokenizer)
    with pytest.raises(SignBridgeError, match=r"joins the prompt's end '<image>:' to the answer ' A'"):
        continuations(processor, "<image>:", ["A", "B"])


def test_scores_of_letters_are_those_of_a_plain_pass(tiny, images):
    reader, work = scoring(tiny, PROMPT, ["A", "B", "C"], batch_size=3)
    shard = reader.read(images[:4], work)
    tokens_of = continuations(tiny.processor, PROMPT, ["A", "B", "C"])
    assert shard.vectors[VECTORS].shape == (4, 3)
    for image, row, likeliest in zip(images[:4], shard.vectors[VECTORS], shard.answers, strict=True):
        slow = [slow_log_probabilities(tiny, image, tokens) for tokens in tokens_of]
        np.testing.assert_allclose(row, slow, rtol=1e-4)
        assert likeliest == "ABC"[int(np.argmax(slow))]


def test_classes_of_several_tokens_are_scored_whole(tiny, images):
    """One begins another, two share all but the last token, one stands alone."""
    classes = [[7], [7, 9], [7, 11], [30, 31, 32]]
    inputs = scoring(tiny, PROMPT, ["A"], batch_size=2)[1].prepare(images[:2])
    scores = class_log_probabilities(tiny.model, tiny.parts, inputs, classes)
    for image, row in zip(images[:2], scores, strict=True):
        np.testing.assert_allclose(row, [slow_log_probabilities(tiny, image, each) for each in classes], rtol=1e-4)


def test_letters_of_one_token_take_one_pass(tiny, images):
    passes = []
    inputs = scoring(tiny, PROMPT, ["A"], batch_size=2)[1].prepare(images[:2])
    handle = tiny.model.register_forward_hook(lambda *_: passes.append(1))
    try:
        class_log_probabilities(tiny.model, tiny.parts, inputs, [[7], [9], [11]])
    finally:
        handle.remove()
    assert len(passes) == 1


def test_padding_on_the_left_changes_no_score(tiny, images):
    long = PROMPT.replace("Choose", "Think first, then choose")
    together = tiny.processor(images=images[:2], text=[PROMPT, long], return_tensors="pt", padding=True)
    assert not together["attention_mask"].all()
    classes = [[7], [30, 31]]
    row = class_log_probabilities(tiny.model, tiny.parts, together, classes)[0]
    slow = [slow_log_probabilities(tiny, images[0], tokens) for tokens in classes]
    np.testing.assert_allclose(row, slow, rtol=1e-3)


def test_an_images_scores_do_not_depend_on_what_fills_the_batch(tiny, images):
    reader, work = scoring(tiny, PROMPT, ["A", "B", "C"], batch_size=4)
    alone, beside = reader.read(images[:1], work), reader.read([images[0], *images[3:6]], work)
    assert alone.vectors[VECTORS][0].tobytes() == beside.vectors[VECTORS][0].tobytes()


def test_a_run_that_was_killed_scores_only_what_is_missing(tiny, images, tmp_path):
    reader, work = scoring(tiny, PROMPT, ["A", "B", "C"], batch_size=2)
    paths = read_in_shards(reader, images, tmp_path, 2, work)
    before = vectors_of(paths, VECTORS)
    paths[2].unlink()
    kept = paths[0].stat().st_mtime_ns
    assert read_in_shards(reader, images, tmp_path, 2, work) == paths
    np.testing.assert_array_equal(vectors_of(paths, VECTORS), before)
    assert paths[0].stat().st_mtime_ns == kept
    assert len(answers_of(paths)) == len(images)
