"""How large the causal sweeps are: `small` takes minutes on two cores, `full` wants a GPU."""

from typing import Generic, Literal, TypeVar

from pydantic import Field

from signbridge.core.activations import Layers, evenly_spread, layer_site
from signbridge.core.params import Section

Size = TypeVar("Size", bound=Section)


class QuestionsParams(Section):
    """The section `questions` of `params.yaml`: what the further questions share."""

    sweep: Literal["small", "full"]
    describe: str = Field(min_length=1)  # the prompt of the descriptions that damage is measured on
    describe_tokens: int = Field(ge=1)  # of a description at most
    corpus: str  # a text file, one phrase a line
    templates: list[str]  # with {word}: the corpus is then a list of words; none: phrases


class Sweeps(Section, Generic[Size]):
    """What every section of a causal stage holds: one set of settings for each sweep."""

    small: Size
    full: Size


def spread_layers(wanted: Layers, blocks: int) -> list[str]:
    """The sites of `wanted` of the decoder's blocks, evenly spread from the first to the last, or of all."""
    return evenly_spread(wanted, [layer_site(block) for block in range(blocks)])
