"""How far the vectors of one model lie apart that was read in several kinds of weights: NF4 against 16 bits."""

from pathlib import Path

import pandas as pd

from signbridge.core import activations, params, tables
from signbridge.core.command_line import run
from signbridge.probing.settings import SideBySideParams
from signbridge.statistics.drift import COLUMNS, drift, in_kinds_of_weights

READ = Path("data/models/read")
DRIFT = Path("data/models/drift.parquet")


def main() -> None:
    """Read the vectors of all models; write data/models/drift.parquet, empty where no model was read twice."""
    names = params.whole(SideBySideParams, params.SIDE_BY_SIDE).models
    image_ids = tables.read("data/sample.parquet", columns=["image_id"])["image_id"].tolist()
    entries = {name: tables.made_by(READ / name / "answers.parquet")["model"] for name in names}
    answers = {name: tables.read(READ / name / "answers.parquet", ["image_id", "answer"]) for name in names}
    said = {name: table.set_index("image_id")["answer"][image_ids].to_numpy() for name, table in answers.items()}
    rows = []
    for reference, others in in_kinds_of_weights(entries).items():
        alike = {name: float((said[name] == said[reference]).mean()) for name in others}
        for site in activations.sites(READ / reference / "activations")[1:]:  # after the pixels, which are the images'
            for position in activations.positions_of(site):
                exact, *drifted = (
                    activations.read(READ / name / "activations", site, position, image_ids)
                    for name in (reference, *others)
                )
                rows += [
                    (reference, other, site, position, *drift(exact, vectors), alike[other])
                    for other, vectors in zip(others, drifted, strict=True)
                ]
    tables.write(pd.DataFrame(rows, columns=COLUMNS), DRIFT, {"models": entries})


if __name__ == "__main__":
    run(main)
