"""What it takes for the tuned miniature's answer to come near the probe: photos, passes over them, images a step.

    python -m benchmarks.finetune [--keep]                            # every row below, some minutes each
    python -m benchmarks.finetune [--keep] photos=6,batch=2,epochs=2  # one row

After `make finetune`, whose split it reads. Each row tunes all blocks by the preset `miniature` with that changed, to
the end, and asks the images that are probed. No step of a row is chosen by them; the preset itself was, at seed 42.
"""

import argparse
import time
from pathlib import Path
from typing import NamedTuple

import torch

from benchmarks.machine import describe, keep
from signbridge.core import params, tables
from signbridge.finetune.settings import PROBE, TRAIN, Recipe
from signbridge.finetune.training import examples, tune
from signbridge.vlm.catalog import ModelParams
from signbridge.vlm.chosen import SCRATCH_MODELS, complete
from signbridge.vlm.extraction import Reader
from signbridge.vlm.families.adapted import adapted_layers
from signbridge.vlm.loading import load

IMAGES, SPLIT = Path("data/images.parquet"), Path("data/finetune/split.parquet")


class Row(NamedTuple):
    """What is changed."""

    photos: int  # a letter, at most
    batch: int  # images a step
    epochs: float
    seed: int = 42  # of the order of images


ROWS = [
    Row(6, 4, 2), Row(6, 2, 2), Row(6, 2, 2, 43), Row(6, 2, 3), Row(6, 2, 6), Row(6, 1, 2), Row(3, 2, 2), Row(2, 2, 2)
]  # fmt: skip


def main() -> None:
    """Tune by each row, and print the loss and the accuracy as a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rows", nargs="*", type=_row, metavar="ROW", help="photos=N,batch=N,epochs=N[,seed=N]")
    parser.add_argument("--keep", action="store_true", help="append the table to benchmarks/results/finetune.md")
    chosen = parser.parse_args()
    split, device = tables.read(SPLIT), torch.device("cpu")
    row_of = {image_id: row for row, image_id in enumerate(tables.read(IMAGES, ["image_id"])["image_id"])}
    entry = complete(params.entry("miniature", params.MODELS, ModelParams))
    lines = [
        describe(),
        "photos a letter  images a step  epochs  steps  seed  loss  held-out  letters named  CPU seconds",
    ]
    print(*lines, sep="\n", flush=True)
    for row in chosen.rows or ROWS:
        started = time.process_time()
        reader = Reader(load(entry, SCRATCH_MODELS, device), entry.prompt, entry.max_new_tokens, 1)
        preset = params.section("presets.miniature", Recipe, params.FINETUNE)
        recipe = preset.model_copy(update={"batch": row.batch, "epochs": row.epochs, "looks": 1})
        train, probed = (split[split["part"] == part] for part in (TRAIN, PROBE))
        of_letter = train.drop_duplicates("group").groupby("label")["group"].head(row.photos)
        todo = []
        for images in (train[train["group"].isin(of_letter)], probed):
            pngs = tables.read_rows(IMAGES, [row_of[image_id] for image_id in images["image_id"]], ["image"])["image"]
            todo.append(examples(reader, pngs.tolist(), images["label"].tolist()))
        layers = adapted_layers(reader.loaded.model, reader.loaded.parts, range(len(reader.loaded.parts.blocks)))
        log = tune(reader, layers, *todo, recipe, row.seed, 32, stops_early=False).log.iloc[-1]
        lines.append(
            f"{row.photos:15}  {row.batch:14}  {row.epochs:6g}  {int(log['step']):5}  {row.seed:4}  {log['loss']:4.2f} "
            f"{log['stop_loss']:8.2f}  {log['accuracy']:13.1%}  {time.process_time() - started:5.0f}"
        )
        print(lines[-1], flush=True)
    if chosen.keep:
        keep("finetune", lines)


def _row(text: str) -> Row:
    said = dict(part.split("=") for part in text.split(","))
    return Row(int(said["photos"]), int(said["batch"]), float(said["epochs"]), int(said.get("seed", 42)))


if __name__ == "__main__":
    main()
