"""Erasure: the letter taken out of the residual stream, and what probes, answers and descriptions make of the rest.

    python -m stages.erase

Environment as for `stages.extract`; finished shards lie in .scratch/ until the tables are written.
"""

import shutil
from functools import partial
from pathlib import Path

import numpy as np

from signbridge import activations, params, tables
from signbridge.causal.descriptions import describe
from signbridge.causal.directions import commonest_C
from signbridge.causal.erasure import ErasingReader, ErasureParams, damage, edits_at
from signbridge.causal.erasure_tables import changed_table, damage_table, places, probes_table
from signbridge.causal.pairs import fitted_half, one_of_each_photo
from signbridge.causal.sweeps import CausalParams, spread_layers
from signbridge.command_line import run
from signbridge.extraction import Reader, read_in_shards
from signbridge.extraction_run import fingerprint, images_per_shard, made_from, open_reader
from signbridge.extraction_tables import decoded
from signbridge.shards import vectors_of
from signbridge.vlm.loading import ModelParams, device_from_environment

SAMPLE = Path("data/sample.parquet")
MODEL = Path("data/model.json")
ACTIVATIONS = Path("data/activations")
CHOICES = Path("data/choices.parquet")
PROBES = Path("data/erasure.parquet")
CHANGED = Path("data/erasure_answers.parquet")
DAMAGE = Path("data/erasure_damage.parquet")
SCRATCH = Path(".scratch")


def main() -> None:
    """Read sample, activations and choices, write the three tables."""
    name, model = params.selected("model", "models", ModelParams)
    causal, seed = params.section("causal", CausalParams), params.seed()
    sweep = getattr(params.section("erasure", ErasureParams), causal.sweep)
    sample = tables.read(SAMPLE)
    labels, photos, ids = sample["label"].to_numpy(), sample["photo"].to_numpy(), list(sample["image_id"])
    half = fitted_half(labels, photos, seed)
    device = device_from_environment()
    made_by = {
        **made_from(name, model, MODEL, SAMPLE),
        "causal": causal.model_dump(),
        "erasure": sweep.model_dump(),
        "seed": seed,
    }
    folder = SCRATCH / "erase" / fingerprint(made_by, device, __file__)

    reader = open_reader(model, SCRATCH / "models", device)
    sites = spread_layers(sweep.layers, len(reader.loaded.parts.blocks))
    clean = partial(activations.read, ACTIVATIONS, image_ids=ids)
    of_half = {site: edits_at(site, lambda *place: clean(*place)[half], labels[half], photos[half], sweep, seed)
               for site in sites}  # fmt: skip
    images = decoded(sample["image"])
    erasing = ErasingReader(reader, of_half, sweep.at)
    shards = read_in_shards(erasing, images, folder / "answers", images_per_shard(), "erase")

    # Once more under the prompt that asks for a description, whose last token is another.
    describer = Reader(reader.loaded, causal.describe, 1, reader.batch_size)
    fitted_images = [image for image, fitted in zip(images, half, strict=True) if fitted]
    read = read_in_shards(describer, fitted_images, folder / "descriptions", images_per_shard(), "describing prompt")
    edits = {site: edits_at(site, lambda site, position: vectors_of(read, f"{site}.{position}").astype(np.float32),
                            labels[half], photos[half], sweep, seed) for site in sites}  # fmt: skip
    describer = Reader(reader.loaded, causal.describe, causal.describe_tokens, reader.batch_size)
    others = [row for row in one_of_each_photo(photos, np.random.default_rng(seed)) if not half[row]][: sweep.others]
    shown = [images[row] for row in others]
    descriptions = describe(describer, shown)
    damages = {at: damage(describer, shown, descriptions, edits, at) for at in sweep.at}

    penalty = partial(commonest_C, tables.read(CHOICES))
    reads = list(places(sweep.at, of_half, shards))
    tables.write(probes_table(sample, half, reads, shards, clean, penalty), PROBES, made_by)
    tables.write(changed_table(sample, half, sweep.at, of_half, shards), CHANGED, made_by)
    tables.write(damage_table(sample["image_id"].to_numpy()[others], edits, damages), DAMAGE, made_by)
    shutil.rmtree(SCRATCH / "erase")  # what other settings left there too


if __name__ == "__main__":
    run(main)
