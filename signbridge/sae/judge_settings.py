"""How sparse autoencoders are judged: the section `sae_judge` of params.yaml."""

from typing import Annotated

from pydantic import Field, model_validator

from signbridge.params import Section


class SaeJudgeParams(Section):
    """The section `sae_judge`."""

    images: int = Field(ge=2)  # of the sample, of different photos, at most
    phrases: int = Field(ge=2)  # of the corpus, at most
    shared: Annotated[list[Annotated[float, Field(ge=0, le=1)]], Field(min_length=2, max_length=2)]  # modality scores
    k: list[Annotated[int, Field(ge=1)]] = Field(min_length=1)  # features of a sparse probe
    repeats: int = Field(ge=1)  # of the grouped protocol's folds, at most
    draws: int = Field(ge=1)  # of shuffled letters

    @model_validator(mode="after")
    def _in_order(self) -> "SaeJudgeParams":
        if self.shared[0] > self.shared[1]:
            raise ValueError("the bounds of `shared` should be in ascending order")
        return self
