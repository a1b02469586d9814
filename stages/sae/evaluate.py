"""sae_judge: how well sparse autoencoders do, of image and of text tokens, and what letters a few features tell."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from signbridge.core import (
    activations,
    params,
    tables,
)
from signbridge.core.command_line import run
from signbridge.core.errors import SignBridgeError
from signbridge.core.names import model_name
from signbridge.datasets.control_images import (
    NO_IMAGE,
    OTHER_LETTER,
    UNTRAINED_TWIN,
    ControlsParams,
)
from signbridge.datasets.hands import joint_angles, read_hands
from signbridge.probing.control_sweep import draws_by_repeat
from signbridge.probing.settings import ProbeParams, splits_of
from signbridge.probing.sweep import Cell, Penalties, side_by_side
from signbridge.sae import concept
from signbridge.sae.concept import readings
from signbridge.sae.features import (
    AUTOENCODER,
    MODEL,
    POSITIONS,
    STREAM,
    TWIN,
)
from signbridge.sae.settings import SaeJudgeParams
from signbridge.statistics import fingers
from signbridge.statistics.autoencoders import judged, read_items
from signbridge.statistics.curves import curves
from signbridge.statistics.intervals import StatisticsParams
from signbridge.statistics.sparse_probes import (
    ControlCell,
    Read,
    predictions_table,
    read_control,
    read_sparsely,
    sparse_probe_metrics,
    sparse_probe_table,
)

SAMPLE = Path("data/sample.parquet")
ACTIVATIONS = Path("data/activations")
FEATURES = Path("data/sae_features")
SAE_TWIN = Path("data/sae_twin")
HANDS = Path("data/hands.parquet")
CONTROLS = Path("data/control_activations")
CONTROL_ANSWERS = Path("data/control_answers.parquet")
CONTROL_FEATURES = {
    UNTRAINED_TWIN: SAE_TWIN / "sample",
    NO_IMAGE: FEATURES / "no_image",
    OTHER_LETTER: FEATURES / "sample",  # of the images that are shown
}


def main() -> None:
    """Read the sample, features and activations, those of the controls too, write metrics/sae.json, plots/sae*.csv."""
    settings = params.section("evaluate", SaeJudgeParams, params.SAE)
    statistics, seed = params.section("statistics", StatisticsParams), params.seed()
    of_judging, of_probes, of_fingers = np.random.default_rng(seed).spawn(3)
    made_by = tables.made_by(FEATURES / "features.parquet")
    sites = made_by["trained"]["sites"]

    features = tables.read(FEATURES / "features.parquet")
    items = read_items(FEATURES / "items", sites)
    found, judgement = judged(items, features, tuple(settings.shared), statistics, of_judging)

    sample = tables.read(SAMPLE, columns=["image_id", "label", "photo"])
    probes = letters_told(sample, sites, settings, statistics, of_probes)
    told, of_concept = known_concept(sample, sites, statistics, seed)
    tracking, of_tracking = tracked_fingers(sample, sites, of_fingers)

    values = {
        "model": model_name(FEATURES / "features.parquet", params.model_notes()), "confidence": statistics.confidence,
        "features": int((features["site"] == sites[0]).sum()),
        **{name: made_by[name] for name in ("images", "images_in_training", "phrases", "phrases_in_training")},
    }  # fmt: skip
    values |= judgement | sparse_probe_metrics(probes, statistics.confidence) | of_concept | of_tracking
    tables.write_metrics("metrics/sae.json", values)
    tables.write_csv(told, Path("plots/sae_concept.csv"))
    tables.write_csv(tracking, Path("plots/sae_fingers.csv"))
    tables.write_csv(found, Path("plots/sae.csv"))
    tables.write_csv(probes, Path("plots/sae_probes.csv"))


def letters_told(
    sample: pd.DataFrame,
    sites: list[str],
    settings: SaeJudgeParams,
    statistics: StatisticsParams,
    generator: np.random.Generator,
) -> pd.DataFrame:
    """The table of sparse probes, on features and on the stream, beside shuffled letters and what the controls show."""
    probe, seed = params.section("probe", ProbeParams), params.seed()
    image_ids, labels, photos = (sample[column].to_numpy() for column in ("image_id", "label", "photo"))
    splits = splits_of(with_repeats(probe, settings.repeats), labels, photos, seed)
    grouped = [split for split in splits if split.protocol == "grouped"]
    targets = np.unique(labels, return_inverse=True)[1]
    draws = draws_by_repeat(targets, photos, grouped, settings.draws, seed) if grouped else []
    places = [(site, position, reads) for site in sites for position in POSITIONS for reads in (AUTOENCODER, STREAM)]
    folders = {AUTOENCODER: FEATURES / "sample", STREAM: ACTIVATIONS}
    cells = (
        Cell(site, position, activations.read(folders[reads], site, position, list(image_ids)))
        for site, position, reads in places
    )
    penalties = Penalties(probe.signbridge.C, probe.grouped.C)
    results = side_by_side(read_sparsely, cells, labels, splits, settings.k, penalties, draws, probe.memory_bytes)
    reads = dict(zip(places, tqdm(results, total=len(places), desc="sparse probes", unit="cell"), strict=True))

    controls = {}
    if grouped:
        places, cells = control_cells(reads, list(image_ids), probe.grouped.C)
        results = side_by_side(read_control, cells, targets, grouped, probe.memory_bytes)
        controls = dict(zip(places, tqdm(results, total=len(places), desc="their controls", unit="cell"), strict=True))
    accuracies = curves(
        predictions_table(reads, image_ids, labels), sample.set_index("image_id")["photo"], statistics, generator
    )
    return sparse_probe_table(accuracies, reads, controls)


def control_cells(
    reads: dict[tuple[str, str, str], Read], image_ids: list[str], Cs: list[float]
) -> tuple[list[tuple[str, str, str, str]], Iterator[ControlCell]]:
    """Control, site, position and what is read there, of every control that was read; and what it shows there.

    The twin's probes choose among `Cs`, as those of `reads` did; the others have what was chosen for the model.
    """
    read = params.section("controls", ControlsParams).read
    places = [(control, *place) for control in read for place in reads]
    shown = dict.fromkeys(read, image_ids) | ({OTHER_LETTER: shown_instead(image_ids)} if OTHER_LETTER in read else {})

    def cell(control: str, site: str, position: str, what: str) -> ControlCell:
        if what == STREAM:
            vectors = activations.read(CONTROLS / control, site, position, image_ids)
        else:
            vectors = activations.read(CONTROL_FEATURES[control], site, position, shown[control])
        chosen = reads[site, position, what].Cs
        return ControlCell(
            vectors, {k: [Cs if control == UNTRAINED_TWIN else [C] for C in of_k] for k, of_k in chosen.items()}
        )

    return places, (cell(*place) for place in places)


def shown_instead(image_ids: list[str]) -> list[str]:
    """Which image of another letter the model was shown in place of each."""
    answers = tables.read(CONTROL_ANSWERS, columns=["control", "image_id", "shown"])
    shown = answers[answers["control"] == OTHER_LETTER].set_index("image_id")["shown"]
    try:
        return shown.loc[image_ids].tolist()
    except KeyError:
        raise SignBridgeError(f"{CONTROL_ANSWERS}: not of these images. Run `dvc repro`.") from None


def known_concept(
    sample: pd.DataFrame, sites: list[str], statistics: StatisticsParams, seed: int
) -> tuple[pd.DataFrame, dict[str, tables.Metric]]:
    """How well single features tell the concept: of the model, of its untrained twin, and dimensions of the stream."""
    settings = params.section("concept", concept.ConceptParams, params.SAE)
    rows, names = concept.with_concept(sample, settings.finger, read_hands(HANDS, sample["image_id"]))
    folders = {MODEL: FEATURES, TWIN: SAE_TWIN, STREAM: FEATURES}
    ids = rows["image_id"].tolist()
    read = (one for reads, folder in folders.items() for one in readings(folder / "concept", reads, sites, ids))
    return concept.told_by_features(read, rows, names, statistics, seed)


def tracked_fingers(
    sample: pd.DataFrame, sites: list[str], generator: np.random.Generator
) -> tuple[pd.DataFrame, dict[str, tables.Metric]]:
    """Which features go with a joint, of the model and of its untrained twin; nothing where hands were not drawn."""
    settings = params.section("fingers", fingers.FingerParams, params.SAE)
    first = sample.drop_duplicates("photo").sort_values("photo")
    of_photos = read_hands(HANDS, first["image_id"])
    if not of_photos["drawn"].all():
        return pd.DataFrame(columns=fingers.COLUMNS), {}
    ids, photos = sample["image_id"].tolist(), sample["photo"].to_numpy()
    hands = fingers.Hands(joint_angles(of_photos), first["label"].to_numpy())
    found, counts = [], {}
    for reads, folder in ((MODEL, FEATURES), (TWIN, SAE_TWIN)):
        there = [
            fingers.Place(
                site, position,
                lambda folder=folder, site=site, position=position: fingers.by_photo(
                    activations.read(folder / "sample", site, position, ids), photos
                ),
            )
            for site in sites for position in POSITIONS
        ]  # fmt: skip
        rows, of_places = fingers.tracking_table(reads, there, hands, settings, generator)
        found += [rows] if len(rows) else []
        counts |= of_places
    table = pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=fingers.COLUMNS)
    return table, fingers.finger_metrics(counts)


def with_repeats(probe: ProbeParams, most: int) -> ProbeParams:
    """The same params with so many repeats of the folds, the first ones, at most."""
    repeats = min(most, probe.grouped.repeats)
    return probe.model_copy(update={"grouped": probe.grouped.model_copy(update={"repeats": repeats})})


if __name__ == "__main__":
    run(main)
