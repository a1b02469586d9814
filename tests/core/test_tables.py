import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from signbridge.core import tables
from signbridge.core.errors import SignBridgeError

TABLE = pd.DataFrame({"image_id": ["a", "b"], "image": [b"\x00", b"\x01"], "n": [1, 2]})


def test_a_table_comes_back_with_what_made_it(tmp_path):
    tables.write(TABLE, tmp_path / "data/a.parquet", {"model": "m", "rows": {"train": 1}})
    assert tables.read(tmp_path / "data/a.parquet").equals(TABLE)
    assert tables.read(tmp_path / "data/a.parquet", ["n"]).columns.tolist() == ["n"]
    assert tables.made_by(tmp_path / "data/a.parquet") == {"model": "m", "rows": {"train": 1}}


def test_equal_rows_are_equal_bytes_whatever_they_came_from(tmp_path):
    tables.write(TABLE, tmp_path / "a", {"x": 1, "y": 2})
    reordered = TABLE.iloc[[1, 0]].sort_values("image_id")  # another index
    tables.write(reordered, tmp_path / "b", {"y": 2, "x": 1})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_write_that_fails_leaves_the_table_that_was_there(tmp_path):
    path = tmp_path / "a.parquet"
    tables.write(TABLE, path, {})
    before = path.read_bytes()
    with pytest.raises(TypeError):
        tables.write(TABLE, path, {"not": object()})
    assert path.read_bytes() == before


def test_arrow_tables_are_written_as_they_are(tmp_path):
    vectors = pa.FixedSizeListArray.from_arrays(pa.array([1.0, 2.0, 3.0, 4.0], pa.float32()), 2)
    tables.write(pa.table({"vector": vectors}), tmp_path / "a", {})
    assert tables.read_arrow(tmp_path / "a")["vector"].type == pa.list_(pa.float32(), 2)


def test_only_the_row_groups_asked_for_are_read(tmp_path):
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(np.arange(8), pa.float16()), 2)
    table = pa.table({"position": ["a", "a", "b", "b"], "vector": vectors})
    tables.write(table, tmp_path / "a", {}, rows_together=2)
    assert pq.ParquetFile(tmp_path / "a").num_row_groups == 2
    assert tables.read_arrow(tmp_path / "a", where=("position", "b"))["vector"].to_pylist() == [[4, 5], [6, 7]]
    assert len(tables.read_arrow(tmp_path / "a", where=("position", "c"))) == 0


def test_vectors_have_no_dictionary_and_words_do(tmp_path):
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(np.ones(8), pa.float16()), 2)
    tables.write(pa.table({"position": ["a"] * 4, "vector": vectors}), tmp_path / "a", {})
    columns = [pq.ParquetFile(tmp_path / "a").metadata.row_group(0).column(index) for index in (0, 1)]
    assert [column.has_dictionary_page for column in columns] == [True, False]


def test_a_csv_is_read_as_the_text_it_is(tmp_path):
    (tmp_path / "a.csv").write_text("word,share\nNA,0.50\n,1\n")
    assert tables.read_csv(tmp_path / "a.csv").values.tolist() == [["NA", "0.50"], ["", "1"]]
    (tmp_path / "empty.csv").write_text("")
    assert tables.read_csv(tmp_path / "empty.csv").shape == (0, 0)


def test_a_csv_has_no_index_and_shares_to_six_digits(tmp_path):
    table = pd.DataFrame(
        {"site": ["a", "b"], "share": [1 / 3, float("nan")], "images": [2, 30], "leaking": [True, False]}
    )
    tables.write_csv(table.iloc[[1, 0]], tmp_path / "plots/a.csv")
    assert (tmp_path / "plots/a.csv").read_bytes() == b"site,share,images,leaking\nb,,30,False\na,0.333333,2,True\n"


def test_an_empty_csv_keeps_its_header(tmp_path):
    tables.write_csv(pd.DataFrame(columns=["site", "share"]), tmp_path / "a.csv")
    assert (tmp_path / "a.csv").read_text() == "site,share\n"


def test_a_csv_that_fails_leaves_the_one_that_was_there(tmp_path):
    class Unwritable:
        def __str__(self) -> str:
            raise OSError("no space left on device")

    tables.write_csv(TABLE[["n"]], tmp_path / "a.csv")
    with pytest.raises(OSError, match="no space left"):
        tables.write_csv(pd.DataFrame({"n": [Unwritable()]}), tmp_path / "a.csv")
    assert (tmp_path / "a.csv").read_text() == "n\n1\n2\n"


def test_a_column_that_is_not_there_is_named_with_what_to_do(tmp_path):
    path = tmp_path / "a.parquet"
    tables.write(TABLE, path, {})
    with pytest.raises(SignBridgeError) as stopped:
        tables.read(path, ["image_id", "leaking"])
    said = f"{path}: no column 'leaking'. Another version of the project wrote it: `dvc repro`."
    assert str(stopped.value) == said


@pytest.mark.parametrize("read", [tables.read, tables.read_arrow, tables.made_by])
def test_a_missing_or_damaged_table_is_named_with_what_to_do(tmp_path, read):
    with pytest.raises(SignBridgeError, match=r"a\.parquet: no such table.*dvc"):
        read(tmp_path / "a.parquet")
    tables.write(TABLE, tmp_path / "a.parquet", {})
    content = (tmp_path / "a.parquet").read_bytes()
    for damaged in (b"", b"text", content[: len(content) // 2]):
        (tmp_path / "a.parquet").write_bytes(damaged)
        with pytest.raises(SignBridgeError, match=r"a\.parquet: not a readable Parquet table"):
            read(tmp_path / "a.parquet")


def test_a_few_rows_at_a_time_are_never_of_two_row_groups_and_other_groups_are_left_alone(tmp_path, monkeypatch):
    path = tmp_path / "a.parquet"
    tables.write_parts((pa.table({"n": [start, start + 1, start + 2]}) for start in (0, 3, 6)), path, {})
    assert [batch["n"].to_pylist() for batch in tables.batches(path, ["n"], 2)] == [
        [0, 1],
        [2],
        [3, 4],
        [5],
        [6, 7],
        [8],
    ]
    read, groups = pq.ParquetFile.read_row_group, []
    monkeypatch.setattr(
        pq.ParquetFile, "read_row_group", lambda file, group, *rest: groups.append(group) or read(file, group, *rest)
    )
    assert tables.read_rows(path, [7, 0, 7], ["n"])["n"].tolist() == [7, 0, 7]
    assert groups == [0, 2]
    assert tables.read_rows(path, [], ["n"]).columns.tolist() == ["n"]
    assert (tables.count_rows(path), tables.count_rows(path, 1), tables.count_rows(path, 10**6) > 100) == (9, 1, True)
