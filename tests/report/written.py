"""The files of made-up runs of the further questions, as the stages before each report write them."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from signbridge.core import tables
from signbridge.report.inputs import Causal, Findings, Lenses, Models, Pretrained, Sae
from stages.causal.report import TABLES
from tests.report import made_up


def write_causal(folder: Path) -> None:
    """What `stages.causal.report` reads."""
    run: Causal = made_up.causal()
    _write(folder / "data/causal/effects", run.found, {name: getattr(run, name) for name in TABLES})
    _write(folder / "data/causal/steering", None, {"descriptions": run.descriptions})
    _write(folder / "data/causal/minimal_pairs", None, {"said": run.minimal_said})
    for path in ("patching", "steering/answers", "erasure/probes"):
        tables.write(run.sample[["image_id"]], folder / f"data/causal/{path}.parquet", {"pairs": 3})
    study = made_up.study()
    _write(folder / "data/statistics", None, {"accuracy": study.accuracy})
    _write(folder / "data", None, {"sample": run.sample})


def write_lenses(folder: Path) -> None:
    """What `stages.lenses.report` reads."""
    run: Lenses = made_up.lenses()
    names = ("patches", "shares", "leads", "on_hand", "leap")
    _write(folder / "data/lenses/readable", run.found, {name: getattr(run, name) for name in names})
    _write(folder / "data/lenses/alignment", run.aligned, {"alignment": run.alignment})
    _write(folder / "data/lenses", None, {"words": run.words, "modalities": run.sample[["image_id"]]})
    known = [sorted(run.true_words.get(image_id, ())) or None for image_id in run.sample["image_id"]]
    hands = pd.DataFrame({"image_id": run.sample["image_id"], "words": known})
    _write(folder / "data", None, {"sample": run.sample, "hands": hands})


def write_sae(folder: Path) -> None:
    """What `stages.sae.report` reads."""
    run: Sae = made_up.sae()
    names = ("measures", "concept", "fingers")
    _write(folder / "data/sae/evaluation", run.found, {name: getattr(run, name) for name in names})
    _write(folder / "data/sae/probes", None, {"probes": run.probes, "one_letter": run.one_letter})
    _write(
        folder / "data/sae/effects", run.steered, {name: getattr(run, name) for name in ("steering", "steering_area")}
    )
    _write(folder / "data/sae/effects", None, {"minimal_pairs": run.told_fingers})
    for kind, of_kind in (("classes", ["classes"]), ("concept", ["concept", "concept_undone"])):
        steered = {
            name: table[table["steered"].isin(of_kind)].drop(columns="steered")
            for name, table in (("descriptions", run.descriptions), ("features", run.steered_features))
        }
        _write(folder / f"data/sae/steering/{kind}", None, steered)
    for name in ("features", "letters", "images", "phrases"):
        tables.write(getattr(run, name), folder / f"data/sae/examples/{name}.parquet", run.examples_made_by)
    _write(folder / "data", None, {"sample": run.sample})


def write_pretrained(folder: Path) -> None:
    """What `stages.pretrained.report` reads."""
    run: Pretrained = made_up.pretrained()
    _write(folder / "data/pretrained/classes", run.found, {"classes": run.classes})
    steered = {name: getattr(run, name).drop(columns="steered") for name in ("steering", "steering_area")}
    _write(folder / "data/pretrained/effects", Findings(model="tiny"), steered)
    steered = {"descriptions": run.descriptions, "features": run.steered_features}
    steered = {name: table.drop(columns="steered") for name, table in steered.items()}
    _write(folder / "data/pretrained/steering", None, steered)
    _write(folder / "data", None, {"sample": run.sample})


def write_models(folder: Path) -> None:
    """What `stages.models.report` reads."""
    run: Models = made_up.models()
    names = ("accuracy", "models", "controls", "differences", "peaks")
    _write(folder / "data/models/compared", run.found, {name: getattr(run, name) for name in names})
    _write(folder / "data/models", None, {"drift": run.drift, "patching_drift": run.patching_drift})
    _write(folder / "data", None, {"sample": run.sample})


def _write(folder: Path, found: Findings | None, of_folder: Mapping[str, pd.DataFrame]) -> None:
    for name, table in of_folder.items():
        tables.write(table, folder / f"{name}.parquet", {"seed": 42})
    if found is not None:
        tables.write_findings(folder / "findings.json", found)
