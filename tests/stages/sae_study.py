"""What the tests of the stages behind `sae` share: autoencoders of a study small enough to be judged and steered by."""

from pathlib import Path

import pandas as pd

from signbridge.core import tables
from stages.pretrained import features as features_stage
from stages.sae import train
from tests.conftest import Workspace
from tests.stages.causal_study import IDS

PHRASES = [
    f"The {finger} finger of {whose} hand is {how}."
    for finger in ("index", "middle", "ring")
    for whose in ("this", "a")
    for how in ("up", "bent", "hooked", "up and bent", "there")
]
LAYERS = [0, 1]
SITES = [f"layer_{layer:02d}" for layer in LAYERS]
PRESET = {"architecture": "batchtopk", "width": "2x", "k": 4, "tokens": 512, "batch": 256, "buffer": 256, "lr": 0.001,
          "warm_up": 0.1, "decay": 0.2, "mean_norm": "sqrt_width", "dead_after": 3}  # fmt: skip
STEERED_KINDS = ("of_classes", "of_concept", "of_pretrained")
IMAGES, PHRASES_READ = 5, 9
UP = "index finger up"  # B's, of the letters of the study
STEERED = {"pairs": 2, "images": 2, "others": 2, "at": ["image", "prompt_last"], "during": ["every_step"],
           "strengths": [2.0], "draws": 1, "answer_tokens": 1}  # fmt: skip


def set_up(workspace: Workspace) -> None:
    """Params, corpus, the dataset and its autoencoders for a study that is extracted.

    Of the dataset the sample is a part; training reads some of it, as little as a read of the model can be.
    """
    Path("corpus.txt").write_text("\n".join(PHRASES), encoding="utf-8")
    workspace.set(
        text_index={"corpus": "corpus.txt", "templates": [], "contexts": 1, "layers": "published",
                    "storage": "float8"},
        sae={"preset": "small", "layers": LAYERS, "text_share": 0.0, "prompts": ["own"], "pretrained": "none"},
        sae_presets={"small": PRESET},
        sae_judge={"images": IMAGES, "phrases": PHRASES_READ, "shared": [0.1, 0.9], "k": [1, 5], "repeats": 1,
                   "draws": 2},
        concept={"finger": "index", "prompt": "USER: <image>\nDescribe the hand.\nASSISTANT: The index finger is"},
        sae_fingers={"draws": 19, "p": 0.5, "listed": 4},
        sae_steering={"small": {**dict.fromkeys(STEERED_KINDS, STEERED), "of_concept": {**STEERED, "at": ["every"]}},
                      "full": {kind: {**STEERED, "pairs": 1} for kind in STEERED_KINDS}},
        probe__grouped={"folds": 2, "repeats": 2, "inner_folds": 2, "C": [0.01, 0.1]},
        model_notes={"tiny-random": "it has learnt nothing"},
    )  # fmt: skip
    sample = tables.read("data/sample.parquet").drop(columns="photo")
    others = pd.concat([sample.assign(image_id=sample["image_id"] + f"-{copy}") for copy in range(20)])
    images = pd.concat([sample, others], ignore_index=True)
    tables.write(images, "data/images.parquet", {"source": "sign_mnist"})
    features_stage.main()  # none is chosen
    train.main()


def write_concept_answers(said: list[str]) -> None:
    """What the model says of each image under the concept's prompt, in another order than the sample's."""
    path = Path("data/sae_features/concept/answers.parquet")
    answers = pd.DataFrame({"image_id": IDS, "answer": said}).sample(frac=1, random_state=0)
    tables.write(answers, path, tables.made_by(path))
