"""controls: the same probes where there should be nothing to find, and trained on other images."""

from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from signbridge.core import activations, params, tables
from signbridge.core.command_line import run
from signbridge.core.groups import Groups, groups_of, read_sample
from signbridge.datasets.control_images import OTHER_LETTER, UNTRAINED_TWIN, ControlsParams
from signbridge.datasets.images import grey_pixels
from signbridge.probing.control_sweep import (
    ControlSweep,
    ShuffledLabelsParams,
    chosen_penalties,
    score_other_letter,
    score_read,
    score_shuffled,
    score_twin,
)
from signbridge.probing.control_task import ControlTaskParams, score_control_task
from signbridge.probing.learning_curve import (
    COLUMNS,
    LearningCurveParams,
    beyond_sample,
    points_of,
    score_pixels,
    score_sample,
)
from signbridge.probing.peak import quoted_places
from signbridge.probing.predictions import choices_table, predictions_table
from signbridge.probing.settings import ProbeParams, places, splits_of
from signbridge.probing.signers import signer_splits, signers_table
from signbridge.probing.sweep import cells_of, predict, side_by_side

ACTIVATIONS = Path("data/activations")
CHOSEN = Path("data/choices.parquet")
CONTROLS = Path("data/controls")
IMAGES, PHOTOS = Path("data/images.parquet"), Path("data/photos.parquet")
WRITTEN = Path("data/control_probes")
PREDICTIONS = ["control", "protocol", "site", "position", "repeat", "fold", "image_id", "label", "predicted"]
CHOICES = ["control", "protocol", "site", "position", "repeat", "fold", "C", "inner_accuracy", "at_edge"]
SHUFFLED = ["site", "position", "draw", "accuracy"]


def main() -> None:
    """Write data/control_probes/{predictions,choices,shuffled_labels,control_task,signers,learning_curve}.parquet."""
    chosen, read = params.section("probe", ProbeParams), params.section("controls", ControlsParams).read
    null = params.section("shuffled_labels", ShuffledLabelsParams)
    learning = params.section("learning_curve", LearningCurveParams)
    seed = params.seed()
    sample, groups = read_sample(["image_id", "label"])
    image_ids, labels, photos = (sample[column].to_numpy() for column in ("image_id", "label", "photo"))
    draws_of_task = params.section("control_task", ControlTaskParams).draws
    everything = splits_of(chosen, labels, groups, seed)
    splits = [split for split in everything if split.protocol == "grouped"]
    probed = places(chosen, activations.sites(ACTIVATIONS))
    table = tables.read(CHOSEN)
    Cs = chosen_penalties(table, splits)
    sweep = ControlSweep(list(image_ids), labels, photos, splits, probed, Cs, chosen.memory_bytes)

    predictions, choices, shuffled = [], [], []
    for control in read if splits else []:
        folder = CONTROLS / control
        if control == UNTRAINED_TWIN:
            scored = score_twin(sweep, folder, chosen.grouped.C)
        elif control == OTHER_LETTER:
            scored = score_other_letter(sweep, ACTIVATIONS, seed, folder)
        else:
            scored = score_read(sweep, folder)
        predictions.append(predictions_table(scored, splits, image_ids, labels).assign(control=control))
        choices.append(choices_table(scored, splits).assign(control=control))
    if splits and null.draws:
        shuffled.append(score_shuffled(sweep, ACTIVATIONS, null, quoted_places(table), seed))

    of_signers = signer_splits(sample, chosen.grouped.inner_folds, seed)
    cells = cells_of(ACTIVATIONS, probed if of_signers else [], list(image_ids))
    results = side_by_side(predict, cells, labels, of_signers, chosen.grouped.C, chosen.memory_bytes)
    signers = list(tqdm(results, "seen signers", len(probed), unit="site position", disable=not of_signers))
    task = score_control_task(sweep, everything, ACTIVATIONS, chosen.signbridge.C, draws_of_task, seed)

    points = points_of(labels, groups.of_image, photos, splits, learning, seed)
    fewer = score_sample(sweep, groups.of_image, points, quoted_places(table), ACTIVATIONS)
    more = _beyond_sample(sweep, groups, learning.more_images_a_photo, seed)

    made_by = {
        "read": read,
        "draws": null.model_dump(),
        "control_task": draws_of_task,
        "learning_curve": learning.model_dump(),
        "probe": chosen.model_dump(),
        "seed": seed,
    }
    tables.write(_joined(predictions, PREDICTIONS), WRITTEN / "predictions.parquet", made_by)
    tables.write(_joined(choices, CHOICES), WRITTEN / "choices.parquet", made_by)
    tables.write(_joined(shuffled, SHUFFLED), WRITTEN / "shuffled_labels.parquet", made_by)
    tables.write(task, WRITTEN / "control_task.parquet", made_by)
    tables.write(signers_table(signers, of_signers, image_ids, labels), WRITTEN / "signers.parquet", made_by)
    tables.write(_joined([fewer, more], COLUMNS), WRITTEN / "learning_curve.parquet", made_by)


def _beyond_sample(sweep: ControlSweep, groups: Groups, most: int, seed: int) -> pd.DataFrame:
    """Pixels that also learn from what the dataset has more than the sample."""
    if not most or not sweep.splits:
        return pd.DataFrame(columns=COLUMNS)
    known = [name for name in ("signer", "clip") if name in tables.column_names(IMAGES)]
    images = tables.read(IMAGES, ["image_id", "label", *known]).merge(tables.read(PHOTOS), on="image_id", sort=False)
    beyond = beyond_sample(images, groups_of(images, groups.kind), sweep.image_ids, sweep.splits, most, seed)
    if beyond is None:
        return pd.DataFrame(columns=COLUMNS)
    pngs = tables.read_rows(IMAGES, beyond.rows.tolist(), ["image"])["image"]
    return score_pixels(sweep, beyond, np.stack([grey_pixels(png) for png in pngs]), images)


def _joined(parts: list[pd.DataFrame], columns: list[str]) -> pd.DataFrame:
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


if __name__ == "__main__":
    run(main)
