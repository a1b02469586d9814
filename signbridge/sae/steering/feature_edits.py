"""The pushes by features that steering makes, and what is steered, by the names that tables and page share."""

from signbridge.causal.edits import RANDOM

FEATURE = "feature"  # the decoder direction of a feature of the wanted class, added
CLAMP = "clamp"  # the same feature held at a value
CLAMP_DECODED = "clamp_decoded"  # the same, and the stream is what the autoencoder decodes of all its features
FEATURE_DOWN = "feature_down"  # the decoder direction of a feature of the class that is there, subtracted
LIKE_FEATURES = "like_features"  # the null: other features of like activation, added
NEIGHBOURS = "neighbours"  # the null: the next features in index, added
LIKE_FEATURES_DOWN = "like_features_down"  # the nulls of FEATURE_DOWN: features like the one that is subtracted, and
NEIGHBOURS_DOWN = "neighbours_down"  # the next in index to it, subtracted
FEATURE_DIRECTIONS = (FEATURE, CLAMP, CLAMP_DECODED, FEATURE_DOWN)
FEATURE_NULLS = (RANDOM, LIKE_FEATURES, NEIGHBOURS)
NULLS_DOWN = {LIKE_FEATURES: LIKE_FEATURES_DOWN, NEIGHBOURS: NEIGHBOURS_DOWN}  # noise has no sign

CLASSES, CONCEPT = "classes", "concept"  # what is steered: from class to class, or the concept known of every hand
CONCEPT_UNDONE = "concept_undone"  # away from it
PRETRAINED = "pretrained"  # from class to class by the features of an autoencoder that others trained
