"""Which features are shown, and how many examples of each: the section `sae_examples` of params.yaml."""

from pydantic import Field

from signbridge.params import Section


class SaeExamplesParams(Section):
    """The section `sae_examples`."""

    letters: int = Field(ge=1)  # features of a class, at most: those that tell it best
    features: int = Field(ge=1)  # of a site: those of the classes, all of them, and the most active beside them
    images: int = Field(ge=1)  # strongest ones of a feature
    phrases: int = Field(ge=1)  # strongest ones of a feature, no two of which begin alike up to its strongest token
    images_read: int = Field(ge=1)  # of the sample, each of another photo, at most, drawn
    phrases_read: int = Field(ge=1)  # of the corpus, at most, drawn
