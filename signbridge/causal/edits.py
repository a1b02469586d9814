"""The edits of the residual stream that the causal stages make, by the names that params, tables and page share."""

from typing import Literal

# Patching: which tokens become another image's.
PATCHED = ("prompt_last", "image", "all")

# Steering: which tokens are pushed, when, and which way.
SteeredAt = Literal["image", "prompt_last", "every"]
During = Literal["prefill", "every_step"]
DIRECTIONS = ("class_means", "probe", "unembedding")
RANDOM = "random"  # the null: Gaussian, of the same norm
SHUFFLED_MEANS = "shuffled_means"  # the null among the data: differences of means of letters shuffled over photos

# Erasure: which tokens are put through an eraser, and what it takes out.
ErasedAt = Literal["prompt_last", "image", "both"]
LEACE, RANDOM_SUBSPACE, SHUFFLED_LABELS = "leace", "random_subspace", "shuffled_labels"
NOTHING = "nothing"
LEACE_OTHER_PHOTOS = "leace_other_photos"  # fitted on half of the photos, read in the other half
TOKENS_OF: dict[ErasedAt, tuple[str, ...]] = {
    "prompt_last": ("prompt_last",),
    "image": ("image",),
    "both": ("image", "prompt_last"),
}

# The position of the stored vectors that speaks for the tokens of an edit: directions and erasers are fitted there.
POSITION_OF = {"image": "image_mean", "prompt_last": "prompt_last", "every": "prompt_last"}
