"""What an entry of `models.yaml` says. What it leaves out has a default, or is found in the model's own files.

    model-name:
      hub_id: some-org/some-name
      revision: 0123456789abcdef0123456789abcdef01234567

is enough for a model of a known family: its prompt is then the question of the study in the model's own chat template,
and its dtype that of its weights (`loading.completed`).
"""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from signbridge.core.params import Section

AUTO = "auto"


class About(Section):
    """What the table of docs/models.md says of a model; nothing is made from it."""

    licence: str
    gated: bool = False  # its owner lets in those who have accepted the licence
    nf4_gib: float | None = None  # of its weights in NF4


class PlantedTruth(Section):
    """What is known of a model into which a variable was planted (`signbridge/planted`)."""

    blocks: list[Annotated[int, Field(ge=0)]] = Field(min_length=1)  # the only ones that were taught to compute it


class _ModelParams(Section):
    """What every entry may say."""

    about: About | None = Field(default=None, exclude=True)

    quantization: Literal["none", "nf4"] = "none"
    quantize: Literal["decoder", "all"] = "all"  # which linear layers nf4 packs; never the unembedding
    dequantize: Literal["auto", "always", "never"] = "auto"
    dtype: Literal["auto", "float32", "float16", "bfloat16"] = AUTO  # auto: that of the weights
    prompt: str = Field(default=AUTO, min_length=1)  # auto: the study's question in the model's chat template
    max_new_tokens: int = Field(default=20, ge=1)
    untrained: int | None = None  # a seed: its weights are drawn anew from it, as those of the untrained twin
    planted: PlantedTruth | None = None
    adapter: str | None = Field(
        default=None, exclude_if=lambda path: path is None
    )  # a folder with a LoRA adapter of it

    @property
    def is_complete(self) -> bool:
        """Whether nothing of it has to be found in the model's own files."""
        return AUTO not in (self.prompt, self.dtype)


class HubModel(_ModelParams):
    """A model of the Hugging Face hub, at one commit."""

    source: Literal["hub"] = "hub"
    hub_id: str
    revision: str = Field(pattern=r"^[0-9a-f]{40}$")


class FolderModel(_ModelParams):
    """A model in a local folder, in the Hugging Face layout."""

    source: Literal["folder"]
    path: str


class TinyRandomModel(_ModelParams):
    """The architecture of a family at a few million parameters, with seeded random weights."""

    source: Literal["tiny_random"]
    seed: int
    family: Literal["llava", "gemma3"] = "llava"


Model = HubModel | FolderModel | TinyRandomModel


def _of_hub_unless_said(entry: Any) -> Any:
    return {"source": "hub", **entry} if isinstance(entry, dict) else entry


ModelParams = Annotated[Model, Field(discriminator="source"), BeforeValidator(_of_hub_unless_said)]
