"""Photos drawn twice, with one finger bent further: which features change, and which finger do they tell?

    python -m stages.sae.minimal_pairs

Environment as for `stages.extract`; finished shards lie in .scratch/ until the tables are written.
"""

import logging
from pathlib import Path

import numpy as np

from signbridge.causal.minimal_pairs import images_of, pairs_of
from signbridge.core import params, tables
from signbridge.core.command_line import run
from signbridge.core.shards import names_of, vectors_of
from signbridge.sae.features import features_of_images
from signbridge.sae.minimal_pairs import FeaturePairsParams, changed_table, drawn_photos, told_table, tower_of_images
from signbridge.sae.passages import TRAINING
from signbridge.sae.settings import require_sae_lens
from signbridge.vlm.model_run import model_run

SAMPLE, AUTOENCODERS = Path("data/sample.parquet"), Path("data/sae/autoencoders")
WRITTEN = Path("data/sae/minimal_pairs")
log = logging.getLogger(__name__)


def main() -> None:
    """Read the sample's labels, the autoencoders and the model; write the tables of `data/sae/minimal_pairs/`."""
    require_sae_lens()
    settings, seed = params.section("minimal_pairs", FeaturePairsParams, params.SAE), params.seed()
    letters = sorted(set(tables.read(SAMPLE, columns=["label"])["label"]))
    photos = drawn_photos(tables.made_by(SAMPLE).get("images", {}), letters, settings)
    if not photos and settings.photos:
        log.warning("The images of this dataset are not drawn, or no letter fits: there are no minimal pairs.")
    trained = tables.made_by(AUTOENCODERS / TRAINING)
    about = {"trained": trained, "minimal_pairs": settings.model_dump(), "seed": seed}
    with model_run(__file__, sample=SAMPLE, beside=AUTOENCODERS / TRAINING, **about) as reading:
        images, pairs, read = images_of(photos), pairs_of(photos), {}
        if photos:
            from signbridge.sae.autoencoders import open_autoencoders  # imports SAELens, which takes long

            autoencoders = open_autoencoders(AUTOENCODERS, trained["sites"], reading.device)
            for kind, work in {
                "features": features_of_images(reading.reader, autoencoders, answers=False),
                "tower": tower_of_images(reading.reader),
            }.items():
                shards = reading.read_in_shards(images, work, f"minimal pairs: {kind}", within=kind)
                read |= {name: vectors_of(shards, name) for name in names_of(shards[0])}
            read["pixels"] = np.stack([np.asarray(image.convert("L"), dtype=np.float32).ravel() for image in images])
        of_telling, of_changing = np.random.default_rng(seed).spawn(2)
        told = told_table(pairs, read, trained["sites"], settings.draws, of_telling)
        changed = changed_table(pairs, read, trained["sites"], settings, of_changing)
        for name, table in {"told": told, "changed": changed}.items():
            tables.write(table, WRITTEN / f"{name}.parquet", reading.made_by)


if __name__ == "__main__":
    run(main)
