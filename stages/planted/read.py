"""Ask the model and its untrained twin whether fingers are raised or lowered, and read their streams.

    python -m stages.planted.read

Environment as for `stages.extract`; finished shards lie in .scratch/ until the tables are written.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from signbridge.core import activations, params, tables
from signbridge.core.command_line import run
from signbridge.core.shards import answers_of, names_of, vectors_of
from signbridge.core.tables import whole_folder
from signbridge.datasets.control_images import ControlsParams
from signbridge.datasets.hands import read_hands
from signbridge.datasets.images import decoded
from signbridge.planted.asked import check_truth, questions_asked
from signbridge.planted.questions import ANSWERS
from signbridge.planted.reading import LENSES, Asked, prompt_of, question_work
from signbridge.planted.settings import AskParams
from signbridge.vlm.catalog import ModelParams
from signbridge.vlm.loading import decoder_blocks
from signbridge.vlm.model_run import model_run
from signbridge.vlm.residual import decoder_sites

SAMPLE = Path("data/sample.parquet")
HANDS = Path("data/hands.parquet")
STREAMS = Path("data/planted/streams")
ASKED = Path("data/planted/asked.parquet")
LENS = Path("data/planted/lenses.parquet")


def main() -> None:
    """Read the sample, its hands and the model; write the questions, what lenses see, and `data/planted/streams/`."""
    settings, seed = params.section("ask", AskParams, params.PLANTED), params.seed()
    twin_seed = params.section("controls", ControlsParams).twin_seed
    name, model = params.selected("model", params.MODELS, ModelParams)
    check_truth(name, model)
    sample = tables.read(SAMPLE)
    drawn = read_hands(HANDS, sample["image_id"].tolist())["drawn"].to_numpy(dtype=bool)
    asked = questions_asked(sample, drawn, settings.images, np.random.default_rng(seed))
    images = dict(zip(sample["image_id"], decoded(sample["image"]), strict=True))
    with model_run(__file__, sample=SAMPLE, ask=settings.model_dump(), seed=seed, twin_seed=twin_seed) as reading:
        check_truth(name, model, decoder_blocks(reading.model))
        items = [
            Asked(images[row.image_id], prompt_of(row.finger, row.word, reading.model.prompt))
            for row in asked.itertuples()
        ]
        own = reading.reader
        sites = decoder_sites(own.loaded.parts)
        shards = {"model": reading.read_in_shards(items, question_work(own, lenses=True), "questions", within="model")}
        reading.close()
        twin = reading.open(reading.model, twin_seed)
        work = question_work(twin, lenses=False)
        shards["untrained_twin"] = reading.read_in_shards(items, work, "untrained twin", within="twin", reader=twin)
        with whole_folder(STREAMS) as unfinished:
            for reader, read in shards.items():
                _write_streams(unfinished / reader, read, asked["question_id"].tolist(), reading.made_by)
        right = np.array(
            [said == answer for said, answer in zip(answers_of(shards["model"]), asked["answer"], strict=True)]
        )
        tables.write(_lens_table(asked, shards["model"], sites), LENS, reading.made_by)
        tables.write(asked.assign(said=answers_of(shards["model"]), right=right), ASKED, reading.made_by)


def _write_streams(folder: Path, shards: list[Path], ids: list[str], made_by: dict) -> None:
    places = [name.split(".") for name in names_of(shards[0]) if not name.startswith(("logit.", "said"))]
    places = [place for place in places if place[1] in activations.TOKEN_POSITIONS]
    sites = list(dict.fromkeys(site for site, _ in places))
    for site in sites:
        of_site = {position: vectors_of(shards, f"{site}.{position}") for of, position in places if of == site}
        activations.write(folder, site, ids, of_site, {**made_by, "sites": sites})


def _lens_table(asked: pd.DataFrame, shards: list[Path], sites: list[str]) -> pd.DataFrame:
    """question_id, lens, site, predicted: the answer of the two that the lens sees more of."""
    parts = []
    for lens in LENSES:
        for site in sites:
            seen = vectors_of(shards, f"{lens}.{site}")
            predicted = np.array(ANSWERS)[seen.argmax(axis=1)]
            parts.append(asked[["question_id"]].assign(lens=lens, site=site, predicted=predicted))
    return pd.concat(parts, ignore_index=True)


if __name__ == "__main__":
    run(main)
