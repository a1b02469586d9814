"""The colours, marks and dashes of every figure, chart and page: Okabe and Ito's colours, safe for the colour-blind.

Marks and dashes tell series apart without colour too. Altair and Matplotlib draw the same `Series`.
"""

from typing import Any, NamedTuple

INK = "#000000"
BLUE = "#0072B2"
VERMILLION = "#D55E00"
GREEN = "#009E73"
PURPLE = "#CC79A7"
GREY = "#6B6B6B"  # chance, and nulls
BROWN = "#8A5A00"  # the untrained twin
# On a dark page `page.js` replaces each colour by this one.
DARK = {INK: "#FFFFFF", BLUE: "#56B4E9", VERMILLION: "#E8833A", GREEN: "#2DC79A", PURPLE: "#D894BC", GREY: "#A8A8A8"}
DARK |= {BROWN: "#D9A441"}
SEQUENTIAL = "viridis"  # of heat maps
CYCLE = (BLUE, VERMILLION, GREEN, PURPLE, INK)  # of classes, which their letters or names tell apart
FAINT, RULE = "#E0E0E0", "#BFBFBF"  # grid lines and rules of figures in print
PAPER = "#FFFFFF"  # behind charts that do not follow the page's scheme: the colours above are for it

SOLID = (1, 0)
LINE_ALONE = "stroke"  # the shape of a series that is drawn without marks
_MARKS = {
    "circle": "o",
    "square": "s",
    "diamond": "D",
    "cross": "P",
    "triangle-up": "^",
    "triangle-down": "v",
    "triangle-right": ">",
    LINE_ALONE: "",
}


class Series(NamedTuple):
    """How one line of a chart looks, and what the legend calls it."""

    name: str
    colour: str
    shape: str  # one of Vega's symbols
    dash: tuple[int, ...]  # pixels on and off

    def matplotlib(self) -> dict[str, Any]:
        """The same look as arguments of `Axes.plot`, without the name."""
        dash = "-" if self.dash == SOLID else (0, tuple(length / 2 for length in self.dash))
        return {"color": self.colour, "marker": _MARKS[self.shape], "linestyle": dash}


# The layer curve: the token positions, and what is drawn beside them.
MODEL = Series("the model", BLUE, "circle", SOLID)
POSITIONS = {
    "flat": Series("pixels, flattened", INK, "diamond", SOLID),
    "image_mean": Series("mean over image tokens", GREEN, "square", (2, 2)),
    "prompt_last": Series("last token of the prompt", BLUE, "circle", SOLID),
    "answer_last": Series("last token of the answer", VERMILLION, "triangle-up", (6, 3)),
}
CONTROLS = {
    "untrained_twin": Series("untrained twin", BROWN, "triangle-up", (6, 3)),
    "no_image": Series("no image", VERMILLION, "square", (2, 2)),
    "other_letter": Series("another {kind}'s image", GREY, "diamond", (6, 2, 2, 2)),
    "shuffled_labels": Series("shuffled labels", GREY, "cross", (3, 3)),
}
SIGNERS = {
    "seen": Series("signer seen in training", VERMILLION, "triangle-up", (6, 3)),
    "unseen": Series("signer not seen", BLUE, "circle", SOLID),
}
LEARNT = {
    "pixels": Series("pixels", INK, "diamond", (6, 3)),
    "beyond": Series("pixels, with the dataset's other photos", PURPLE, "cross", (3, 3)),
    "vision": Series("vision tower", GREEN, "square", (2, 2)),
    "layer": Series("best layer", BLUE, "circle", SOLID),
}
CHANCE = Series("chance", GREY, LINE_ALONE, (8, 4))
ANSWER = Series("the answer's text", PURPLE, LINE_ALONE, (8, 2, 2, 2))

# Patching, steering and erasure.
PROBED = Series("a probe of the last token reads the {kind}", INK, "diamond", (2, 2))
PATCHED = {
    "prompt_last": Series("answer moved, last token of the prompt", BLUE, "circle", SOLID),
    "image": Series("answer moved, image tokens", GREEN, "square", (6, 3)),
    "question": Series("answer moved, the question's tokens", VERMILLION, "triangle-up", (6, 2, 2, 2)),
}
KNOCKED_OUT = {
    "last_to_image": Series("last token to image", BLUE, "circle", SOLID),
    "last_to_question": Series("last token to question", VERMILLION, "triangle-up", (6, 3)),
    "question_to_image": Series("question to image", GREEN, "square", (2, 2)),
    "random": Series("last token to other keys (null)", GREY, "diamond", (8, 4)),
}
FINGER_READ = {
    "flat": Series("pixels", INK, "diamond", SOLID),
    "image_tokens": Series("image tokens", GREEN, "triangle-down", (6, 3)),
    "image_mean": Series("mean over image tokens", GREEN, "square", (2, 2)),
    "prompt_last": Series("last token of the prompt", BLUE, "circle", SOLID),
    "random": Series("image tokens, fingers shuffled (null)", GREY, "cross", (8, 4)),
}
DIRECTIONS = {
    "class_means": Series("difference of class means", BLUE, "circle", SOLID),
    "probe": Series("the probe's weights", VERMILLION, "triangle-up", (6, 3)),
    "unembedding": Series("the words' unembeddings", GREEN, "square", (2, 2)),
    "shuffled_means": Series("means of shuffled {kind}s", GREY, "cross", (8, 2, 2, 2)),
    "random": Series("random direction", GREY, "diamond", (8, 4)),
}
ERASERS = {
    "leace": Series("the {kind} (LEACE)", BLUE, "circle", SOLID),
    "shuffled_labels": Series("shuffled {kind}s (LEACE)", GREY, "cross", (3, 3)),
    "random_subspace": Series("a random subspace", GREY, "diamond", (8, 4)),
}

# A variable that was planted, by method.
PLANTED = {
    "probe": Series("a probe reads it, last token of the prompt", INK, "circle", SOLID),
    "untrained_twin": Series("a probe of the untrained twin", BROWN, "triangle-up", (6, 3)),
    "logit_lens": Series("LogitLens prefers the right answer", VERMILLION, "diamond", (6, 2, 2, 2)),
    "embedding_lens": Series("EmbeddingLens prefers the right answer", GREEN, "cross", (3, 3)),
    "patching": Series("patching the last token moves the answer", BLUE, "square", (2, 2)),
    "knockout_question": Series("lost if the question is not seen from here on", PURPLE, "triangle-down", (8, 4)),
    "knockout_image": Series("lost if the image is not seen from here on", PURPLE, "triangle-right", (3, 3)),
}


# Clips, by how their frames are read.
READINGS = {
    "in_order": Series("frames in order", BLUE, "circle", SOLID),
    "shuffled": Series("frames shuffled", VERMILLION, "triangle-up", (6, 3)),
    "single_frames": Series("each frame by itself, averaged", GREEN, "square", (2, 2)),
    "middle_frame": Series("the middle frame alone", PURPLE, "diamond", (6, 2, 2, 2)),
    "twin_in_order": Series("untrained twin, in order", BROWN, "cross", (3, 3)),
}


# Before and after fine-tuning, layer by layer.
TUNED = {
    "probe_before": Series("a probe, before tuning", BLUE, "diamond", (2, 2)),
    "probe_after": Series("a probe, after tuning", BLUE, "circle", SOLID),
    "answer_before": Series("the answer before tuning, in its best reading", PURPLE, LINE_ALONE, (8, 4)),
    "answer_after": Series("the answer, after tuning", PURPLE, LINE_ALONE, SOLID),
    "shuffled_labels": Series("the answer, tuned on shuffled {kind}s", GREY, LINE_ALONE, (8, 2, 2, 2)),
    "untrained_twin": Series("the answer, untrained twin tuned", BROWN, LINE_ALONE, (6, 3)),
}
# What the probe of one model reads from the vectors of the other.
TRANSFERRED = {
    "own": Series("a probe of the tuned model itself", BLUE, "circle", SOLID),
    "as_read": Series("the probe from before tuning, as it is", VERMILLION, "triangle-up", (6, 3)),
    "recentred": Series("the probe from before tuning, recentred", GREEN, "square", (2, 2)),
    "reverse": Series("the tuned model's probe on vectors from before", PURPLE, "cross", (6, 2, 2, 2)),
}


def of_kind(series: dict[str, Series], kind: str) -> dict[str, Series]:
    """The series with `kind`, what a class is called (letter or sign), put into their names."""
    return {key: one._replace(name=one.name.format(kind=kind)) for key, one in series.items()}
