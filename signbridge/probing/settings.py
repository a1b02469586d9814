"""The section `probe` of the params, and what it chooses of the sites that the model has."""

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from signbridge.core.activations import (
    POSITIONS_OF_SITE,
    SITES_BEFORE_LAYERS,
    TOKEN_POSITIONS,
    layer_site,
    positions_of,
)
from signbridge.core.errors import SignBridgeError
from signbridge.core.groups import By, Groups
from signbridge.core.params import Section
from signbridge.probing import protocols
from signbridge.probing.protocols import PROTOCOLS, Split

Share = Annotated[float, Field(gt=0, lt=1)]


class SignBridgeProtocol(Section):
    """The notebook's split and probe."""

    test_size: Share
    C: float = Field(gt=0)  # inverse strength of the L2 penalty, as scikit-learn's


class Folds(Section):
    """Repeated k-fold over whole groups, with folds inside the training images to choose by."""

    folds: int = Field(ge=2)
    repeats: int = Field(ge=1)
    inner_folds: int = Field(ge=2)
    C: list[Annotated[float, Field(gt=0)]] = Field(min_length=1)  # to choose from


class GroupedProtocol(Folds):
    """The same, over groups of this kind."""

    by: By


class DescriptionLength(Section):
    """The online code."""

    orders: int = Field(ge=1)  # of sending the photos; the bits are their mean, and the interval is over them too


class ProbeParams(Section):
    """The section `probe`."""

    protocols: list[str] = Field(min_length=1)
    sites: list[str]  # before the first decoder block
    layers: Literal["all"] | list[int]  # decoder blocks, 0-based
    positions: list[str] = Field(min_length=1)  # at the sites that have tokens; others have one position only
    signbridge: SignBridgeProtocol
    grouped: GroupedProtocol
    description_length: DescriptionLength
    memory_gib: float = Field(gt=0)  # beside a site's vectors, where rows outnumber wide features

    @property
    def memory_bytes(self) -> int:
        """`memory_gib` in bytes."""
        return int(self.memory_gib * 2**30)


class SideBySideParams(Section):
    """stages/models/params.yaml."""

    models: list[str] = Field(min_length=1)  # of models.yaml, or some-org/some-name/commit
    letters_question: str = Field(min_length=1)  # with {letters}: put to each model in the form of its own prompt
    controls: list[Literal["no_image", "other_letter"]]  # at each model's best layers and tower; may be empty
    shuffled_draws: int = Field(ge=1)  # of one letter a photo, that of another photo, for each model's best layer
    patching_pairs: int = Field(ge=0)  # of photos that are patched into each other; 0: none
    positions: list[str] = Field(min_length=1)  # at which layers are probed; the first is quoted
    repeats: int = Field(ge=1)  # of the study's folds
    same_depth: float = Field(gt=0, le=1)  # of the decoder: how near two peaks must lie to count as one


def with_repeats(probe: ProbeParams, most: int) -> ProbeParams:
    """The same params with the first repeats of the folds, `most` at most."""
    repeats = min(most, probe.grouped.repeats)
    return probe.model_copy(update={"grouped": probe.grouped.model_copy(update={"repeats": repeats})})


def splits_of(params: ProbeParams, labels: np.ndarray, groups: Groups, seed: int) -> list[Split]:
    """The splits of every protocol of `params`, the notebook's first. Raises `SignBridgeError` as they do."""
    splits = []
    for protocol in chosen_protocols(params):
        if protocol == "signbridge":
            splits += protocols.signbridge(labels, params.signbridge.test_size, seed)
        else:
            splits += grouped_splits(params.grouped, labels, groups, seed)
    return splits


def grouped_splits(params: GroupedProtocol, labels: np.ndarray, groups: Groups, seed: int) -> list[Split]:
    """`protocols.grouped` of the params."""
    return protocols.grouped(
        labels, groups.of_image, params.folds, params.repeats, params.inner_folds, seed, groups.kind
    )


def chosen_protocols(params: ProbeParams) -> list[str]:
    """The protocols of `params`, checked. Raises `SignBridgeError` saying which exist."""
    _check("protocols", params.protocols, PROTOCOLS)
    return [protocol for protocol in PROTOCOLS if protocol in params.protocols]


def chosen_sites(params: ProbeParams, available: list[str]) -> list[str]:
    """The sites of `params`, in the order of depth of `available`. Raises `SignBridgeError` saying which exist."""
    _check("sites", params.sites, [site for site in available if site in SITES_BEFORE_LAYERS])
    layers = [site for site in available if site not in SITES_BEFORE_LAYERS]
    if params.layers != "all":
        asked = [layer_site(block) for block in params.layers]
        missing = [block for block, site in zip(params.layers, asked, strict=True) if site not in layers]
        if missing:
            raise SignBridgeError(
                f"params.yaml: probe.layers: no layer {missing[0]}. The model has {len(layers)}: "
                f"0 to {len(layers) - 1}, or `all`."
            )
        layers = asked
    chosen = [site for site in available if site in params.sites or site in layers]
    if not chosen:
        raise SignBridgeError("params.yaml: probe.sites and probe.layers are both empty: name what to probe.")
    return chosen


def chosen_positions(params: ProbeParams, site: str) -> list[str]:
    """The positions at which to probe `site`: those of `params`, or its only one where it has no tokens.

    Raises `SignBridgeError` saying which exist.
    """
    _check("positions", params.positions, TOKEN_POSITIONS)
    if site in POSITIONS_OF_SITE:
        return list(positions_of(site))
    return [position for position in TOKEN_POSITIONS if position in params.positions]


def places(params: ProbeParams, available: list[str]) -> list[tuple[str, str]]:
    """Every site and position to probe, in order of depth. Raises `SignBridgeError` saying which exist."""
    return [(site, position) for site in chosen_sites(params, available) for position in chosen_positions(params, site)]


def _check(key: str, asked: list[str], there: tuple[str, ...] | list[str]) -> None:
    for name in asked:
        if name not in there:
            raise SignBridgeError(f"params.yaml: probe.{key}: no '{name}'. There are: {', '.join(there)}.")
