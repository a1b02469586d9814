"""Is what is read and edited in a model what the model itself computes? The same checks for every family.

    python -m signbridge.vlm.conformance [NAME]

`NAME` is a model of `models.yaml`; without it, the one that `params.yaml` chooses. Run it before you trust a new model:
families differ in ways that fail silently (`families/`). Each check compares what the code of this project gives with a
whole pass by the library itself, which counts its own positions and uses no cache. The exit status is 1 if one fails.

A difference is that of the worst vector: the length of what is between two vectors, as a share of the second's. Where a
difference counts tokens, none may be wrong. Environment: SIGNBRIDGE_DEVICE.
"""

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from transformers import BatchFeature

from signbridge.core.command_line import run
from signbridge.vlm.answering import Vectors, read_and_answer
from signbridge.vlm.branching import clean_run, go_on, image_span, leave
from signbridge.vlm.chosen import SCRATCH_MODELS
from signbridge.vlm.extraction import Reader
from signbridge.vlm.families.parts import Inputs, with_text_behind
from signbridge.vlm.loading import LoadedModel, device_from_environment, load
from signbridge.vlm.preflight import check_device, name_of_arguments, named_or_chosen
from signbridge.vlm.residual import Edit, decoder_sites, editing, reading

SQUARE, WIDE = (56, 56), (112, 56)  # pixels: in many families they take different numbers of tokens
LONGER = " In which picture?"  # behind a prompt, to make it longer than another
TEXT = "Describe the hand. What sign is being made?"
ANSWER = 3  # tokens
TOLERANCE = {torch.float32: 1e-3, torch.float16: 3e-2, torch.bfloat16: 0.1}  # of a vector's length
Streams = dict[str, Tensor]  # by site, prompts x tokens x width


class Finding(NamedTuple):
    """What one comparison gave."""

    check: str
    compared: str
    difference: float
    tolerance: float

    @property
    def holds(self) -> bool:
        """Whether the difference is within the tolerance; not if it is no number."""
        return self.difference <= self.tolerance


class Plain(NamedTuple):
    """A whole pass by the library itself."""

    logits: Tensor  # prompts x tokens x vocabulary
    hidden: Sequence[Tensor]  # what it calls hidden states: before each block, and after the final norm
    streams: Streams  # at the decoder's sites
    outputs: list[Tensor]  # of each block


def conformance(reader: Reader, seed: int = 0) -> Iterator[Finding]:
    """The findings of all checks of `reader`'s model, under its prompt, on images of noise drawn from `seed`."""
    draw = np.random.default_rng(seed)
    square, other, wide = (noise(draw, size) for size in (SQUARE, SQUARE, WIDE))
    for check in (sites, steps, threads):
        yield from check(reader, [square, wide, other])
    yield from reach(reader, square)
    yield from branches(reader, [square, other])
    yield from without_image(reader)


@torch.inference_mode()
def plain_pass(loaded: LoadedModel, inputs: Inputs, edit: Edit | None = None) -> Plain:
    """The pass of `inputs`, whose positions the library counts; `edit` is made at each site on the way."""
    streams: Streams = {}
    outputs: list[Tensor] = []
    keep = lambda site, stream: streams.update({site: stream.clone()})  # noqa: E731
    handles = [
        block.register_forward_hook(lambda _, args, output: outputs.append(output.clone()))
        for block in loaded.parts.blocks
    ]
    try:
        with editing(loaded.parts, edit or (lambda site, stream: stream)), reading(loaded.parts, keep):
            given = loaded.model(**_uncounted(inputs), use_cache=False, output_hidden_states=True)
    finally:
        for handle in handles:
            handle.remove()
        for module in loaded.model.modules():  # a family may leave what it counted on itself, for its next pass
            if getattr(module, "rope_deltas", None) is not None:
                module.rope_deltas = None
    return Plain(given.logits, given.hidden_states, streams, outputs)


def sites(reader: Reader, images: list[Image.Image]) -> Iterator[Finding]:
    """Each site is the library's hidden state; what a block returns is too, but where features are added behind it."""
    loaded = reader.loaded
    plain = plain_pass(loaded, reader.to_device(reader.prepare(images[:1])))
    names, added = decoder_sites(loaded.parts), len(loaded.parts.injected)
    tolerance, behind = _tolerance(loaded), names[1 : added + 1]  # the sites that have features added before them
    with torch.inference_mode():
        streams = {**plain.streams, "normed": loaded.parts.final_norm(plain.streams[names[-1]])}
    ours = [*names[:-1], "normed"]
    hidden = [(streams[site], state) for site, state in zip(ours, plain.hidden, strict=True) if site not in behind]
    yield Finding("sites", "the library's hidden states", _largest(hidden), tolerance)
    returned = list(zip((streams[site] for site in names[1:]), plain.outputs, strict=True))
    yield Finding("sites", "what blocks return", _largest(returned[added:]), tolerance)
    same = sum(torch.equal(stream, output) for stream, output in returned[:added])
    yield Finding("sites", "features are added: sites without them", same, 0)


def steps(reader: Reader, images: list[Image.Image]) -> Iterator[Finding]:
    """What is read at the prompt and while answering, alone and in a padded batch, against whole passes of each."""
    loaded = reader.loaded
    prompts = [reader.prompt, reader.prompt, reader.prompt + LONGER]
    together, answers = _answered(reader, images, prompts)
    tolerance, alone = _tolerance(loaded), []
    for row, (image, prompt) in enumerate(zip(images, prompts, strict=True)):
        own, answer = _answered(reader, [image], [prompt])
        alone.append(own)
        inputs = reader.to_device(reader.prepare([image], [prompt]))
        for vectors, said, of_row, how in (
            (own, answer[0], 0, "alone"),
            (together, answers[row], row, "in a padded batch"),
        ):
            expected = _expected(loaded, inputs, said)
            pairs = [(vectors[name][of_row], vector) for name, vector in expected.items()]
            yield Finding("steps", f"{image.width} x {image.height} pixels, {how}", _largest(pairs), tolerance)
    for site in ("vision", "projector"):
        name = f"{site}.image_mean"
        pairs = [(together[name][row], own[name][0]) for row, own in enumerate(alone)]
        yield Finding("rows of images", f"{site}, in a batch and alone", _largest(pairs), tolerance)


def threads(reader: Reader, images: list[Image.Image]) -> Iterator[Finding]:
    """Threads that read one model at a time, each its own image, find what one alone does."""
    serial = [_answered(reader, [image]) for image in images[:2]]
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda image: _answered(reader, [image]), images[:2] * 3))
    pairs = [
        (vectors[name], serial[number % 2][0][name]) for number, (vectors, _) in enumerate(found) for name in vectors
    ]
    yield Finding("threads", "two at a time and one", _largest(pairs), _tolerance(reader.loaded))
    changed = sum(answers != serial[number % 2][1] for number, (_, answers) in enumerate(found))
    yield Finding("threads", "answers that differ", changed, 0)


def reach(reader: Reader, image: Image.Image) -> Iterator[Finding]:
    """An edit of one token at the embedding changes those tokens at the last site that the family says see it."""
    loaded = reader.loaded
    inputs = reader.to_device(reader.prepare([image]))
    span, tokens = image_span(loaded, inputs), inputs["input_ids"].shape[1]
    is_image = (inputs["input_ids"][0] == loaded.parts.image_token_id).tolist()
    clean, last = plain_pass(loaded, inputs).streams, decoder_sites(loaded.parts)[-1]
    one = [place for place, of_image in enumerate(is_image) if of_image][-2:][0]  # not the last, which none sees ahead
    for name, token in {"an image token": one, "the token behind": span.stop, "the last": tokens - 1}.items():
        edit = _put("embedding", slice(token, token + 1), -2 * clean["embedding"][:, token : token + 1])
        reached = (plain_pass(loaded, inputs, edit).streams[last] != clean[last]).any(-1)[0].tolist()
        ahead = {
            "none": [False] * tokens, "image": [of and is_image[token] for of in is_image], "prompt": [True] * tokens,
        }[loaded.parts.looks_ahead]  # fmt: skip
        wrong = sum(there != (place >= token or ahead[place]) for place, there in enumerate(reached))
        yield Finding("reach", f"{name} is edited: wrong tokens", wrong, 0)


def branches(reader: Reader, images: list[Image.Image]) -> Iterator[Finding]:
    """Branches of two prompts, each with the other's stream, and what is fed behind them, against whole edited passes.

    All sites leave together, so they also join one another.
    """
    loaded = reader.loaded
    inputs = reader.to_device(reader.prepare(images))
    span, tokens = image_span(loaded, inputs), inputs["input_ids"].shape[1]
    names = decoder_sites(loaded.parts)
    chosen = list(dict.fromkeys([*names[:5], *names[-2:]]))  # the first ones may have features added
    behind = torch.tensor([[5, 6], [7, 8]], device=inputs["input_ids"].device)
    fed = with_text_behind(loaded.parts, _uncounted(inputs), behind)
    starts = {"the first token": 0, "the image": span.start, "within the image": span.start + 1,
              "behind the image": span.stop, "the last token": tokens - 1}  # fmt: skip
    clean = clean_run(loaded, inputs, 0)
    for name, start in starts.items():
        entering = {site: clean.tail(site, start).roll(1, 0) for site in chosen}
        if loaded.parts.looks_ahead == "image" and span.start < start < span.stop:
            with suppress(ValueError):
                leave(loaded, clean, start, entering)
                yield Finding("branches", f"from {name}, which should be refused", 1, 0)
            continue
        left = leave(loaded, clean, start, entering, room=behind.shape[1])
        following = go_on(loaded, left, behind.repeat(len(chosen), 1))
        found = torch.cat([left.logits, following], dim=1).split(len(images))
        expected = [
            plain_pass(loaded, fed, _put(site, slice(start, tokens), rows)).logits[:, tokens - 1 :]
            for site, rows in entering.items()
        ]
        worst = _largest(zip(found, expected, strict=True))
        yield Finding("branches", f"from {name}, {len(chosen)} sites", worst, _tolerance(loaded))


def without_image(reader: Reader) -> Iterator[Finding]:
    """Text without an image is read at the decoder's sites alone, and answered as a whole pass would."""
    loaded = reader.loaded
    ids = torch.tensor([loaded.processor.tokenizer(TEXT)["input_ids"]], device=loaded.device)
    inputs = BatchFeature({"input_ids": ids})
    vectors, answers = _flat(read_and_answer(loaded.model, loaded.parts, inputs, ANSWER, []))
    expected = _expected(loaded, inputs, answers[0])
    pairs = [(vectors[name][0], vector) for name, vector in expected.items()]
    yield Finding("text alone", "whole passes", _largest(pairs), _tolerance(loaded))
    yield Finding("text alone", "sites that only an image has", len(vectors) - len(expected), 0)


def table(findings: Sequence[Finding]) -> str:
    """The findings, one a line."""
    rows = [("check", "compared", "largest difference", "tolerance", "verdict")]
    rows += [
        (*one[:2], f"{one.difference:.2g}", f"{one.tolerance:g}", "ok" if one.holds else "FAILS") for one in findings
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _answered(
    reader: Reader, images: list[Image.Image], prompts: list[str] | None = None
) -> tuple[Streams, list[list[int]]]:
    """What the extraction reads of images, and the tokens of their answers, whatever ends them."""
    inputs = reader.to_device(reader.prepare(images, prompts))
    return _flat(read_and_answer(reader.loaded.model, reader.loaded.parts, inputs, ANSWER, []))


def _flat(answered: tuple[Vectors, list[list[int]]]) -> tuple[Streams, list[list[int]]]:
    vectors, answers = answered
    return {f"{site}.{position}": vector for site, of in vectors.items() for position, vector in of.items()}, answers


def _expected(loaded: LoadedModel, inputs: Inputs, answer: list[int]) -> Mapping[str, Tensor]:
    """What should be read of one prompt at the decoder's sites, from a whole pass with the answer behind it."""
    behind = torch.tensor([answer[:-1]], device=inputs["input_ids"].device)
    streams = plain_pass(loaded, with_text_behind(loaded.parts, _uncounted(inputs), behind)).streams
    prompt, is_image = inputs["input_ids"].shape[1], inputs["input_ids"][0] == loaded.parts.image_token_id
    places = {"prompt_last": lambda stream: stream[prompt - 1], "answer_last": lambda stream: stream[-1]}
    if is_image.any():
        places["image_mean"] = lambda stream: stream[:prompt][is_image].mean(0, dtype=torch.float32)
    return {
        f"{site}.{place}": of(streams[site][0]) for site in decoder_sites(loaded.parts) for place, of in places.items()
    }


def _put(site: str, tokens: slice, stream: Tensor) -> Edit:
    """The edit that puts `stream` at `tokens` of one site."""

    def edit(here: str, whole: Tensor) -> Tensor:
        if here == site:
            whole = whole.clone()
            whole[:, tokens] = stream
        return whole

    return edit


def _uncounted(inputs: Inputs) -> Inputs:
    """The inputs without positions, which the library then counts."""
    return {name: given for name, given in inputs.items() if name != "position_ids"}


def _largest(pairs: Iterable[tuple[Tensor, Tensor]]) -> float:
    """The largest difference of vectors, as a share of the second's length."""
    worst = [
        ((one.float() - other.float()).norm(dim=-1) / other.float().norm(dim=-1).clamp_min(1e-20)).max()
        for one, other in pairs
    ]
    return torch.stack(worst).max().item()


def _tolerance(loaded: LoadedModel) -> float:
    return TOLERANCE[loaded.parts.final_norm.weight.dtype]


def noise(draw: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    return Image.fromarray(draw.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))


def main() -> None:
    """Check the model and print the findings."""
    name, model = named_or_chosen(name_of_arguments("signbridge.vlm.conformance", __doc__))
    device = device_from_environment()
    check_device(name, model, device)
    loaded = load(model, SCRATCH_MODELS, device)
    findings = list(conformance(Reader(loaded, model.prompt, model.max_new_tokens, 4)))
    print(table(findings))
    if not all(finding.holds for finding in findings):
        sys.exit(f"error: {name} does not conform: trust nothing that is read of it where a check fails.")


if __name__ == "__main__":
    run(main)
