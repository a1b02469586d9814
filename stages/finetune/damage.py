"""What tuning costs to others: how unlikely the base's own descriptions of images become.

python -m stages.finetune.damage
"""

from pathlib import Path
from typing import Annotated

import numpy as np
from jaxtyping import Float
from PIL import Image
from pydantic import Field

from signbridge.causal.damage import describe, nll_of_descriptions
from signbridge.core import params, tables
from signbridge.core.command_line import run
from signbridge.core.sweeps import QuestionsParams
from signbridge.core.tables import whole_folder
from signbridge.datasets.images import decoded
from signbridge.datasets.sampling import looked_at
from signbridge.finetune.probed import probed_images
from signbridge.finetune.settings import variant_of
from signbridge.vlm.extraction import Reader
from signbridge.vlm.model_run import model_run

SAMPLE, ANSWERS, TUNED = Path("data/sample.parquet"), Path("data/answers.parquet"), Path("data/finetune/tuned")
DAMAGE = Path("data/finetune/damage")


def main() -> None:
    """Read the sample, the model and those that were tuned; write `data/finetune/damage/RUN.parquet`."""
    questions, seed = params.section("questions", QuestionsParams), params.seed()
    most = params.section("damage.images", Annotated[int, Field(ge=0)], params.FINETUNE)
    runs = [name for name in params.section("runs", list[str], params.FINETUNE) if not variant_of(name).untrained]
    sample = looked_at(probed_images(["image_id", "photo", "image"])[0], most, seed)
    images = decoded(sample["image"])
    asked = {"describe": questions.describe, "describe_tokens": questions.describe_tokens, "seed": seed}

    def asking(reader: Reader) -> Reader:
        return reader.asking(questions.describe, "questions.describe", questions.describe_tokens)

    with model_run(__file__, sample=SAMPLE, earlier=ANSWERS, **asked) as reading:
        describer = asking(reading.reader)
        descriptions = describer.retrying(lambda: describe(describer, images))
        before = _nll(describer, images, descriptions)
        texts = describer.loaded.processor.batch_decode(descriptions, skip_special_tokens=True)
        del describer  # which holds the model
    with whole_folder(DAMAGE) as unfinished:
        for name in runs:  # one model is in memory at a time
            with model_run(__file__, of=TUNED / name / f"{name}.json", sample=SAMPLE, **asked) as reading:
                after = _nll(asking(reading.reader), images, descriptions)
                columns = {"description": [text.strip() for text in texts], "before": before, "damage": after - before}
                tables.write(sample[["image_id"]].assign(**columns), unfinished / f"{name}.parquet", reading.made_by)


def _nll(reader: Reader, images: list[Image.Image], descriptions: list[list[int]]) -> Float[np.ndarray, " images"]:
    return np.array(reader.retrying(lambda: nll_of_descriptions(reader, images, descriptions)))


if __name__ == "__main__":
    run(main)
