"""Letters from features of autoencoders: one letter from a few, all letters from all, beside baselines and controls.

python -m stages.sae.probes
"""

from pathlib import Path

import numpy as np

from signbridge.core import params, tables
from signbridge.core.command_line import run
from signbridge.core.errors import SignBridgeError
from signbridge.core.groups import read_sample
from signbridge.core.names import AUTOENCODER, COMPONENTS, STREAM, model_name
from signbridge.datasets.control_images import NO_IMAGE, OTHER_LETTER, UNTRAINED_TWIN, ControlsParams
from signbridge.probing.settings import ProbeParams
from signbridge.probing.sparse_probes import SparseProbeParams, Stored, Where, probe_letters, tell_letters
from signbridge.statistics.intervals import StatisticsParams
from signbridge.statistics.one_letter import one_letter_metrics, one_letter_table
from signbridge.statistics.sparse_probes import sparse_probe_metrics, sparse_probes

SAMPLE, ACTIVATIONS = Path("data/sample.parquet"), Path("data/activations")
CONTROLS, CONTROL_ANSWERS = Path("data/controls"), Path("data/controls/answers.parquet")
FEATURES, TWIN = Path("data/sae/features"), Path("data/sae/twin")
CONTROL_FEATURES = {
    UNTRAINED_TWIN: TWIN / "sample",
    NO_IMAGE: FEATURES / "no_image",
    OTHER_LETTER: FEATURES / "sample",  # of the images that are shown
}
OF_PROBES, METRICS = Path("data/sae/probes"), Path("metrics/sae/probes.json")
PROBES, ONE_LETTER = OF_PROBES / "probes.parquet", OF_PROBES / "one_letter.parquet"
# At the last layer, over image tokens, no photo on both sides.
OF_FEATURES, OF_STREAM = f"{AUTOENCODER}_image_mean_last", f"{STREAM}_image_mean_last"
ENDS = ("", "_low", "_high")
ONE_OF_K = "one_letter_{}_{}_image_mean_last{}"
HEADLINE = {
    **{f"auc_1_features{end}": ONE_OF_K.format(AUTOENCODER, 1, end) for end in ENDS},
    **{f"auc_1_features_over_{named}{end}": ONE_OF_K.format(AUTOENCODER, 1, f"_over_{other}{end}")
       for named, other in (("dimensions", STREAM), ("components", COMPONENTS)) for end in ENDS},
    "auc_1_features_untrained_twin": ONE_OF_K.format(UNTRAINED_TWIN, 1, ""),
    **{f"auc_{k}_features": ONE_OF_K.format(AUTOENCODER, k, "") for k in (5, 20)},
    **{f"auc_20_features_over_components{end}": ONE_OF_K.format(AUTOENCODER, 20, f"_over_{COMPONENTS}{end}")
       for end in ENDS},
    **{f"auc_1_features_over_dimensions_first_layer_last_token{end}":
       f"one_letter_{AUTOENCODER}_1_prompt_last_first_over_{STREAM}{end}" for end in ENDS},
    "accuracy_all_features": OF_FEATURES,
    "accuracy_all_dimensions": OF_STREAM,
    "accuracy_all_features_untrained_twin": f"{OF_FEATURES}_{UNTRAINED_TWIN}",
    "probes_of_all": "sae_probes_compared",
    **{f"probes_of_all_{side}_the_streams": f"sae_probes_{side}_stream" for side in ("above", "below")},
    "model": "model",
}  # fmt: skip


def main() -> None:
    """Read the sample, activations and features, those of the controls too; write tables and metrics of probes."""
    settings = params.section("probes", SparseProbeParams, params.SAE)
    statistics, seed = params.section("statistics", StatisticsParams), params.seed()
    sample, groups = read_sample(["image_id", "label"])
    image_ids, made_by = sample["image_id"].tolist(), tables.made_by(FEATURES / "features.parquet")
    of_model = {AUTOENCODER: Stored(FEATURES / "sample", image_ids), STREAM: Stored(ACTIVATIONS, image_ids)}
    of_controls = {control: where(control, image_ids) for control in params.section("controls", ControlsParams).read}
    probe, sites = params.section("probe", ProbeParams), made_by["trained"]["sites"]
    scores, tested_in = tell_letters(sample, groups, sites, of_model, of_controls, probe, settings, seed)
    read, controls = probe_letters(sample, groups, sites, of_model, of_controls, probe, settings, seed)
    _, generator, _ = np.random.default_rng(seed).spawn(3)  # the others are those of `evaluate`
    table = sparse_probes(sample, read, controls, statistics, generator)
    told = one_letter_table(scores, tested_in, sample["label"].to_numpy(), groups.of_image, statistics, seed)
    for path, one in ((PROBES, table), (ONE_LETTER, told)):
        tables.write(one, path, {"model": made_by["model"], "sites": sites})
    findings = {**one_letter_metrics(told), **sparse_probe_metrics(table, statistics.confidence)}
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
