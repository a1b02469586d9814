"""Read the sample once more under each control, with the prompt, the batches and the code of `extract`.

    python -m stages.extract_controls

The model reads `no_image` and `other_letter`, then its untrained twin the sample itself; one of them is in memory at a
time. Environment and resuming as in `stages.extract`; the twin's weights lie in .scratch/ until the tables are written.
"""

import gc
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch

from signbridge.core import params, tables
from signbridge.core.command_line import run
from signbridge.core.shards import answers_of
from signbridge.datasets.control_images import (
    CONTROLS,
    NO_IMAGE,
    OTHER_LETTER,
    UNTRAINED_TWIN,
    ControlsParams,
    mean_grey,
    other_letter_rows,
    uniform_image,
)
from signbridge.vlm.extraction import read_in_shards
from signbridge.vlm.loading import (
    FolderModel,
    HubModel,
    ModelParams,
    TinyRandomModel,
    device_from_environment,
)
from signbridge.vlm.model_run import (
    decoded,
    fingerprint,
    images_per_shard,
    made_from,
    open_reader,
    sites_of,
    write_sites,
)
from signbridge.vlm.untrained_twin import untrained_twin

SAMPLE = Path("data/sample.parquet")
MODEL = Path("data/model.json")
ACTIVATIONS = Path("data/control_activations")
ANSWERS = Path("data/control_answers.parquet")
SCRATCH = Path(".scratch")
ANSWER_COLUMNS = ["control", "image_id", "label", "prompt", "answer", "shown"]


class Control(NamedTuple):
    """What one control shows the model, row by row of the sample."""

    pngs: list[bytes]
    shown: list[str]  # the image_id of each; empty where it is no image of the sample
    made_by: dict[str, Any]


def main() -> None:
    """Read `data/sample.parquet` and `data/model.json`, write `data/control_activations/CONTROL/` and answers."""
    chosen = params.section("controls", ControlsParams)
    name, model = params.selected("model", "models", ModelParams)
    sample = tables.read(SAMPLE)
    device = device_from_environment()
    made_by = made_from(name, model, MODEL, SAMPLE)
    controls = {
        control: _control(control, sample, chosen.twin_seed, made_by) for control in CONTROLS if control in chosen.read
    }

    of_model = {control: shows for control, shows in controls.items() if control != UNTRAINED_TWIN}
    shards = _read(model, of_model, device)
    if UNTRAINED_TWIN in controls:
        twin = untrained_twin(model, chosen.twin_seed, SCRATCH / "extract_controls/twin", SCRATCH / "models")
        shards |= _read(twin, {UNTRAINED_TWIN: controls[UNTRAINED_TWIN]}, device)

    _write_tables(controls, shards, sample, model.prompt)
    shutil.rmtree(SCRATCH / "extract_controls", ignore_errors=True)  # not there where no control was chosen


def _control(control: str, sample: pd.DataFrame, twin_seed: int, made_by: dict[str, Any]) -> Control:
    """What `control` shows in place of the images of `sample`, and what it and its vectors are made by."""
    pngs, image_ids = sample["image"].tolist(), sample["image_id"].tolist()
    made_by = {**made_by, "control": control}
    if control == UNTRAINED_TWIN:
        return Control(pngs, image_ids, {**made_by, "twin_seed": twin_seed})
    if control == NO_IMAGE:
        grey = mean_grey(pngs)
        return Control([uniform_image(png, grey) for png in pngs], [""] * len(pngs), {**made_by, "grey": grey})
    if control == OTHER_LETTER:
        seed = params.seed()
        rows = other_letter_rows(sample["label"].tolist(), sample["photo"].tolist(), np.random.default_rng(seed))
        return Control([pngs[row] for row in rows], [image_ids[row] for row in rows], {**made_by, "seed": seed})
    raise AssertionError(f"no control '{control}'")


def _read(
    model: FolderModel | HubModel | TinyRandomModel, controls: dict[str, Control], device: torch.device
) -> dict[str, list[Path]]:
    """The shards of each of `controls`, read through `model`, which has left the memory when this returns."""
    if not controls:
        return {}
    reader = open_reader(model, SCRATCH / "models", device)
    shards = {}
    for control, shows in controls.items():
        folder = SCRATCH / "extract_controls" / fingerprint(shows.made_by, device, __file__) / control
        shards[control] = read_in_shards(reader, decoded(shows.pngs), folder, images_per_shard(), control)
    del reader
    gc.collect()  # with whatever refers to itself, before another model is loaded
    if device.type == "cuda":
        torch.cuda.empty_cache()
    return shards


def _write_tables(
    controls: dict[str, Control], shards: dict[str, list[Path]], sample: pd.DataFrame, prompt: str
) -> None:
    shutil.rmtree(ACTIVATIONS, ignore_errors=True)  # a control that is no longer chosen goes
    ACTIVATIONS.mkdir(parents=True)
    image_ids = sample["image_id"].tolist()
    answers = [pd.DataFrame(columns=ANSWER_COLUMNS, dtype="str")]  # the columns, where no control is chosen
    for control, shows in controls.items():
        made_by = {**shows.made_by, "sites": sites_of(shards[control])}
        write_sites(ACTIVATIONS / control, shards[control], image_ids, shows.pngs, made_by)
        of_control = {"control": control, "prompt": prompt, "answer": answers_of(shards[control]), "shown": shows.shown}
        answers.append(sample[["image_id", "label"]].assign(**of_control)[ANSWER_COLUMNS])
    made_by = {"controls": {control: shows.made_by for control, shows in controls.items()}}
    tables.write(pd.concat(answers, ignore_index=True), ANSWERS, made_by)


if __name__ == "__main__":
    run(main)
