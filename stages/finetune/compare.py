"""Before and after fine-tuning, and against its nulls: all on the same images and the same resamples of groups."""

from pathlib import Path

import numpy as np

from signbridge.core import params, tables
from signbridge.core.command_line import run
from signbridge.core.errors import SignBridgeError
from signbridge.core.groups import read_sample
from signbridge.core.names import model_name
from signbridge.probing.peak import headline_position
from signbridge.statistics.finetune import BASE, TUNED, Run, compare_runs
from signbridge.statistics.intervals import StatisticsParams
from signbridge.statistics.taken_over import taken_over
from signbridge.statistics.tuned import HEADLINE, damages, findings_of

SAID, PROBED, MOVED, PATCHED, DAMAGED = (
    Path("data/finetune") / name for name in ("said.parquet", "probed", "moved", "patched", "damage")
)
WRITTEN = Path("data/finetune/compared")


def main() -> None:
    """Read what was found of all runs; write `data/finetune/compared/`, metrics and a plot."""
    names, seed = params.section("runs", list[str], params.FINETUNE), params.seed()
    if TUNED not in names:
        raise SignBridgeError(f"{params.FINETUNE}: runs: `{TUNED}` is what every other run is held against. Add it.")
    patched = params.section("patching.runs", list[str], params.FINETUNE)
    statistics = params.section("statistics", StatisticsParams)
    said, generator = tables.read(SAID), np.random.default_rng(seed)
    runs = {
        name: Run(
            predictions=tables.read(PROBED / name / "predictions.parquet"),
            choices=tables.read(PROBED / name / "choices.parquet"),
            said=said[said["run"] == name],
        )
        for name in (BASE, *names)
    }
    sample, groups = read_sample(["image_id", "label"])
    kept = sample["image_id"].isin(runs[BASE].said["image_id"]).to_numpy()
    sample, groups = sample[kept], groups._replace(of_image=groups.of_image[kept])
    group_of = sample.set_index("image_id")["group"]
    position = headline_position(runs[BASE].choices)
    transfer = tables.read(MOVED / "transfer.parquet")
    found = compare_runs(runs, transfer, position, group_of, statistics, generator)
    found |= {"drift": tables.read(MOVED / "drift.parquet")}
    swapped = {name: tables.read(PATCHED / f"{name}.parquet") for name in (BASE, *patched)}
    found |= taken_over(swapped, statistics, generator)
    there = {name: DAMAGED / f"{name}.parquet" for name in names}  # the untrained twin describes nothing
    described = {name: tables.read(path) for name, path in there.items() if path.exists()}
    found |= {"damage": damages(described, group_of, statistics, generator)}
    audit = tables.made_by(SAID)["audit"]
    findings = {
        "model": model_name(SAID, params.model_notes()),
        "images": len(sample),
        "photos": int(sample["photo"].nunique()),
        **groups.findings(),
        "chance": float(sample["label"].value_counts(normalize=True).max()),
        "confidence": statistics.confidence,
        "position": position,
        "in_train": max(audit.values()),
        **audit,
        **findings_of(found, [BASE, *names], statistics.confidence),
    }
    made_by = {"runs": names, "statistics": statistics.model_dump(), "seed": seed}
    for name, table in found.items():
        tables.write(table, WRITTEN / f"{name}.parquet", made_by)
    tables.write_findings(WRITTEN / "findings.json", findings)
    tables.write_metrics("metrics/finetune.json", findings, HEADLINE)
    layers = found["accuracy"]["site"].str.startswith("layer_") & (found["accuracy"]["position"] == position)
    plotted = found["accuracy"][layers]
    plotted = plotted.assign(layer=plotted["site"].str.removeprefix("layer_").astype(int))
    tables.write_csv(plotted[["run", "layer", "accuracy", "low", "high"]], "plots/finetune/layers.csv")


if __name__ == "__main__":
    run(main)
