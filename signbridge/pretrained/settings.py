"""Autoencoders that others trained, each for one model: the choice, the catalog, and what was fetched.

`autoencoder` in stages/pretrained/params.yaml names an entry of stages/pretrained/autoencoders.yaml.
"""

from typing import Annotated, Any, Literal

from pydantic import Field

from signbridge.core import params
from signbridge.core.params import Section
from signbridge.sae.settings import check_pretrained_fits

NONE = "none"  # of `classes.descriptions`: features are not described
Format = Literal["sae_lens", "gemma_scope_2", "sparsify"]
AfterToken = Annotated[str, Field(pattern=r"^after \S+$")]  # the token after the last of these: after <end_of_turn>
Commit = Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]


class _Entry(Section):
    """What every entry of the catalog says."""

    model: str  # an entry of models.yaml: the one that it is read with
    layer: int = Field(ge=0)  # the decoder block that it was trained after, 0-based
    prompt: str = Field(min_length=1)  # under which images are read
    # A token of the prompt, counted from 0 or named; or the mean of the image's.
    position: Annotated[int, Field(ge=0)] | Literal["prompt_last", "image_mean"] | AfterToken
    neuronpedia: Annotated[str, Field(pattern=r"^[^/]+/[^/]+$")] | None  # model and SAE, as it calls them
    published: dict[str, list[int]] | None  # features by class, to compare with
    dropped: list[Annotated[int, Field(ge=0)]] | None  # features that say nothing of a class; None: found out


class OfRelease(_Entry):
    """One that SAELens lists: it knows the repository, folder, format and scale."""

    source: Literal["sae_lens"]
    release: str
    id: str
    revision: Commit | None  # None: the newest, when it is fetched


class OfHub(_Entry):
    """One in a repository of the Hugging Face hub."""

    source: Literal["hub"]
    hub_id: str
    folder: str  # in the repository
    format: Format
    revision: Commit | None
    norm_scaling_factor: Annotated[float, Field(gt=0)] | None  # of vectors, where it was trained on scaled ones


class OfFolder(_Entry):
    """One in a local folder."""

    source: Literal["folder"]
    path: str
    format: Format
    norm_scaling_factor: Annotated[float, Field(gt=0)] | None


AnyEntry = OfRelease | OfHub | OfFolder
Entry = Annotated[AnyEntry, Field(discriminator="source")]


def chosen_pretrained() -> tuple[str, AnyEntry]:
    """The name and values of the chosen entry; no other is checked.

    Raises `SignBridgeError` if it belongs to another model than the study's.
    """
    name, entry = params.selected("autoencoder", params.AUTOENCODERS, Entry, params.PRETRAINED)
    model, _ = params.selected("model", params.MODELS, dict[str, Any])
    check_pretrained_fits(name, entry.model, model)
    return name, entry
