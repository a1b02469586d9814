"""The stage `sae.examples`, with the tiny random model and autoencoders that were hardly trained."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from signbridge.core import activations, params, tables
from stages.sae import examples
from stages.sae import features as features_stage
from tests.stages.causal_study import (
    IDS,
    LABELS,
    PHOTOS,
    continued,
    copy_to_run,
    resumes_with_the_same_bytes,
)
from tests.stages.sae_study import (
    PHRASES,
    PRESET,
    SITES,
)
from tests.stages.small_study import (
    as_declared,
    declared,
    outputs,
    written_by,
)

SETTINGS = {"letters": 2, "features": 12, "images": 3, "phrases": 2, "images_read": 20, "phrases_read": 20}


NEEDED = ("features/features.parquet", "autoencoders/layer_01/cfg.json", "autoencoders/passages.parquet")


@pytest.fixture(scope="module")
def finished(tmp_path_factory, of_features) -> tuple[Path, dict[str, bytes]]:
    """The folder of a study whose stage has run, and what it wrote."""
    folder = tmp_path_factory.mktemp("sae_examples")
    with continued(of_features[0], folder) as workspace:
        workspace.set_in(params.SAE, examples=SETTINGS)
        return folder, written_by(examples.main)


@pytest.fixture
def study(workspace, finished, monkeypatch):
    return copy_to_run(workspace, finished[0], monkeypatch)


def read(name: str) -> pd.DataFrame:
    return tables.read(examples.EXAMPLES / f"{name}.parquet")


def test_what_is_declared_is_written(finished):
    assert as_declared("sae.examples", finished[1]) == declared("sae.examples")
    names = {path.removeprefix("data/sae/examples/") for path in finished[1]}
    assert names == {f"{name}.parquet" for name in ("features", "letters", "images", "phrases")}


def test_the_features_of_every_list_are_shown_and_then_the_most_active(study):
    shown, letters = read("features"), read("letters")
    every = tables.read(features_stage.FEATURES / "features.parquet")
    for site in SITES:
        here = shown.loc[shown["site"] == site, "feature"].tolist()
        lists = letters[(letters["site"] == site) & (letters["reads"] == "sae")]
        assert len(set(here)) == len(here) == SETTINGS["features"]
        assert set(here[: lists["feature"].nunique()]) == set(lists["feature"])
        alive = every[(every["site"] == site) & every["modality"].notna()]
        assert set(here) - set(lists["feature"]) <= set(alive["feature"])
        assert set(lists["letter"]) <= set("ABC")
        assert lists.groupby("letter").size().max() <= SETTINGS["letters"]
    assert set(letters.loc[letters["reads"] == "stream", "rank"]) == {1}


def test_the_mean_of_a_letter_is_that_of_its_photos(study):
    shown = read("features")
    assert tables.made_by(examples.EXAMPLES / "features.parquet")["letters"] == ["A", "B", "C"]
    row = shown[shown["site"] == SITES[0]].iloc[0]
    values = activations.read(features_stage.FEATURES / "sample", SITES[0], "image_mean", IDS)[:, row["feature"]]
    of_photos = pd.Series(values).groupby([LABELS, PHOTOS]).mean()
    np.testing.assert_allclose(row["letters"], of_photos.groupby(level=0).mean(), rtol=1e-5)


def test_the_strongest_images_are_of_different_photos_and_average_to_the_stored_features(study):
    images, photo = read("images"), dict(zip(IDS, PHOTOS, strict=True))
    assert set(images["site"]) == set(SITES)
    for (site, feature), rows in images.groupby(["site", "feature"]):
        assert rows["image_id"].map(photo).is_unique
        assert rows["strongest"].is_monotonic_decreasing
        assert rows["rank"].tolist() == list(range(1, len(rows) + 1))
        assert len(rows) <= SETTINGS["images"]
        means = activations.read(features_stage.FEATURES / "sample", site, "image_mean", rows["image_id"].tolist())
        found = [of.mean() for of in rows["activations"]]
        np.testing.assert_allclose(found, means[:, feature], rtol=1e-2, atol=1e-4)


def test_phrases_are_of_the_corpus_and_no_two_begin_alike_up_to_their_peak(study):
    phrases = read("phrases")
    assert len(phrases)
    assert set(phrases["phrase"]) <= set(PHRASES)
    for _, rows in phrases.groupby(["site", "feature"]):
        begins = [row.phrase[: row.end[np.argmax(row.activations)]] for row in rows.itertuples()]
        assert len(set(begins)) == len(begins) <= SETTINGS["phrases"]
    made_by = tables.made_by(examples.EXAMPLES / "phrases.parquet")
    assert (made_by["phrases_read"], made_by["phrases"]) == (20, len(PHRASES))
    assert made_by["images_read"] == made_by["images"] == len(set(PHOTOS))


def test_more_features_than_there_are_is_all_that_are_not_dead(study):
    study.set_in(params.SAE, examples={**SETTINGS, "features": 10_000})
    examples.main()
    every = tables.read(features_stage.FEATURES / "features.parquet")
    shown = read("features")
    assert len(shown) < 10_000
    for site in SITES:
        alive = every[(every["site"] == site) & every["modality"].notna()]
        assert set(alive["feature"]) <= set(shown.loc[shown["site"] == site, "feature"])


def test_letters_of_one_photo_each_have_no_list_and_the_most_active_are_shown(study):
    sample = tables.read("data/sample.parquet")
    tables.write(sample.assign(photo=sample["label"]), "data/sample.parquet", {})
    examples.main()
    assert read("letters").empty
    assert (read("features").groupby("site").size() == SETTINGS["features"]).all()


def test_autoencoders_that_fire_nowhere_give_empty_tables(study):
    features = tables.read(features_stage.FEATURES / "features.parquet")
    made_by = tables.made_by(features_stage.FEATURES / "features.parquet")
    tables.write(features.assign(modality=np.nan), features_stage.FEATURES / "features.parquet", made_by)
    for site in SITES:
        width = len(features[features["site"] == site])
        vectors = {position: np.zeros((len(IDS), width), np.float32) for position in ("prompt_last", "image_mean")}
        activations.write(features_stage.FEATURES / "sample", site, IDS, vectors, made_by)
    examples.main()
    assert all(read(name).empty for name in ("features", "images", "phrases"))


def test_the_same_study_gives_the_same_bytes(study, finished):
    examples.main()
    assert {path: Path(path).read_bytes() for path in finished[1]} == finished[1]
    assert not Path(".scratch/sae_examples").exists()


@pytest.mark.parametrize("killed_after", [1, 3])
@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_bytes(study, monkeypatch, killed_after):
    resumes_with_the_same_bytes(examples.main, monkeypatch, killed_after, shards=2 + 3)


@pytest.mark.parametrize("key", [*SETTINGS])
def test_params_that_cannot_be_are_refused_by_their_key(study, key):
    before = outputs()
    study.set_in(params.SAE, examples={**SETTINGS, key: 0})
    assert f"examples.{key}" in study.message_of_failure(examples.main)
    assert outputs() == before


def test_features_of_other_autoencoders_are_refused(study):
    path = features_stage.FEATURES / "features.parquet"
    tables.write(tables.read(path), path, {**tables.made_by(path), "trained": {"sites": SITES, "preset": PRESET}})
    assert "other autoencoders" in study.message_of_failure(examples.main)


@pytest.mark.parametrize(
    "missing",
    [
        "data/sae/features/features.parquet",
        "data/sae/autoencoders/layer_01/cfg.json",
        "data/sae/autoencoders/passages.parquet",
    ],
)
def test_what_is_missing_is_named_and_older_tables_are_kept(study, finished, missing):
    Path(missing).unlink()
    assert missing in study.message_of_failure(examples.main)
    assert {path: Path(path).read_bytes() for path in finished[1]} == finished[1]
