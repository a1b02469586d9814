"""The tables that the probes leave behind."""

from collections.abc import Sequence

import numpy as np

from signbridge.probing import protocols
from signbridge.probing.description_length import Code
from signbridge.probing.folds import Choice
from signbridge.probing.predictions import choices_table, codes_table, predictions_table
from signbridge.probing.probes import Probe
from signbridge.probing.sweep import Scored

LABELS = np.repeat(list("ABC"), 6)
PHOTOS = np.arange(18) // 2
IDS = np.array([f"image-{index}" for index in range(18)])
SPLITS = [*protocols.signbridge(LABELS, 0.2, 0), *protocols.grouped(LABELS, PHOTOS, 3, 2, 2, 0)]
NO_PROBES: dict[str, Probe] = {}


def scored(site: str, position: str, accuracy: float, codes: Sequence[Code] = ()) -> Scored:
    """Always says B, with a probability that names the cell."""
    sizes = [int(split.test.sum()) for split in SPLITS]
    choices = [
        None if split.protocol == "signbridge" else Choice(0.1, accuracy + split.fold, split.fold == 1)
        for split in SPLITS
    ]
    said = [np.ones(size, dtype=int) for size in sizes]
    return Scored(site, position, said, [np.full(size, accuracy) for size in sizes], choices, NO_PROBES, list(codes))


CELLS = [scored("vision", "image_mean", 0.5), scored("layer_00", "prompt_last", 0.25), scored("answer", "text", 0.1)]


def test_there_is_one_row_a_prediction_beside_the_image_that_it_is_of():
    table = predictions_table(CELLS, SPLITS, IDS, LABELS)
    assert table.columns.tolist() == [
        *("protocol", "site", "position", "repeat", "fold", "image_id", "label", "predicted", "probability")
    ]
    assert len(table) == 3 * (4 + 2 * 18)
    assert table["site"].unique().tolist() == ["vision", "layer_00", "answer"]
    assert (table["label"] == table["image_id"].map(dict(zip(IDS, LABELS, strict=True)))).all()
    assert set(table["predicted"]) == {"B"}
    for split in SPLITS:
        rows = table.query("protocol == @split.protocol and repeat == @split.repeat and fold == @split.fold")
        assert rows.loc[rows["site"] == "vision", "image_id"].tolist() == IDS[split.test].tolist()
    assert table.loc[table["site"] == "layer_00", "probability"].tolist() == [0.25] * 40


def test_there_is_one_row_a_choice_and_none_where_nothing_was_chosen():
    table = choices_table(CELLS[:2], SPLITS)
    assert set(table["protocol"]) == {"grouped"}
    assert len(table) == 2 * 6
    row = table.query("site == 'layer_00' and repeat == 1 and fold == 2").iloc[0]
    assert (row["C"], row["inner_accuracy"], row["at_edge"]) == (0.1, 2.25, False)
    assert table["at_edge"].sum() == 4


def test_choices_join_the_predictions_that_they_were_made_for():
    predictions, choices = predictions_table(CELLS, SPLITS, IDS, LABELS), choices_table(CELLS, SPLITS)
    joined = predictions.merge(choices, on=["protocol", "site", "position", "repeat", "fold"])
    assert len(joined) == (predictions["protocol"] == "grouped").sum()


def test_a_study_without_grouped_has_a_table_without_choices():
    cell = CELLS[0]._replace(choices=[None])
    assert choices_table([cell], SPLITS[:1]).columns.tolist() == [
        *("protocol", "site", "position", "repeat", "fold", "C", "inner_accuracy", "at_edge")
    ]
    assert choices_table([cell], SPLITS[:1]).empty


def test_every_image_of_every_order_keeps_its_bits_and_the_penalty_of_its_code():
    codes = [Code(np.arange(18.0), 0.1, False), Code(np.arange(18.0) + 1, 100.0, True)]
    table = codes_table([scored("vision", "image_mean", 0), scored("layer_00", "prompt_last", 0, codes)], IDS)
    assert table.columns.tolist() == ["site", "position", "order", "C", "at_edge", "image_id", "bits"]
    assert table[["site", "order", "C", "at_edge"]].drop_duplicates().to_numpy().tolist() == [
        *(["layer_00", 0, 0.1, False], ["layer_00", 1, 100.0, True])
    ]
    assert table["image_id"].tolist() == [*IDS, *IDS]
    assert table["bits"].tolist() == [*range(18), *range(1, 19)]
