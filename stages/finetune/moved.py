"""What moves in the decoder: probes of either model on the vectors of the other, and how far vectors lie apart."""

from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from signbridge.core import activations, params, tables
from signbridge.core.command_line import run
from signbridge.core.groups import read_sample
from signbridge.probing.peak import headline_position
from signbridge.probing.sweep import side_by_side
from signbridge.probing.transfer import Twice, splits_made, transferred
from signbridge.statistics.drift import MOVED, moved
from signbridge.statistics.intervals import StatisticsParams, draw_groups

BASE, TWIN = Path("data/activations"), Path("data/controls/untrained_twin")
READ, PROBED = Path("data/finetune/read"), Path("data/finetune/probed")
WRITTEN = Path("data/finetune/moved")


def main() -> None:
    """Read the vectors and probes of all runs; write `data/finetune/moved/`: transfer.parquet and drift.parquet."""
    runs, seed = params.section("runs", list[str], params.FINETUNE), params.seed()
    statistics = params.section("statistics", StatisticsParams)
    untrained = {name for name in runs if params.section(f"variants.{name}", dict, params.FINETUNE).get("untrained")}
    base = {name: tables.read(PROBED / "base" / f"{name}.parquet") for name in ("predictions", "choices")}
    first = base["predictions"].drop_duplicates("image_id")
    image_ids, labels = first["image_id"].to_numpy(), first["label"].to_numpy()
    position, splits = headline_position(base["choices"]), splits_made(base["predictions"], image_ids)
    layers = [site for site in base["choices"]["site"].unique() if site.startswith("layer_")]
    twice = {
        name: Twice(
            BASE,
            READ / name / "activations",
            base["choices"],
            tables.read(PROBED / name / "choices.parquet"),
        )
        for name in runs
        if name not in untrained  # its own probes before tuning were not fitted
    }
    work = side_by_side(transferred, [(site, position) for site in layers], twice, image_ids, labels, splits)
    read = list(tqdm(work, total=len(layers), desc="probes of one model on the other", unit="site"))

    sample, groups = read_sample(["image_id"])
    group = pd.factorize(pd.Series(groups.of_image, sample["image_id"])[image_ids])[0]
    drawn, rows = draw_groups(len(set(group)), statistics.resamples, np.random.default_rng(seed)), []
    for name in tqdm(runs, desc="distances", unit="run"):
        before, after = TWIN if name in untrained else BASE, READ / name / "activations"
        for site in activations.sites(after)[1:]:  # after the pixels, which are the images'
            at = position if site.startswith("layer_") else "image_mean"
            vectors = (activations.read(folder, site, at, list(image_ids)) for folder in (before, after))
            rows.append((name, site, at, *moved(*vectors, group, drawn, statistics.confidence)))
    made_by = {"runs": runs, "statistics": statistics.model_dump(), "seed": seed}
    tables.write(pd.concat(read, ignore_index=True), WRITTEN / "transfer.parquet", made_by)
    tables.write(pd.DataFrame(rows, columns=MOVED), WRITTEN / "drift.parquet", made_by)


if __name__ == "__main__":
    run(main)
