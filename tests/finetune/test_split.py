"""The split of fine-tuning: whole groups, nothing probed that was trained on, and shares of each letter."""

import numpy as np
import pandas as pd
import pytest

from signbridge.core.errors import SignBridgeError
from signbridge.core.groups import groups_of
from signbridge.finetune.settings import SplitParams
from signbridge.finetune.split import audit, split

LETTERS, PHOTOS, COPIES = "ABC", 10, 4
SETTINGS = SplitParams(train=0.4, stop=0.1, per_letter=6, stop_per_letter=2)


def images(signers: int = 0) -> pd.DataFrame:
    """Ten photos a letter in four copies each; with signers, each has photos of every letter."""
    rows = [
        {"image_id": f"{letter}-{photo}-{copy}", "label": letter, "photo": f"{letter}-{photo}"}
        | ({"signer": f"P{photo % signers}"} if signers else {})
        for letter in LETTERS for photo in range(PHOTOS) for copy in range(COPIES)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def of_sample(table: pd.DataFrame) -> np.ndarray:
    """One copy of seven photos a letter is in the sample."""
    photo = table["photo"].str.split("-").str[1].astype(int)
    return ((photo >= 3) & table["image_id"].str.endswith("-0")).to_numpy()


def test_each_letter_gets_its_share_of_photos_and_those_that_the_sample_lacks_are_trained_on_first():
    table = images()
    chosen = split(table, groups_of(table, "auto"), of_sample(table), SETTINGS, 0)
    photos = chosen.drop_duplicates("group")[["label", "part"]].value_counts()
    for letter in LETTERS:
        assert photos[letter].to_dict() == {"train": 4, "stop": 1, "probe": 5}, "of those that the sample has, the rest"
    outside = {f"{letter}-{photo}" for letter in LETTERS for photo in range(3)}
    assert outside <= set(chosen.loc[chosen["part"] != "probe", "group"])
    assert len(chosen.drop_duplicates(["group", "part"])) == chosen["group"].nunique()
    assert set(chosen.loc[chosen["part"] == "probe", "image_id"]) <= set(table.loc[of_sample(table), "image_id"])
    assert (chosen[chosen["part"] == "train"]["label"].value_counts() == 6).all()
    of_photo = chosen[chosen["part"] == "train"]["group"].value_counts()
    assert of_photo.max() - of_photo.min() <= 1, "images are taken from the photos in turn"
    assert audit(chosen, table) == {"photo_in_train": 0.0}


def test_signers_are_kept_whole_though_each_signs_every_letter():
    table = images(signers=5)
    groups = groups_of(table, "auto")
    assert groups.kind == "signer"
    chosen = split(table, groups, of_sample(table), SETTINGS, 0)
    assert chosen.groupby("part")["group"].nunique().to_dict() == {"probe": 2, "stop": 1, "train": 2}
    assert audit(chosen, table) == {"signer_in_train": 0.0, "photo_in_train": 0.0}


def test_a_photo_under_two_signers_is_not_trained_on_where_it_is_probed():
    table = images(signers=5)
    chosen = split(table, groups_of(table, "auto"), of_sample(table), SETTINGS, 0)
    probed = chosen[chosen["part"] == "probe"].iloc[0]
    trained = chosen[(chosen["part"] == "train") & (chosen["label"] == probed["label"])]["group"].iloc[0]
    photo = table.set_index("image_id").loc[probed["image_id"], "photo"]
    table.loc[(table["photo"] == photo) & table["image_id"].str.endswith("-3"), "signer"] = trained
    again = split(table, groups_of(table, "auto"), of_sample(table), SETTINGS, 0)
    assert audit(again, table)["photo_in_train"] == 0
    shared = table.set_index("image_id").loc[again["image_id"], "photo"].to_numpy()
    assert photo in set(shared[again["part"] == "probe"])
    assert photo not in set(shared[again["part"] != "probe"])


def test_the_audit_counts_what_a_split_gets_wrong():
    table = images(signers=5)
    chosen = split(table, groups_of(table, "auto"), of_sample(table), SETTINGS, 0)
    probed = chosen[chosen["part"] == "probe"]
    leaky = pd.concat([chosen, probed.iloc[:1].assign(image_id=probed["image_id"].iloc[0][:-1] + "2", part="train")])
    assert audit(leaky, table)["photo_in_train"] == pytest.approx(1 / len(probed))
    assert audit(leaky, table)["signer_in_train"] == pytest.approx((probed["group"] == probed["group"].iloc[0]).mean())


def test_shuffled_letters_are_one_a_photo_and_as_many_as_before():
    table = images()
    chosen = split(table, groups_of(table, "auto"), of_sample(table), SETTINGS, 0)
    for _, part in chosen.groupby("part"):
        assert len(part.drop_duplicates(["group", "shuffled"])) == part["group"].nunique()
        first = part.drop_duplicates("group")
        assert sorted(first["shuffled"]) == sorted(first["label"])
    assert (chosen["shuffled"] != chosen["label"]).any()


def test_the_same_seed_gives_the_same_split_and_another_seed_another():
    table = images()
    first, same, other = (
        split(table, groups_of(table, "auto"), of_sample(table), SETTINGS, seed) for seed in (0, 0, 1)
    )
    assert first.equals(same)
    assert not first.equals(other)


def test_a_letter_with_too_few_photos_is_named():
    table = images()
    few = table[~((table["label"] == "B") & ~table["photo"].isin(["B-3", "B-4"]))].reset_index(drop=True)
    with pytest.raises(SignBridgeError, match="no photo of letter 'B' is left for the part 'probe'"):
        split(few, groups_of(few, "auto"), of_sample(few), SETTINGS, 0)
