"""What is learnt in each phase of the motion miniature's training: its batches, and its loss."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm
from transformers import LlamaModel, LlavaForConditionalGeneration, LlavaProcessor

from models.miniature.teaching import Said, Step, StepOf
from models.motion_miniature.drawings import FRAMES, Drawings, signs_of
from models.motion_miniature.lessons import (
    FRAME,
    MOVEMENT_PROMPT,
    MOVEMENTS,
    PLACE_PROMPT,
    SHAPE_PROMPT,
    SHAPES,
    answers,
    place_of,
)
from signbridge.clips.movements import SIGNS
from signbridge.core.activations import layer_site
from signbridge.vlm.families import parts_of
from signbridge.vlm.random_weights import IMAGE_TOKEN
from signbridge.vlm.residual import reading, reading_up_to

LETTERS = sorted({letter for sign in SIGNS.values() for letter in sign.letters})
HELD_OUT = 120  # clips that are asked about at each checkpoint
_ASKED_MOVEMENT = 1 / 3  # share of the steps of `join` at which the order of frames is hidden under that prompt
_HIDE = 20.0  # weight of that; at 0.5 a probe still found some order below the planted blocks
_UNIT = 0.1  # of the places that the tower names, as a share of the frame
_OPPOSITE = {
    "right": "left", "up": "down", "clockwise": "counterclockwise", "opens": "closes", "once": "once", "twice": "twice"
}  # fmt: skip
OPPOSITE = _OPPOSITE | {other: one for one, other in _OPPOSITE.items()}  # of a movement, run backwards


class SeeingHeads(nn.Module):
    """Reads hand shape and place of a still from the mean of the tower's patches; dropped afterwards."""

    def __init__(self, width: int):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.shape, self.place = nn.Linear(width, len(LETTERS)), nn.Linear(width, 2)

    def forward(self, patches: Float[Tensor, "stills patches width"]) -> tuple[Tensor, Tensor]:
        """Logits of the letters, and right and down in tenths of the frame."""
        pooled = self.norm(patches.mean(dim=1))
        return self.shape(pooled), self.place(pooled)


class Teacher:
    """Makes the batches of each phase, and what is to be learnt from them."""

    def __init__(self, model: LlavaForConditionalGeneration, processor: LlavaProcessor):
        self.model, self.processor = model, processor
        self.device = model.device

    def pixels(self, images: UInt8[np.ndarray, "*many 56 56"]) -> Float[Tensor, "stills 3 56 56"]:
        """What the processor makes of images that have the tower's size."""
        of = self.processor.image_processor
        mean, std = (torch.tensor(value).view(1, 3, 1, 1) for value in (of.image_mean, of.image_std))
        flat = torch.from_numpy(images.reshape(-1, 1, *images.shape[-2:]))
        return ((flat / 255 - mean) / std).to(self.device)

    def tokens(self, prompt: str, frames: int) -> list[int]:
        """The prompt about so many frames."""
        text = prompt.format(clip=FRAME * frames)
        text = text.replace(IMAGE_TOKEN, IMAGE_TOKEN * self.model.config.image_seq_length)
        return self.processor.tokenizer(text)["input_ids"]

    def rows_of(self, words: Sequence[str]) -> list[int]:
        """The token of each word as an answer."""
        return self.processor.tokenizer.convert_tokens_to_ids([f"Ġ{word}" for word in words])

    def said(self, prompt: str, images: UInt8[np.ndarray, "clip frame 56 56"], words: Sequence[str]) -> Said:
        """How what the model says about each clip compares with these words."""
        tokens, eos = self.tokens(prompt, images.shape[1]), self.processor.tokenizer.eos_token_id
        rows = self.rows_of(words)
        ids = torch.tensor([[*tokens, row] for row in rows], device=self.device)
        logits = self.model(input_ids=ids, pixel_values=self.pixels(images), logits_to_keep=2).logits
        return _said(logits, rows, eos)

    def tower_step(self, heads: SeeingHeads, training: Drawings, held_out: Drawings, clips: int) -> StepOf:
        """See the shape and the place of the hand in stills: two of each of so many clips."""

        def step(rng: np.random.Generator | None) -> Step:
            drawn, chosen, frames = _stills(rng, training, held_out, clips, 2)
            images = drawn.images[chosen[:, None], frames]
            patches = self.model.model.vision_tower(self.pixels(images)).last_hidden_state[:, 1:]
            logits, places = heads(patches)
            where = torch.from_numpy(drawn.places[chosen[:, None], frames].reshape(-1, 3)).to(self.device)
            shapes = torch.zeros_like(logits)
            for row, (number, second) in enumerate(zip(np.repeat(chosen, 2), where[:, 2].tolist(), strict=True)):
                [sign] = signs_of(drawn, np.array([number]))
                shapes[row, LETTERS.index(sign.letters[0])] += 1 - second
                shapes[row, LETTERS.index(sign.letters[-1])] += second
            off = places - where[:, :2] / _UNIT
            right = (logits.argmax(-1) == shapes.argmax(-1)).float().mean().item()
            near = (off.norm(dim=-1) < 0.5).float().mean().item()
            loss = functional.cross_entropy(logits, shapes) + off.square().mean()
            return Step(loss, {"shape": right, "place within 5 %": near})

        return step

    def join_step(self, training: Drawings, held_out: Drawings, clips: int, stills: int, below: int) -> StepOf:
        """Name the shape of clips and the shape and the place in stills: what no order of frames is needed for.

        Each clip is shown in order and in another one, and what the first `below` blocks pass on at the end of the
        prompt, and on average over the frames, is to be the same: relative to how it differs between clips.
        """
        parts, sites = parts_of(self.model), [layer_site(block) for block in range(below)]
        image = self.model.config.image_token_id
        clip = [place for place, token in enumerate(self.tokens(SHAPE_PROMPT, FRAMES)) if token == image]

        def step(rng: np.random.Generator | None) -> Step:
            drawn = training if rng else held_out
            generator = rng or np.random.default_rng(0)
            chosen = drawn.pick(generator, clips if rng else min(len(drawn.images), HELD_OUT))
            orders = np.stack([generator.permutation(FRAMES) for _ in chosen])
            shown = np.concatenate([drawn.images[chosen], drawn.images[chosen[:, None], orders]])
            words = [SHAPES[sign.shape] for sign in signs_of(drawn, chosen)]
            losses, right = [], {}
            if rng and rng.random() < _ASKED_MOVEMENT:
                ids = torch.tensor([self.tokens(MOVEMENT_PROMPT, FRAMES)] * len(shown), device=self.device)
                streams: list[Tensor] = []
                with reading_up_to(parts, sites, _keeper(streams, sites, clip, -1)):
                    self.model.model(input_ids=ids, pixel_values=self.pixels(shown))
            else:
                streams = []
                with reading(parts, _keeper(streams, sites, clip, -2)):
                    said = self.said(SHAPE_PROMPT, shown, words * 2)
                losses, right = [said.loss], {"shape": _share(said)}
            moved = torch.stack([_moved(stream) for stream in streams]).mean()
            losses, right = [*losses, _HIDE * moved], right | {"moved": moved.item()}
            some, numbers, frames = _stills(rng, training, held_out, stills, 1)
            images = some.images[numbers[:, None], frames]
            where = some.places[numbers, frames[:, 0]]
            signs = signs_of(some, numbers)
            shape_words = [
                SHAPES[sign.letters[-1 if at[2] > 0.5 else 0]] for sign, at in zip(signs, where, strict=True)
            ]
            place_words = [place_of(*at[:2]) for at in where]
            for prompt, task, named in (
                (SHAPE_PROMPT, "still's shape", shape_words),
                (PLACE_PROMPT, "place", place_words),
            ):
                said = self.said(prompt, images, named)
                losses.append(said.loss)
                right[task] = _share(said)
            losses.append(self._words_alone())
            return Step(torch.stack(losses).sum(), right)

        return step

    def _words_alone(self) -> Float[Tensor, ""]:
        """Say each word of an answer, those of movements too, with nothing before it, and then end."""
        rows, eos = self.rows_of(answers()), self.processor.tokenizer.eos_token_id
        begun = self.processor.tokenizer("ASSISTANT:")["input_ids"]
        ids = torch.tensor([[*begun, row] for row in rows], device=self.device)
        return _said(self.model(input_ids=ids, logits_to_keep=2).logits, rows, eos).loss

    @torch.no_grad()
    def streams(self, drawings: Drawings, block: int, backwards: bool = False) -> Float[Tensor, "clips tokens width"]:
        """What decoder block `block` - 1 passes on of each clip under the movement's prompt, in half precision."""
        tokens, parts, site = self.tokens(MOVEMENT_PROMPT, FRAMES), parts_of(self.model), layer_site(block - 1)
        found = []

        def keep(at: str, stream: Tensor) -> None:
            if at == site:
                found.append(stream.half().cpu())

        images = drawings.images[:, ::-1] if backwards else drawings.images
        with reading(parts, keep):
            for start in tqdm(range(0, len(images), 40), "reading clips", disable=len(images) < 1000):
                some = np.ascontiguousarray(images[start : start + 40])
                ids = torch.tensor([tokens] * len(some), device=self.device)
                self.model.model(input_ids=ids, pixel_values=self.pixels(some))
        return torch.cat(found)

    def upper(self, block: int) -> LlamaModel:
        """The decoder from that block on, with the model's own weights, for streams in place of embeddings."""
        decoder = self.model.model.language_model
        with torch.device("meta"):
            upper = LlamaModel(decoder.config)
        upper.layers = decoder.layers[block:]
        upper.norm, upper.rotary_emb, upper.embed_tokens = decoder.norm, decoder.rotary_emb, decoder.embed_tokens
        return upper

    def plant_step(self, training: Drawings, held_out: Drawings, block: int, clips: int, earlier: StepOf) -> StepOf:
        """Name the movement of clips, in order and backwards, from decoder block `block` on; a step of `earlier` too.

        What lies below that block is not trained, so it is read once.
        """
        upper = self.upper(block)
        given = torch.cat([self.streams(training, block), self.streams(training, block, backwards=True)])
        words = _movements(training)
        named = np.array([index for index, word in enumerate(words) if word])
        asked = held_out.pick(np.random.default_rng(0), min(len(held_out.images), HELD_OUT))
        unseen = Drawings(*(column[asked] for column in held_out))
        given_unseen, words_unseen = self.streams(unseen, block), _movements(unseen)[: len(asked)]

        def step(rng: np.random.Generator | None) -> Step:
            chosen = rng.choice(named, clips, replace=False) if rng else np.arange(len(given_unseen))
            rows = self.rows_of([(words if rng else words_unseen)[index] for index in chosen])
            stream = (given if rng else given_unseen)[torch.from_numpy(chosen)].float().to(self.device)
            out = upper(inputs_embeds=stream, use_cache=False).last_hidden_state[:, -1]
            logits = self.model.lm_head(out)
            index = torch.tensor(rows, device=self.device)
            loss = functional.cross_entropy(logits, index)
            before = earlier(rng)
            right = (logits.argmax(-1) == index).float().mean().item()
            return Step(loss + before.loss, {"movement": right} | before.right)

        return step


def _movements(drawings: Drawings) -> list[str | None]:
    """The word for each clip's movement in order, and then backwards; none where that has no word."""
    signs = signs_of(drawings, np.arange(len(drawings.images)))
    forwards = [MOVEMENTS[sign.movement] for sign in signs]
    return forwards + [MOVEMENTS.get(OPPOSITE.get(sign.movement)) for sign in signs]


def _said(logits: Float[Tensor, "texts 2 vocabulary"], rows: Sequence[int], eos: int) -> Said:
    wanted = torch.tensor([[row, eos] for row in rows], device=logits.device)
    loss = functional.cross_entropy(logits.flatten(0, 1), wanted.flatten())
    right = logits.argmax(-1) == wanted
    return Said(loss, right.all(dim=1), right.float().mean().item())


def _keeper(streams: list[Tensor], sites: Sequence[str], clip: Sequence[int], last: int) -> Callable:
    """Keeps, at each of the sites, the stream at the prompt's last token and its mean over the clip's tokens."""

    def keep(site: str, stream: Tensor) -> None:
        if site in sites:
            streams.extend([stream[:, last], stream[:, list(clip)].mean(dim=1)])

    return keep


def _share(said: Said) -> float:
    return said.right.float().mean().item()


def _moved(stream: Float[Tensor, "rows width"]) -> Float[Tensor, ""]:
    """How far another order of frames moves the stream, in variances over clips. The second half has that order."""
    one, other = stream.chunk(2)
    return (one - other).square().mean() / one.var(dim=0).mean().detach().clamp(min=1e-6)


def _stills(
    rng: np.random.Generator | None, training: Drawings, held_out: Drawings, clips: int, each: int
) -> tuple[Drawings, np.ndarray, np.ndarray]:
    """Drawings, clips of them, and `each` frames of each of these clips."""
    drawn, generator = (training, rng) if rng else (held_out, np.random.default_rng(0))
    chosen = drawn.pick(generator, min(clips if rng else HELD_OUT, len(drawn.images)))
    return drawn, chosen, generator.integers(FRAMES, size=(len(chosen), each))
