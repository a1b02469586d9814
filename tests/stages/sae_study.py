"""What the tests of `sae_features` and of `sae_judge` share: autoencoders of a study small enough to be judged."""

from pathlib import Path

import pandas as pd

from signbridge import tables
from stages import sae
from tests.conftest import Workspace

PHRASES = [
    f"The {finger} finger of {whose} hand is {how}."
    for finger in ("index", "middle", "ring")
    for whose in ("this", "a")
    for how in ("up", "bent", "hooked", "up and bent", "there")
]
LAYERS = [0, 1]
SITES = [f"layer_{layer:02d}" for layer in LAYERS]
PRESET = {"architecture": "batchtopk", "width": "2x", "k": 4, "tokens": 512, "batch": 256, "lr": 0.001, "warm_up": 0.1,
          "decay": 0.2, "mean_norm": "sqrt_width", "dead_after": 3}  # fmt: skip
IMAGES, PHRASES_READ = 5, 9


def set_up(workspace: Workspace) -> None:
    """Params, corpus, the dataset and its autoencoders for a study that is extracted.

    Of the dataset the sample is a part; training reads some of it, as little as a read of the model can be.
    """
    Path("corpus.txt").write_text("\n".join(PHRASES), encoding="utf-8")
    workspace.set(
        text_index={"corpus": "corpus.txt", "templates": [], "contexts": 1, "layers": "published",
                    "storage": "float8"},
        sae={"preset": "small", "layers": LAYERS, "text_share": 0.0, "buffer": 256, "prompts": ["own"]},
        sae_presets={"small": PRESET},
        sae_judge={"images": IMAGES, "phrases": PHRASES_READ, "shared": [0.1, 0.9], "k": [1, 5], "repeats": 1,
                   "draws": 2},
        probe__grouped={"folds": 2, "repeats": 2, "inner_folds": 2, "C": [0.01, 0.1]},
        model_notes={"tiny-random": "it has learnt nothing"},
    )  # fmt: skip
    sample = tables.read("data/sample.parquet").drop(columns="photo")
    others = pd.concat([sample.assign(image_id=sample["image_id"] + f"-{copy}") for copy in range(20)])
    images = pd.concat([sample, others], ignore_index=True)
    tables.write(images, "data/images.parquet", {"source": "sign_mnist"})
    sae.main()
