"""Activation patching: put one image's residual stream into the run on another image, site by site.

The images of a pair got different answers; each is once the receiver and once the donor. In the run on the receiver the
donor's stream replaces the receiver's at one site, at the last token of the prompt, at the question's tokens (between
the image and the last token), at the image tokens or at all tokens. The effect is measured at the end of the prompt, as
the difference of two logits: that of the donor's answer less that of the receiver's. As Zhang and Nanda 2023 ("Towards
Best Practices of Activation Patching") advise, what is put in comes from a run like any other, and logits are compared,
not probabilities.

Two clean runs a pair give nearly all of it. Before the image the two prompts are the same, so with the donor's image
tokens everything up to the last of them is the donor's run, at every site, and only the question behind them is run
again. With the donor's last token alone only that token is run again, with its question only what is behind the image.
With all tokens the run is the donor's own, so that row is filled in from it (the tests do run it). Where blocks above a
site add features of the receiver's image, or tokens before the image see it, neither is so: there all tokens from the
image on, or from the first, are run again.

Each image is also patched into itself, in batches of the same shape. Whatever that moves is rounding: the noise below
which an effect says nothing.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from PIL import Image
from pydantic import Field
from torch import Tensor
from transformers import BatchFeature

from signbridge.causal.pairs import ImagePair
from signbridge.core.params import CAUSAL, Section
from signbridge.core.shards import Shard, vectors_of
from signbridge.core.sweeps import Sweeps
from signbridge.datasets.images import decoded
from signbridge.vlm.branching import CleanRun, clean_run, image_span, leave_in_turn
from signbridge.vlm.extraction import Reader, Work
from signbridge.vlm.letter_scoring import continuations, offering_prompt
from signbridge.vlm.loading import LoadedModel
from signbridge.vlm.prompts import prompt_for
from signbridge.vlm.residual import decoder_sites, editing, reading
from signbridge.vlm.work_list import batches_of_one_length

BRANCHES_OF_AN_IMAGE = 8  # run at once for every image that the reader takes at once: they hold one block's keys
BEFORE, BEHIND = ["pair", "receiver", "donor"], ["gap", "moved", "says_donor", "moved_by_itself"]
TWO_LETTERS = f"{CAUSAL}: patching.two_letters"  # where the params have that prompt


class PatchingSweep(Section):
    """What of the section `patching` differs between the sweeps."""

    pairs: int = Field(ge=0)  # of photos, at most; 0: nothing is patched
    parts_at: list[Literal["prompt_last", "question"]]  # tokens whose heads and MLPs are patched as well; none: []


class PatchingParams(Sweeps[PatchingSweep]):
    """The section `patching`."""

    question: Literal["answer", "two_letters"]
    two_letters: str = Field(min_length=1)


class Swap(NamedTuple):
    """Two images to be patched into each other."""

    a: Image.Image
    b: Image.Image
    prompt: str
    tokens: tuple[int, int] | None  # whose logits are compared, a's and b's; None: the first of each one's answer
    pushes: Mapping[str, Float[np.ndarray, "pushes width"]] = MappingProxyType({})  # added to image tokens, by site


class Patched(NamedTuple):
    """Logit differences, of the donor's token less the receiver's; receivers are the a, then the b, of each pair."""

    receiver: Float[np.ndarray, "runs"]  # in the clean run on the receiver
    donor: Float[np.ndarray, "runs"]  # in the clean run on the donor
    patched: Float[np.ndarray, "runs *cells"]  # a cell: a site and position, or a part of a block at some tokens
    says_donor: Float[np.ndarray, "runs *cells"]  # 1 where the donor's token is the likeliest of all
    itself: Float[np.ndarray, "runs *cells"]  # as `patched`, with the receiver's own put in


Runs = Int[Tensor, " runs"] | slice
Patch = Callable[[LoadedModel, BatchFeature, list, int], Patched]


def patching_work(
    reader: Reader, patch_all: Patch | None = None, wanted: Callable[[Swap], Any] = lambda swap: swap.tokens
) -> Work:
    """The work on `Swap`s, by `patch` or another, which is handed what is `wanted` of each swap.

    The arrays of a shard have a row a swap: its two runs, on a and on b.

    A batch is not filled up: which swaps stand together follows from their list alone, and so do the bytes. It holds
    prompts of one length, and one swap for every eight images that the reader takes at once.
    """

    def batches(swaps: list[Swap], most: int) -> list[list[Swap]]:
        ids = reader.loaded.processor.tokenizer([swap.prompt for swap in swaps])["input_ids"]
        return batches_of_one_length(swaps, [len(tokens) for tokens in ids], max(1, most // 8))

    def prepare(swaps: list[Swap]) -> tuple[list[Swap], BatchFeature]:
        images = [swap.a for swap in swaps] + [swap.b for swap in swaps]
        return swaps, reader.prepare(images, [swap.prompt for swap in swaps] * 2)

    def read(prepared: tuple[list[Swap], BatchFeature], keep: int) -> Shard:
        swaps, inputs = prepared
        rows = BRANCHES_OF_AN_IMAGE * reader.batch_size
        found = (patch_all or patch)(reader.loaded, reader.to_device(inputs), [wanted(swap) for swap in swaps], rows)
        arrays = {name: _by_swap(array, len(swaps)) for name, array in found._asdict().items()}
        return Shard(arrays, [""] * keep)

    return Work(read, prepare, batches)


def swaps(
    reader: Reader, settings: PatchingParams, pngs: Sequence[bytes], labels: Sequence[str], pairs: list[ImagePair]
) -> list[Swap]:
    """The images of `pairs` (rows of `pngs` and `labels`) with the prompt and the tokens that `settings` ask for.

    Raises `SignBridgeError` if the two-letter prompt does not hold one image or does not fit the model's tokenizer.
    """
    images = decoded([pngs[row] for pair in pairs for row in pair])
    found = []
    for number, pair in enumerate(pairs):
        prompt, tokens = reader.prompt, None
        if settings.question == "two_letters":
            letters = [labels[pair.a], labels[pair.b]]
            offering = offering_prompt(settings.two_letters, sorted(letters), TWO_LETTERS)
            prompt = prompt_for(offering, TWO_LETTERS, reader.loaded.processor.image_token)
            tokens = _first_tokens(reader.loaded, prompt, letters)
        found.append(Swap(images[2 * number], images[2 * number + 1], prompt, tokens))
    return found


def _first_tokens(loaded: LoadedModel, prompt: str, letters: list[str]) -> tuple[int, int]:
    """The first token of each letter; the same one twice leaves the pair without a difference to move."""
    a, b = continuations(loaded.processor, prompt, letters, TWO_LETTERS)
    return a[0], b[0]


def as_table(
    sample: pd.DataFrame, pairs: list[ImagePair], shards: list[Path], cells: Mapping[str, Sequence]
) -> pd.DataFrame:
    """One row a pair, run and cell, of the pairs whose clean runs differ in the logits compared.

    `cells` names the axes of `Patched.patched` behind the runs, in order, with what stands along each: the columns
    between donor and gap. pair, receiver, donor (image ids), ..., gap, moved, says_donor, moved_by_itself. `gap` is the
    donor's logit difference less the receiver's, `moved` the patched run's less the receiver's: of a swap that does
    all, `moved` is `gap`. `moved_by_itself` is that of the receiver patched into itself. Where `gap` is negative (two
    letters whose logits lean the other way) all change their sign.
    """
    columns = [*BEFORE, *cells, *BEHIND]
    if not pairs:
        return pd.DataFrame(columns=columns)
    receiver, donor, patched, says, itself = (vectors_of(shards, name) for name in Patched._fields)
    ids = sample["image_id"].to_numpy()
    rows = np.array(pairs)
    number, run, *cell = (index.ravel() for index in np.indices(patched.shape))
    gap = (donor - receiver)[number, run]
    sign, clean = np.sign(gap), receiver[number, run]
    table = pd.DataFrame(
        {
            "pair": number,
            "receiver": ids[rows[number, run]],
            "donor": ids[rows[number, 1 - run]],
            **{name: np.array(along)[at] for (name, along), at in zip(cells.items(), cell, strict=True)},
            "gap": sign * gap,
            "moved": sign * (patched.ravel() - clean),
            "says_donor": says.ravel() > 0,
            "moved_by_itself": sign * (itself.ravel() - clean),
        },
        columns=columns,
    )
    return table[table["gap"] > 0].reset_index(drop=True)


def patch(
    loaded: LoadedModel, inputs: BatchFeature, tokens: Sequence[tuple[int, int] | None], most: int = 2**30
) -> Patched:
    """Patch every pair of images into each other at every site and position.

    `inputs` holds the prompts of all images a, then those of all images b, in the order of `tokens`. At most `most`
    branches run at once.
    """
    image_tokens = image_span(loaded, inputs)
    behind, last = image_tokens.stop, inputs["input_ids"].shape[1] - 1
    sites = decoder_sites(loaded.parts)
    again = sites if loaded.parts.looks_ahead == "prompt" else sites[: len(loaded.parts.injected)]
    others = sites[len(again) :]  # above which the donor's image tokens go on as in the donor's run
    clean = clean_run(loaded, inputs, first=0 if again else behind)
    runs = len(clean.input_ids)

    def cells(donors: Runs) -> Iterator[Float[Tensor, "sites runs vocabulary"]]:
        """The last logits where the stream of `donors` stands in the runs on the receivers, for each of `PATCHED`."""
        put_in = clean.of(donors)

        def swapped(site: str) -> Float[Tensor, "runs tail width"]:
            of_image = put_in.tail(site, image_tokens.start)[:, : behind - image_tokens.start]
            return torch.cat([of_image, clean.tail(site, behind)], dim=1)

        def question(site: str) -> Float[Tensor, "runs tail width"]:
            return torch.cat([put_in.tail(site, behind)[:, :-1], clean.tail(site, last)], dim=1)

        def last_logits(run: CleanRun, start: int, tails: dict[str, Tensor]) -> Float[Tensor, "sites runs vocabulary"]:
            logits = leave_in_turn(loaded, run, start, tails, most)[:, -1] if tails else run.logits[:0, -1]
            return logits.view(len(tails), runs, logits.shape[-1])

        yield last_logits(clean, last, {site: put_in.tail(site, last) for site in sites})
        yield last_logits(clean, behind, {site: question(site) for site in sites})
        image = last_logits(clean, image_tokens.start, {site: swapped(site) for site in again})
        yield torch.cat([image, last_logits(put_in, behind, {site: clean.tail(site, behind) for site in others})])
        every = last_logits(clean, 0, {site: put_in.tail(site, 0) for site in again})
        yield torch.cat([every, put_in.logits[:, -1].expand(len(others), -1, -1)])

    return as_patched(clean, tokens, cells)


def as_patched(
    clean: CleanRun,
    tokens: Sequence[tuple[int, int] | None],
    cells: Callable[[Runs], Iterable[Float[Tensor, "sites runs vocabulary"]]],
) -> Patched:
    """What comes of the last logits under every patch; `clean` is of all images a, then of all b.

    `cells` gives the logits where the donors that it is handed, by the number of their run, are put into the runs.
    """
    donors = torch.arange(len(clean.input_ids), device=clean.logits.device).roll(len(tokens))
    of_receiver, of_donor = compared_tokens(clean.logits[:, -1], donors, tokens)

    def difference(logits: Float[Tensor, "*sites runs vocabulary"]) -> Float[Tensor, "*sites runs"]:
        return logit_difference(logits, of_receiver, of_donor)

    def by_run(of_positions: list[Float[Tensor, "sites runs"]]) -> Float[np.ndarray, "runs sites positions"]:
        return torch.stack(of_positions, -1).transpose(0, 1).cpu().numpy()

    patched = [(difference(logits), (logits.argmax(-1) == of_donor).float()) for logits in cells(donors)]
    return Patched(
        receiver=difference(clean.logits[:, -1]).cpu().numpy(),
        donor=difference(clean.logits[donors, -1]).cpu().numpy(),
        patched=by_run([moved for moved, _ in patched]),
        says_donor=by_run([says for _, says in patched]),
        itself=by_run([difference(logits) for logits in cells(slice(None))]),
    )


def compared_tokens(
    logits: Float[Tensor, "runs vocabulary"], donors: Int[Tensor, "runs"], tokens: Sequence[tuple[int, int] | None]
) -> tuple[Int[Tensor, "runs"], Int[Tensor, "runs"]]:
    """The token of each run's receiver and of its donor: those of `tokens`, or the likeliest in the clean run."""
    own = logits.argmax(-1)
    for number, pair in enumerate(tokens):
        if pair is not None:
            own[number], own[number + len(tokens)] = pair
    return own, own[donors]


def logit_difference(
    logits: Float[Tensor, "*sites runs vocabulary"], of_receiver: Int[Tensor, "runs"], of_donor: Int[Tensor, "runs"]
) -> Float[Tensor, "*sites runs"]:
    """The logit of each run's donor's token less that of its receiver's."""
    runs = torch.arange(len(of_donor), device=logits.device)
    return logits[..., runs, of_donor] - logits[..., runs, of_receiver]


@torch.inference_mode()
def patch_one_by_one(
    loaded: LoadedModel,
    receiver: BatchFeature,
    donor: BatchFeature,
    cells: Iterable[tuple[str, str]],
) -> Iterator[Float[Tensor, "vocabulary"]]:
    """The last logits of the run on `receiver` with the donor's stream at each (site, position): a whole pass each.

    The plain statement of the method, which `patch` is tested and timed against. With the receiver itself as donor
    nothing changes, to the last bit.
    """
    streams: dict[str, Tensor] = {}
    with reading(loaded.parts, lambda site, stream: streams.update({site: stream.clone()})):
        loaded.model(**donor, logits_to_keep=1)
    last = receiver["input_ids"].shape[1] - 1
    image = image_span(loaded, receiver)
    tokens = {"prompt_last": slice(last, None), "question": slice(image.stop, last), "image": image, "all": slice(None)}
    for chosen, position in cells:

        def edit(site: str, stream: Tensor, chosen: str = chosen, where: slice = tokens[position]) -> Tensor:
            if site != chosen:
                return stream
            stream = stream.clone()
            stream[:, where] = streams[site][:, where]
            return stream

        with editing(loaded.parts, edit):
            yield loaded.model(**receiver, logits_to_keep=1).logits[0, -1]


def _by_swap(array: np.ndarray, swaps: int) -> np.ndarray:
    """Rows of runs (all a, then all b) as rows of swaps, each with its two runs."""
    return array.reshape(2, swaps, *array.shape[1:]).swapaxes(0, 1)
