"""How well autoencoders do, at image and at text tokens, and what their features say of a finger and of joints."""

from pathlib import Path

import numpy as np

from signbridge.core import params, tables
from signbridge.core.command_line import run
from signbridge.core.groups import read_sample
from signbridge.core.names import MODEL, STREAM, TWIN, model_name
from signbridge.datasets.concept import ConceptParams, with_concept
from signbridge.datasets.control_images import ControlsParams
from signbridge.datasets.hands import read_hands
from signbridge.statistics.autoencoders import EvaluateParams, judged, read_items
from signbridge.statistics.concept import readings, told_by_features
from signbridge.statistics.fingers import FingerParams, tracked_fingers
from signbridge.statistics.intervals import StatisticsParams
from signbridge.statistics.one_letter import one_letter_metrics
from signbridge.statistics.sparse_probes import sparse_probe_metrics

SAMPLE, HANDS = Path("data/sample.parquet"), Path("data/hands.parquet")
FEATURES, OF_TWIN = Path("data/sae/features"), Path("data/sae/twin")
OF_PROBES, EVALUATION, METRICS = Path("data/sae/probes"), Path("data/sae/evaluation"), Path("metrics/sae")
# Of the last layer, and what is shared also of the first. A variance stands beside that of as many components as L0.
OF_AUTOENCODERS = {
    **{f"{name}_{kind}": f"{name}_{kind}_last" for kind in ("image", "text")
       for name in ("variance_explained", "pca_variance_explained")},
    **{f"{name}_{kind}": f"{key}_{kind}_last" for kind in ("image", "text") for name, key in
       (("active_features", "l0"), ("fidelity", "fidelity"), ("cost_of_zeros", "zeros_cost"))},
    "fidelity_all_tokens": "fidelity_all_image_last",
    **{f"{name}_image_first_layer": f"{name}_image_first" for name in ("variance_explained", "pca_variance_explained")},
    **{f"{name}_features{of}_{end}_layer": f"{key}{of}_{end}" for name, key in
       (("shared", "shared"), ("weighted_shared", "shared_mass"))
       for of in ("", f"_{TWIN}") for end in ("first", "last")},
    **{name: name for name in ("features", "images", "phrases", "model")},
}  # fmt: skip
COUNTS = ("images", "images_in_training", "phrases", "phrases_in_training")
ENDS = ("", "_low", "_high")
OF_CONCEPT = {
    "auc": "concept_model_auc",
    **{f"auc_{end}": f"concept_model_{end}" for end in ("low", "high")},
    **{name: f"concept_model_{name}" for name in ("site", "position")},
    **{f"auc_{of}": f"concept_{of}_auc" for of in (TWIN, STREAM)},
    **{f"auc_{of}_{end}": f"concept_{of}_{end}" for of in (TWIN, STREAM) for end in ("low", "high")},
    **{f"over_{of}{end}": f"concept_model_over_{of}{end}" for of in (TWIN, STREAM) for end in ENDS},
    **{f"{of}_features_following_joints{end}": f"fingers_{of}_image_mean_tracking{end}"
       for of in (MODEL, TWIN) for end in ("", "_within_letters")},
    "concept": "concept", "concept_share": "concept_share", "model": "model",
}  # fmt: skip


def main() -> None:
    """Read the sample, its hands, features, those of the twin and sparse probes; write `data/sae/evaluation/`."""
    statistics, seed = params.section("statistics", StatisticsParams), params.seed()
    bounds = tuple(params.section("evaluate", EvaluateParams, params.SAE).shared)
    concept = params.section("concept", ConceptParams, params.SAE)
    fingers = params.section("fingers", FingerParams, params.SAE)
    folders = {MODEL: FEATURES} | ({TWIN: OF_TWIN} if TWIN in params.section("controls", ControlsParams).read else {})
    of_judging, _, of_fingers = np.random.default_rng(seed).spawn(3)  # the second is that of `probes`
    made_by, features = tables.made_by(FEATURES / "features.parquet"), tables.read(FEATURES / "features.parquet")
    sites, (sample, _) = made_by["trained"]["sites"], read_sample(["image_id", "label"])
    hands = read_hands(HANDS, sample["image_id"])

    of_twin = read_items(OF_TWIN / "items", sites) if TWIN in folders else None
    items = read_items(FEATURES / "items", sites)
    measures, judgement = judged(items, features, bounds, statistics, of_judging, of_twin)
    rows, names = with_concept(sample, concept.finger, hands)
    at = {reads: folder / "concept" for reads, folder in {**folders, STREAM: FEATURES}.items()}
    read = readings(at, sites, rows["image_id"].tolist())
    told, of_concept = told_by_features(read, rows, names, statistics, seed)
    stored = {reads: folder / "sample" for reads, folder in folders.items()}
    tracking, of_tracking = tracked_fingers(stored, sites, sample, hands, fingers, of_fingers)
    of_probes = sparse_probe_metrics(tables.read(OF_PROBES / "probes.parquet"), statistics.confidence)
    of_probes |= one_letter_metrics(tables.read(OF_PROBES / "one_letter.parquet"))
    findings = {
        "model": model_name(FEATURES / "features.parquet", params.model_notes()), "confidence": statistics.confidence,
        "features": int((features["site"] == sites[0]).sum()), **{name: made_by[name] for name in COUNTS},
        **judgement, **of_probes, **of_concept, **of_tracking,
    }  # fmt: skip

    for name, table in {"measures": measures, "concept": told, "fingers": tracking}.items():
        tables.write(table, EVALUATION / f"{name}.parquet", {"model": made_by["model"], "sites": sites})
    tables.write_findings(EVALUATION / "findings.json", findings)
    tables.write_metrics(METRICS / "autoencoders.json", findings, OF_AUTOENCODERS)
    tables.write_metrics(METRICS / "concept.json", findings, OF_CONCEPT)


if __name__ == "__main__":
    run(main)
