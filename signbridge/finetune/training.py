"""Tune a low-rank adapter of a model's decoder until it answers the question with the wanted words.

LoRA (Hu et al. 2021); on packed weights QLoRA (Dettmers et al. 2023). The tower, the projector and every weight of the
decoder are frozen. The loss is that of the answer's tokens and of the token that ends it. Every random number follows
from the seed and the number of the step, so training that was interrupted goes on from a checkpoint to the same bytes.
"""

import json
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from safetensors.torch import save_file
from torch import Tensor
from tqdm import tqdm

from signbridge.core.checkpoints import Checkpoints
from signbridge.finetune.settings import Recipe
from signbridge.finetune.training_step import Example, Trainer
from signbridge.vlm.extraction import Reader
from signbridge.vlm.families.adapted import Adapted
from signbridge.vlm.letter_scoring import added_tokens
from signbridge.vlm.loading import LoadedModel

# Of the stream. A step of the miniature, 192 wide, took 68 ms on one core and 111 to 120 on two. Of a decoder 384 wide,
# two were faster.
SMALL_WIDTH = 256


class Tuned(NamedTuple):
    """An adapter and how its training went."""

    weights: dict[str, Tensor]  # in PEFT's names, in single precision
    config: dict[str, Any]  # PEFT's
    log: pd.DataFrame  # a row a look at the held-out images: step, loss, stop_loss, accuracy, lr
    kept: int  # the step whose adapter it is


def examples(reader: Reader, pngs: Sequence[bytes], answers: Sequence[str]) -> list[Example]:
    """The images with the tokens of their answers behind the reader's prompt, however many they are.

    Raises `SignBridgeError` if the prompt's tokens change where an answer follows.
    """
    processor, end = reader.loaded.processor, reader.loaded.end_tokens[:1]
    tokens = {
        answer: added_tokens(processor, reader.prompt, answer, "models.yaml: <model>.prompt") + end
        for answer in sorted(set(answers))
    }
    return [Example(png, tokens[answer]) for png, answer in zip(pngs, answers, strict=True)]


def tune(
    reader: Reader,
    layers: Adapted,
    train: Sequence[Example],
    stop: Sequence[Example],
    recipe: Recipe,
    seed: int,
    at_once: int,
    stops_early: bool = True,
    checkpoints: Checkpoints | None = None,
    title: str = "tune",
) -> Tuned:
    """Tune an adapter of `layers` on `train`; `stop` chooses which step's adapter is kept, and when to stop.

    `at_once` images go through together, or fewer where memory runs out. Without `stops_early` it is tuned to the end.
    The model of `reader` holds the adapter from then on: it is for nothing else. Raises `SignBridgeError` if the loss
    is not finite, or memory runs out with one image at a time; checkpoints stay then.
    """
    with few_threads(reader.loaded):
        training = Trainer(reader, layers, recipe, seed, at_once, [*train, *stop])
    steps = math.ceil(len(train) * recipe.epochs / recipe.batch)
    looks = {round(steps * look / recipe.looks) for look in range(1, recipe.looks + 1)}
    state = training.begin(checkpoints.last_folder() if checkpoints else None)
    with few_threads(reader.loaded), tqdm(total=steps, initial=state["step"], desc=title, unit="step") as bar:
        while state["step"] < steps and not (stops_early and _is_over(state["rows"], recipe.patience)):
            step = state["step"]
            state["losses"].append(
                training.step(step, steps, [train[row] for row in _rows(step, len(train), recipe, seed)])
            )
            state["step"] = step + 1
            if step + 1 in looks:
                right = training.look(stop)
                state["rows"].append(
                    {"step": step + 1, "loss": float(np.mean(state["losses"])), "stop_loss": right.loss,
                     "accuracy": right.accuracy, "lr": training.rate(step, steps)}
                )  # fmt: skip
                state["losses"] = []
                if not stops_early or _is_best(state["rows"]):
                    training.keep()
            bar.update()
            said = state["rows"][-1] if state["rows"] else {}
            losses = state["losses"] or [said.get("loss", math.nan)]
            bar.set_postfix(loss=f"{losses[-1]:.3f}", right=f"{said.get('accuracy', 0):.0%}", refresh=False)
            if checkpoints and checkpoints.is_due:
                with checkpoints.writing(step + 1) as folder:
                    training.write(folder, state)
    log = pd.DataFrame(state["rows"])
    kept = log["step"].iloc[log["stop_loss"].argmin()] if stops_early else log["step"].iloc[-1]
    return Tuned(training.kept, training.config(), log, int(kept))


@contextmanager
def few_threads(loaded: LoadedModel) -> Iterator[None]:
    """While open, a small decoder is computed by one processor core: several wait longer than they compute."""
    threads = torch.get_num_threads()
    if loaded.device.type == "cpu" and loaded.model.config.get_text_config().hidden_size <= SMALL_WIDTH:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def write_tuned(tuned: Tuned, folder: Path, config: dict[str, Any]) -> None:
    """Store the adapter in PEFT's files; `config` is its configuration with the base written in."""
    save_file(tuned.weights, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    text = json.dumps(config, indent=2, sort_keys=True)
    (folder / "adapter_config.json").write_text(text + "\n", encoding="utf-8", newline="\n")


def _rows(step: int, images: int, recipe: Recipe, seed: int) -> list[int]:
    """Which images a step is trained on: all of them in another order each epoch."""
    places = range(step * recipe.batch, (step + 1) * recipe.batch)
    orders = {place // images: None for place in places}
    orders = {epoch: np.random.default_rng([seed, epoch]).permutation(images) for epoch in orders}
    return [int(orders[place // images][place % images]) for place in places]


def _is_best(rows: list[dict[str, Any]]) -> bool:
    return rows[-1]["stop_loss"] <= min(row["stop_loss"] for row in rows)


def _is_over(rows: list[dict[str, Any]], patience: int) -> bool:
    losses = [row["stop_loss"] for row in rows]
    return len(losses) > patience and int(np.argmin(losses)) < len(losses) - patience
