"""sae_judge: how well sparse autoencoders do, of image and of text tokens, and what letters a few features tell."""

from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from signbridge import activations, metrics, params, tables
from signbridge.command_line import run
from signbridge.model_name import model_name
from signbridge.probing.curves import curves
from signbridge.probing.settings import ProbeParams, splits_of
from signbridge.probing.shuffled_labels import draws_by_repeat
from signbridge.probing.statistics import StatisticsParams
from signbridge.probing.sweep import Cell, Penalties, side_by_side
from signbridge.sae.feature_tables import KINDS, POSITIONS, items_of
from signbridge.sae.judge_settings import SaeJudgeParams
from signbridge.sae.judging import Items, judged
from signbridge.sae.sparse_probes import (
    SAE,
    STREAM,
    predictions_table,
    read_sparsely,
    sparse_probe_metrics,
    sparse_probe_table,
)

SAMPLE = Path("data/sample.parquet")
ACTIVATIONS = Path("data/activations")
FEATURES = Path("data/sae_features")


def main() -> None:
    """Read `data/sae_features/`, activations and sample, write metrics/sae.json and plots/sae*.csv."""
    settings, probe = params.section("sae_judge", SaeJudgeParams), params.section("probe", ProbeParams)
    statistics, seed = params.section("statistics", StatisticsParams), params.seed()
    of_judging, of_probes = np.random.default_rng(seed).spawn(2)
    made_by = tables.made_by(FEATURES / "features.parquet")
    sites = made_by["trained"]["sites"]

    features = tables.read(FEATURES / "features.parquet")
    found, judgement = judged(read_items(sites), features, tuple(settings.shared), statistics, of_judging)

    sample = tables.read(SAMPLE, columns=["image_id", "label", "photo"])
    image_ids, labels, photos = (sample[column].to_numpy() for column in ("image_id", "label", "photo"))
    splits = splits_of(with_repeats(probe, settings.repeats), labels, photos, seed)
    grouped = [split for split in splits if split.protocol == "grouped"]
    targets = np.unique(labels, return_inverse=True)[1]
    draws = draws_by_repeat(targets, photos, grouped, settings.draws, seed) if grouped else []
    places = [(site, position, reads) for site in sites for position in POSITIONS for reads in (SAE, STREAM)]
    folders = {SAE: FEATURES / "sample", STREAM: ACTIVATIONS}
    cells = (
        Cell(site, position, activations.read(folders[reads], site, position, list(image_ids)))
        for site, position, reads in places
    )
    penalties = Penalties(probe.signbridge.C, probe.grouped.C)
    results = side_by_side(read_sparsely, cells, labels, splits, settings.k, penalties, draws, probe.memory_bytes)
    reads = dict(zip(places, tqdm(results, total=len(places), desc="sparse probes", unit="cell"), strict=True))
    accuracies = curves(
        predictions_table(reads, image_ids, labels), sample.set_index("image_id")["photo"], statistics, of_probes
    )
    probes = sparse_probe_table(accuracies, reads)

    values = {
        "model": model_name(FEATURES / "features.parquet"), "confidence": statistics.confidence,
        "features": int((features["site"] == sites[0]).sum()),
        **{name: made_by[name] for name in ("images", "images_in_training", "phrases", "phrases_in_training")},
    }  # fmt: skip
    metrics.write("metrics/sae.json", values | judgement | sparse_probe_metrics(probes, statistics.confidence))
    tables.write_csv(found, Path("plots/sae.csv"))
    tables.write_csv(probes, Path("plots/sae_probes.csv"))


def with_repeats(probe: ProbeParams, most: int) -> ProbeParams:
    """The same params with so many repeats of the folds, the first ones, at most."""
    repeats = min(most, probe.grouped.repeats)
    return probe.model_copy(update={"grouped": probe.grouped.model_copy(update={"repeats": repeats})})


def read_items(sites: list[str]) -> dict[str, Items]:
    """The items of either kind of token at every site."""
    of_site = {site: items_of(FEATURES / "items", site) for site in sites}
    return {
        kind: Items(
            pd.concat([table[table["kind"] == kind].assign(site=site) for site, (table, _) in of_site.items()]),
            {site: masses[(table["kind"] == kind).to_numpy()] for site, (table, masses) in of_site.items()},
        )
        for kind in KINDS
    }


if __name__ == "__main__":
    run(main)
