"""What each run tunes: the study's model as it was read, or its untrained twin.

A file a run, so that what changes one of them, such as the twin's seed, tunes that run alone anew.
"""

from pathlib import Path

from pydantic import TypeAdapter

from signbridge.core import params
from signbridge.core.command_line import run
from signbridge.core.tables import whole_folder, write_json
from signbridge.datasets.control_images import ControlsParams
from signbridge.finetune.settings import variant_of
from signbridge.finetune.studied import base_entry
from signbridge.vlm.catalog import Model, ModelParams
from signbridge.vlm.chosen import AS_READ, check_chosen, read_model

WRITTEN = Path("data/finetune/base")


def main() -> None:
    """Read what model the study has read; write `data/finetune/base/RUN.json` for each of `runs`."""
    study, twin_seed = read_model(AS_READ), params.section("controls", ControlsParams).twin_seed
    check_chosen(study, AS_READ)
    chosen: Model = TypeAdapter(ModelParams).validate_python(study["entry"])
    with whole_folder(WRITTEN) as unfinished:
        for name in params.section("runs", list[str], params.FINETUNE):
            entry = base_entry(chosen, variant_of(name), twin_seed)
            write_json(unfinished / f"{name}.json", {**study, "entry": entry.model_dump()})


if __name__ == "__main__":
    run(main)
