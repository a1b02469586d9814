"""sae_judge: how well sparse autoencoders do, of image and of text tokens, and what letters a few features tell."""

from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from signbridge import activations, metrics, params, tables
from signbridge.command_line import run
from signbridge.datasets.poses import are_drawn, poses
from signbridge.model_name import model_name
from signbridge.probing.curves import curves
from signbridge.probing.settings import ProbeParams, splits_of
from signbridge.probing.shuffled_labels import draws_by_repeat
from signbridge.probing.statistics import StatisticsParams
from signbridge.probing.sweep import Cell, Penalties, side_by_side
from signbridge.sae import concept, fingers
from signbridge.sae.concept_tables import readings
from signbridge.sae.feature_tables import MODEL, POSITIONS, SAE, STREAM, TWIN
from signbridge.sae.judge_settings import SaeJudgeParams
from signbridge.sae.judging import judged, read_items
from signbridge.sae.sparse_probes import (
    predictions_table,
    read_sparsely,
    sparse_probe_metrics,
    sparse_probe_table,
)

SAMPLE = Path("data/sample.parquet")
ACTIVATIONS = Path("data/activations")
FEATURES = Path("data/sae_features")
SAE_TWIN = Path("data/sae_twin")
IMAGES = Path("data/images.parquet")


def main() -> None:
    """Read `data/sae_features/`, `data/sae_twin/`, activations and sample, write metrics/sae.json, plots/sae*.csv."""
    settings, probe = params.section("sae_judge", SaeJudgeParams), params.section("probe", ProbeParams)
    statistics, seed = params.section("statistics", StatisticsParams), params.seed()
    of_judging, of_probes, of_fingers = np.random.default_rng(seed).spawn(3)
    made_by = tables.made_by(FEATURES / "features.parquet")
    sites = made_by["trained"]["sites"]

    features = tables.read(FEATURES / "features.parquet")
    items = read_items(FEATURES / "items", sites)
    found, judgement = judged(items, features, tuple(settings.shared), statistics, of_judging)

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

    told, of_concept = known_concept(sample, sites, statistics, seed)
    tracking, of_tracking = tracked_fingers(sample, sites, of_fingers)

    values = {
        "model": model_name(FEATURES / "features.parquet"), "confidence": statistics.confidence,
        "features": int((features["site"] == sites[0]).sum()),
        **{name: made_by[name] for name in ("images", "images_in_training", "phrases", "phrases_in_training")},
    }  # fmt: skip
    values |= judgement | sparse_probe_metrics(probes, statistics.confidence) | of_concept | of_tracking
    metrics.write("metrics/sae.json", values)
    tables.write_csv(told, Path("plots/sae_concept.csv"))
    tables.write_csv(tracking, Path("plots/sae_fingers.csv"))
    tables.write_csv(found, Path("plots/sae.csv"))
    tables.write_csv(probes, Path("plots/sae_probes.csv"))


def known_concept(
    sample: pd.DataFrame, sites: list[str], statistics: StatisticsParams, seed: int
) -> tuple[pd.DataFrame, dict[str, metrics.Metric]]:
    """How well single features tell the concept: of the model, of its untrained twin, and dimensions of the stream."""
    settings = params.section("concept", concept.ConceptParams)
    rows, names = concept.with_concept(sample, settings.finger, tables.made_by(IMAGES))
    folders = {MODEL: FEATURES, TWIN: SAE_TWIN, STREAM: FEATURES}
    ids = rows["image_id"].tolist()
    read = (one for reads, folder in folders.items() for one in readings(folder / "concept", reads, sites, ids))
    return concept.told_by_features(read, rows, names, statistics, seed)


def tracked_fingers(
    sample: pd.DataFrame, sites: list[str], generator: np.random.Generator
) -> tuple[pd.DataFrame, dict[str, metrics.Metric]]:
    """Which features go with a joint, of the model and of its untrained twin; nothing where hands were not drawn."""
    settings, made_by = params.section("sae_fingers", fingers.FingerParams), tables.made_by(IMAGES)
    if not are_drawn(made_by):
        return pd.DataFrame(columns=fingers.COLUMNS), {}
    ids, photos = sample["image_id"].tolist(), sample["photo"].to_numpy()
    first = sample.drop_duplicates("photo").sort_values("photo")
    pose = poses(first["image_id"].tolist(), first["label"].tolist(), made_by)
    angles = pd.DataFrame([pose[image_id].angles() for image_id in first["image_id"]])
    hands = fingers.Hands(angles, first["label"].to_numpy())
    found, counts = [], {}
    folders = {MODEL: FEATURES / "sample", TWIN: SAE_TWIN / "concept/features"}
    # The twin was read under another prompt, which its image tokens, being before it, do not see.
    places = [(MODEL, site, position) for site in sites for position in POSITIONS]
    places += [(TWIN, site, "image_mean") for site in sites]
    for reads, site, position in places:
        features = fingers.by_photo(activations.read(folders[reads], site, position, ids), photos)
        rows, counts[reads, site, position] = fingers.tracking_table(
            reads, site, position, features, hands, settings, generator
        )
        found += [rows] if len(rows) else []
    if not found:
        return pd.DataFrame(columns=fingers.COLUMNS), fingers.finger_metrics(counts)
    return pd.concat(found, ignore_index=True), fingers.finger_metrics(counts)


def with_repeats(probe: ProbeParams, most: int) -> ProbeParams:
    """The same params with so many repeats of the folds, the first ones, at most."""
    repeats = min(most, probe.grouped.repeats)
    return probe.model_copy(update={"grouped": probe.grouped.model_copy(update={"repeats": repeats})})


if __name__ == "__main__":
    run(main)
