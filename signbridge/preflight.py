"""Can the study run here, and how long does it take? Asked before anything is downloaded or loaded.

    python -m signbridge.preflight              # the chosen model
    python -m signbridge.preflight NAME         # another of models.yaml, or some-org/some-name@commit

Prints what the model needs beside what this machine has, how many operations each stage of the study takes, and what
further questions take of disk and memory. Ends with `go`, or with what to do and exit status 1. Environment:
SIGNBRIDGE_DEVICE.
"""

import os
from pathlib import Path
from typing import NamedTuple

import torch

from signbridge.core import params
from signbridge.core.command_line import run
from signbridge.core.errors import SignBridgeError
from signbridge.core.sweeps import QuestionsParams
from signbridge.datasets.control_images import NO_IMAGE, ControlsParams
from signbridge.finetune.memory import memory_of_tuning
from signbridge.lenses.text_index import TextIndexParams, text_sites
from signbridge.sae.settings import SaeParams, chosen_preset, features_of, sae_sites, training_bytes
from signbridge.vlm.chosen import SCRATCH_MODELS, complete
from signbridge.vlm.letter_scoring import PLACEHOLDER, PromptsParams
from signbridge.vlm.loading import checked_settings, decoder_blocks, device_from_environment, stream_width
from signbridge.vlm.machine import free_disk, matmul_rate
from signbridge.vlm.needs import CHARACTERS_OF_A_TOKEN, Needs
from signbridge.vlm.preflight import (
    Model,
    check_device,
    images_of_study,
    name_of_arguments,
    named_or_chosen,
    preflight,
)
from signbridge.vlm.store import TWICE

SECONDS = 2.0  # of measuring
LETTERS = 20  # that the prompt of `score_letters` offers, where the sample does not say: `A, `, four characters each
NOTEBOOK_IMAGES = 300  # where only drawing the sample can tell


class Cost(NamedTuple):
    """What reading the model takes in one stage."""

    stage: str
    prompts: int
    answers: int
    flop: float


def main() -> None:
    """Print the preflight and the costs of the model that the first argument or params.yaml names."""
    name, model = named_or_chosen(name_of_arguments("signbridge.preflight", __doc__))
    check_may_write_here()
    device = device_from_environment()
    found = preflight(name, model, device)
    print(f"{name}\n{found}", flush=True)
    check_device(name, model, device)
    if found.problems:
        raise found.problems[0]
    if found.needs is not None:
        model = complete(model)
        checked_settings(model, SCRATCH_MODELS)
        images = images_of_study()
        costs = study_costs(found.needs, images or NOTEBOOK_IMAGES, model.max_new_tokens)
        rate = matmul_rate(device, getattr(torch, model.dtype), SECONDS)
        print("\n".join(["", *table(costs, rate, str(device), model.dtype, images is not None)]))
        print(disk_of_questions(model))
        print(memory_of_tuning(model, decoder_blocks(model), device))
    print("go")


def check_may_write_here() -> None:
    """Raises `SignBridgeError` in a folder of another user, or on a disk that is only read: a run writes there."""
    if not os.access(Path.cwd(), os.W_OK):
        raise SignBridgeError(
            f"{Path.cwd()}: you may not write here, and a run does. Give yourself the right to it (chmod, chown), or "
            "make a clone of your own."
        )


def study_costs(needs: Needs, images: int, answer_tokens: int) -> list[Cost]:
    """What the stages of the study that read a model take. Every answer counts at its token limit."""
    controls = params.section("controls", ControlsParams).read
    offered = params.section("prompts", PromptsParams).offer_letters
    read = sum(1 if control == NO_IMAGE else images for control in controls)  # the grey image is the same for all
    answered = needs.prompt + needs.word * answer_tokens
    more_tokens = (len(offered) - len(PLACEHOLDER) + 4 * LETTERS) // CHARACTERS_OF_A_TOKEN - (
        needs.prompt_tokens - needs.image_tokens
    )
    return [
        Cost("extract", images, images, images * answered),
        Cost("extract_controls", read, read, read * answered),
        Cost("score_letters", images, 0, images * (needs.prompt + needs.word * more_tokens)),
    ]


def written_by_questions(width: int, blocks: int) -> dict[str, int]:
    """Bytes of disk that further questions take of a decoder of that width and so many blocks.

    Of `lenses` those of the text index, as long as the corpus has tokens. Of `sae` the checkpoints of its training, and
    the autoencoders of the model and of its twin.
    """
    index = params.section("text_index", TextIndexParams, params.LENSES)
    asked = params.section("questions", QuestionsParams)
    characters = Path(asked.corpus).stat().st_size if Path(asked.corpus).is_file() else 0
    tokens = max(1, len(asked.templates)) * characters // CHARACTERS_OF_A_TOKEN
    number = {"float8": 1, "float16": 2}[index.storage]
    (_, preset), layers = chosen_preset(), params.section("sae", SaeParams, params.SAE).layers
    sites = len(sae_sites(layers, blocks))
    autoencoders = 2 * 4 * sites * 2 * features_of(preset, width) * width
    return {
        "lenses": TWICE * tokens * len(text_sites(index.layers, blocks)) * width * number,
        "sae": training_bytes(preset, sites, width) + TWICE * autoencoders,
    }


def disk_of_questions(model: Model) -> str:
    """A line on the disk that further questions take, and one more where there is too little."""
    try:
        written = written_by_questions(stream_width(model), decoder_blocks(model))
    except SignBridgeError as error:  # a setting of theirs does not suit the model, which is no matter of the study
        return f"Disk of further questions: not known. {error}"
    free, needed = free_disk(Path.cwd()), sum(written.values())
    of_each = ", ".join(f"{question} {size / 1e9:.1f} GB" for question, size in written.items())
    less = "" if needed <= free else "\nThat is too little for all: free some before you run them."
    return f"Disk of further questions: {of_each}; {free / 1e9:.1f} GB are free.{less}"


def table(costs: list[Cost], rate: float, device: str, dtype: str, known: bool) -> list[str]:
    """The costs stage by stage, in minutes at the measured `rate`, FLOP/s."""
    total = Cost("the study", *(sum(cost[column] for cost in costs) for column in (1, 2, 3)))
    lines = [f"{'stage':16}  {'prompts':>7}  {'answers':>7}  {'TFLOP':>9}  {'minutes':>8}"]
    lines += [
        f"{cost.stage:16}  {cost.prompts:7,}  {cost.answers:7,}  {_short(cost.flop / 1e12):>9}  "
        f"{_short(cost.flop / rate / 60):>8}"
        for cost in [*costs, total]
    ]
    lines += [] if known else [f"For {NOTEBOOK_IMAGES} images: how many there are is known once the sample is drawn."]
    return [
        *lines,
        f"At {_short(rate / 1e12)} TFLOP/s: products of {dtype} matrices on {device}, measured for {SECONDS:g} s. No "
        "model runs faster. Words are",
        "produced one by one and far slower; loading and probes come on top.",
    ]


def _short(number: float) -> str:
    return f"{number:,.0f}" if number >= 10 else f"{number:.2g}"


if __name__ == "__main__":
    run(main)
