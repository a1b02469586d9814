"""The names that params, tables, plots and pages share: edits, lenses, pushes, how a model is called."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from signbridge.core import tables

# Patching: which tokens become another image's, and which parts of a block beside its heads.
PATCHED = ("prompt_last", "question", "image", "all")
ATTENTION, MLP = "attention", "mlp"

# Attention knockout: edges from queries to keys, and the null of each: as many other keys, drawn at random.
LAST_TO_IMAGE, LAST_TO_QUESTION, QUESTION_TO_IMAGE = "last_to_image", "last_to_question", "question_to_image"
EDGES = (LAST_TO_IMAGE, LAST_TO_QUESTION, QUESTION_TO_IMAGE)
NAMED = "named"  # the keys that the edges name; RANDOM: those of the null
WINDOW, ONWARDS = "window", "onwards"  # where they are cut: in some blocks in a row, or from one on to the last

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
LEACE_IN_SAMPLE = "leace_in_sample"  # fitted on the images that it erases
TOKENS_OF: dict[ErasedAt, tuple[str, ...]] = {
    "prompt_last": ("prompt_last",),
    "image": ("image",),
    "both": ("image", "prompt_last"),
}

# The position of the stored vectors that speaks for the tokens of an edit: directions and erasers are fitted there.
POSITION_OF = {"image": "image_mean", "prompt_last": "prompt_last", "every": "prompt_last"}


# How a clip is read: its frames in order, in another, backwards, one alone, each by itself; by the untrained twin.
IN_ORDER, SHUFFLED, REVERSED = "in_order", "shuffled", "reversed"
MIDDLE_FRAME, SINGLE_FRAMES = "middle_frame", "single_frames"
TWIN_IN_ORDER, TWIN_SHUFFLED = "twin_in_order", "twin_shuffled"
READINGS = (IN_ORDER, SHUFFLED, REVERSED, MIDDLE_FRAME, SINGLE_FRAMES, TWIN_IN_ORDER, TWIN_SHUFFLED)
# What is told of a clip, and what stands beside the readings of the model.
SIGN, SHAPE, MOVEMENT = "sign", "shape", "movement"
PIXELS, PIXELS_MEAN, PIXEL_DIFFERENCES = "pixels", "pixels_mean", "pixel_differences"
TOWER_IN_ORDER = "tower_in_order"  # what the tower hands on of each frame, side by side
ALL_FRAMES = -1  # in tables of patching, in place of the number of a frame


# The lenses.
LENSES = ("embedding", "logit", "latent")
DISPLAYED = {"embedding": "EmbeddingLens", "logit": "LogitLens", "latent": "LatentLens"}


# Steering by features: the pushes.
FEATURE = "feature"  # the decoder direction of a feature of the wanted class, added
CLAMP = "clamp"  # the same feature held at a value
CLAMP_DECODED = "clamp_decoded"  # the same, and the stream is what the autoencoder decodes of all its features
FEATURE_DOWN = "feature_down"  # the decoder direction of a feature of the class that is there, subtracted
LIKE_FEATURES = "like_features"  # the null: other features of like activation, added
NEIGHBOURS = "neighbours"  # the null: the next features in index, added
EQUAL_LOGIT = "equal_logit"  # the null: noise of the same length and the same direct effect on the answer's logit
LIKE_FEATURES_DOWN = "like_features_down"  # the nulls of FEATURE_DOWN: features like the one that is subtracted, and
NEIGHBOURS_DOWN = "neighbours_down"  # the next in index to it, subtracted
EQUAL_LOGIT_DOWN = "equal_logit_down"  # and noise with its direct effect on that logit
FEATURE_DIRECTIONS = (FEATURE, CLAMP, CLAMP_DECODED, FEATURE_DOWN)
FEATURE_NULLS = (RANDOM, LIKE_FEATURES, NEIGHBOURS, EQUAL_LOGIT)
NULLS_DOWN = {
    LIKE_FEATURES: LIKE_FEATURES_DOWN,
    NEIGHBOURS: NEIGHBOURS_DOWN,
    EQUAL_LOGIT: EQUAL_LOGIT_DOWN,
}  # noise has no sign

CLASSES, CONCEPT = "classes", "concept"  # what is steered: from class to class, or the concept known of every hand
CONCEPT_UNDONE = "concept_undone"  # away from it
PRETRAINED = "pretrained"  # from class to class by the features of an autoencoder that others trained

# Sparse autoencoders: what is read, of which model, and where.
AUTOENCODER, STREAM = "sae", "stream"  # an autoencoder's features, or the dimensions of the residual stream
COMPONENTS = "pca"  # principal components of the stream
MODEL, TWIN = "model", "untrained_twin"  # the model whose features they are
KINDS = ("image", "text")  # of tokens
POSITIONS = ("prompt_last", "image_mean")  # at which the features of the sample are kept


def published_of_classes(published: Mapping[str, Sequence[int]], classes: Sequence[str]) -> dict[str, set[int]]:
    """The published features of those `classes` that have any. `golden_retriever` is the same as `golden retriever`."""
    by_name = {_plain(name): set(features) for name, features in published.items()}
    return {name: by_name[_plain(name)] for name in classes if _plain(name) in by_name}


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", " ", name).strip().casefold()


def model_name(table: Path | str, notes: dict[str, str]) -> str:
    """The model behind a table that `extract` wrote: `miniature (test bed with ...)`, or its bare name without a note.

    `notes` is `params.model_notes()`.
    """
    name = tables.made_by(table)["model"]["name"]
    note = notes.get(name)
    return f"{name} ({note})" if note else name
