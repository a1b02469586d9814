"""Every site of a tuned model at every position, its answers, and the probability that it gives each letter.

    python -m stages.finetune.extract RUN

The images that are probed are kept. What lies before the decoder is held against the base, bit for bit, so batches have
the study's shape. Images of one size take as many tokens each, and others need not be read: copies of a probed image
stand in their places. Of several sizes the whole sample is read, in the study's own batches.
"""

import io
import sys
from collections.abc import Iterable
from pathlib import Path

from PIL import Image

from signbridge.core import params, tables
from signbridge.core.command_line import run
from signbridge.core.errors import SignBridgeError
from signbridge.core.shards import vectors_of
from signbridge.core.tables import whole_folder
from signbridge.datasets.control_images import UNTRAINED_TWIN
from signbridge.datasets.images import decoded
from signbridge.vlm.adapters import check_untouched
from signbridge.vlm.letter_scoring import VECTORS, PromptsParams, letter_scores, offering_prompt, scores_table
from signbridge.vlm.model_run import model_run
from signbridge.vlm.sample_tables import extract_sample

SAMPLE, SPLIT = Path("data/sample.parquet"), Path("data/finetune/split.parquet")
TUNED, READ = Path("data/finetune/tuned"), Path("data/finetune/read")
BASE, TWIN = Path("data/activations"), Path("data/controls") / UNTRAINED_TWIN


def main() -> None:
    """Read the sample and the tuned model that the first argument names; write `data/finetune/read/RUN/`."""
    name, prompts = sys.argv[1], params.section("prompts", PromptsParams)
    sample, split = tables.read(SAMPLE), tables.read(SPLIT, ["image_id", "part"])
    kept = sample["image_id"].isin(split.loc[split["part"] == "probe", "image_id"]).to_numpy()
    classes = sorted(sample["label"].unique())
    made_by = {"prompts": prompts.model_dump(), "kept": int(kept.sum())}
    with model_run(__file__, of=TUNED / name / f"{name}.json", sample=SAMPLE, **made_by) as reading:
        base = BASE if reading.model.untrained is None else TWIN
        if not base.is_dir():
            raise SignBridgeError(
                f"{base}: the study has not read its untrained twin, which this run is held against. "
                "Add untrained_twin to controls.read, or leave the run out of runs in stages/finetune/params.yaml."
            )
        asked = reading.reader.asking(offering_prompt(prompts.offer_letters, classes), "prompts.offer_letters", 1)
        probed = sample[kept].reset_index(drop=True)
        if _of_one_size(sample["image"]):
            sample = sample.assign(image=sample["image"].where(kept, probed["image"][0]))
        work = letter_scores(asked, classes)
        with whole_folder(READ / name) as unfinished:
            extract_sample(reading, sample, unfinished, kept)
            alike = check_untouched(unfinished / "activations", base)
            images = decoded(probed["image"])
            shards = reading.read_in_shards(images, work, "score letters", within="letters", reader=asked)
            scores = scores_table(probed, asked.prompt, classes, vectors_of(shards, VECTORS))
            tables.write(scores, unfinished / "letter_scores.parquet", {**reading.made_by, "before_the_decoder": alike})


def _of_one_size(pngs: Iterable[bytes]) -> bool:
    return len({Image.open(io.BytesIO(png)).size for png in pngs}) == 1


if __name__ == "__main__":
    run(main)
