"""Where the answer is taken over, before and after tuning: activation patching on the same pairs of images.

    python -m stages.finetune.patch

Environment as for `stages.extract`; finished shards lie in .scratch/ until the tables are written.
"""

import logging
from pathlib import Path

import numpy as np

from signbridge.causal.pairs import differ, image_pairs
from signbridge.causal.patching import Swap, as_table, patching_work
from signbridge.core import params, tables
from signbridge.core.command_line import run
from signbridge.core.names import PATCHED
from signbridge.core.tables import whole_folder
from signbridge.datasets.images import decoded
from signbridge.finetune.probed import probed_images
from signbridge.finetune.settings import PatchParams
from signbridge.vlm.model_run import model_run
from signbridge.vlm.residual import decoder_sites

SAMPLE, ANSWERS, TUNED = Path("data/sample.parquet"), Path("data/answers.parquet"), Path("data/finetune/tuned")
WRITTEN = Path("data/finetune/patched")
log = logging.getLogger(__name__)


def main() -> None:
    """Read the sample, the answers, the model and those tuned; write `data/finetune/patched/{base,RUN}.parquet`."""
    settings, seed = params.section("patching", PatchParams, params.FINETUNE), params.seed()
    sample, _ = probed_images(["image_id", "label", "photo", "image"])
    answers = tables.read(ANSWERS, ["image_id", "answer"]).set_index("image_id")["answer"]
    labels, photos = sample["label"].to_numpy(), sample["photo"].to_numpy()
    said, generator = answers[sample["image_id"]].to_numpy(), np.random.default_rng(seed)
    pairs = image_pairs(labels, photos, settings.pairs, generator, lambda a, b: differ(said[a], said[b]))
    if not pairs and settings.pairs:
        log.warning("No two photos of different letters got different answers before tuning: nothing is patched.")
    images = decoded(sample["image"])
    asked = {"pairs": [list(pair) for pair in pairs], "seed": seed}
    with whole_folder(WRITTEN) as unfinished:
        for name in ("base", *settings.runs):
            which = {"earlier": ANSWERS} if name == "base" else {"of": TUNED / name / f"{name}.json"}
            with model_run(__file__, sample=SAMPLE, run=name, **which, **asked) as reading:
                prompt = reading.reader.prompt
                todo = [Swap(images[pair.a], images[pair.b], prompt, None) for pair in pairs]
                shards = reading.read_in_shards(todo, patching_work(reading.reader), f"patch {name}", "pair")
                cells = {"site": decoder_sites(reading.reader.loaded.parts), "position": PATCHED}
                table = as_table(sample, pairs, shards, cells)
                tables.write(table, unfinished / f"{name}.parquet", reading.made_by)


if __name__ == "__main__":
    run(main)
