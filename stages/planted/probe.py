"""probe: linear probes for the answer, at every site of the model and of its untrained twin, photos kept whole."""

from pathlib import Path

import numpy as np
import sklearn
from tqdm import tqdm

from signbridge.core import activations, params, tables
from signbridge.core.command_line import run
from signbridge.planted.settings import BEFORE_THE_QUESTION
from signbridge.probing.predictions import predictions_table
from signbridge.probing.protocols import grouped
from signbridge.probing.settings import Folds
from signbridge.probing.sweep import Cell, predict, side_by_side

ASKED = Path("data/planted/asked.parquet")
STREAMS = Path("data/planted/streams")
PROBES = Path("data/planted/probes.parquet")
READERS = ("model", "untrained_twin")


def main() -> None:
    """Read the questions and the streams; write `data/planted/probes.parquet`."""
    settings, seed = params.section("probe", Folds, params.PLANTED), params.seed()
    asked = tables.read(ASKED)
    ids, answers, photos = (asked[column].to_numpy() for column in ("question_id", "answer", "photo"))
    # Folds hold as many of each question's answers: else what a fold has more of is what the others have less of, and a
    # probe with nothing to read falls below chance.
    kinds = (asked["finger"] + " " + asked["word"] + " " + asked["answer"]).to_numpy()
    splits = grouped(kinds, photos, settings.folds, settings.repeats, settings.inner_folds, seed)
    sites = tables.made_by(STREAMS / "model/embedding.parquet")["sites"]
    places = [(site, "image_mean") for site in BEFORE_THE_QUESTION]
    places += [(site, "prompt_last") for site in sites if site not in BEFORE_THE_QUESTION[:2]]
    cells = (
        Cell(f"{reader} {site}", position, activations.read(STREAMS / reader, site, position, list(ids)))
        for reader in READERS
        for site, position in places
    )
    results = side_by_side(predict, cells, answers, splits, settings.C)
    scored = list(tqdm(results, "probe", total=len(READERS) * len(places), unit="site position"))
    found = predictions_table(scored, splits, ids, answers).rename(columns={"image_id": "question_id"})
    found[["reader", "site"]] = found["site"].str.split(" ", expand=True).to_numpy()
    found = found.merge(asked[["question_id", "photo"]], on="question_id", how="left", validate="many_to_one")
    made_by = {"probe": settings.model_dump(), "seed": seed, "scikit-learn": sklearn.__version__}
    made_by["model"] = tables.made_by(ASKED)["model"]
    right = (found["predicted"] == found["label"]).to_numpy(dtype=np.int8)
    columns = ["reader", "site", "position", "repeat", "fold", "question_id", "photo"]
    tables.write(found[columns].assign(right=right), PROBES, made_by)


if __name__ == "__main__":
    run(main)
