"""sae_pretrained: the features of each class, by an autoencoder that others trained, and how well it fits the model.

python -m stages.pretrained.classes
"""

from pathlib import Path

import numpy as np
import pandas as pd

from signbridge.core import (
    activations,
    params,
    tables,
)
from signbridge.core.command_line import run
from signbridge.core.names import model_name
from signbridge.core.tables import Metric
from signbridge.pretrained.class_features import (
    LISTED,
    class_features,
    published_of_classes,
    share_found,
)
from signbridge.pretrained.settings import (
    NONE,
    OfFolder,
    OfHub,
    OfRelease,
    SaePretrainedParams,
    chosen_pretrained,
)
from signbridge.sae.settings import SaeJudgeParams
from signbridge.statistics.autoencoders import judged, read_items
from signbridge.statistics.intervals import StatisticsParams

SAMPLE = Path("data/sample.parquet")
FEATURES = Path("data/pretrained_features")
DESCRIPTIONS = Path("data/feature_descriptions.parquet")
METRICS = Path("metrics/sae_pretrained.json")
PLOT = Path("plots/sae_features_by_class.csv")
COLUMNS = [*LISTED, "description", "published", "fits"]
OF_KINDS = ("variance_explained", "fidelity", "zeros_cost", "l0")


def main() -> None:
    """Read `data/pretrained_features/`, the sample, descriptions; write metrics/sae_pretrained.json and the plot."""
    chosen = chosen_pretrained()
    if chosen is None:
        tables.write_metrics(METRICS, {"pretrained": NONE})
        tables.write_csv(pd.DataFrame(columns=COLUMNS), PLOT)
        return
    name, entry = chosen
    settings = params.section("classes", SaePretrainedParams, params.PRETRAINED)
    made_by = tables.made_by(FEATURES / "features.parquet")
    fit = fit_metrics(made_by["site"])
    fits = is_fitting(fit, settings.fits)

    sample = tables.read(SAMPLE, columns=["image_id", "label"])
    read = activations.read(FEATURES / "sample", made_by["site"], str(entry.position), sample["image_id"].tolist())
    found = class_features(read, sample["label"].tolist(), settings.top)
    described = tables.read(DESCRIPTIONS).set_index("feature")["description"].to_dict()
    descriptions = [described.get(feature, "") for feature in found.table["feature"]]
    table = with_published(found.table.assign(description=descriptions, fits=fits), entry)

    values: dict[str, Metric] = {
        "pretrained": name, "model": model_name(FEATURES / "features.parquet", params.model_notes()), "site": made_by["site"],
        "position": str(entry.position), "token": made_by["token"], "prompt": entry.prompt,
        "features": int(read.shape[1]), "dropped": found.dropped, "fits": fits, "threshold": settings.fits,
        "descriptions": tables.made_by(DESCRIPTIONS)["descriptions"], "described": sum(map(bool, descriptions)),
        "confidence": params.section("statistics", StatisticsParams).confidence,
        **{count: made_by[count] for count in ("images", "phrases")},
    }  # fmt: skip
    tables.write_metrics(METRICS, values | fit | published_metrics(found.table, entry))
    tables.write_csv(table[COLUMNS], PLOT)


def fit_metrics(site: str) -> dict[str, Metric]:
    """How much the autoencoder explains of image and of text tokens, with intervals; what is not known is left out."""
    statistics, bounds = (
        params.section("statistics", StatisticsParams),
        params.section("evaluate", SaeJudgeParams, params.SAE),
    )
    generator = np.random.default_rng(params.seed())
    features = tables.read(FEATURES / "features.parquet")
    table, _ = judged(read_items(FEATURES / "items", [site]), features, tuple(bounds.shared), statistics, generator)
    values: dict[str, Metric] = {}
    for row in table[table["measure"].isin(OF_KINDS)].itertuples():
        ends = {"": row.value, "_low": row.low, "_high": row.high}
        found = {f"{row.measure}_{row.modality}{end}": float(value) for end, value in ends.items()}
        values |= {key: value for key, value in found.items() if np.isfinite(value)}
    return values


def is_fitting(fit: dict[str, Metric], threshold: float) -> bool:
    """Whether neither the variance explained nor, where it is known, the fidelity at image tokens is below."""
    explained = fit.get("variance_explained_image", -np.inf)
    return bool(explained >= threshold and fit.get("fidelity_image", threshold) >= threshold)


def with_published(table: pd.DataFrame, entry: OfRelease | OfHub | OfFolder) -> pd.DataFrame:
    """The table with a column `published`: whether the feature is published of its class; empty of other classes."""
    published = published_of_classes(entry.published or {}, table["class"].unique().tolist())
    known = [
        str(row["feature"] in published[row["class"]]) if row["class"] in published else ""
        for row in table.to_dict("records")
    ]
    return table.assign(published=known)


def published_metrics(table: pd.DataFrame, entry: OfRelease | OfHub | OfFolder) -> dict[str, Metric]:
    """Of the classes here that have published features, the share of those that `table` lists; in the mean, too."""
    found = share_found(table, published_of_classes(entry.published or {}, table["class"].unique().tolist()))
    if not found:
        return {"published_classes": 0}
    by_class = {f"published_found_{name}": share for name, share in found.items()}
    return {"published_classes": len(found), "published_found": float(np.mean(list(found.values()))), **by_class}


if __name__ == "__main__":
    run(main)
