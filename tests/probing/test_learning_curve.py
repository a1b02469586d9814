"""The learning curve: less to train on, the same images tested; beyond the sample nothing of a tested group trains."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from signbridge.core import activations
from signbridge.core.groups import Groups, groups_of
from signbridge.probing import learning_curve, protocols
from signbridge.probing.learning_curve import (
    COLUMNS,
    LearningCurveParams,
    beyond_sample,
    points_of,
    score_pixels,
    score_sample,
)
from signbridge.probing.sweep import Cell, ControlSweep, predict

LABELS = np.repeat(list("ABC"), 24)
PHOTOS = np.array([f"{label}-{index % 8}" for index, label in enumerate(LABELS)])  # three images of each
IDS = [f"image-{index:02d}" for index in range(72)]
SPLITS = protocols.grouped(LABELS, PHOTOS, folds=4, repeats=2, inner_folds=2, seed=0)
PLACE = ("layer_00", "prompt_last")
PARAMS = LearningCurveParams(shares=[0.3, 0.5], images_a_photo=2, repeats=2, more_images_a_photo=2)


def points(groups=PHOTOS, **changes):
    return points_of(LABELS, groups, PHOTOS, SPLITS, PARAMS.model_copy(update=changes), seed=0)


def by_fold(of_points):
    folds = {}
    for name, split in of_points:
        folds.setdefault((split.repeat, split.fold), {})[name] = split
    return folds


@pytest.fixture(autouse=True)
def one_process(monkeypatch):
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")


def test_what_is_tested_stays_and_smaller_training_sets_lie_inside_larger_ones():
    folds = by_fold(points())
    assert len(folds) == len(SPLITS)
    for whole in SPLITS:
        of_fold = folds[whole.repeat, whole.fold]
        assert list(of_fold) == ["share 0.3", "share 0.5", "images 2"]
        assert all((split.test == whole.test).all() for split in of_fold.values())
        smaller, larger = of_fold["share 0.3"].train, of_fold["share 0.5"].train
        assert (smaller <= larger).all()
        assert smaller.sum() < larger.sum() < whole.train.sum()
        assert all((split.train <= whole.train).all() for split in of_fold.values())


def test_a_share_is_of_the_groups_of_every_letter_and_they_come_whole():
    for whole in SPLITS:
        train = by_fold(points())[whole.repeat, whole.fold]["share 0.5"].train
        for letter in "ABC":
            here, all_of_them = (set(PHOTOS[mask & (letter == LABELS)]) for mask in (train, whole.train))
            assert len(here) == np.ceil(len(all_of_them) / 2)
        assert (np.isin(PHOTOS, PHOTOS[train]) == train).all()


def test_of_each_photo_no_more_images_train_than_asked_for():
    one, two = (by_fold(points(images_a_photo=most)) for most in (1, 2))
    for fold in one:
        smaller, larger = one[fold]["images 1"].train, two[fold]["images 2"].train
        assert (smaller <= larger).all()
        assert [set(pd.Series(PHOTOS[kept]).value_counts()) for kept in (smaller, larger)] == [{1}, {2}]


def test_repeats_draw_anew_and_fewer_of_them_can_be_asked_for():
    assert (points()[1].split.train == points()[1].split.train).all(), "the same seed, the same draw"
    assert {split.repeat for _, split in points(repeats=1)} == {0}
    drawn = [frozenset(PHOTOS[of["share 0.3"].train]) for of in by_fold(points()).values()]
    assert len(set(drawn)) == len(drawn)


def sweep_of(folder, places=(PLACE,), width=6):
    vectors = (
        np.random.default_rng(0).normal(size=(72, width))
        + np.eye(3)[np.unique(LABELS, return_inverse=True)[1]][:, np.arange(width) % 3]
    )
    for site, position in places:
        activations.write(folder, site, IDS, {position: vectors.astype(np.float32)}, {"sites": [places[0][0]]})
    return ControlSweep(
        IDS, LABELS, PHOTOS, SPLITS, list(places), {place: [0.02] * len(SPLITS) for place in places}, 2**30
    )


def test_the_probes_are_those_of_the_rows_that_are_left_with_the_penalty_in_proportion(tmp_path):
    sweep = sweep_of(tmp_path)
    table = score_sample(sweep, PHOTOS, points(), [PLACE, ("vision", "image_mean")], tmp_path)
    assert list(table.columns) == COLUMNS
    assert set(zip(table["site"], table["position"], strict=True)) == {PLACE}, "the tower was not probed"
    vectors = activations.read(tmp_path, *PLACE, IDS)
    for whole in SPLITS[:2]:
        split = by_fold(points())[whole.repeat, whole.fold]["share 0.3"]
        raised = {PLACE: [0.02 * whole.train.sum() / split.train.sum()]}
        expected = predict(Cell(*PLACE, vectors), LABELS, [split], raised).predicted[0]
        rows = table[(table["repeat"] == whole.repeat) & (table["fold"] == whole.fold)]
        rows = rows[rows["trained_on"] == "share 0.3"]
        assert rows["image_id"].tolist() == list(np.array(IDS)[split.test])
        assert rows["predicted"].tolist() == list(np.array(list("ABC"))[expected])
        assert set(rows["images"]) == {split.train.sum()}
        assert set(rows["groups"]) == {len(set(PHOTOS[split.train]))}


def test_without_folds_or_points_there_is_no_row(tmp_path):
    assert score_sample(sweep_of(tmp_path), PHOTOS, [], [PLACE], tmp_path).columns.tolist() == COLUMNS
    assert points_of(LABELS, PHOTOS, PHOTOS, [], PARAMS, seed=0) == []


# Beyond the sample ----------------------------------------------------------------------------------------------------


def dataset():
    """The sample, two more images of each of its photos, four other photos of each letter, and a letter it has not."""
    own = pd.DataFrame({"image_id": IDS, "label": LABELS, "photo": PHOTOS})
    copies = pd.concat([own.drop_duplicates("photo")] * 2, ignore_index=True)
    copies["image_id"] = [f"copy-{row}" for row in range(len(copies))]
    others = pd.DataFrame([(f"{a}-new-{photo}", a) for a in "ABCZ" for photo in range(4) for _ in range(2)])
    others = others.set_axis(["photo", "label"], axis=1)
    others["image_id"] = [f"other-{row}" for row in range(len(others))]
    return pd.concat([others, own.sample(frac=1, random_state=0), copies], ignore_index=True)[own.columns]


def test_pixels_learn_from_other_photos_and_from_more_images_but_from_none_that_is_tested():
    images = dataset()
    beyond = beyond_sample(images, groups_of(images, "photo"), IDS, SPLITS, most=4, seed=0)
    rows = images.iloc[beyond.rows].reset_index(drop=True)
    assert rows["image_id"][:72].tolist() == IDS
    assert "Z" not in set(rows["label"])
    for name, split in beyond.points:
        assert split.repeat == 0
        whole = SPLITS[split.fold]
        assert (split.test[:72] == whole.test).all()
        assert not split.test[72:].any()
        assert not set(rows["photo"][split.train]) & set(rows["photo"][split.test])
        assert (split.train[:72] == whole.train).all()
        added = rows[72:][split.train[72:]]
        if name == "more photos":
            assert sorted(added["photo"]) == sorted(f"{a}-new-{photo}" for a in "ABC" for photo in range(4))
        else:
            assert set(rows["photo"][split.train].value_counts()) == {4}
    assert [name for name, _ in beyond.points] == ["more photos"] * 4 + ["more images"] * 4


def test_images_of_a_signer_who_is_tested_do_not_train_whatever_their_photo():
    images = dataset()
    own = images["image_id"].isin(IDS)
    images["signer"] = np.where(own, images["photo"].str[-1].astype(int) % 3, np.arange(len(images)) % 3).astype(str)
    signers = images.set_index("image_id").loc[IDS, "signer"].to_numpy()
    splits = protocols.grouped(LABELS, signers, 3, 1, 2, seed=0, kind="signer")
    for _, split in beyond_sample(images, groups_of(images, "signer"), IDS, splits, most=9, seed=0).points:
        rows = images.iloc[beyond_sample(images, groups_of(images, "signer"), IDS, splits, 9, 0).rows]
        assert not set(rows["signer"][split.train]) & set(rows["signer"][split.test])


@pytest.mark.parametrize(("most", "rows"), [(0, 200), (2, 72)], ids=["not asked for", "the sample is all there is"])
def test_without_more_than_the_sample_there_is_nothing_beyond_it(most, rows):
    images = dataset()
    images = images if rows == 200 else images[images["image_id"].isin(IDS)]
    assert beyond_sample(images, Groups("photo", images["photo"].to_numpy()), IDS, SPLITS, most, 0) is None


def test_of_a_large_dataset_so_many_images_are_drawn(monkeypatch):
    monkeypatch.setattr(learning_curve, "MOST_IMAGES", 80)
    images = dataset()
    beyond = beyond_sample(images, groups_of(images, "photo"), IDS, SPLITS, most=9, seed=0)
    assert len(beyond.rows) == 72 + 8 + 8


def test_what_pixels_read_beyond_the_sample_is_counted_with_the_groups_that_trained(tmp_path):
    images = dataset()
    beyond = beyond_sample(images, groups_of(images, "photo"), IDS, SPLITS, most=4, seed=0)
    sweep = sweep_of(tmp_path, places=[("pixels", "flat")])
    letters = np.unique(images["label"].iloc[beyond.rows], return_inverse=True)[1]
    pixels = (np.eye(3)[letters] * 200).astype(np.uint8).reshape(-1, 3, 1)
    table = score_pixels(sweep, beyond, pixels, images)
    assert list(table.columns) == COLUMNS
    assert (table["label"] == table["predicted"]).all()
    assert table.groupby("trained_on")["image_id"].agg(set).map(len).to_dict() == {"more images": 72, "more photos": 72}
    groups = table.groupby("trained_on")["groups"].unique().to_dict()
    assert {name: of.tolist() for name, of in groups.items()} == {"more images": [18], "more photos": [30]}
    assert score_pixels(sweep._replace(Cs={}), beyond, pixels, images).empty
    assert all(one.split.train.sum() < other.split.train.sum() for one, other in pairwise(beyond.points[3:5]))
