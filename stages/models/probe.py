"""Linear probes at every site of one of the models, on the study's folds, their controls, and what its text says.

python -m stages.models.probe NAME
"""

import sys
from pathlib import Path

from signbridge.core import params, tables
from signbridge.core.command_line import run
from signbridge.core.groups import read_sample
from signbridge.core.tables import whole_folder
from signbridge.probing.control_sweep import (
    ControlSweep,
    ShuffledLabelsParams,
    chosen_penalties,
    probe_controls,
    score_shuffled,
)
from signbridge.probing.of_model import of_every_model, probe_models
from signbridge.probing.peak import chosen_layer
from signbridge.probing.settings import ProbeParams, SideBySideParams


def main() -> None:
    """Read the vectors and answers of the model that the first argument names; write data/models/probed/NAME/."""
    name = sys.argv[1]
    read = Path(f"data/models/read/{name}")
    settings, seed = params.whole(SideBySideParams, params.SIDE_BY_SIDE), params.seed()
    chosen = of_every_model(params.section("probe", ProbeParams), settings.positions, settings.repeats)
    sample, groups = read_sample(["image_id", "label"])
    of_model = {name: (read / "activations", read / "answers.parquet")}
    ((_, found),) = probe_models(of_model, sample, groups, chosen, seed)

    image_ids, labels, photos = (sample[column].to_numpy() for column in ("image_id", "label", "photo"))
    penalties = chosen_penalties(found.choices, found.splits)
    sweep = ControlSweep(list(image_ids), labels, photos, found.splits, found.places, penalties, chosen.memory_bytes)
    position = settings.positions[0]
    controls = probe_controls(settings.controls, sweep, read, found.choices, position, seed)
    best = chosen_layer(found.choices, position), position
    at = sweep._replace(places=[place for place in found.places if place in (("vision", "image_mean"), best)])
    null = ShuffledLabelsParams(draws=settings.shuffled_draws, quoted_draws=0)
    shuffled = score_shuffled(at, read / "activations", null, [], seed)
    with whole_folder(Path(f"data/models/probed/{name}")) as unfinished:
        found.write(unfinished)
        tables.write(controls, unfinished / "controls.parquet", found.made_by)
        tables.write(shuffled, unfinished / "shuffled_labels.parquet", found.made_by)


if __name__ == "__main__":
    run(main)
