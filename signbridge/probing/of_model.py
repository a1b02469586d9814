"""Probes of one model beside others: the study's folds without leakage, at every layer of whatever depth."""

from collections.abc import Iterator, Mapping
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from tqdm import tqdm

from signbridge.core import activations, tables
from signbridge.core.errors import SignBridgeError
from signbridge.core.groups import Groups
from signbridge.probing.predictions import choices_table, predictions_table, read_answers
from signbridge.probing.protocols import Split
from signbridge.probing.settings import ProbeParams, places, splits_of, with_repeats
from signbridge.probing.sweep import cells_of, predict, side_by_side

GROUPED = "grouped"


def of_every_model(study: ProbeParams, positions: list[str], repeats: int) -> ProbeParams:
    """The study's probes, at every layer of any model: the protocol without leakage alone, and its first repeats.

    Raises `SignBridgeError` if the study leaves that protocol out.
    """
    if GROUPED not in study.protocols:
        raise SignBridgeError("params.yaml: probe.protocols: models are compared under `grouped` alone. Add it.")
    change = {"protocols": [GROUPED], "positions": positions, "layers": "all"}
    return with_repeats(study, repeats).model_copy(update=change)


class Probed(NamedTuple):
    """What the probes of one model say, and what they were fitted on."""

    predictions: pd.DataFrame
    choices: pd.DataFrame
    splits: list[Split]
    places: list[tuple[str, str]]  # sites and positions
    made_by: dict[str, Any]

    def write(self, folder: Path) -> None:
        """Write the two tables to `folder`."""
        tables.write(self.predictions, folder / "predictions.parquet", self.made_by)
        tables.write(self.choices, folder / "choices.parquet", self.made_by)


def probe_models(
    read: Mapping[str, tuple[Path, Path]], sample: pd.DataFrame, groups: Groups, chosen: ProbeParams, seed: int
) -> Iterator[tuple[str, Probed]]:
    """Probe the images of `sample` (image_id, label) at every site of each model, and read its answers.

    `read` has where the vectors and the answers of a model lie, by its name, which heads the progress bar. Vectors
    that two models share, as a model and one that was tuned from it do at many sites, are probed once.
    """
    image_ids, labels = sample["image_id"].to_numpy(), sample["label"].to_numpy()
    splits = splits_of(chosen, labels, groups, seed)
    probed = {name: places(chosen, activations.sites(vectors)) for name, (vectors, _) in read.items()}
    cells = chain.from_iterable(cells_of(read[name][0], of_model, list(image_ids)) for name, of_model in probed.items())
    results = side_by_side(predict, cells, labels, splits, chosen.grouped.C, chosen.memory_bytes)
    for name, of_model in probed.items():
        of_this = islice(results, len(of_model))
        scored = list(tqdm(of_this, total=len(of_model), desc=name, unit="site position"))
        answers = read[name][1]
        said = tables.read(answers, columns=["image_id", "answer"]).set_index("image_id")["answer"]
        text = read_answers(said[image_ids].tolist(), labels, splits)
        made_by = {"probe": chosen.model_dump(), "seed": seed, "model": tables.made_by(answers)["model"]}
        predictions = predictions_table([*scored, text], splits, image_ids, labels)
        yield name, Probed(predictions, choices_table(scored, splits), splits, of_model, made_by)
