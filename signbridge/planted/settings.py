"""The sections of `stages/planted/params.yaml`, but for the probes', and where streams are read."""

from pydantic import Field

from signbridge.core.params import Section

BEFORE_THE_QUESTION = ("vision", "projector", "embedding")  # sites whose image tokens are read as well


class AskParams(Section):
    """The section `ask`."""

    images: int = Field(ge=2)  # of each finger, at most; half of them with the finger up


class EditParams(Section):
    """The section `edit`."""

    pairs: int = Field(ge=1)  # of photos, each in one pair alone


class ScoreParams(Section):
    """The section `score`."""

    least_step: float = Field(gt=0, lt=1)  # of the way from nothing to all, by which a block changes a curve
    within: int = Field(ge=0)  # blocks from the planted ones at which a change still counts as found
