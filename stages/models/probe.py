"""Linear probes at every site of one of the models, on the study's folds, their null, and what its answers give away.

python -m stages.models.probe NAME
"""

import sys
from pathlib import Path

from tqdm import tqdm

from signbridge.core import activations, params, tables
from signbridge.core.command_line import run
from signbridge.core.errors import SignBridgeError
from signbridge.core.groups import read_sample
from signbridge.core.tables import whole_folder
from signbridge.probing.control_sweep import ControlSweep, ShuffledLabelsParams, chosen_penalties, score_shuffled
from signbridge.probing.peak import chosen_layer
from signbridge.probing.predictions import choices_table, predictions_table, read_answers
from signbridge.probing.settings import ProbeParams, SideBySideParams, places, splits_of
from signbridge.probing.sweep import cells_of, predict, side_by_side

GROUPED = "grouped"


def main() -> None:
    """Read the vectors and answers of the model that the first argument names; write data/models/probed/NAME/."""
    name = sys.argv[1]
    read = Path(f"data/models/read/{name}")
    chosen, seed = params.section("probe", ProbeParams), params.seed()
    if GROUPED not in chosen.protocols:
        raise SignBridgeError("params.yaml: probe.protocols: models are compared under `grouped` alone. Add it.")
    settings = params.whole(SideBySideParams, params.SIDE_BY_SIDE)
    chosen = _of_every_model(chosen, settings)
    sample, groups = read_sample(["image_id", "label"])
    image_ids, labels, photos = (sample[column].to_numpy() for column in ("image_id", "label", "photo"))
    splits = splits_of(chosen, labels, groups, seed)

    probed = places(chosen, activations.sites(read / "activations"))
    cells = cells_of(read / "activations", probed, list(image_ids))
    results = side_by_side(predict, cells, labels, splits, chosen.grouped.C, chosen.memory_bytes)
    scored = list(tqdm(results, total=len(probed), desc=name, unit="site position"))
    answers = tables.read(read / "answers.parquet", columns=["image_id", "answer"]).set_index("image_id")["answer"]
    choices = choices_table(scored, splits)
    # The control that needs no other reading of the model: one letter a photo, that of another photo.
    best = chosen_layer(choices, settings.positions[0]), settings.positions[0]
    at = [place for place in probed if place in (("vision", "image_mean"), best)]
    penalties = chosen_penalties(choices, splits)
    sweep = ControlSweep(list(image_ids), labels, photos, splits, at, penalties, chosen.memory_bytes)
    null = ShuffledLabelsParams(draws=settings.shuffled_draws, quoted_draws=0)
    shuffled = score_shuffled(sweep, read / "activations", null, [], seed)
    text = read_answers(answers[image_ids].tolist(), labels, splits)

    made_by = {"probe": chosen.model_dump(), "seed": seed, "model": tables.made_by(read / "answers.parquet")["model"]}
    with whole_folder(Path(f"data/models/probed/{name}")) as unfinished:
        predictions = predictions_table([*scored, text], splits, image_ids, labels)
        tables.write(predictions, unfinished / "predictions.parquet", made_by)
        tables.write(choices, unfinished / "choices.parquet", made_by)
        tables.write(shuffled, unfinished / "shuffled_labels.parquet", made_by)


def _of_every_model(study: ProbeParams, settings: SideBySideParams) -> ProbeParams:
    """The study's probes, at every layer of any model: the protocol without leakage alone, and its first repeats."""
    grouped = study.grouped.model_copy(update={"repeats": min(study.grouped.repeats, settings.repeats)})
    change = {"protocols": [GROUPED], "positions": settings.positions, "grouped": grouped, "layers": "all"}
    return study.model_copy(update=change)


if __name__ == "__main__":
    run(main)
