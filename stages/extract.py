"""Read every site of the chosen model at every position for the images of the sample, and its answers.

    python -m stages.extract

Environment: SIGNBRIDGE_DEVICE (cpu, cuda, cuda:1), SIGNBRIDGE_BATCH_SIZE and SIGNBRIDGE_SHARD_IMAGES (powers of
two); all are found out where they are not set. Finished shards lie in .scratch/ until the tables are written.
"""

from pathlib import Path

from signbridge.core import tables
from signbridge.core.command_line import run
from signbridge.vlm.chosen import MODEL, write_as_read
from signbridge.vlm.loading import configuration
from signbridge.vlm.model_run import READ_ON, model_run
from signbridge.vlm.needs import check_room
from signbridge.vlm.sample_tables import extract_sample
from signbridge.vlm.store import chosen_store

SAMPLE = Path("data/sample.parquet")
DATA = Path("data")


def main() -> None:
    """Read the sample and `data/model.json`; write vectors, answers and the model as the study reads it."""
    sample, store = tables.read(SAMPLE), chosen_store()
    with model_run(__file__, of=MODEL, sample=SAMPLE, **store.made_by()) as reading:
        check_room(store, configuration(reading.model), reading.model, reading.device, len(sample))
        extract_sample(reading, sample, DATA, store=store)
        write_as_read(reading.made_by[READ_ON]["weights"])


if __name__ == "__main__":
    run(main)
