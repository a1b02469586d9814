"""What the tests of the stages behind `train` share: autoencoders of a study that is quick to evaluate."""

from pathlib import Path

import pandas as pd

from signbridge.core import params, tables
from signbridge.rendered.dataset import RenderedParams
from signbridge.rendered.hands_table import hands_table
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
# As small as fits the width of 320: each of 64 features has 320 examples.
PRESET = {"architecture": "batchtopk", "width": 64, "k": 40, "tokens": 512, "batch": 256, "buffer": 256, "lr": 0.001,
          "warm_up": 0.1, "decay": 0.2, "mean_norm": "sqrt_width", "dead_after": 3}  # fmt: skip
STEERED_KINDS = ("of_classes", "of_concept")
IMAGES, PHRASES_READ = 5, 9
UP = "index finger up"  # B's, of the letters of the study
HANDS = "data/hands.parquet"
STEERED = {"pairs": 2, "images": 2, "others": 2, "at": ["image", "prompt_last"], "during": ["every_step"],
           "strengths": [2.0], "draws": 1, "answer_tokens": 1}  # fmt: skip


def set_up(workspace: Workspace) -> None:
    """Params, corpus, the dataset and its autoencoders for a study that is extracted.

    Of the dataset the sample is a part; training reads some of it, as little as a read of the model can be.
    """
    Path("corpus.txt").write_text("\n".join(PHRASES), encoding="utf-8")
    workspace.set(
        questions__corpus="corpus.txt", questions__templates=[], model_notes={"tiny-random": "it has learnt nothing"},
        probe__grouped={"by": "auto", "folds": 2, "repeats": 2, "inner_folds": 2, "C": [0.01, 0.1]},
        sae_presets__small=PRESET,
    )  # fmt: skip
    workspace.set_in(
        params.SAE,
        sae={"preset": "small", "layers": LAYERS, "text_share": 0.0, "prompts": ["own"]},
        read={"images": IMAGES, "phrases": PHRASES_READ},
        probes={"k": [1, 5], "C": [0.01, 1.0], "repeats": 1, "draws": 2},
        concept={"finger": "index", "prompt": "USER: <image>\nDescribe the hand.\nASSISTANT: The index finger is"},
        fingers={"draws": 19, "p": 0.5, "listed": 4},
        minimal_pairs={"photos": 2, "degrees": 40, "draws": 2, "flips": 100, "p": 0.05},
        steering={"small": {**dict.fromkeys(STEERED_KINDS, STEERED), "of_concept": {**STEERED, "at": ["every"]}},
                  "full": {kind: {**STEERED, "pairs": 1} for kind in STEERED_KINDS}},
        steering_effects={"most_damage": 50.0, "breakdown": 100.0},
    )  # fmt: skip
    sample = tables.read("data/sample.parquet").drop(columns="photo")
    others = pd.concat([sample.assign(image_id=sample["image_id"] + f"-{copy}") for copy in range(20)])
    write_images(pd.concat([sample, others], ignore_index=True))
    train.main()


def write_images(images: pd.DataFrame, drawn: RenderedParams | None = None) -> None:
    """The dataset, and what is known of its hands."""
    tables.write(images, "data/images.parquet", {})
    tables.write(hands_table(images["image_id"].tolist(), images["label"].tolist(), drawn), HANDS, {})


def rename_classes() -> None:
    """Classes that are no letters, so that nothing is known of their hands."""
    for name in ("sample", "images", "answers"):
        path = Path(f"data/{name}.parquet")
        table = tables.read(path)
        table = table.assign(label="sign " + table["label"])
        tables.write(table, path, tables.made_by(path))
        if name == "images":
            write_images(table)


def write_concept_answers(said: list[str]) -> None:
    """What the model says of each image under the concept's prompt, in another order than the sample's."""
    path = Path("data/sae/features/concept/answers.parquet")
    answers = tables.read(path).set_index("image_id").loc[IDS].reset_index().assign(answer=said)
    tables.write(answers.sample(frac=1, random_state=0), path, tables.made_by(path))
