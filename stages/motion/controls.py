"""What stands beside the readings: probes of pixels and of the tower frame by frame, of reversed clips, and with labels
of another clip.
"""

from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from signbridge.clips.table import read_clips, with_known
from signbridge.core import params, tables
from signbridge.core.command_line import run
from signbridge.core.names import IN_ORDER, MOVEMENT, REVERSED
from signbridge.core.tables import whole_folder
from signbridge.motion.baselines import (
    OTHER_COLUMNS,
    REVERSED_COLUMNS,
    penalties_of,
    pixel_cells,
    read_backwards,
    tower_cell,
    with_other_labels,
)
from signbridge.motion.settings import MotionParams
from signbridge.motion.targets import choices_of, places_of, predictions_of, targets_of
from signbridge.probing.settings import GroupedProtocol
from signbridge.probing.sweep import cells_of, predict, side_by_side

CLIPS = Path("data/motion/clips.parquet")
READ = Path("data/motion/read")


def main() -> None:
    """Read clips, vectors and the choices made in order; write data/motion/probed/controls/."""
    seed, protocol = params.seed(), params.section("probe.grouped", GroupedProtocol)
    settings = params.whole(MotionParams, params.MOTION)
    clips = with_known(read_clips(CLIPS))
    names, targets = clips["clip"].tolist(), targets_of(clips, protocol, seed)
    in_order = READ / IN_ORDER / "activations"
    tower = tower_cell(in_order, names)
    cells = [*pixel_cells(CLIPS, names, settings.controls.pixels), *([tower] if tower else [])]
    probed, chose = [], []
    for target in targets:
        found = side_by_side(predict, cells, target.labels, target.splits, settings.C)
        scored = list(tqdm(found, f"baselines, {target.name}", len(cells), unit="baseline"))
        probed.append(predictions_of(target, scored, names))
        chose.append(choices_of(target, scored))

    backwards, others = [pd.DataFrame(columns=REVERSED_COLUMNS)], [pd.DataFrame(columns=OTHER_COLUMNS)]
    for movement in (target for target in targets if target.name == MOVEMENT):
        penalties = penalties_of(tables.read(f"data/motion/probed/{IN_ORDER}/choices.parquet"), movement.splits)
        places = [place for place in places_of(in_order, settings.positions[:1]) if place[0].startswith("layer_")]
        layers = list(cells_of(in_order, places, names))
        if settings.controls.other_clip:
            streams = np.random.SeedSequence([seed, len(layers)]).spawn(len(layers))
            wanted = (clips["signer"].to_numpy(), penalties, settings.controls.other_clip)
            tried = [
                with_other_labels(layer, movement, *wanted, np.random.default_rng(stream))
                for layer, stream in zip(tqdm(layers, "labels of another clip"), streams, strict=True)
            ]
            others = tried or others
        if REVERSED in settings.readings:
            turned = cells_of(READ / REVERSED / "activations", places, names)
            there = [read_backwards(*both, movement, penalties, names) for both in zip(layers, turned, strict=True)]
            backwards = there or backwards

    made_by = {"probe": protocol.model_dump(), "C": settings.C, "seed": seed}
    made_by |= settings.controls.model_dump()
    written = {"predictions": probed, "choices": chose, "reversed": backwards, "other_clip": others, "clips": [clips]}
    with whole_folder(Path("data/motion/probed/controls")) as unfinished:
        for name, parts in written.items():
            tables.write(pd.concat(parts, ignore_index=True), unfinished / f"{name}.parquet", made_by)


if __name__ == "__main__":
    run(main)
