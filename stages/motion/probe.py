"""Linear probes of sign, shape and movement at every site of one reading, no signer on both sides of the split.

python -m stages.motion.probe READING
"""

import sys
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from signbridge.clips.table import read_clips
from signbridge.core import params, tables
from signbridge.core.command_line import run
from signbridge.core.tables import whole_folder
from signbridge.motion.settings import MotionParams
from signbridge.motion.targets import choices_of, places_of, predictions_of, targets_of
from signbridge.probing.settings import GroupedProtocol
from signbridge.probing.sweep import cells_of, predict, side_by_side

CLIPS = Path("data/motion/clips.parquet")


def main() -> None:
    """Read clips and the vectors of the reading that the first argument names; write data/motion/probed/READING/."""
    reading, seed = sys.argv[1], params.seed()
    protocol = params.section("probe.grouped", GroupedProtocol)
    settings = params.whole(MotionParams, params.MOTION)
    clips = read_clips(CLIPS)
    names, targets = clips["clip"].tolist(), targets_of(clips, protocol, seed)
    vectors = Path(f"data/motion/read/{reading}/activations")
    places = places_of(vectors, settings.positions)
    probed, chose = [], []
    for target in targets:
        cells = cells_of(vectors, places, names)
        found = side_by_side(predict, cells, target.labels, target.splits, settings.C)
        scored = list(tqdm(found, f"{reading}, {target.name}", len(places), unit="site position"))
        probed.append(predictions_of(target, scored, names))
        chose.append(choices_of(target, scored))
    made_by = {
        "probe": protocol.model_dump(),
        "C": settings.C,
        "seed": seed,
        "read": tables.made_by(vectors / "embedding.parquet"),
    }
    with whole_folder(Path(f"data/motion/probed/{reading}")) as unfinished:
        tables.write(pd.concat(probed, ignore_index=True), unfinished / "predictions.parquet", made_by)
        tables.write(pd.concat(chose, ignore_index=True), unfinished / "choices.parquet", made_by)


if __name__ == "__main__":
    run(main)
