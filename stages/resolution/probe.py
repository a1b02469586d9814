"""Linear probes of every rung on the folds of the study: the layers, the vision tower, pixels, and the answers' text.

What the study found of the pictures as they are is taken from it, and not computed again; their pixels at full size are
new, as the study's own `pixels` are grey and 28 a side.
"""

from pathlib import Path

import pandas as pd
from tqdm import tqdm

from signbridge.core import params, tables
from signbridge.core.activations import TEXT_POSITION, TEXT_SITE
from signbridge.core.command_line import run
from signbridge.core.groups import read_sample
from signbridge.core.tables import whole_folder
from signbridge.datasets.resolution import FULL, ResolutionParams, flat_pixels
from signbridge.probing.peak import headline_position
from signbridge.probing.predictions import choices_table, predictions_table, read_answers
from signbridge.probing.settings import ProbeParams, splits_of, with_repeats
from signbridge.probing.sweep import Cell, cells_of, predict, side_by_side

PICTURES, READ = Path("data/resolution/pictures"), Path("data/resolution/read")
WRITTEN = Path("data/resolution/probed")
TOWER = ("vision", "image_mean")


def main() -> None:
    """Read the study's predictions, and pictures, vectors and answers of each rung; write data/resolution/probed/."""
    chosen, seed = params.section("probe", ProbeParams), params.seed()
    settings = params.whole(ResolutionParams, params.RESOLUTION)
    chosen = with_repeats(chosen, settings.repeats).model_copy(update={"protocols": ["grouped"]})
    sample, groups = read_sample(["image_id", "label", "image"])
    image_ids, labels = sample["image_id"].to_numpy(), sample["label"].to_numpy()
    splits = splits_of(chosen, labels, groups, seed)

    predictions, choices = (tables.read(f"data/{name}.parquet") for name in ("predictions", "choices"))
    position = headline_position(choices)
    cells = list(choices[["site", "position"]].drop_duplicates().itertuples(index=False, name=None))
    places = [cell for cell in cells if cell == TOWER or (cell[0].startswith("layer_") and cell[1] == position)]
    repeats = chosen.grouped.repeats
    probed = [_of_study(predictions, [*places, (TEXT_SITE, TEXT_POSITION)], repeats)]
    chose = [_of_study(choices, places, repeats)]

    rungs = tables.read(PICTURES / "rungs.parquet")
    for rung in rungs.loc[rungs["same_as"] == "", "rung"]:
        pngs = sample["image"] if rung == FULL else tables.read(PICTURES / f"{rung}.parquet")["image"]
        of_rung = [Cell("pixels", "flat", flat_pixels(pngs.tolist(), settings.pixels))]
        of_rung += [] if rung == FULL else cells_of(READ / rung / "activations", places, list(image_ids))
        found = side_by_side(predict, of_rung, labels, splits, chosen.grouped.C, chosen.memory_bytes)
        scored = list(tqdm(found, total=len(of_rung), desc=rung, unit="site position"))
        chose.append(choices_table(scored, splits).assign(rung=rung))
        if rung != FULL:
            answers = tables.read(READ / rung / "answers.parquet", ["image_id", "answer"]).set_index("image_id")
            scored.append(read_answers(answers["answer"][image_ids].tolist(), labels, splits))
        probed.append(predictions_table(scored, splits, image_ids, labels).assign(rung=rung))

    made_by = {"probe": chosen.model_dump(), "pixels": settings.pixels, "seed": seed, "position": position}
    made_by |= {"study": tables.made_by("data/predictions.parquet")}
    with whole_folder(WRITTEN) as unfinished:
        tables.write(pd.concat(probed, ignore_index=True), unfinished / "predictions.parquet", made_by)
        tables.write(pd.concat(chose, ignore_index=True), unfinished / "choices.parquet", made_by)


def _of_study(table: pd.DataFrame, places: list[tuple[str, str]], repeats: int) -> pd.DataFrame:
    """The rows of the study's `table` at `places`, without leakage, as those of the pictures as they are."""
    here = pd.MultiIndex.from_frame(table[["site", "position"]]).isin(places)
    return table[here & (table["protocol"] == "grouped") & (table["repeat"] < repeats)].assign(rung=FULL)


if __name__ == "__main__":
    run(main)
