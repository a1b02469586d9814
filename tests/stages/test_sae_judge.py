"""The stage `sae_judge`, on the autoencoders of a small study."""

import json
from pathlib import Path

import pytest

from signbridge import tables
from stages import sae_features, sae_judge
from tests.stages.causal_study import copy_to_run, extracted
from tests.stages.sae_study import SITES, set_up
from tests.stages.small_study import as_declared, declared, written_by


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> tuple[Path, dict[str, bytes]]:
    """The folder of a study whose stage has run, and what it wrote."""
    folder = tmp_path_factory.mktemp("sae_judge")
    with extracted(folder) as workspace:
        set_up(workspace)
        sae_features.main()
        return folder, written_by(sae_judge.main)


@pytest.fixture
def study(workspace, finished, monkeypatch):
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")
    return copy_to_run(workspace, finished[0], monkeypatch)


def found() -> dict[str, float | str]:
    return json.loads(Path("metrics/sae.json").read_text())


def test_what_is_declared_is_written(finished):
    assert as_declared("sae_judge", finished[1]) == declared("sae_judge")


def test_both_kinds_of_tokens_are_judged_at_every_site(study):
    table = tables.read_csv("plots/sae.csv")
    assert set(table["site"]) == set(SITES)
    measures = {kind: set(rows["measure"]) for kind, rows in table.groupby("modality")}
    assert measures["image"] == measures["text"] >= {"variance_explained", "l0", "fires", "fidelity", "zeros_cost"}
    assert measures["both"] == {"dead", "shared", "image_only", "text_only"}
    keys = table.set_index(["site", "modality", "measure"])["value"]
    assert keys.index.is_unique
    for site in SITES:
        assert sum(float(keys[site, "both", name]) for name in ("shared", "image_only", "text_only")) == pytest.approx(
            1, abs=1e-5
        )


def test_the_metrics_are_those_of_the_plots(study):
    metrics = found()
    assert metrics["model"] == "tiny-random (it has learnt nothing)"
    assert metrics["images_in_training"] == metrics["phrases_in_training"] == 0
    judged = tables.read_csv("plots/sae.csv").set_index(["site", "modality", "measure"])["value"]
    probes = tables.read_csv("plots/sae_probes.csv").set_index(["protocol", "site", "position", "reads", "k"])
    for end, site in (("first", SITES[0]), ("last", SITES[-1])):
        assert metrics[f"variance_explained_image_{end}"] == float(judged[site, "image", "variance_explained"])
        assert metrics[f"shared_{end}"] == float(judged[site, "both", "shared"])
        for reads in ("sae", "stream"):
            of = probes.loc[("grouped", site, "image_mean", reads, "5")]
            assert metrics[f"{reads}_5_image_mean_{end}"] == float(of["accuracy"])


def test_there_is_a_probe_of_features_and_of_the_stream_for_every_k_position_and_protocol(study):
    table = tables.read_csv("plots/sae_probes.csv")
    keys = table.set_index(["protocol", "site", "position", "reads", "k"])
    assert keys.index.is_unique
    assert len(keys) == 2 * len(SITES) * 2 * 2 * 3
    assert set(table["k"]) == {"1", "5", "dense"}
    grouped = keys.loc["grouped"]
    assert (grouped["shuffled"] != "").all()
    assert (grouped.xs("sae", level="reads")["minus_dense"] != "").all()


def test_the_same_study_gives_the_same_bytes(study, finished):
    sae_judge.main()
    assert {path: Path(path).read_bytes() for path in finished[1]} == finished[1]


def test_other_bounds_share_other_features(study):
    before = found()["shared_first"]
    study.set(sae_judge__shared=[0.0, 1.0])
    sae_judge.main()
    assert found()["shared_first"] == 1 > before


def test_a_protocol_that_is_not_chosen_is_left_out(study):
    study.set(probe__protocols=["signbridge"])
    sae_judge.main()
    assert set(tables.read_csv("plots/sae_probes.csv")["protocol"]) == {"signbridge"}
    assert found()["sae_probes_compared_dense"] == 0


def test_missing_features_are_named(study):
    (sae_features.FEATURES / "items" / f"{SITES[0]}.parquet").unlink()
    assert f"{SITES[0]}.parquet" in study.message_of_failure(sae_judge.main)
