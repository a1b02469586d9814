"""Autoencoders that others trained, each for one model: `sae.pretrained` and the catalog `pretrained_saes`."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model

from signbridge.core import params
from signbridge.core.errors import SignBridgeError
from signbridge.core.params import Section

NONE = "none"  # of `sae.pretrained`: nothing is read
Format = Literal["sae_lens", "gemma_scope_2", "sparsify"]
Commit = Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]


class SaePretrainedParams(Section):
    """The section `sae_pretrained`."""

    top: int = Field(ge=1)  # features listed of a class
    fits: float = Field(ge=0, le=1)  # variance explained, and fidelity, at image tokens; below, the table is marked
    descriptions: str = Field(min_length=1)  # neuronpedia, none, or where an export lies


class _PretrainedSae(Section):
    """What every entry of `pretrained_saes` says."""

    model: str  # an entry of `models`: the one that it is read with
    layer: int = Field(ge=0)  # the decoder block that it was trained after, 0-based
    prompt: str = Field(min_length=1)  # under which images are read
    position: Annotated[int, Field(ge=0)] | Literal["prompt_last", "image_mean"]  # a token of the prompt, or the mean
    neuronpedia: Annotated[str, Field(pattern=r"^[^/]+/[^/]+$")] | None  # model and SAE, as it calls them
    published: dict[str, list[int]] | None  # features by class, to compare with


class OfRelease(_PretrainedSae):
    """One that SAELens lists: what repository, folder, format and scale it has, SAELens knows."""

    source: Literal["sae_lens"]
    release: str
    id: str
    revision: Commit | None  # None: the newest, when it is fetched


class OfHub(_PretrainedSae):
    """One in a repository of the Hugging Face hub."""

    source: Literal["hub"]
    hub_id: str
    folder: str  # in the repository
    format: Format
    revision: Commit | None
    norm_scaling_factor: Annotated[float, Field(gt=0)] | None  # of vectors, where it was trained on scaled ones


class OfFolder(_PretrainedSae):
    """One in a local folder."""

    source: Literal["folder"]
    path: str
    format: Format
    norm_scaling_factor: Annotated[float, Field(gt=0)] | None


PretrainedSae = Annotated[OfRelease | OfHub | OfFolder, Field(discriminator="source")]


class _Choice(BaseModel):
    """Of the section `sae`, what is asked here."""

    model_config = ConfigDict(extra="ignore")
    pretrained: str


class _Catalog(BaseModel):
    """`pretrained_saes`, of which no entry but the chosen one is checked."""

    model_config = ConfigDict(extra="allow")


def chosen_pretrained(path: Path = params.PARAMS) -> tuple[str, OfRelease | OfHub | OfFolder] | None:
    """The entry that `sae.pretrained` names, and its name; None for `none`.

    Raises `SignBridgeError` if there is no such entry, or it belongs to another model than the study's.
    """
    name = params.section("sae", _Choice, path).pretrained
    if name == NONE:
        return None
    there = params.section("pretrained_saes", _Catalog, path).model_extra
    if name not in there:
        raise SignBridgeError(
            f"{path}: sae.pretrained: no '{name}' under 'pretrained_saes'. There are: {', '.join(there)}."
        )
    catalog = create_model("PretrainedSaes", __base__=_Catalog, **{name: (PretrainedSae, ...)})
    entry = getattr(params.section("pretrained_saes", catalog, path), name)
    model, _ = params.selected("model", params.MODELS, dict[str, Any], path)
    if entry.model != model:
        raise SignBridgeError(
            f"{path}: sae.pretrained: '{name}' belongs to the model '{entry.model}', and the study's is '{model}'.\n"
            f"Set model: {entry.model}, or sae.pretrained: {NONE}."
        )
    return name, entry
