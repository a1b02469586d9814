"""What the features of the chosen autoencoder stand for, in the words of Neuronpedia.

    python -m stages.pretrained.descriptions

An export that was fetched stays in .scratch/; delete that folder for the newest. The table is empty if
`classes.descriptions` is none, or Neuronpedia has no export of the autoencoder.
"""

from pathlib import Path

import pandas as pd

from signbridge.core import params, tables
from signbridge.core.command_line import run
from signbridge.pretrained.neuronpedia import BUCKET, descriptions_in, fetch_export, files_of_export
from signbridge.pretrained.settings import NONE, chosen_pretrained
from signbridge.statistics.class_features import ClassesParams

TABLE = Path("data/pretrained/descriptions.parquet")
SCRATCH = Path(".scratch/feature_descriptions")


def main() -> None:
    """Read the params, write `data/pretrained/descriptions.parquet`."""
    name, entry = chosen_pretrained()
    wanted = params.section("classes", ClassesParams, params.PRETRAINED).descriptions
    source, described = describe(entry.neuronpedia, wanted)
    tables.write(described, TABLE, {"pretrained": name, "descriptions": source})


def describe(neuronpedia: str | None, wanted: str) -> tuple[str, pd.DataFrame]:
    """Where descriptions are from, and the descriptions; `neuronpedia` is how an autoencoder is called there."""
    if wanted == NONE or (wanted == "neuronpedia" and neuronpedia is None):
        return NONE, descriptions_in([])
    if wanted != "neuronpedia":
        return wanted, descriptions_in(files_of_export(Path(wanted).expanduser()))
    described = descriptions_in(fetch_export(neuronpedia, SCRATCH / neuronpedia, BUCKET))
    return (f"neuronpedia {neuronpedia}" if len(described) else NONE), described


if __name__ == "__main__":
    run(main)
