"""stages/motion/params.yaml: what is asked about clips, how they are read, and beside what."""

from typing import Annotated, Literal

from pydantic import Field

from signbridge.core.activations import Layers
from signbridge.core.params import Section

Reading = Literal["in_order", "shuffled", "reversed", "middle_frame", "single_frames", "twin_in_order", "twin_shuffled"]
ReadAs = Literal["auto", "video", "images"]
Position = Literal["prompt_last", "answer_last", "video_mean"]


class Controls(Section):
    """What stands beside the readings of the model."""

    pixels: int = Field(ge=2)  # a side of the frames whose raw pixels are probed
    other_clip: int = Field(ge=0)  # draws of labels of another clip, at every layer


class FramePatching(Section):
    """One frame of a clip put into the run on another."""

    pairs: int = Field(ge=0)  # of clips, at most; 0: nothing is patched
    sites: Layers  # of the decoder, evenly spread


class AnswersInWords(Section):
    """How an answer in words is scored."""

    name: Literal["label", "movement"]  # what it can name
    synonyms: dict[str, list[Annotated[str, Field(min_length=1)]]]  # by name: further words that count as well


class MotionParams(Section):
    """stages/motion/params.yaml."""

    dataset: str  # of datasets.yaml, with a source of clips
    model: str  # of models.yaml, or some-org/some-name@commit
    question: str = Field(min_length=1)  # in the chat template of a model with prompt: auto
    read_as: ReadAs
    readings: list[Reading] = Field(min_length=2)
    positions: list[Position] = Field(min_length=1)  # at which layers are probed; the first is quoted
    C: list[Annotated[float, Field(gt=0)]] = Field(min_length=1)  # to choose from
    controls: Controls
    patching: FramePatching
    answers: AnswersInWords
