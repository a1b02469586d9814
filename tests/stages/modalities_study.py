"""What the tests of `modalities` and of `alignment` share: two letters with enough photos for probes of their words."""

from pathlib import Path

import pandas as pd

from signbridge.core import tables
from tests.conftest import Workspace

PHRASES = [
    f"The {finger} {'finger' if finger != 'thumb' else ''} of {whose} hand is {how}."
    for finger in ("index", "middle", "thumb")
    for whose in ("this", "a")
    for how in ("up", "bent", "hooked", "up and bent", "there")
]
IMAGES, PHRASES_CHOSEN = 11, 26
CAPTION = "The fingers are {words}."


def set_up(workspace: Workspace) -> None:
    """Params and corpus for a study that is extracted, and its letters A (bent) and B (up, together) alone."""
    Path("corpus.txt").write_text("\n".join(PHRASES), encoding="utf-8")
    workspace.set(
        text_index={"corpus": "corpus.txt", "templates": [], "contexts": 2, "layers": [0, 1], "storage": "float8"},
        lenses={"images": IMAGES, "patches": 9, "layers": 3, "k": 2, "search": "exact", "probes": 4,
                "memory_gib": 0.1},
        modalities={"phrases": PHRASES_CHOSEN, "neighbours": 5, "caption": CAPTION, "draws": 4},
        model_notes={"tiny-random": "it has learnt nothing"},
    )  # fmt: skip
    sample: pd.DataFrame = tables.read("data/sample.parquet")
    sample["label"] = ["A" if place < 6 else "B" for place in range(len(sample))]
    tables.write(sample, "data/sample.parquet", {"images": {"source": "image_folder"}})
