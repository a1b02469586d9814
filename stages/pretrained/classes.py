"""The features of each class, by an autoencoder that others trained, and how well it fits the model.

python -m stages.pretrained.classes
"""

from pathlib import Path

import numpy as np

from signbridge.core import activations, params, tables
from signbridge.core.command_line import run
from signbridge.core.names import model_name
from signbridge.statistics.autoencoders import judged, read_items
from signbridge.statistics.class_features import (
    COLUMNS,
    ClassesParams,
    class_features,
    fit_findings,
    is_fitting,
    published_findings,
    with_published,
)
from signbridge.statistics.intervals import StatisticsParams

SAMPLE = Path("data/sample.parquet")
FEATURES = Path("data/pretrained/features")
DESCRIPTIONS = Path("data/pretrained/descriptions.parquet")
CLASSES = Path("data/pretrained/classes")
METRICS = Path("metrics/pretrained/classes.json")
ENDS = ("", "_low", "_high")
HEADLINE = {
    **{name: name for name in ("pretrained", "site", "position", "token", "fits")},
    **{f"variance_explained_image{end}": f"variance_explained_image{end}" for end in ENDS},
    **{f"fidelity_image{end}": f"fidelity_image{end}" for end in ENDS},
    "variance_explained_text": "variance_explained_text", "fidelity_text": "fidelity_text",
    "active_features_image": "l0_image", "active_features_text": "l0_text", "features": "features",
    "dropped_features": "dropped", "dropped_by": "dropped_by", "described_features": "described",
    **{name: name for name in ("published_classes", "published_found", "images", "phrases")},
}  # fmt: skip


def main() -> None:
    """Read the sample, features and their descriptions, write `data/pretrained/classes/` and metrics."""
    settings = params.section("classes", ClassesParams, params.PRETRAINED)
    statistics, made_by = params.section("statistics", StatisticsParams), tables.made_by(FEATURES / "features.parquet")
    about, site = made_by["autoencoder"], made_by["site"]
    generator, features = np.random.default_rng(params.seed()), tables.read(FEATURES / "features.parquet")
    measures, _ = judged(
        read_items(FEATURES / "items", [site]), features, tuple(settings.shared), statistics, generator
    )
    fit, published = fit_findings(measures), about["published"] or {}
    fits = is_fitting(fit, settings.fits)
    sample = tables.read(SAMPLE, columns=["image_id", "label"])
    read = activations.read(FEATURES / "sample", site, str(about["position"]), sample["image_id"].tolist())
    found = class_features(read, sample["label"].tolist(), settings.top, about["dropped"])
    described = tables.read(DESCRIPTIONS).set_index("feature")["description"].to_dict()
    descriptions = [described.get(feature, "") for feature in found.table["feature"]]
    table = with_published(found.table.assign(description=descriptions, fits=fits), published)
    findings = {
        "pretrained": about["pretrained"], "model": model_name(FEATURES / "features.parquet", params.model_notes()),
        "site": site, "position": str(about["position"]), "token": made_by["token"], "prompt": about["prompt"],
        "features": int(read.shape[1]), "dropped": found.dropped,
        "dropped_by": "every_class" if about["dropped"] is None else "name", "fits": fits, "threshold": settings.fits,
        "descriptions": tables.made_by(DESCRIPTIONS)["descriptions"], "described": sum(map(bool, descriptions)),
        "confidence": statistics.confidence, "images": made_by["images"], "phrases": made_by["phrases"],
        **fit, **published_findings(found.table, published),
    }  # fmt: skip
    tables.write(table[COLUMNS], CLASSES / "classes.parquet", {"model": made_by["model"], "autoencoder": about})
    tables.write_findings(CLASSES / "findings.json", findings)
    tables.write_metrics(METRICS, findings, HEADLINE)


if __name__ == "__main__":
    run(main)
