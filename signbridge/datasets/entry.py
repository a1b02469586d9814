"""What any entry of datasets.yaml may say of its dataset, beside what its source needs."""

from typing import Any, Literal

from pydantic import Field

from signbridge.core.params import Section


class Entry(Section):
    """Base of every entry. docs/datasets.md shows these keys; licence and pass_on go with the images."""

    content: str | None = None  # how many images of what, as its authors say
    signers_said: int | None = Field(default=None, ge=1)  # as its authors say, where it is no param
    download: float | None = Field(default=None, gt=0)  # GB
    licence: str | None = None
    citation: str | None = None
    pass_on: bool | Literal["unclear"] = True  # whether the licence lets images be passed on
    answers: dict[str, str] | None = None  # to each letter's images, where a model is tuned; without, the letter itself

    def terms(self) -> dict[str, Any]:
        """What goes into the metadata of the images, and on from there."""
        return {"licence": self.licence, "pass_on": self.pass_on}
