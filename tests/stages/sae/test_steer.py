"""The stage `sae.steer`, with the tiny random model and autoencoders that were hardly trained."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from signbridge.core import activations, params, tables
from signbridge.core.names import (
    CLAMP,
    CLAMP_DECODED,
    CLASSES,
    CONCEPT,
    EQUAL_LOGIT,
    EQUAL_LOGIT_DOWN,
    FEATURE,
    FEATURE_DOWN,
    LIKE_FEATURES,
    LIKE_FEATURES_DOWN,
    NEIGHBOURS,
    NEIGHBOURS_DOWN,
    POSITION_OF,
    RANDOM,
)
from signbridge.datasets.concept import concept_names
from signbridge.datasets.sampling import fitted_half
from signbridge.vlm.model_run import ModelRun
from stages.sae import features as features_stage
from stages.sae.steer import STEERING, main
from tests.stages.causal_study import (
    IDS,
    LABELS,
    PHOTOS,
    WORDS,
    continued,
    copy_to_run,
    resumes_with_the_same_bytes,
    write_answers,
)
from tests.stages.sae_study import (
    SITES,
    STEERED,
    UP,
    rename_classes,
    write_concept_answers,
)
from tests.stages.small_study import as_declared, declared, written_by

pytestmark = (
    pytest.mark.slow
)  # autoencoders steer end to end, killed and not; tests/sae and tests/causal test the parts

KINDS, TABLES = (CLASSES, CONCEPT), ("answers", "damage", "descriptions", "features")
NOT_UP = concept_names("index")[0]
CALLED = {"A": NOT_UP, "B": UP, "C": NOT_UP}
SAID = {"A": "bent", "B": "up", "C": "bent"}
EDITS = [(name, 0) for name in (FEATURE, CLAMP, CLAMP_DECODED, FEATURE_DOWN)]
EDITS += [(null, 0) for null in (RANDOM, LIKE_FEATURES, NEIGHBOURS, LIKE_FEATURES_DOWN,
                                      NEIGHBOURS_DOWN, EQUAL_LOGIT, EQUAL_LOGIT_DOWN)]  # fmt: skip


@pytest.fixture(scope="module")
def finished(tmp_path_factory, of_features) -> tuple[Path, dict[str, bytes]]:
    """The folder of a study whose stage has run, and what it wrote."""
    folder = tmp_path_factory.mktemp("sae_steer")
    with continued(of_features[0], folder):
        write_concept_answers([SAID[label] for label in LABELS])
        return folder, written_by(main)


@pytest.fixture
def study(workspace, finished, monkeypatch):
    return copy_to_run(workspace, finished[0], monkeypatch)


def read(kind: str, name: str) -> pd.DataFrame:
    return tables.read(STEERING / kind / f"{name}.parquet")


def pairs(table: pd.DataFrame) -> set[tuple[str, str]]:
    return set(table[["a", "b"]].itertuples(index=False, name=None))


def test_what_is_declared_is_written(finished):
    assert as_declared("sae.steer", finished[1]) == declared("sae.steer")
    names = {path.removeprefix("data/sae/steering/") for path in finished[1]}
    assert names == {f"{kind}/{name}.parquet" for kind in KINDS for name in TABLES}


@pytest.mark.parametrize("kind", KINDS)
def test_every_edit_of_every_image_is_there_with_what_made_it(study, kind):
    answers, damage = read(kind, "answers"), read(kind, "damage")
    for _, rows in answers.groupby(["a", "b", "at", "site", "strength", "image_id"]):
        assert list(rows[["direction", "draw"]].itertuples(index=False, name=None)) == EDITS
    assert answers["site"].unique().tolist() == SITES
    assert set(answers["strength"]) == set(STEERED["strengths"])
    assert answers["probability"].between(0, 1).all()
    assert np.isfinite(damage["damage"]).all()
    assert damage["damage"].abs().max() > 0
    changed = answers.groupby(["a", "b", "at", "site", "image_id"])["probability"].nunique()
    assert changed.max() > 3, "directions do different things"
    assert set(read(kind, "descriptions")["direction"]) == {FEATURE, CLAMP, CLAMP_DECODED, FEATURE_DOWN, RANDOM}
    made_by = tables.made_by(STEERING / kind / "answers.parquet")
    assert made_by["model"]["name"] == "tiny-random"
    assert made_by["trained"]["sites"] == SITES


def test_classes_are_steered_by_the_answers_of_the_study_and_hands_by_those_under_the_concepts_prompt(study):
    of_classes, of_concept = (read(kind, "answers") for kind in KINDS)
    assert set(of_classes["at"]) == {"image", "prompt_last"}
    assert set(of_concept["at"]) == {"every"}
    assert (of_classes["answer_b"] == of_classes["b"].map(WORDS)).all()
    assert pairs(of_concept) == {(NOT_UP, UP), (UP, NOT_UP)}
    assert (of_concept["answer_b"] == of_concept["b"].map({UP: "up", NOT_UP: "bent"})).all()
    for table, called in ((of_classes, {label: label for label in "ABC"}), (of_concept, CALLED)):
        of_image = table["image_id"].map(dict(zip(IDS, map(called.get, LABELS), strict=True)))
        assert (of_image == table["a"]).all(), "images of the class that is left"


@pytest.mark.parametrize("kind", KINDS)
def test_features_are_chosen_on_one_half_of_the_photos_and_images_of_the_other_are_steered(study, kind):
    labels = LABELS if kind == CLASSES else np.array([CALLED[label] for label in LABELS])
    half = fitted_half(labels, PHOTOS, seed=42)
    of_half = dict(zip(IDS, half, strict=True))
    for name in ("answers", "damage", "descriptions"):
        assert not any(of_half[image] for image in read(kind, name)["image_id"])
    folder = features_stage.FEATURES / ("sample" if kind == CLASSES else "concept/features")
    chosen = read(kind, "features")
    assert len(chosen) == len(SITES) * len(read(kind, "answers")[["a", "b", "at"]].drop_duplicates())
    for row in chosen.itertuples():
        fitted = activations.read(folder, row.site, POSITION_OF[row.at], IDS)[half]
        gap = fitted[labels[half] == row.b].mean(0) - fitted[labels[half] == row.a].mean(0)
        assert (row.up, row.down) == (gap.argmax(), gap.argmin())


def test_the_same_study_gives_the_same_bytes(study, finished):
    main()
    assert {path: Path(path).read_bytes() for path in finished[1]} == finished[1]
    assert not Path(".scratch/sae_steer").exists()


@pytest.mark.parametrize("killed_after", [1, 2])
def test_a_killed_run_goes_on_to_the_same_bytes_whatever_the_settings_of_the_other_sweep(
    study, monkeypatch, killed_after
):
    study.set_in(params.SAE, steering__full__of_concept={**STEERED, "draws": 9})
    resumes_with_the_same_bytes(main, monkeypatch, killed_after, shards=2 + 1)


def test_the_full_sweep_reads_its_own_settings(study):
    study.set(questions__sweep="full")
    main()
    assert len(pairs(read(CLASSES, "answers"))) == len(pairs(read(CONCEPT, "answers"))) == 1


def columns() -> dict[tuple[str, str], list[str]]:
    return {(kind, name): list(read(kind, name).columns) for kind in KINDS for name in TABLES}


def test_images_that_all_got_one_answer_leave_empty_tables_and_say_so(study, caplog):
    before = columns()
    write_answers(["fist"] * len(IDS))
    main()
    assert all(read(CLASSES, name).empty for name in TABLES)
    assert not any(read(CONCEPT, name).empty for name in TABLES)
    assert columns() == before
    assert "nothing is steered" in caplog.text


@pytest.mark.parametrize("others", ["up", ""], ids=["all the same", "all the same but one photo"])
def test_where_the_model_says_the_concept_of_all_hands_none_is_turned_to_it(study, caplog, others):
    before = columns()
    write_concept_answers([*["up"] * 12, others or "bent"])
    main()
    assert all(read(CONCEPT, name).empty for name in TABLES)
    assert not any(read(CLASSES, name).empty for name in TABLES)
    assert columns() == before
    assert "index finger up" in caplog.text
    assert "got the same answer" not in caplog.text


def test_a_concept_that_is_not_known_of_the_classes_is_left_out(study, caplog):
    before = columns()
    rename_classes()
    path = features_stage.FEATURES / "concept/answers.parquet"
    tables.write(tables.read(path).assign(up_index=None), path, tables.made_by(path))
    main()
    assert all(read(CONCEPT, name).empty for name in TABLES)
    assert pairs(read(CLASSES, "answers")) <= {(f"sign {a}", f"sign {b}") for a in "ABC" for b in "ABC"}
    assert not read(CLASSES, "answers").empty
    assert columns() == before
    assert "index finger up" in caplog.text


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"steering__small__of_concept": {**STEERED, "strengths": [0.0]}}, "small.of_concept.strengths.0"),
        ({"steering__small__of_classes": {**STEERED, "layers": 2}}, "steering.small.of_classes.layers"),
        ({"concept__finger": "indx"}, "concept.finger"),
        ({"concept__prompt": "The finger is"}, "stages/sae/params.yaml: concept.prompt must hold <image> exactly once"),
        ({"questions__describe": "A hand."}, "questions.describe must hold <image> exactly once"),
    ],
)  # fmt: skip
def test_a_mistake_in_the_params_is_named_and_no_table_is_touched(study, finished, settings, said):
    for key, value in settings.items():
        study.set_in(params.PARAMS if key.startswith("questions") else params.SAE, **{key: value})
    assert said in study.message_of_failure(main)
    assert {path: Path(path).read_bytes() for path in finished[1]} == finished[1]


@pytest.mark.parametrize("missing", ["concept/answers.parquet", "concept/features/layer_01.parquet"])
def test_missing_features_are_named(study, missing):
    (features_stage.FEATURES / missing).unlink()
    assert Path(missing).name in study.message_of_failure(main)


def test_a_class_of_a_single_photo_is_named_before_a_model_is_loaded(study, monkeypatch):
    def no_model(*_):
        raise AssertionError("a model is loaded")

    sample = tables.read("data/sample.parquet")
    sample.loc[sample["label"] == "B", "photo"] = "b0"
    tables.write(sample, "data/sample.parquet", {})
    monkeypatch.setattr(ModelRun, "open", no_model)
    assert "class B has 1 photo" in study.message_of_failure(main)
