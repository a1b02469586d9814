"""The stages of models side by side, on what small models would leave; and once with models that are read."""

import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from signbridge.core import activations, params, tables
from signbridge.datasets.images import decode_png, encode_png
from signbridge.probing.peak import layer_of_each_fold
from signbridge.vlm import nf4
from stages.models import compare, drift, extract, model, patch, probe, report, score_letters
from tests.conftest import Workspace
from tests.report.made_up_models import ENTRY, NEEDS
from tests.report.reading import Page
from tests.stages import small_study
from tests.stages.small_study import (
    ACTIVATIONS,
    CONTROL_ACTIVATIONS,
    IDS,
    LABELS,
    as_declared,
    copy_into,
    declared,
    written_by,
)

NAMES = ["first", "second"]
READ, SCORED, PATCHED = (Path(f"data/models/{name}") for name in ("read", "scored", "patched"))


def of_models(stage: str) -> set[str]:
    """What the stage is declared to write, of each model where it has a matrix."""
    return {name.replace("${item.model}", one) for name in declared(f"models.{stage}") for one in NAMES}


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Workspace:
    """A folder in which two models were read, the second in fewer bits, and probed."""
    with small_study.working_in(tmp_path_factory.mktemp("models")) as workspace, pytest.MonkeyPatch.context() as patch:
        small_study.write_study(workspace)
        workspace.set_in(params.SIDE_BY_SIDE, models=NAMES, repeats=1, shuffled_draws=4)
        for name, quantization in zip(NAMES, ("none", "nf4"), strict=True):
            entry = {**ENTRY, "name": name, "quantization": quantization, "source": "hub", "hub_id": "a/b"}
            made_by = {"model": entry, "needs": NEEDS, "read_on": {"device": "cpu"}}
            answers = pd.DataFrame({"image_id": IDS, "label": LABELS, "prompt": "?", "answer": LABELS})
            tables.write(answers, READ / name / "answers.parquet", made_by)
            shutil.copytree(ACTIVATIONS, READ / name / "activations")
            shutil.copytree(CONTROL_ACTIVATIONS / "no_image", READ / name / "no_image/activations")
            likely = pd.DataFrame({"image_id": IDS, "label": LABELS, "prompt": "?", "letter": LABELS})
            tables.write(likely.assign(log_probability=-0.5), SCORED / f"{name}.parquet", made_by)
            share = {"none": 0.5, "nf4": 0.25}[quantization]
            cell = pd.DataFrame({"pair": [0, 0], "receiver": IDS[:2], "site": "layer_00", "position": "image"})
            tables.write(cell.assign(gap=2.0, moved=2 * share), PATCHED / f"{name}.parquet", made_by)
        _nudge(READ / "second/activations", "layer_01")
        for name in NAMES:
            patch.setattr(sys, "argv", ["probe", name])
            probe.main()
        yield workspace


def _nudge(folder: Path, site: str) -> None:
    """Other vectors of the same images, as other weights would give them."""
    vectors = {
        position: activations.read(folder, site, position, IDS) + np.float32(0.01)
        for position in activations.positions_of(site)
    }
    activations.write(folder, site, IDS, vectors, {"sites": activations.sites(folder)})


def test_each_model_is_probed_on_the_studys_folds_without_leakage(finished):
    written = {path.as_posix() for path in Path("data/models/probed").rglob("*.parquet")}
    assert as_declared_of_models("probe", written) == of_models("probe")
    for name in NAMES:
        table = tables.read(f"data/models/probed/{name}/predictions.parquet")
        assert set(table["protocol"]) == {"grouped"}
        assert table["repeat"].max() == 0
        assert set(table.loc[table["site"].str.startswith("layer_"), "position"]) == {"prompt_last"}
        assert (table.groupby("site")["image_id"].nunique() == len(IDS)).all()
        shuffled = tables.read(f"data/models/probed/{name}/shuffled_labels.parquet")
        layers = shuffled.loc[shuffled["site"].str.startswith("layer_")]
        assert (set(shuffled["site"]) - set(layers["site"]), set(layers["position"])) == ({"vision"}, {"prompt_last"})
        assert layers["draw"].tolist() == [0, 1, 2, 3]
    first, second = (tables.read(f"data/models/probed/{name}/choices.parquet") for name in NAMES)
    assert first[["site", "repeat", "fold"]].equals(second[["site", "repeat", "fold"]])


def test_each_models_own_probes_are_scored_under_its_controls_where_they_are_quoted(finished):
    for name in NAMES:
        found = tables.read(f"data/models/probed/{name}/controls.parquet")
        choices = tables.read(f"data/models/probed/{name}/choices.parquet")
        quoted = {"vision", *layer_of_each_fold(choices, "prompt_last")["site"]}
        assert set(found["control"]) == {"no_image", "other_letter"}
        for _, table in found.groupby("control"):
            assert (set(table["site"]), set(table["repeat"])) == (quoted, {0})
            assert (table.groupby("site")["image_id"].nunique() == len(IDS)).all()
        of_no_image = found[found["control"] == "no_image"]
        said = of_no_image.groupby(["site", "fold"])["predicted"].agg(set)
        assert (said.map(len) == 1).all(), "all rows are one picture"
        right = found["label"] == found["predicted"]
        assert right.mean() < 0.5


def test_without_controls_none_is_probed_and_the_page_says_what_is_left(study, monkeypatch):
    study.set_in(params.SIDE_BY_SIDE, models=["first"], controls=[])
    monkeypatch.setattr(sys, "argv", ["probe", "first"])
    for stage in (probe, drift, compare, report):
        stage.main()
    assert tables.read("data/models/probed/first/controls.parquet").empty
    over = {key for key in tables.read_findings("metrics/models.json") if key.startswith("best_over")}
    assert over == {"best_over_vision", "best_over_answer"}
    page = Page(report.REPORT.read_text(encoding="utf-8"))
    assert "The only control of each model is letters that were shuffled over photos." in page.section("models").text


def as_declared_of_models(stage: str, written: set[str]) -> set[str]:
    names = of_models(stage)
    return {next((name for name in names if Path(path).is_relative_to(name)), path) for path in written}


@pytest.fixture
def study(finished, workspace) -> Workspace:
    """The folder, to do with as one likes."""
    return copy_into(workspace, finished.folder)


def test_they_are_compared_on_the_same_resamples_and_the_page_is_made(study):
    assert as_declared("models.drift", written_by(drift.main)) == declared("models.drift")
    assert as_declared("models.compare", written_by(compare.main)) == declared("models.compare")
    report.main()
    page = report.REPORT.read_text(encoding="utf-8")
    assert 'id="models"' in page
    assert 'id="drift"' in page
    table = tables.read("data/models/compared/models.parquet").set_index("model")
    assert table.loc["first", "named"] == 1
    assert table.loc["first", "decoder"] == pytest.approx(table.loc["second", "decoder"], abs=0.1)
    of_drift = tables.read(drift.DRIFT)
    assert set(of_drift["reference"]) == {"first"}
    moved = of_drift[of_drift["relative_error"] > 0]
    assert set(moved["site"]) == {"layer_01"}
    [patched] = tables.read(drift.PATCHING_DRIFT).to_dict("records")
    assert (patched["reference"], patched["model"], patched["difference"]) == ("first", "second", -0.25)
    assert (table["likeliest"] == 1).all()
    assert len(tables.read_findings("metrics/models.json")) <= 25
    first = page_and_tables()
    compare.main()
    report.main()
    assert page_and_tables() == first


def page_and_tables() -> dict[str, bytes]:
    return {
        path.as_posix(): path.read_bytes() for path in [report.REPORT, *sorted(Path("data/models").rglob("*.parquet"))]
    }


def test_a_model_of_the_hub_whose_letters_could_not_be_scored_is_named_and_the_rest_stands(study):
    """By eight digits of its commit."""
    name, shown = f"some-org/some.name-2/{'0123456789' * 4}", "some-org/some.name-2/01234567"
    for folder in (READ, Path("data/models/probed")):
        shutil.copytree(folder / "second", folder / name)
    for folder in (SCORED, PATCHED):
        (folder / name).parent.mkdir(parents=True)
        shutil.copy(folder / "second.parquet", folder / f"{name}.parquet")
    none = tables.read(SCORED / "second.parquet")[:0]
    tables.write(none, SCORED / f"{name}.parquet", {"not_scored": "two classes are the same tokens."})
    study.set_in(params.SIDE_BY_SIDE, models=["first", name])
    for stage in (drift, compare, report):
        stage.main()
    found = tables.read_findings("metrics/models.json")
    assert {"first_over_likeliest_letter", f"{shown}_accuracy"} <= found.keys()
    assert f"{shown}_over_likeliest_letter" not in found
    sections = [Page(report.REPORT.read_text(encoding="utf-8")).section(of).text for of in ("models", "drift")]
    assert f"{shown}: its letters are not scored. two classes are the same tokens." in sections[0]
    assert all(shown in text and name not in text for text in sections)


def test_no_pairs_are_asked_for_and_no_model_is_read(study, monkeypatch):
    """Not even described: there is no data/models/described/ here."""
    monkeypatch.setattr(sys, "argv", ["patch", "first"])
    assert set(written_by(patch.main)) == {"data/models/patched/first.parquet"}
    assert tables.read(PATCHED / "first.parquet").empty


def test_without_the_protocol_that_does_not_leak_nothing_is_compared(study, monkeypatch):
    study.set(probe__protocols=["signbridge"])
    monkeypatch.setattr(sys, "argv", ["probe", "first"])
    assert "models are compared under `grouped` alone" in study.message_of_failure(probe.main)


def test_a_misspelt_setting_is_named(study):
    study.set_in(params.SIDE_BY_SIDE, repeat=2)
    assert "stages/models/params.yaml: repeat: unknown key. Did you mean 'repeats'?" in (
        study.message_of_failure(compare.main)
    )


@pytest.fixture
def read(workspace, monkeypatch) -> Workspace:
    """A sample of five images in two sizes, and the random model described."""
    random = np.random.default_rng(0)
    pixels = [random.integers(0, 256, (side, side), dtype=np.uint8) for side in (28, 28, 14, 28, 14)]
    ids = [f"i{row}" for row in range(5)]
    images = [encode_png(image) for image in pixels]
    sample = pd.DataFrame({"image_id": ids, "label": list("ABABA"), "photo": ids, "image": images})
    tables.write(sample, "data/sample.parquet", {})
    workspace.set(**{"models__tiny-random__max_new_tokens": 2})
    workspace.set_in(params.SIDE_BY_SIDE, patching_pairs=1, letters_question="Choose one of {letters}.")
    monkeypatch.setenv("SIGNBRIDGE_DEVICE", "cpu")
    monkeypatch.setenv("SIGNBRIDGE_BATCH_SIZE", "4")
    monkeypatch.setattr(sys, "argv", ["stage", "tiny-random"])
    model.main()
    return workspace


def test_a_grey_picture_is_read_once_for_each_size_beside_the_images(read):
    written = written_by(extract.main)
    assert {name.replace("${item.model}", "tiny-random") for name in declared("models.extract")} == {
        "data/models/read/tiny-random" if path.startswith("data/models/read/tiny-random/") else path for path in written
    }
    folder, sample = READ / "tiny-random", tables.read("data/sample.parquet")
    ids = sample["image_id"].tolist()
    [grey] = {tables.made_by(path)["grey"] for path in (folder / "no_image").rglob("*.parquet")}
    mean = np.concatenate([decode_png(png).ravel() for png in sample["image"]]).mean()
    assert grey == round(mean)
    assert set(activations.read(folder / "no_image/activations", "pixels", "flat", ids).ravel()) == {grey}
    for site in ("vision", "layer_00", "layer_08"):
        for position in activations.positions_of(site):
            under = activations.read(folder / "no_image/activations", site, position, ids)
            assert (under[[0, 1, 2]] == under[[3, 1, 4]]).all(), "of one size, one picture"
            own = activations.read(folder / "activations", site, position, ids)
            assert len(np.unique(own, axis=0)) == len(ids)
    answers = tables.read(folder / "no_image/answers.parquet")
    assert answers["image_id"].tolist() == ids


def test_all_stages_read_a_model_in_the_kind_of_weights_that_its_extraction_had(read, monkeypatch):
    changes = {"quantization": "nf4", "seed": 1}  # another than other tests loaded, which would stay as it was
    read.set(**{f"models__tiny-random__{key}": value for key, value in changes.items()})
    model.main()
    monkeypatch.setattr(nf4, "all_bytes", lambda device: 2**20)  # too few to expand
    extract.main()
    as_read = tables.read_json("data/models/as_read/tiny-random.json")
    assert as_read == {**tables.read_json("data/models/described/tiny-random.json"), "weights": "packed"}
    monkeypatch.setattr(nf4, "all_bytes", lambda device: 2**50)  # another machine, which would expand
    score_letters.main()
    patch.main()
    for folder in (SCORED, PATCHED):
        assert tables.made_by(folder / "tiny-random.parquet")["read_on"]["weights"] == "packed"


@pytest.mark.slow
def test_three_models_of_two_families_go_all_the_way_through(workspace, monkeypatch):
    """A LLaVA, its untrained twin packed and not, and a Gemma 3, each small and random: every stage, on few images."""
    pixels = np.random.default_rng(0).integers(0, 256, (12, 28, 28), dtype=np.uint8)
    ids = [f"i{row}" for row in range(12)]
    images = [encode_png(image) for image in pixels]
    sample = pd.DataFrame({"image_id": ids, "label": list("ABC") * 4, "photo": ids, "image": images})
    tables.write(sample, "data/sample.parquet", {})
    twin = {"like": "tiny-random", "untrained": 0, "max_new_tokens": 2}
    names = ["twin", "packed", "tower", "half", "tiny-gemma3"]
    workspace.set(
        probe__grouped={"by": "auto", "folds": 2, "repeats": 1, "inner_folds": 2, "C": [0.1]},
        statistics={"confidence": 0.95, "resamples": 50}, models__twin=twin,
        models__packed={**twin, "like": "twin", "quantization": "nf4"},
        models__tower={"like": "packed", "quantize": "decoder"}, models__half={"like": "twin", "dtype": "bfloat16"},
    )  # fmt: skip
    workspace.set_in(params.SIDE_BY_SIDE, models=names, repeats=1, patching_pairs=2)
    monkeypatch.setenv("SIGNBRIDGE_DEVICE", "cpu")
    for name in names:
        monkeypatch.setattr(sys, "argv", ["stage", name])
        for stage in (model, extract, probe, score_letters, patch):
            stage.main()
    drift.main()
    compare.main()
    report.main()
    table = tables.read(drift.DRIFT)
    assert set(table["reference"]) == {"twin"}
    of_tower = table[(table["site"] == "vision")].set_index("model")["relative_error"]
    assert of_tower["half"] < of_tower["packed"]
    assert of_tower["tower"] < of_tower["packed"], "whose tower is packed"
    patched = tables.read(drift.PATCHING_DRIFT)
    assert set(patched["model"]) == {"packed", "tower", "half"}
    assert (patched.loc[patched["position"] == "all", "effect"] - 1).abs().max() < 1e-3
    scored = tables.read(SCORED / "tiny-gemma3.parquet")
    assert scored["prompt"].unique().tolist() == [
        "user\n<start_of_image>Which letter of the American Sign Language alphabet does this hand show? Choose one of "
        "A, B or C.\nmodel\n"
    ]
    described = tables.read_json("data/models/described/tiny-gemma3.json")
    assert described["entry"]["prompt"].startswith("user\n<start_of_image>What sign")
    assert report.REPORT.exists()
