"""The stage `text_index` on a corpus that grows: the bytes are those of a whole run, and only what is new is read."""

import logging
import os
import re
import shutil
from pathlib import Path

import pytest

from signbridge.core import params
from signbridge.lenses import text_index as indexing
from stages.lenses import text_index
from tests.stages.causal_study import ENVIRONMENT, Killed
from tests.stages.lens_study import TEXT_INDEX

CORPUS = Path("corpus.txt")
WORDS = ("up", "bent", "hooked", "curved", "spread")
# Long and short ones in turn, some with a token that stands twice in a word; every word comes back again and again.
LINES = [
    f"The {finger} finger {'of this hand ' * (number % 2)}is {how}haha{how}."
    for number, how in enumerate(WORDS)
    for finger in ("index", "middle", "ring", "pinky", "other")
]
BLOCK, FULL = 6, 3  # of the first 20 lines, two are in a block that is not full


@pytest.fixture
def study(workspace, monkeypatch):
    """A study of which the corpus may grow, in small blocks and smaller shards."""
    for name, value in {**ENVIRONMENT, "SIGNBRIDGE_BATCH_SIZE": "2", "SIGNBRIDGE_SHARD_IMAGES": "2"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(text_index, "BLOCK", BLOCK)
    workspace.set(model="tiny-random", questions__corpus=str(CORPUS), questions__templates=[])
    workspace.set_in(params.LENSES, text_index={**TEXT_INDEX, "contexts": 3, "skip": 0, "prefer": 0})
    workspace.describe_model()
    return workspace


def index_of(lines: list[str]) -> dict[str, bytes]:
    """What the stage leaves for a corpus of these lines."""
    CORPUS.write_text("\n".join(lines), encoding="utf-8")
    text_index.main()
    return written()


def written() -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in text_index.INDEX.iterdir()}


def whole_run(lines: list[str]) -> dict[str, bytes]:
    """The same with no index of an earlier run."""
    shutil.rmtree(text_index.LAST, ignore_errors=True)
    return index_of(lines)


# By settings and lines, what a first run leaves: the index, and what is kept of it for the next run.
FIRST_RUNS: dict[tuple[str, ...], tuple[dict[str, bytes], dict[str, bytes]]] = {}


def first_run(lines: list[str]) -> dict[str, bytes]:
    """A whole run, or the files of the same one in an earlier test."""
    settings = [Path(file).read_text(encoding="utf-8") for file in (params.PARAMS, params.LENSES)]
    key = (os.environ["SIGNBRIDGE_BATCH_SIZE"], *settings, *lines)
    if key not in FIRST_RUNS:
        FIRST_RUNS[key] = whole_run(lines), {path.name: path.read_bytes() for path in text_index.LAST.iterdir()}
    for folder, files in zip((text_index.INDEX, text_index.LAST), FIRST_RUNS[key], strict=True):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for name, contents in files.items():
            (folder / name).write_bytes(contents)
    return FIRST_RUNS[key][0]


@pytest.fixture
def phrases_read(monkeypatch) -> list[str]:
    """Every phrase that goes through the model, as it goes."""
    read, text_tokens = [], indexing.text_tokens

    def recorded(reader, sites):
        work, tokenizer = text_tokens(reader, sites), reader.loaded.processor.tokenizer

        def recording(prepared, keep):
            read.extend(tokenizer.decode(phrase.token_ids, skip_special_tokens=True) for phrase in prepared[0])
            return work.read(prepared, keep)

        return work._replace(read=recording)

    monkeypatch.setattr(indexing, "text_tokens", recorded)
    return read


LATER_FIRST = {"text_index__skip": 2, "text_index__prefer": 9}


@pytest.mark.parametrize(
    ("first", "changes"),
    [(4, {}), (12, LATER_FIRST), (20, {}), (20, LATER_FIRST), (25, {}), (20, {"text_index__storage": "float16"})],
)
def test_a_corpus_that_grew_has_the_bytes_of_a_whole_run(study, first, changes):
    study.set_in(params.LENSES, **changes)
    expected = first_run(LINES)
    if first < BLOCK:
        whole_run(LINES[:first])  # which keeps nothing
    else:
        first_run(LINES[:first])
    assert index_of(LINES) == expected


def test_a_corpus_that_grew_many_times_has_the_bytes_of_a_whole_run(study):
    expected = first_run(LINES)
    shutil.rmtree(text_index.LAST)
    assert [index_of(LINES[:count]) for count in (7, 13, 19, 25)][-1] == expected


def test_only_what_stands_behind_the_full_blocks_is_read(study, phrases_read, caplog):
    caplog.set_level(logging.INFO)
    index_of(LINES[:20])
    known = set(LINES[: BLOCK * FULL])
    assert known & set(phrases_read)
    phrases_read.clear()
    index_of(LINES)
    assert phrases_read
    assert not known & set(phrases_read)
    taken, to_read = re.findall(r"(\d+) phrases taken from the last index, (\d+) to be read", caplog.text)[-1]
    assert int(to_read) == len(phrases_read)
    assert int(taken) > 0


def test_lines_that_are_there_already_change_nothing(study, phrases_read):
    lines = LINES[: BLOCK * FULL]
    expected = index_of(lines)
    phrases_read.clear()
    assert index_of([*lines, lines[0], "", lines[7]]) == expected
    assert phrases_read == []


@pytest.mark.parametrize(
    "changed",
    [{"seed": 1}, {"text_index__prefer": 4}, {"text_index__storage": "float16"}, {"text_index__layers": [1]}],
    ids=lambda changed: next(iter(changed)),
)
def test_other_settings_read_everything(study, phrases_read, changed):
    first_run(LINES)
    if "seed" in changed:
        study.set(**changed)
    else:
        study.set_in(params.LENSES, **changed)
    phrases_read.clear()
    incremental = index_of(LINES)
    read = sorted(phrases_read)
    phrases_read.clear()
    assert incremental == whole_run(LINES)
    assert read == sorted(phrases_read)


def test_another_name_of_the_corpus_reads_nothing_again(study, phrases_read):
    lines = LINES[: BLOCK * FULL]
    index_of(lines)
    study.set(questions__corpus="moved.txt")
    CORPUS.rename("moved.txt")
    phrases_read.clear()
    text_index.main()
    assert phrases_read == []


def test_batches_of_another_size_read_everything(study, phrases_read, monkeypatch):
    first_run(LINES)
    monkeypatch.setenv("SIGNBRIDGE_BATCH_SIZE", "1")
    phrases_read.clear()
    assert index_of(LINES) == whole_run(LINES)
    assert len(phrases_read) % 2 == 0
    half = len(phrases_read) // 2
    assert sorted(phrases_read[:half]) == sorted(phrases_read[half:])  # side by side, in whatever order


def test_memory_that_runs_out_on_the_way_makes_it_all_with_the_smaller_batches(study, monkeypatch):
    monkeypatch.setenv("SIGNBRIDGE_BATCH_SIZE", "1")
    expected = first_run(LINES)
    monkeypatch.setenv("SIGNBRIDGE_BATCH_SIZE", "2")
    first_run(LINES[:20])
    text_tokens = indexing.text_tokens

    def short_of_memory(reader, sites):
        work = text_tokens(reader, sites)

        def out_of_memory(prepared, keep):
            if len(prepared[0]) > 1:
                raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
            return work.read(prepared, keep)

        return work._replace(read=out_of_memory)

    monkeypatch.setattr(indexing, "text_tokens", short_of_memory)
    assert index_of(LINES) == expected


@pytest.mark.parametrize("line", [0, 7, 19])
def test_a_changed_line_has_the_bytes_of_a_whole_run(study, phrases_read, line):
    """What the old lines displaced, and the new ones do not, is not in the old index, and is read."""
    changed = [*LINES[:line], "The elbow is bent.", *LINES[line + 1 :]]
    expected = whole_run(changed)
    whole = len(phrases_read)
    first_run(LINES)
    phrases_read.clear()
    assert index_of(changed) == expected
    assert len(phrases_read) == whole if line == 0 else len(phrases_read) <= whole
    assert line < 19 or len(phrases_read) < whole


def test_a_shorter_corpus_has_the_bytes_of_a_whole_run(study):
    expected = first_run(LINES[:20])
    first_run(LINES)
    assert index_of(LINES[:20]) == expected


@pytest.mark.parametrize(
    "before_the_end", [pytest.param(count, marks=[] if count == 4 else pytest.mark.slow) for count in range(8)]
)
def test_a_run_that_is_killed_leaves_nothing_that_a_later_one_takes_for_whole(study, monkeypatch, before_the_end):
    """The kill comes before one of the last files or folders is renamed into place; then the corpus runs once more."""
    expected, before = first_run(LINES), first_run(LINES[:20])
    shutil.copytree(study.folder, study.folder / "earlier")
    renamed, rename = [], os.replace

    def counting(source, target):
        renamed.append(target)
        rename(source, target)

    monkeypatch.setattr(os, "replace", counting)
    assert index_of(LINES) == expected
    most = len(renamed) - 1 - before_the_end
    for folder in (text_index.SCRATCH, Path("data")):
        shutil.rmtree(folder)
        shutil.copytree(Path("earlier") / folder, folder)

    def killing(source, target):
        if len(renamed) == most:
            raise Killed
        counting(source, target)

    renamed.clear()
    monkeypatch.setattr(os, "replace", killing)
    with pytest.raises(Killed):
        index_of(LINES)
    assert not text_index.INDEX.exists() or written() in (before, expected)
    monkeypatch.setattr(os, "replace", rename)
    assert index_of(LINES) == expected


def test_a_last_index_with_a_file_missing_or_cut_is_not_used(study, phrases_read):
    expected = whole_run(LINES)
    whole = len(phrases_read)
    for lost, left in (("rows.parquet", None), ("rows.parquet", 0.5), ("layer_01.safetensors", 0.5)):
        first_run(LINES[:20])
        path = text_index.LAST / lost
        contents = path.read_bytes()
        path.unlink()
        if left is not None:
            path.write_bytes(contents[: int(left * len(contents))])
        phrases_read.clear()
        assert index_of(LINES) == expected, lost
        assert len(phrases_read) == whole, lost


def test_the_kept_index_takes_no_room_beside_the_output_and_outlives_it(study):
    index_of(LINES)
    kept = text_index.LAST / "layer_00.safetensors"
    assert kept.samefile(text_index.INDEX / "layer_00.safetensors")
    shutil.rmtree(text_index.INDEX)  # as DVC does before the stage runs
    assert kept.stat().st_size > 0


def test_a_corpus_that_fills_no_block_keeps_the_earlier_index(study):
    first_run(LINES)
    kept = {path.name: path.read_bytes() for path in text_index.LAST.iterdir()}
    index_of(LINES[:3])
    assert {path.name: path.read_bytes() for path in text_index.LAST.iterdir()} == kept
