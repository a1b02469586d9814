"""probe: how well each site gives away the letter, under both protocols."""

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import numpy as np
import pandas as pd
import sklearn
from tqdm import tqdm

from signbridge import activations, metrics, params, tables
from signbridge.command_line import run
from signbridge.figures.probe_accuracy_curve import probe_accuracy_curve
from signbridge.model_name import model_name
from signbridge.probing import probes, protocols
from signbridge.probing.accuracy import accuracy_table, confusion, predictions_table, summary
from signbridge.probing.answer_reading import read_answers
from signbridge.probing.settings import ProbeParams, chosen_positions, chosen_protocols, chosen_sites
from signbridge.probing.sweep import Cell, Scored, sweep

ACTIVATIONS = Path("data/activations")
ANSWERS = Path("data/answers.parquet")
PROBES = Path("data/probes")
PLOTS = Path("plots")


def main() -> None:
    """Write data/probes/, data/predictions.parquet, metrics/probe.json and three plots."""
    chosen = params.section("probe", ProbeParams)
    seed = params.seed()
    sample = tables.read("data/sample.parquet", columns=["image_id", "label", "photo"])
    image_ids, labels, photos = (sample[column].to_numpy() for column in ("image_id", "label", "photo"))

    splits = _splits(chosen, labels, photos, seed)
    places = _places(chosen)
    kept = {"sample": protocols.whole_sample(len(sample))}
    kept |= {split.protocol: split for split in splits if split.protocol == "signbridge"}

    answers = tables.read(ANSWERS, columns=["image_id", "answer"]).set_index("image_id")["answer"]
    text = read_answers(answers[image_ids].tolist(), labels, splits)

    cells = _read(places, list(image_ids))
    results = tqdm(sweep(cells, labels, splits, chosen.C, kept), total=len(places), desc="probe", unit="site position")
    scored = list(_save_probes(results))

    predictions = predictions_table([*scored, text], splits, image_ids, labels)
    made_by = {"probe": chosen.model_dump(), "seed": seed, "scikit-learn": sklearn.__version__}
    tables.write(predictions, "data/predictions.parquet", made_by)

    table = accuracy_table(predictions, sample, chosen.intervals, np.random.default_rng(seed))
    notebook = [split for split in splits if split.protocol == "signbridge"]
    copies_in_train = protocols.share_with_copy_in_train(notebook, photos) if notebook else 0.0
    model = model_name(ANSWERS)
    numbers = {"model": model} | summary(predictions, table, sample, copies_in_train)
    metrics.write("metrics/probe.json", numbers)

    PLOTS.mkdir(exist_ok=True)
    _write_csv(table.round(6), PLOTS / "probe_accuracy.csv")
    _write_csv(confusion(predictions), PLOTS / "confusion.csv")
    figure = probe_accuracy_curve(table, numbers["chance"], copies_in_train, chosen.intervals.confidence, model)
    figure.savefig(PLOTS / "probe_accuracy_curve.png", dpi=300, metadata={"Software": None})


def _splits(chosen: ProbeParams, labels: np.ndarray, photos: np.ndarray, seed: int) -> list[protocols.Split]:
    splits = []
    for protocol in chosen_protocols(chosen):
        if protocol == "signbridge":
            splits += protocols.signbridge(labels, chosen.signbridge.test_size, seed)
        else:
            splits += protocols.grouped(labels, photos, chosen.grouped.folds, chosen.grouped.repeats, seed)
    return splits


def _places(chosen: ProbeParams) -> list[tuple[str, str]]:
    sites = chosen_sites(chosen, activations.sites(ACTIVATIONS))
    return [(site, position) for site in sites for position in chosen_positions(chosen, site)]


def _read(places: list[tuple[str, str]], image_ids: list[str]) -> Iterator[Cell]:
    for site, position in places:
        yield Cell(site, position, activations.read(ACTIVATIONS, site, position, image_ids))


def _save_probes(results: Iterator[Scored]) -> Iterator[Scored]:
    """Write each site's probes as soon as its last position is done, and pass on the results without them."""
    for site, cells in groupby(results, key=lambda cell: cell.site):
        of_site = list(cells)
        fitted = {(cell.position, name): probe for cell in of_site for name, probe in cell.probes.items()}
        probes.save(PROBES / f"{site}.safetensors", fitted)
        yield from (cell._replace(probes={}) for cell in of_site)


def _write_csv(table: pd.DataFrame, path: Path) -> None:
    table.to_csv(path, index=False, lineterminator="\n")


if __name__ == "__main__":
    run(main)
