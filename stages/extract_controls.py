"""Read the sample once more under each control, with the prompt, the batches and the code of `extract`.

    python -m stages.extract_controls

The model reads `no_image` and `other_letter`, then its untrained twin the sample itself; one of them is in memory at a
time. Environment and resuming as in `stages.extract`; a run that goes on draws the same twin again.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from signbridge.core import params, tables
from signbridge.core.command_line import run
from signbridge.core.shards import answers_of
from signbridge.core.tables import whole_folder
from signbridge.datasets.control_images import (
    CONTROLS,
    NO_IMAGE,
    OTHER_LETTER,
    UNTRAINED_TWIN,
    ControlsParams,
    no_images,
    other_letter_rows,
)
from signbridge.datasets.images import decoded
from signbridge.vlm.extraction import sites_and_answers
from signbridge.vlm.model_run import READ_ON, ModelRun, model_run
from signbridge.vlm.sample_tables import sites_of, write_sites
from signbridge.vlm.store import Store, chosen_store

SAMPLE = Path("data/sample.parquet")
ACTIVATIONS = Path("data/controls")
ANSWERS = ACTIVATIONS / "answers.parquet"
ANSWER_COLUMNS = ["control", "image_id", "label", "prompt", "answer", "shown"]


class Control(NamedTuple):
    """What one control shows the model, row by row of the sample."""

    pngs: list[bytes]
    shown: list[str]  # the image_id of each; empty where it is no image of the sample
    made_by: dict[str, Any]
    shards: str  # the folder of its shards, within the run's: another choice of controls or seeds keeps the others'


def main() -> None:
    """Read `data/sample.parquet` and `data/model_as_read.json`, write `data/controls/CONTROL/` and their answers."""
    chosen = params.section("controls", ControlsParams)
    sample = tables.read(SAMPLE)
    store = chosen_store()
    with model_run(__file__, sample=SAMPLE, **store.made_by()) as reading:
        controls = {
            control: _control(control, sample, chosen.twin_seed, reading.made_by)
            for control in CONTROLS
            if control in chosen.read
        }
        shards = _read(reading, controls, chosen.twin_seed, store)
        _write_tables(controls, shards, sample, reading)


def _control(control: str, sample: pd.DataFrame, twin_seed: int, made_by: dict[str, Any]) -> Control:
    """What `control` shows in place of the images of `sample`, and what it and its vectors are made by."""
    pngs, image_ids = sample["image"].tolist(), sample["image_id"].tolist()
    made_by = {**made_by, "control": control}
    if control == UNTRAINED_TWIN:
        return Control(pngs, image_ids, {**made_by, "twin_seed": twin_seed}, f"seed-{twin_seed}/{control}")
    if control == NO_IMAGE:
        uniform, grey = no_images(pngs)
        return Control(uniform, [""] * len(pngs), {**made_by, "grey": grey}, control)
    if control == OTHER_LETTER:
        seed = params.seed()
        rows = other_letter_rows(sample["label"].tolist(), sample["photo"].tolist(), np.random.default_rng(seed))
        shown, shown_ids = [pngs[row] for row in rows], [image_ids[row] for row in rows]
        return Control(shown, shown_ids, {**made_by, "seed": seed}, f"seed-{seed}/{control}")
    raise AssertionError(f"no control '{control}'")


def _read(reading: ModelRun, controls: dict[str, Control], twin_seed: int, store: Store) -> dict[str, list[Path]]:
    """The shards of each of `controls`; the model has left the memory before its twin is loaded."""
    shards = {}
    for control, shows in controls.items():
        if control != UNTRAINED_TWIN:
            shards[control] = reading.read_in_shards(
                decoded(shows.pngs), sites_and_answers(reading.reader, store), control, within=shows.shards
            )
    if UNTRAINED_TWIN in controls:
        reading.close()
        reader = reading.open(reading.model, twin_seed)
        shows = controls[UNTRAINED_TWIN]
        shards[UNTRAINED_TWIN] = reading.read_in_shards(
            decoded(shows.pngs), sites_and_answers(reader, store), UNTRAINED_TWIN, within=shows.shards, reader=reader
        )
    return shards


def _write_tables(
    controls: dict[str, Control], shards: dict[str, list[Path]], sample: pd.DataFrame, reading: ModelRun
) -> None:
    image_ids = sample["image_id"].tolist()
    answers = [pd.DataFrame(columns=ANSWER_COLUMNS, dtype="str")]  # the columns, where no control is chosen
    with whole_folder(ACTIVATIONS) as unfinished:  # a control that is no longer chosen goes
        for control, shows in controls.items():
            read, made_by = shards[control], {**reading.made_by, **shows.made_by, "sites": sites_of(shards[control])}
            write_sites(unfinished / control, read, image_ids, shows.pngs, made_by)
            of_control = {
                "control": control,
                "prompt": reading.model.prompt,
                "answer": answers_of(read),
                "shown": shows.shown,
            }
            answers.append(sample[["image_id", "label"]].assign(**of_control)[ANSWER_COLUMNS])
        made_by = {"controls": {control: shows.made_by for control, shows in controls.items()}}
        made_by |= {READ_ON: reading.made_by[READ_ON]} if controls else {}
        tables.write(pd.concat(answers, ignore_index=True), unfinished / ANSWERS.name, made_by)


if __name__ == "__main__":
    run(main)
