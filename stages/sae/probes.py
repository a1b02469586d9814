"""Letters from a few features of the autoencoders: sparse probes, beside probes of the stream, and their controls.

python -m stages.sae.probes
"""

from pathlib import Path

import numpy as np

from signbridge.core import params, tables
from signbridge.core.command_line import run
from signbridge.core.errors import SignBridgeError
from signbridge.core.names import AUTOENCODER, STREAM, model_name
from signbridge.datasets.control_images import NO_IMAGE, OTHER_LETTER, UNTRAINED_TWIN, ControlsParams
from signbridge.probing.settings import ProbeParams
from signbridge.probing.sparse_probes import SparseProbeParams, Stored, Where, probe_letters
from signbridge.statistics.intervals import StatisticsParams
from signbridge.statistics.sparse_probes import sparse_probe_metrics, sparse_probes

SAMPLE, ACTIVATIONS = Path("data/sample.parquet"), Path("data/activations")
CONTROLS, CONTROL_ANSWERS = Path("data/controls"), Path("data/controls/answers.parquet")
FEATURES, TWIN = Path("data/sae/features"), Path("data/sae/twin")
CONTROL_FEATURES = {
    UNTRAINED_TWIN: TWIN / "sample",
    NO_IMAGE: FEATURES / "no_image",
    OTHER_LETTER: FEATURES / "sample",  # of the images that are shown
}
PROBES, METRICS = Path("data/sae/evaluation/probes.parquet"), Path("metrics/sae/probes.json")
# At the last layer, over image tokens, no photo on both sides.
OF_FEATURES, OF_STREAM = "sae_{}_image_mean_last", "stream_{}_image_mean_last"
HEADLINE = {
    "accuracy_all_features": OF_FEATURES.format("dense"),
    "accuracy_all_dimensions": OF_STREAM.format("dense"),
    **{f"accuracy_{k}_features": OF_FEATURES.format(k) for k in (1, 5, 20, 100)},
    **{f"accuracy_{k}_dimensions": OF_STREAM.format(k) for k in (1, 5, 20, 100)},
    **{f"accuracy_all_features_{control}": f"{OF_FEATURES.format('dense')}_{control}" for control in CONTROL_FEATURES},
    "probes": "sae_probes_compared_dense",
    "probes_of_some_features": "sae_probes_compared_same_k",
    **{f"probes_{side}_all_dimensions": f"sae_probes_{side}_dense" for side in ("above", "below")},
    **{f"probes_{side}_as_many_dimensions": f"sae_probes_{side}_same_k" for side in ("above", "below")},
    "model": "model",
}


def main() -> None:
    """Read the sample, activations and features, those of the controls too; write the table and metrics of probes."""
    settings = params.section("probes", SparseProbeParams, params.SAE)
    statistics, seed = params.section("statistics", StatisticsParams), params.seed()
    sample = tables.read(SAMPLE, columns=["image_id", "label", "photo"])
    image_ids, made_by = sample["image_id"].tolist(), tables.made_by(FEATURES / "features.parquet")
    of_model = {AUTOENCODER: Stored(FEATURES / "sample", image_ids), STREAM: Stored(ACTIVATIONS, image_ids)}
    of_controls = {control: where(control, image_ids) for control in params.section("controls", ControlsParams).read}
    probe, sites = params.section("probe", ProbeParams), made_by["trained"]["sites"]
    read, controls = probe_letters(sample, sites, of_model, of_controls, probe, settings, seed)
    _, generator, _ = np.random.default_rng(seed).spawn(3)  # the others are those of `evaluate`
    table = sparse_probes(sample, read, controls, statistics, generator)
    tables.write(table, PROBES, {"model": made_by["model"], "sites": sites})
    findings = sparse_probe_metrics(table, statistics.confidence)
    findings["model"] = model_name(PROBES, params.model_notes())
    tables.write_metrics(METRICS, findings, HEADLINE)


def where(control: str, image_ids: list[str]) -> Where:
    """Where a control's features and streams lie."""
    shown = shown_instead(image_ids) if control == OTHER_LETTER else image_ids
    return {
        AUTOENCODER: Stored(CONTROL_FEATURES[control], shown), STREAM: Stored(CONTROLS / control, image_ids),
    }  # fmt: skip


def shown_instead(image_ids: list[str]) -> list[str]:
    """Which image of another letter the model was shown in place of each."""
    answers = tables.read(CONTROL_ANSWERS, columns=["control", "image_id", "shown"])
    shown = answers[answers["control"] == OTHER_LETTER].set_index("image_id")["shown"]
    try:
        return shown.loc[image_ids].tolist()
    except KeyError:
        raise SignBridgeError(f"{CONTROL_ANSWERS}: not of these images. Run `dvc repro`.") from None


if __name__ == "__main__":
    run(main)
