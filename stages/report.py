"""report: everything that the study found, as one page that opens with no network."""

from pathlib import Path

from signbridge.core import tables
from signbridge.core.command_line import run
from signbridge.core.params import PARAMS
from signbridge.core.tables import whole_file
from signbridge.report.inputs import (
    COLUMNS,
    read_bytes,
    read_csv,
    read_metrics,
    read_text,
)
from signbridge.report.page import page
from signbridge.report.study import Study
from signbridge.sae.feature_directions import read_steered

REPORT = Path("report/index.html")
PLOTS = {
    "accuracy": "probe_accuracy",
    "controls": "controls",
    "layer_comparison": "layer_comparison",
    "peak_probability": "peak_probability",
    "description_length": "description_length",
    "letter_accuracy": "letter_accuracy",
    "confused_pairs": "confused_pairs",
    "confusion": "confusion",
    "within_word": "within_word",
    "published": "published",
    "patching": "patching",
    "steering": "steering",
    "steering_area": "steering_area",
    "erasure": "erasure",
    "erasure_answers": "erasure_answers",
    "lenses": "lenses",
    "lenses_on_hand": "lenses_on_hand",
    "lens_leap": "lens_leap",
    "alignment": "alignment",
    "sae_measures": "sae",
    "sae_probes": "sae_probes",
    "sae_concept": "sae_concept",
    "sae_fingers": "sae_fingers",
    "sae_steering": "sae_steering",
    "sae_steering_area": "sae_steering_area",
    "pretrained_features": "sae_features_by_class",
    "named_answers": "answers",
    "answers_by_letter": "answers_by_letter",
}
TABLES = ("data/sample.parquet", "data/answers.parquet", "data/predictions.parquet", "data/umap.parquet")
TABLES += ("data/patching.parquet", "data/steering.parquet", "data/erasure.parquet", "data/lenses.parquet")
TABLES += ("data/modalities.parquet", "data/sae_examples/features.parquet")
EXAMPLES = Path("data/sae_examples")
STEERED = Path("data/sae_steering")
LENSES = "data/lenses.parquet"
PATCHES = "data/patches.parquet"
EXAMPLE_TABLES = ("features", "letters", "images", "phrases")


def main() -> None:
    """Read the metrics, the plots' tables, the sample and the plane; write report/index.html, whole or not at all."""
    grid, sae = tables.made_by(LENSES)["grid"], read_metrics("metrics/sae.json")
    study = Study(
        probe=read_metrics("metrics/probe.json"),
        leakage=read_metrics("metrics/leakage.json"),
        answers=read_metrics("metrics/answers.json"),
        causal=read_metrics("metrics/causal.json"),
        lens=read_metrics("metrics/lenses.json"),
        aligned=read_metrics("metrics/alignment.json"),
        sae=sae,
        sae_steered=read_metrics("metrics/sae_steering.json"),
        pretrained=read_metrics("metrics/sae_pretrained.json"),
        **{name: read_csv(f"plots/{file}.csv", COLUMNS[name]) for name, file in PLOTS.items()},
        sae_steering_descriptions=read_steered(STEERED, "descriptions", sae.get("concept")),
        sae_steered_features=read_steered(STEERED, "features", sae.get("concept")),
        sae_examples=tables.made_by(EXAMPLES / "features.parquet"),
        **{f"sae_{name}": tables.read(EXAMPLES / f"{name}.parquet") for name in EXAMPLE_TABLES},
        lens_words=tables.read(LENSES),
        patches=tables.read(PATCHES),
        patch_grid=tuple(grid) if grid else None,
        true_words={image: frozenset(words) for image, words in tables.made_by(PATCHES)["words"].items()},
        steering_descriptions=tables.read("data/steering_descriptions.parquet"),
        umap=tables.read("data/umap.parquet"),
        sample=tables.read("data/sample.parquet"),
        made_by={path: tables.made_by(path) for path in TABLES},
        params=read_text(PARAMS),
        class_grid=read_bytes("plots/class_grid.png"),
    )
    with whole_file(REPORT) as unfinished:
        unfinished.write_text(page(study), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    run(main)
