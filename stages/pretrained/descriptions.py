"""feature_descriptions: what the features of a pretrained autoencoder stand for, as Neuronpedia describes them.

    python -m stages.pretrained.descriptions

An export that was fetched stays in .scratch/; delete that folder for the newest. Without a pretrained autoencoder, or
an export of it, the table is empty.
"""

from pathlib import Path

import pandas as pd

from signbridge.core import params, tables
from signbridge.core.command_line import run
from signbridge.pretrained.neuronpedia import (
    BUCKET,
    descriptions_in,
    fetch_export,
    files_of_export,
)
from signbridge.pretrained.settings import NONE, SaePretrainedParams, chosen_pretrained

TABLE = Path("data/feature_descriptions.parquet")
SCRATCH = Path(".scratch")


def main() -> None:
    """Read the params, write `data/feature_descriptions.parquet`."""
    chosen = chosen_pretrained()
    source, described = (NONE, descriptions_in([])) if chosen is None else describe(chosen[1].neuronpedia)
    tables.write(described, TABLE, {"pretrained": chosen[0] if chosen else NONE, "descriptions": source})


def describe(neuronpedia: str | None) -> tuple[str, pd.DataFrame]:
    """Where descriptions are from, and the descriptions; `neuronpedia` is how an autoencoder is called there."""
    wanted = params.section("classes", SaePretrainedParams, params.PRETRAINED).descriptions
    if wanted == NONE or (wanted == "neuronpedia" and neuronpedia is None):
        return NONE, descriptions_in([])
    if wanted != "neuronpedia":
        return wanted, descriptions_in(files_of_export(Path(wanted).expanduser()))
    described = descriptions_in(fetch_export(neuronpedia, SCRATCH / "feature_descriptions" / neuronpedia, BUCKET))
    return (f"neuronpedia {neuronpedia}" if len(described) else NONE), described


if __name__ == "__main__":
    run(main)
