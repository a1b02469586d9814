"""What stages/finetune/params.yaml says: the recipe, the runs, and which images are trained on."""

from typing import Annotated, Literal

from pydantic import Field

from signbridge.core import params
from signbridge.core.errors import SignBridgeError
from signbridge.core.params import Section

Share = Annotated[float, Field(gt=0, lt=1)]
Block = Annotated[int, Field(ge=0)]
TRAIN, STOP, PROBE = "train", "stop", "probe"  # the parts of the split
LETTERS = "letters"  # the run that all others are compared with
THIRDS = {"early": 0, "middle": 1, "late": 2}


class Recipe(Section):
    """One of the `presets`."""

    r: int = Field(ge=1)  # rank of what is added to each matrix
    alpha: float = Field(gt=0)  # it is multiplied by alpha / r
    dropout: float = Field(ge=0, lt=1)  # of what goes into it, while it is trained
    lr: float = Field(gt=0)  # at its highest; then down half a cosine to 0
    warm_up: float = Field(ge=0, lt=1)  # of all steps, up to there
    batch: int = Field(ge=1)  # images a step
    epochs: float = Field(gt=0)  # at most
    looks: int = Field(ge=1)  # at the images that choose when to stop, evenly spread over the steps
    patience: int = Field(ge=1)  # looks without a lower loss, after which it stops
    checkpointing: bool  # of activations: a third more time, for a block's memory in place of all blocks'


class Variant(Section):
    """What a run does otherwise than `letters`."""

    blocks: Literal["all", "early", "middle", "late"] | Annotated[list[Block], Field(min_length=2, max_length=2)] = (
        "all"
    )
    labels: Literal["own", "shuffled"] = "own"  # shuffled: one letter a group, of another group
    untrained: bool = False  # the untrained twin: weights of controls.twin_seed

    @property
    def stops_early(self) -> bool:
        """Whether held-out images choose when to stop. Nulls are tuned to the end, so none is tuned less."""
        return self.labels == "own" and not self.untrained


class SplitParams(Section):
    """The section `split`."""

    train: Share  # of each letter's groups; those that the sample lacks come first
    stop: Share  # of them, to choose when to stop; those of the sample that are left are probed
    per_letter: Annotated[int, Field(ge=1)] | Literal["all"]  # images to train on, taken from the groups in turn
    stop_per_letter: Annotated[int, Field(ge=1)] | Literal["all"]


class PatchParams(Section):
    """The section `patching`."""

    runs: list[str]  # beside the base
    pairs: int = Field(ge=0)  # of photos, at most


def recipe_of() -> tuple[str, Recipe]:
    """The name and the settings of the chosen preset. Raises `SignBridgeError` if there is none of that name."""
    name = params.section("preset", str, params.FINETUNE)
    return name, params.section(f"presets.{name}", Recipe, params.FINETUNE)


def variant_of(run: str) -> Variant:
    """What the run of that name does. Raises `SignBridgeError` if the params do not say."""
    return params.section(f"variants.{run}", Variant, params.FINETUNE)


def check_runs() -> None:
    """Raises `SignBridgeError` if a run lacks a variant or is patched and not tuned, or if `letters` is not among them.

    All pages and figures are about `letters`, so without it all tuning would be for nothing.
    """
    runs = params.section("runs", list[str], params.FINETUNE)
    patched = params.section("patching", PatchParams, params.FINETUNE).runs
    if LETTERS not in runs:
        raise SignBridgeError(
            f"{params.FINETUNE}: runs: '{LETTERS}' is missing, which every other run is held against. Add it."
        )
    for run in runs:
        variant_of(run)
    if absent := [run for run in patched if run not in runs]:
        raise SignBridgeError(f"{params.FINETUNE}: patching.runs: '{absent[0]}' is not among runs. Add it there.")


def chosen_blocks(variant: Variant, blocks: int) -> range:
    """The decoder blocks that a variant tunes, of so many: all, a third of them, or from the first to the last named.

    Raises `SignBridgeError` if there are none.
    """
    if variant.blocks == "all":
        return range(blocks)
    if isinstance(variant.blocks, str):
        third = THIRDS[variant.blocks]
        first, end = (round(blocks * number / 3) for number in (third, third + 1))
    else:
        first, end = variant.blocks[0], variant.blocks[1] + 1
    if first >= end or end > blocks:
        raise SignBridgeError(
            f"{params.FINETUNE}: blocks: {variant.blocks}: the model has {blocks} decoder blocks, 0 to {blocks - 1}. "
            "Name the first and the last one that is tuned."
        )
    return range(first, end)
