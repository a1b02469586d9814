"""Tune an adapter of the model's decoder to answer with the letter: one of the runs.

    python -m stages.finetune.tune RUN

Environment as for `stages.extract`; interrupted training goes on from what lies in .scratch/.
"""

import os
import sys
from pathlib import Path

from signbridge.core import params, tables
from signbridge.core.checkpoints import Checkpoints
from signbridge.core.command_line import run
from signbridge.core.tables import whole_folder
from signbridge.finetune.memory import check_room, require_peft
from signbridge.finetune.settings import STOP, TRAIN, chosen_blocks, recipe_of, variant_of
from signbridge.finetune.studied import parts_of_split, wanted_answers
from signbridge.vlm.adapter_files import base_of, written_for
from signbridge.vlm.chosen import write_model
from signbridge.vlm.families.adapted import adapted_layers
from signbridge.vlm.loading import decoder_blocks
from signbridge.vlm.model_run import model_run

IMAGES, SPLIT = Path("data/images.parquet"), Path("data/finetune/split.parquet")
BASE, TUNED = Path("data/finetune/base"), Path("data/finetune/tuned")


def main() -> None:
    """Read the split, the images and what is tuned; write the adapter of the run that the first argument names."""
    name = sys.argv[1]
    require_peft()
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # for a GPU to give the same bytes again
    variant, (preset, recipe), seed = variant_of(name), recipe_of(), params.seed()
    split, wanted = tables.read(SPLIT), wanted_answers()
    row_of = {image_id: row for row, image_id in enumerate(tables.read(IMAGES, ["image_id"])["image_id"])}
    todo = parts_of_split(split, variant, wanted)
    asked = {"run": name, "variant": variant.model_dump(), "preset": preset, "recipe": recipe.model_dump()}
    asked |= {"answers": wanted, "seed": seed, "split_sha256": tables.file_sha256(SPLIT)}
    with model_run(__file__, of=BASE / f"{name}.json", **asked) as reading:
        entry = reading.model
        blocks = chosen_blocks(variant, decoder_blocks(entry))
        at_once = check_room(entry, recipe, blocks, reading.device)
        base = base_of(entry, reading.made_by["model_folder_sha256"])
        from signbridge.finetune.training import examples, tune, write_tuned  # imports PEFT, which takes long

        reader = reading.reader
        of_part = {}
        for part, rows in todo.items():
            pngs = tables.read_rows(IMAGES, [row_of[image_id] for image_id in rows["image_id"]], ["image"])["image"]
            of_part[part] = examples(reader, pngs.tolist(), rows["answer"].tolist())
        layers = adapted_layers(reader.loaded.model, reader.loaded.parts, blocks)
        kept = Checkpoints(reading.folder)
        tuned = tune(
            reader,
            layers,
            of_part[TRAIN],
            of_part[STOP],
            recipe,
            seed,
            at_once,
            variant.stops_early,
            kept,
            f"tune {name}",
        )
        found = {"blocks": [blocks.start, blocks.stop - 1], "layers": len(layers.layers), "kept_step": tuned.kept}
        with whole_folder(TUNED / name) as unfinished:
            write_tuned(tuned, unfinished, written_for(tuned.config, base))
            tables.write(tuned.log, unfinished / "log.parquet", {**reading.made_by, **found})
        adapter = (TUNED / name).as_posix()
        write_model(
            TUNED / name / f"{name}.json",
            f"{reading.made_by['model']['name']} ({name})",
            entry.model_copy(update={"adapter": adapter}),
        )


if __name__ == "__main__":
    run(main)
