"""The images of the sample at every rung of the resolution ladder, and which rungs differ from one another."""

import logging
from pathlib import Path

from signbridge.core import params, tables
from signbridge.core.command_line import run
from signbridge.core.errors import SignBridgeError
from signbridge.core.tables import whole_folder
from signbridge.datasets.resolution import FULL, ResolutionParams, ladder, pictures_by_rung

SAMPLE = Path("data/sample.parquet")
PICTURES = Path("data/resolution/pictures")
log = logging.getLogger(__name__)


def main() -> None:
    """Read the sample; write a table of images a rung, without rows where it has those of another, and of the rungs."""
    if "grouped" not in params.section("probe.protocols", list[str]):
        raise SignBridgeError("params.yaml: probe.protocols: rungs are compared under `grouped` alone. Add it.")
    if params.section("probe.layers", str | list[int]) == []:
        raise SignBridgeError("params.yaml: probe.layers: rungs are compared at the best layer. Name layers, or `all`.")
    rungs = ladder(params.whole(ResolutionParams, params.RESOLUTION).rungs)
    sample = tables.read(SAMPLE, ["image_id", "label", "image"])
    pictures, table = pictures_by_rung(sample["image"].tolist(), rungs)
    of_sample = tables.made_by(SAMPLE)
    with whole_folder(PICTURES) as unfinished:
        for rung in rungs:
            there = rung.name in pictures
            images = sample.assign(image=pictures[rung.name]) if there else sample.iloc[:0]
            tables.write(images, unfinished / f"{rung.name}.parquet", {"rung": rung.name, "sample": of_sample})
        tables.write(table, unfinished / "rungs.parquet", {"sample": of_sample})
    for row in table[table["same_as"] != ""].itertuples():
        log.info("rung %s is left out: its pictures are those of %s", row.rung, row.same_as)
    if list(pictures) == [FULL]:
        most = table["side"].max()
        log.warning("no rung differs from the pictures as they are (%d pixels): nothing is read.", most)


if __name__ == "__main__":
    run(main)
