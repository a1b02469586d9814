"""How a model is probed before and after it is tuned."""

from typing import Annotated

from pydantic import Field

from signbridge.core import params
from signbridge.probing.of_model import of_every_model
from signbridge.probing.settings import ProbeParams


def probes() -> ProbeParams:
    """The study's probes at the `positions` and on the `repeats` of its folds that stages/finetune/params.yaml says."""
    positions = params.section("positions", Annotated[list[str], Field(min_length=1)], params.FINETUNE)
    repeats = params.section("repeats", Annotated[int, Field(ge=1)], params.FINETUNE)
    return of_every_model(params.section("probe", ProbeParams), positions, repeats)
