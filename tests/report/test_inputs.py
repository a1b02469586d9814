"""The files that the report reads are taken for what they say, and a broken one is named."""

import math

import pytest

from signbridge.core.errors import SignBridgeError
from signbridge.report.inputs import read_bytes, read_csv, read_metrics

COLUMNS = {"word": "text", "share": "number", "leaking": "yes/no"}


def test_words_that_mean_nothing_to_pandas_stay_words(tmp_path):
    (tmp_path / "a.csv").write_text("word,share,leaking\nNA,0.5,True\nnull,,False\n1,0,True\n")
    table = read_csv(tmp_path / "a.csv", COLUMNS)
    assert table["word"].tolist() == ["NA", "null", "1"]
    assert table["share"].iloc[0] == 0.5
    assert math.isnan(table["share"].iloc[1])
    assert table["leaking"].tolist() == [True, False, True]


def test_line_feeds_quotes_and_markup_come_back_whole(tmp_path):
    (tmp_path / "a.csv").write_text('word,share,leaking\n"<b>""x""\nsecond line, and more",1,True\n')
    assert read_csv(tmp_path / "a.csv", COLUMNS)["word"].tolist() == ['<b>"x"\nsecond line, and more']


@pytest.mark.parametrize("text", ["", "word,share,leaking\n"])
def test_a_file_without_rows_is_a_table_without_rows(tmp_path, text):
    (tmp_path / "a.csv").write_text(text)
    table = read_csv(tmp_path / "a.csv", COLUMNS)
    assert list(table.columns) == list(COLUMNS)
    assert table.empty
    assert table["leaking"].dtype == bool


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, r"a\.csv: no such table\. Make it with `dvc repro`"),
        ("word,share\nx,1\n", r"a\.csv: no column 'leaking'"),
        ("word,share,leaking\nx,many,True\n", r"a\.csv: column 'share': expected a number in every row"),
        ("word,share,leaking\nx,1,perhaps\n", r"a\.csv: column 'leaking': expected True or False"),
        ('word,share,leaking\n"x,1,True\n', r"a\.csv: not a readable CSV table"),
    ],
)
def test_a_broken_table_is_named_with_what_is_wrong(tmp_path, text, message):
    if text is not None:
        (tmp_path / "a.csv").write_text(text)
    with pytest.raises(SignBridgeError, match=message):
        read_csv(tmp_path / "a.csv", COLUMNS)


@pytest.mark.parametrize(
    ("text", "message"),
    [(None, "no such file"), ("{", "not readable as JSON"), ("[1]", "one flat JSON object"), ('{"a": {}}', "one flat")],
)
def test_broken_metrics_are_named(tmp_path, text, message):
    if text is not None:
        (tmp_path / "a.json").write_text(text)
    with pytest.raises(SignBridgeError, match=message):
        read_metrics(tmp_path / "a.json")


def test_a_picture_that_is_not_there_is_named(tmp_path):
    with pytest.raises(SignBridgeError, match=r"grid\.png: no such file"):
        read_bytes(tmp_path / "grid.png")
