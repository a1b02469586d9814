"""How far vectors and effects of patching lie apart of one model in several kinds of weights: NF4 against 16 bits."""

from pathlib import Path

import pandas as pd

from signbridge.core import activations, params, tables
from signbridge.core.command_line import run
from signbridge.probing.settings import SideBySideParams
from signbridge.statistics.drift import COLUMNS, PATCHING_COLUMNS, drift, in_kinds_of_weights, patching_drift
from signbridge.statistics.intervals import StatisticsParams

READ, PATCHED = Path("data/models/read"), Path("data/models/patched")
DRIFT, PATCHING_DRIFT = Path("data/models/drift.parquet"), Path("data/models/patching_drift.parquet")


def main() -> None:
    """Read the vectors and patches of all models; write two tables, empty where no model was read twice."""
    names = params.whole(SideBySideParams, params.SIDE_BY_SIDE).models
    image_ids = tables.read("data/sample.parquet", columns=["image_id"])["image_id"].tolist()
    entries = {name: tables.made_by(READ / name / "answers.parquet")["model"] for name in names}
    answers = {name: tables.read(READ / name / "answers.parquet", ["image_id", "answer"]) for name in names}
    said = {name: table.set_index("image_id")["answer"][image_ids].to_numpy() for name, table in answers.items()}
    shown, rows = params.shown_name, []
    for reference, others in in_kinds_of_weights(entries).items():
        alike = {name: float((said[name] == said[reference]).mean()) for name in others}
        for site in activations.sites(READ / reference / "activations")[1:]:  # after the pixels, which are the images'
            for position in activations.positions_of(site):
                exact, *drifted = (
                    activations.read(READ / name / "activations", site, position, image_ids)
                    for name in (reference, *others)
                )
                rows += [
                    (shown(reference), shown(other), site, position, *drift(exact, vectors), alike[other])
                    for other, vectors in zip(others, drifted, strict=True)
                ]
    tables.write(pd.DataFrame(rows, columns=COLUMNS), DRIFT, {"models": entries})
    tables.write(_of_patching(entries), PATCHING_DRIFT, {"models": entries})


def _of_patching(entries: dict[str, dict]) -> pd.DataFrame:
    """Of every model in several kinds of weights that pairs were patched in."""
    statistics, seed, shown = params.section("statistics", StatisticsParams), params.seed(), params.shown_name
    found = []
    for reference, others in in_kinds_of_weights(entries).items():
        exact, *patched = (tables.read(PATCHED / f"{name}.parquet") for name in (reference, *others))
        if exact.empty:
            continue
        for other, table in zip(others, patched, strict=True):
            of_other = patching_drift(exact, table, statistics, seed)
            found.append(of_other.assign(reference=shown(reference), model=shown(other))[PATCHING_COLUMNS])
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=PATCHING_COLUMNS)


if __name__ == "__main__":
    run(main)
