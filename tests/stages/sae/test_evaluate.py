"""The stages `sae.probes` and `sae.evaluate`, on the autoencoders of a small study."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from signbridge.core import activations, params, tables
from signbridge.core.names import AUTOENCODER, COMPONENTS, MODEL, POSITIONS, STREAM, TWIN
from signbridge.datasets.control_images import CONTROLS
from signbridge.datasets.hands import joint_angles, read_hands
from signbridge.datasets.sampling import fitted_half
from signbridge.probing.sparse_probes import Read, control_cells
from signbridge.rendered.dataset import RenderedParams
from signbridge.statistics import fingers
from signbridge.statistics.ranking import aucs
from stages import extract_controls
from stages.sae import evaluate, probes, twin
from stages.sae import features as features_stage
from tests.stages.causal_study import (
    IDS,
    LABELS,
    PHOTOS,
    continued,
    copy_to_run,
)
from tests.stages.sae_study import HANDS, SITES, UP, rename_classes, write_images
from tests.stages.small_study import as_declared, declared, written_by


@pytest.fixture(scope="module")
def finished(tmp_path_factory, of_features) -> tuple[Path, dict[str, dict[str, bytes]]]:
    """The folder of a study whose stages have run, and what each wrote."""
    folder = tmp_path_factory.mktemp("sae_judge")
    with continued(of_features[0], folder):
        extract_controls.main()
        twin.main()
        return folder, {"probes": written_by(probes.main), "evaluate": written_by(evaluate.main)}


@pytest.fixture
def study(workspace, finished, monkeypatch):
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")
    return copy_to_run(workspace, finished[0], monkeypatch)


def found() -> dict[str, float | str]:
    return tables.read_findings(evaluate.EVALUATION / "findings.json")


def read(name: str) -> pd.DataFrame:
    folder = probes.OF_PROBES if name in ("probes", "one_letter") else evaluate.EVALUATION
    return tables.read(folder / f"{name}.parquet")


def evaluate_again() -> None:
    probes.main()
    evaluate.main()


def test_what_is_declared_is_written(finished):
    for stage, written in finished[1].items():
        assert as_declared(f"sae.{stage}", written) == declared(f"sae.{stage}")


def test_both_kinds_of_tokens_are_judged_at_every_site(study):
    table = read("measures")
    assert set(table["site"]) == set(SITES)
    measures = {kind: set(rows["measure"]) for kind, rows in table.groupby("modality")}
    assert measures["image"] == measures["text"] >= {"variance_explained", "l0", "fires", "fidelity", "zeros_cost"}
    beside = {f"{name}{of}" for name in ("shared", "shared_mass") for of in ("", f"_{TWIN}", f"_over_{TWIN}")}
    assert measures["both"] == {"dead", "image_only", "text_only"} | beside
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
    judged = read("measures").set_index(["site", "modality", "measure"])["value"]
    probes = read("probes").set_index(["protocol", "site", "position", "reads"])
    one_letter = read("one_letter").set_index(["site", "position", "reads", "k"])["auc"]
    for end, site in (("first", SITES[0]), ("last", SITES[-1])):
        assert metrics[f"variance_explained_image_{end}"] == pytest.approx(
            judged[site, "image", "variance_explained"], abs=1e-6
        )
        assert metrics[f"shared_{end}"] == pytest.approx(judged[site, "both", "shared"], abs=1e-6)
        for reads in ("sae", "stream"):
            of = probes.loc[("grouped", site, "image_mean", reads)]
            assert metrics[f"{reads}_image_mean_{end}"] == pytest.approx(of["accuracy"], abs=1e-6)
            name = f"one_letter_{reads}_5_image_mean_{end}"
            assert metrics[name] == pytest.approx(float(one_letter[site, "image_mean", reads, 5]), abs=1e-6)


def test_there_is_a_probe_of_all_features_and_of_the_stream_for_every_position_and_protocol(study):
    keys = read("probes").set_index(["protocol", "site", "position", "reads"])
    assert keys.index.is_unique
    assert len(keys) == 2 * len(SITES) * 2 * 2
    grouped = keys.loc["grouped"]
    assert grouped["shuffled"].notna().all()
    assert grouped.xs("sae", level="reads")["minus_stream"].notna().all()


def test_one_letter_is_told_from_k_features_and_from_as_many_of_each_baseline(study):
    keys = read("one_letter").set_index(["site", "position", "reads", "k"])
    assert set(keys.index) == {(site, position, reads, k) for site in SITES for position in POSITIONS
                               for reads in (AUTOENCODER, STREAM, COMPONENTS, TWIN) for k in (1, 5)}  # fmt: skip
    assert keys["auc"].between(0, 1).all()
    of_features = keys.xs(AUTOENCODER, level="reads")
    for other in (STREAM, COMPONENTS, TWIN):
        expected = of_features["auc"].astype(float) - keys.xs(other, level="reads")["auc"].astype(float)
        np.testing.assert_allclose(of_features[f"over_{other}"].astype(float), expected, atol=1e-6)


def test_every_control_that_was_read_stands_beside_the_probes_of_the_folds(study):
    controls = read("probes").set_index("protocol")[list(CONTROLS)]
    assert controls.loc["signbridge"].isna().all(axis=None)
    assert controls.loc["grouped"].ge(0).all(axis=None)
    study.set(controls__read=["other_letter"])
    evaluate_again()
    fewer = read("probes").set_index("protocol")
    assert fewer[["untrained_twin", "no_image"]].isna().all(axis=None)
    np.testing.assert_array_equal(fewer["other_letter"], controls["other_letter"])
    assert {name.removeprefix("sae_image_mean_last") for name in found() if "image_mean_last" in name} >= {
        "", "_other_letter"
    }  # fmt: skip
    assert not [name for name in found() if name.endswith("_no_image") or TWIN in name]
    assert TWIN not in {*read("concept")["reads"], *read("one_letter")["reads"]}


def cell_of(control: str, reads: str) -> np.ndarray:
    """What a control shows at the first site's image tokens."""
    one = Read(pd.DataFrame(), pd.DataFrame(), [0.01, 0.1])
    where = {control: probes.where(control, IDS)}
    places, cells = control_cells({(SITES[0], "image_mean", reads): one}, where, [0.01, 0.1])
    given = dict(zip(places, cells, strict=True))[control, SITES[0], "image_mean", reads]
    twins = [[0.01, 0.1]] * 2
    assert given.Cs == (twins if control == TWIN else [[0.01], [0.1]]), "the twin's are chosen, the others' are not"
    return given.vectors


def test_controls_show_the_twins_features_the_grey_images_and_those_of_another_letter(study):
    def stored(folder: Path, ids: list[str]) -> np.ndarray:
        return activations.read(folder, SITES[0], "image_mean", ids)

    answers = tables.read(probes.CONTROL_ANSWERS)
    shown = answers[answers["control"] == "other_letter"].set_index("image_id")["shown"]
    other = [shown[image_id] for image_id in IDS]
    label = dict(zip(IDS, LABELS, strict=True))
    assert all(label[mine] != label[theirs] for mine, theirs in zip(IDS, other, strict=True))
    expected = {
        TWIN: stored(twin.TWIN / "sample", IDS),
        "no_image": stored(features_stage.FEATURES / "no_image", IDS),
        "other_letter": stored(features_stage.FEATURES / "sample", other),
    }
    for control, features in expected.items():
        np.testing.assert_array_equal(cell_of(control, AUTOENCODER), features)
        np.testing.assert_array_equal(cell_of(control, STREAM), stored(probes.CONTROLS / control, IDS))
    np.testing.assert_allclose(cell_of("other_letter", STREAM), stored(probes.ACTIVATIONS, other), atol=1e-4)


def test_answers_of_other_images_than_the_samples_are_refused(study):
    answers = tables.read(probes.CONTROL_ANSWERS)
    tables.write(answers[answers["image_id"] != IDS[3]], probes.CONTROL_ANSWERS, {})
    assert "answers.parquet: not of these images" in study.message_of_failure(probes.main)


def test_the_same_study_gives_the_same_bytes(study, finished):
    evaluate_again()
    for written in finished[1].values():
        assert {path: Path(path).read_bytes() for path in written} == written


def test_other_bounds_share_other_features(study):
    before = found()["shared_first"]
    study.set_in(params.SAE, evaluate__shared=[0.0, 1.0])
    evaluate.main()
    assert found()["shared_first"] == 1 > before


def test_a_protocol_that_is_not_chosen_is_left_out(study):
    study.set(probe__protocols=["signbridge"])
    evaluate_again()
    assert set(read("probes")["protocol"]) == {"signbridge"}
    assert found()["sae_probes_compared"] == 0
    assert read("one_letter").empty


def test_no_metrics_file_has_more_keys_than_can_be_read(finished):
    for written in finished[1].values():
        for path, contents in written.items():
            if path.startswith("metrics/"):
                assert 5 <= len(json.loads(contents)) <= 25, path


@pytest.mark.parametrize(
    ("stage", "changed", "said"),
    [
        (evaluate, {"evaluate__shared": [0.9, 0.1]}, "evaluate.shared"),
        (evaluate, {"evaluate__shared": [0.5]}, "evaluate.shared"),
        (probes, {"probes__k": [0]}, "probes.k"),
        (probes, {"probes__C": [0.0]}, "probes.C"),
        (probes, {"probes__repeats": 0}, "probes.repeats"),
    ],
)
def test_params_that_cannot_be_are_refused_by_their_key(study, stage, changed, said):
    study.set_in(params.SAE, **changed)
    assert said in study.message_of_failure(stage.main)


def test_missing_features_are_named(study):
    (features_stage.FEATURES / "items" / f"{SITES[0]}.parquet").unlink()
    assert f"{SITES[0]}.parquet" in study.message_of_failure(evaluate.main)


def test_features_are_held_to_the_twins_and_to_the_stream_at_telling_the_concept(study):
    table = read("concept")
    places = [(reads, site, position) for reads in (MODEL, TWIN, STREAM) for site in SITES for position in POSITIONS]
    assert list(table[["reads", "site", "position"]].itertuples(index=False, name=None)) == places
    up = LABELS == "B"
    half = fitted_half(np.where(up, UP, "index finger not up"), PHOTOS, seed=42)
    folders = {MODEL: features_stage.FEATURES / "concept/features", TWIN: twin.TWIN / "concept/features"}
    for row in table[table["reads"] != STREAM].itertuples():
        features = activations.read(folders[row.reads], row.site, row.position, IDS)
        assert float(row.auc_fitted) == pytest.approx(aucs(features[half], up[half], [True]).max(), abs=1e-5)
        of_others = aucs(features[~half], up[~half], [True])[0]
        assert float(row.auc) == pytest.approx(of_others[int(row.feature)], abs=1e-5)
    metrics = found()
    assert metrics["concept"] == UP
    assert metrics["concept_share"] == pytest.approx(4 / 13, abs=1e-5)
    assert {f"concept_model_over_{other}{end}" for other in (TWIN, STREAM) for end in ("", "_low", "_high")} <= set(
        metrics
    )


def test_of_classes_that_are_no_letters_no_concept_is_known(study):
    before = list(read("concept").columns)
    rename_classes()
    evaluate_again()
    assert read("concept").empty
    assert list(read("concept").columns) == before
    assert not [name for name in found() if name.startswith("concept")]


def test_of_hands_that_were_not_drawn_no_joint_is_known(study):
    assert read("fingers").empty
    assert list(read("fingers").columns) == fingers.COLUMNS
    assert not [name for name in found() if name.startswith("fingers")]


def as_if_drawn() -> pd.DataFrame:
    """The sample under names of drawn hands, a feature of the model's first layer following their index finger."""
    numbers = {photo: int(photo[1]) for photo in PHOTOS}
    ids = [
        f"{label}-{numbers[photo]:03d}-{copy}" for copy, (label, photo) in enumerate(zip(LABELS, PHOTOS, strict=True))
    ]
    drawn = RenderedParams(source="rendered", seed=3, size=28, photos=1, copies=1)
    write_images(pd.DataFrame({"image_id": ids, "label": LABELS}), drawn)
    pip = joint_angles(read_hands(HANDS, ids))["index_pip"].to_numpy(np.float32)
    for folder in (features_stage.FEATURES / "sample", twin.TWIN / "sample"):
        for site in SITES:
            about = tables.made_by(folder / f"{site}.parquet")
            vectors = {position: activations.read(folder, site, position, IDS) for position in POSITIONS}
            if folder.parent == features_stage.FEATURES and site == SITES[0]:
                vectors["image_mean"][:, 5] = pip
            activations.write(folder, site, ids, vectors, {**about, "sites": SITES})
    return pd.DataFrame({"image_id": ids, "label": LABELS, "photo": PHOTOS}).sample(frac=1, random_state=0)


def test_of_drawn_hands_the_features_that_follow_a_joint_are_listed_whatever_the_order_of_the_images(study):
    sample = as_if_drawn()
    folders = {MODEL: features_stage.FEATURES / "sample", TWIN: twin.TWIN / "sample"}
    settings = params.section("fingers", fingers.FingerParams, params.SAE)
    hands = read_hands(HANDS, sample["image_id"])
    table, metrics = fingers.tracked_fingers(folders, SITES, sample, hands, settings, np.random.default_rng(0))
    planted = table[(table["reads"] == MODEL) & (table["site"] == SITES[0]) & (table["position"] == "image_mean")]
    assert list(table.columns) == fingers.COLUMNS
    first = planted.iloc[0]
    assert (first["feature"], first["finger"], first["joint"]) == (5, "index", "pip")
    assert first["r"] == pytest.approx(1)
    assert planted["feature"].size <= 4, "as many as are to be listed"
    shares = {name: value for name, value in metrics.items() if name.startswith("fingers_")}
    assert shares
    assert all(0 <= share <= 1 for share in shares.values())
    of_twin = {f"fingers_{TWIN}_{position}_tracking{of}" for position in POSITIONS for of in ("", "_within_letters")}
    assert {name for name in shares if TWIN in name} == of_twin


@pytest.mark.parametrize("missing", ["concept/features/layer_01", "concept/stream/layer_00"])
def test_what_is_missing_of_the_concept_is_named(study, missing):
    (features_stage.FEATURES / f"{missing}.parquet").unlink()
    assert f"{missing}.parquet" in study.message_of_failure(evaluate.main)
