"""A study with a small model of each class that pretrained autoencoders belong to, and one of these in its format.

Its features are planted: feature 0 fires for the first class alone, and so on; the one after them for every image.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from jaxtyping import Float
from torch import Tensor

from signbridge.core import params, tables
from signbridge.datasets.images import decoded, encode_png
from signbridge.vlm.catalog import FolderModel
from signbridge.vlm.extraction import Reader
from signbridge.vlm.loading import load
from signbridge.vlm.residual import reading
from tests.conftest import Workspace
from tests.pretrained import formats
from tests.stages.causal_study import ENVIRONMENT
from tests.stages.sae_study import PHRASES
from tests.stages.small_study import working_in
from tests.vlm import other_families

CLASSES = ["coral reef", "golden_retriever", "pizza"]
OF_CLASS, LAYER = 4, 1
SITE = f"layer_{LAYER:02d}"
LABELS = [name for name in CLASSES for _ in range(OF_CLASS)]
IDS = [f"image-{number:02d}" for number in range(len(LABELS))]
ALWAYS = len(CLASSES)  # the feature that fires for every image
FEATURES = len(CLASSES) + 1 + 2 * other_families.WIDTH
PAIRS = {"llava-gemma": "sae_lens", "gemma3": "gemma_scope_2", "llava-next": "sparsify"}  # family: format
POSITIONS = {"llava-gemma": 24, "gemma3": "prompt_last", "llava-next": 20}  # the last an image token


WORDS = {"coral reef": "fish", "golden_retriever": "dog", "pizza": "food"}
STEERED = {"pairs": 2, "images": 1, "others": 1, "at": ["every"], "during": ["every_step"], "strengths": [2.0],
           "draws": 1, "answer_tokens": 1}  # fmt: skip


@contextmanager
def made(folder: Path, family: str) -> Iterator[Workspace]:
    """What `sample` and `model` leave in the current folder, and a pair of model and autoencoder to choose."""
    with working_in(folder) as workspace, pytest.MonkeyPatch.context() as here:
        for name, value in ENVIRONMENT.items():
            here.setenv(name, value)
        other_families.WRITERS[family](Path("tiny"))
        Path("corpus.txt").write_text("\n".join(PHRASES), encoding="utf-8")
        Path("data").mkdir()
        images = [_image(label, number) for number, label in enumerate(LABELS)]
        photos = [f"photo-{number:02d}" for number in range(len(IDS))]
        sample = {"image_id": IDS, "label": LABELS, "photo": photos, "image": [encode_png(one) for one in images]}
        tables.write(pd.DataFrame(sample), "data/sample.parquet", {})
        model = {"source": "folder", "path": "tiny", "quantization": "none", "dequantize": "never",
                 "dtype": "float32", "prompt": other_families.PROMPTS[family], "max_new_tokens": 2}  # fmt: skip
        position, format = POSITIONS[family], PAIRS[family]
        weights = formats.planted(mean_streams(FolderModel.model_validate(model), sample["image"], position))
        formats.WRITERS[format](Path("text_sae"), weights, LAYER)
        prompt = other_families.PROMPTS[family].replace("<start_of_image>", "<image>")
        entry = {**formats.folder_entry(Path("text_sae"), format, LAYER), "model": "tiny",
                 "prompt": prompt, "position": position, "neuronpedia": None,
                 "published": {"Golden Retriever": [1, 900], "pizza": [2], "alps": [0]}, "dropped": None}  # fmt: skip
        workspace.set(
            model="tiny", models__tiny=model, autoencoders__pair=entry, questions__corpus="corpus.txt",
            questions__templates=[], questions__describe_tokens=3,
            questions__describe="USER: <image>\nDescribe it.\nASSISTANT:", questions__sweep="small",
            statistics={"confidence": 0.95, "resamples": 50}, model_notes={"tiny": "a test bed"},
        )  # fmt: skip
        workspace.describe_model()
        workspace.set_in(
            params.PRETRAINED,
            autoencoder="pair", read={"images": 6, "phrases": 8}, steering={"small": STEERED, "full": STEERED},
            classes={"top": 3, "fits": 0.5, "shared": [0.1, 0.9], "descriptions": "none"},
            steering_effects={"most_damage": 50.0, "breakdown": 100.0},
        )  # fmt: skip
        answers = {"image_id": IDS, "label": LABELS, "prompt": "?", "answer": [WORDS[label] for label in LABELS]}
        tables.write(pd.DataFrame(answers).sample(frac=1, random_state=0), "data/answers.parquet", {})
        yield workspace


def mean_streams(model: FolderModel, pngs: list[bytes], position: int | str) -> Float[Tensor, "classes width"]:
    """The mean stream of each class at the position, read image by image with hooks and nothing else."""
    loaded = load(model, Path(".scratch"), torch.device("cpu"))
    reader, vectors = Reader(loaded, model.prompt, 1, 1), []

    def keep(site: str, stream: Tensor) -> None:
        if site == SITE:
            is_image = inputs["input_ids"][0] == loaded.parts.image_token_id
            at = {"prompt_last": -1, "image_mean": is_image}.get(position, position)
            vectors.append(stream[0, at].reshape(-1, stream.shape[-1]).mean(0).clone())

    for image in decoded(pngs):
        inputs = reader.prepare([image])
        with torch.inference_mode(), reading(loaded.parts, keep):
            loaded.model(**inputs)
    return torch.stack(vectors).view(len(CLASSES), OF_CLASS, -1).mean(1)


def _image(label: str, number: int) -> np.ndarray:
    """Noise over what the class has in common."""
    common = np.random.default_rng(CLASSES.index(label)).integers(0, 240, (28, 28))
    return (common + np.random.default_rng(100 + number).integers(0, 16, (28, 28))).astype(np.uint8)
