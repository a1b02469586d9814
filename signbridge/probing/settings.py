"""The section `probe` of the params, and what it chooses of the sites that the model has."""

from typing import Annotated, Literal

from pydantic import Field

from signbridge.activations import POSITIONS_OF_SITE, SITES_BEFORE_LAYERS, TOKEN_POSITIONS, layer_site, positions_of
from signbridge.errors import SignBridgeError
from signbridge.params import Section
from signbridge.probing.protocols import PROTOCOLS

Share = Annotated[float, Field(gt=0, lt=1)]


class SignBridgeProtocol(Section):
    """The notebook's split."""

    test_size: Share


class GroupedProtocol(Section):
    """Repeated k-fold over whole photos."""

    folds: int = Field(ge=2)
    repeats: int = Field(ge=1)


class Intervals(Section):
    """How sure an accuracy is."""

    confidence: Share
    resamples: int = Field(ge=1)  # of the photos


class ProbeParams(Section):
    """The section `probe`."""

    protocols: list[str] = Field(min_length=1)
    sites: list[str]  # before the first decoder block
    layers: Literal["all"] | list[int]  # decoder blocks, 0-based
    positions: list[str] = Field(min_length=1)  # at the sites that have tokens; others have one position only
    C: float = Field(gt=0)
    signbridge: SignBridgeProtocol
    grouped: GroupedProtocol
    intervals: Intervals


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


def _check(key: str, asked: list[str], there: tuple[str, ...] | list[str]) -> None:
    for name in asked:
        if name not in there:
            raise SignBridgeError(f"params.yaml: probe.{key}: no '{name}'. There are: {', '.join(there)}.")
