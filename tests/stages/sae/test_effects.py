"""The stage `sae.effects`, after the one that it sums up."""

import json
from pathlib import Path

import pandas as pd
import pytest

from signbridge.core import params, tables
from signbridge.core.names import (
    CLASSES,
    CONCEPT,
    CONCEPT_UNDONE,
    FEATURE_DIRECTIONS,
    FEATURE_NULLS,
    NULLS_DOWN,
)
from stages.sae import minimal_pairs, steer
from stages.sae.effects import EFFECTS, METRICS, main, natural_doses
from tests.stages.causal_study import LABELS, continued
from tests.stages.sae_study import UP, write_concept_answers
from tests.stages.small_study import (
    as_declared,
    copy_into,
    declared,
    outputs,
    written_by,
)

TABLES = ("steering", "steering_area")


@pytest.fixture(scope="module")
def finished(tmp_path_factory, of_features) -> tuple[Path, dict[str, bytes]]:
    """The folder of a study that was steered by features, and what the stage made of it."""
    folder = tmp_path_factory.mktemp("sae_effects")
    with continued(of_features[0], folder):
        write_concept_answers(["up" if label == "B" else "bent" for label in LABELS])
        steer.main()
        minimal_pairs.main()
        return folder, written_by(main)


@pytest.fixture
def study(workspace, finished):
    return copy_into(workspace, finished[0])


def read(name: str) -> pd.DataFrame:
    return tables.read(EFFECTS / f"{name}.parquet")


def found() -> dict[str, float | str]:
    return tables.read_findings(EFFECTS / "findings.json")


def empty(kind: str) -> None:
    """What was steered, as the stage leaves it where there is nothing to do."""
    for path in (steer.STEERING / kind).glob("*.parquet"):
        tables.write(tables.read(path).head(0), path, tables.made_by(path))


@pytest.mark.slow
def test_what_was_found_is_written_under_the_names_that_dvc_knows(study, finished):
    assert as_declared("sae.effects", finished[1]) == declared("sae.effects")
    metrics = found()
    assert metrics["model"].startswith("tiny-random")
    assert (metrics["sweep"], metrics["confidence"]) == ("small", 0.95)
    assert metrics[f"{CLASSES}_class_pairs"] == 2
    assert metrics[f"{CONCEPT}_class_pairs"] == metrics[f"{CONCEPT_UNDONE}_class_pairs"] == 1
    for kind in (CLASSES, CONCEPT, CONCEPT_UNDONE):
        for direction in FEATURE_DIRECTIONS:
            for name in ("best_strength", "probability", *(f"over_{null}" for null in FEATURE_NULLS)):
                assert f"{kind}_{direction}_{name}" in metrics
    assert all(value == value for value in metrics.values()), "a number that is none is left out"
    headline = json.loads(METRICS.read_text())
    assert 10 < len(headline) <= 25
    assert headline["classes_probability"] == pytest.approx(metrics["classes_feature_probability"], abs=1e-4)


def test_the_largest_natural_dose_is_quoted_where_the_push_works_best_at_any_dose():
    place = {"steered": "concept", "direction": "feature", "at": "every", "during": "prefill"}
    ends = {"probability_low": 0.1, "probability_high": 0.4}
    doses = pd.DataFrame([
        {**place, **ends, "site": site, "strength": strength, "probability": strength / depth}
        for depth, site in ((4, "layer_01"), (5, "layer_02")) for strength in (0.0, 1.0, 2.0)
    ])  # fmt: skip
    best = {"at": "every", "during": "prefill", "site": "layer_02", "strength": 2.0}
    natural = natural_doses(doses, {f"concept_feature_best_{what}": value for what, value in best.items()})
    assert natural == {"concept_feature_natural_probability": 0.2, "concept_feature_natural_probability_low": 0.1,
                       "concept_feature_natural_probability_high": 0.4}  # fmt: skip
    assert natural_doses(doses, {}) == {}


@pytest.mark.slow
def test_towards_the_concept_and_away_from_it_are_told_apart(study):
    doses, answers = read("steering"), tables.read(steer.STEERING / CONCEPT / "answers.parquet")
    assert set(doses["steered"]) == {CLASSES, CONCEPT, CONCEPT_UNDONE}
    assert set(doses["direction"]) == {*FEATURE_DIRECTIONS, *FEATURE_NULLS, *NULLS_DOWN.values()}
    for kind, mine in ((CONCEPT, answers["b"] == UP), (CONCEPT_UNDONE, answers["b"] != UP)):
        for name in ("feature", "clamp", "random"):
            here = answers[mine & (answers["site"] == "layer_01") & (answers["strength"] == 2)]
            of_images = here[here["direction"] == name].groupby("image_id")["probability"].mean()
            row = doses[(doses["steered"] == kind) & (doses["site"] == "layer_01") & (doses["direction"] == name)]
            quoted = row.loc[row["strength"].astype(float) == 2, "probability"].astype(float)
            assert quoted.tolist() == pytest.approx([of_images.mean()], rel=1e-2)


@pytest.mark.slow
def test_what_is_subtracted_is_compared_with_what_is_subtracted_and_the_rest_with_what_is_added(study):
    before = found()
    for kind in (CLASSES, CONCEPT):
        path = steer.STEERING / kind / "answers.parquet"
        table = tables.read(path)
        down = table["direction"].isin(NULLS_DOWN.values())
        table.loc[down, "probability"] = 0.0
        tables.write(table, path, tables.made_by(path))
    main()
    after = found()
    changed = {name for name in before if not name.endswith(("_low", "_high")) and before[name] != after[name]}
    assert changed == {
        f"{kind}_feature_down_over_{null}" for kind in (CLASSES, CONCEPT, CONCEPT_UNDONE) for null in NULLS_DOWN
    }
    for name in changed:
        kind = name.split("_feature_down_over_")[0]
        assert after[name] == pytest.approx(after[f"{kind}_feature_down_probability"])


@pytest.mark.slow
def test_every_interval_holds_its_value(study):
    for name in TABLES:
        table = read(name)
        values = [column for column in table.columns if f"{column}_low" in table.columns]
        assert values, name
        for column in values:
            low, value, high = (table[f"{column}{end}"].astype(float) for end in ("_low", "", "_high"))
            assert ((low <= value + 1e-6) & (value <= high + 1e-6)).all(), (name, column)


@pytest.mark.slow
def test_a_second_run_writes_the_same_bytes(study):
    first = outputs()
    main()
    assert outputs() == first


@pytest.mark.parametrize(
    ("nothing", "left"), [(CLASSES, {CONCEPT, CONCEPT_UNDONE}), (CONCEPT, {CLASSES})], ids=[CLASSES, CONCEPT]
)
@pytest.mark.slow
def test_where_one_found_nothing_to_do_the_other_is_told_as_ever(study, nothing, left):
    before, columns = found(), {name: list(read(name).columns) for name in TABLES}
    empty(nothing)
    main()
    gone = {CLASSES, CONCEPT, CONCEPT_UNDONE} - left
    assert found() == {name: value for name, value in before.items() if not name.startswith(tuple(gone))}
    for name in TABLES:
        assert set(read(name)["steered"]) == left
        assert list(read(name).columns) == columns[name]


@pytest.mark.slow
def test_where_nothing_was_steered_at_all_the_tables_keep_their_columns(study):
    columns = {name: list(read(name).columns) for name in TABLES}
    empty(CLASSES)
    empty(CONCEPT)
    main()
    assert set(found()) == {"model", "sweep", "confidence", "fingers_told_photos"}
    for name in TABLES:
        assert read(name).empty
        assert list(read(name).columns) == columns[name]


@pytest.mark.slow
def test_another_finger_names_another_concept(study):
    """Whoever changes it steers again first: else nothing was steered towards it."""
    study.set_in(params.SAE, concept__finger="pinky")
    main()
    assert f"{CONCEPT}_class_pairs" not in found()


@pytest.mark.slow
def test_a_misspelt_key_is_named(study):
    study.set_in(params.SAE, steering_effects={"most_damge": 0.3, "breakdown": 1.0})
    assert "steering_effects.most_damge: unknown key. Did you mean 'most_damage'?" in study.message_of_failure(main)


@pytest.mark.parametrize("missing", ["classes/answers", "concept/damage"])
@pytest.mark.slow
def test_a_missing_table_is_reported_by_path(study, missing):
    (steer.STEERING / f"{missing}.parquet").unlink()
    assert f"data/sae/steering/{missing}.parquet: no such table" in study.message_of_failure(main)
