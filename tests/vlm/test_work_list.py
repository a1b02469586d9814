"""Work lists: what is read, how many together, and that copies are what reading again would have given."""

from functools import partial

import numpy as np
import pytest
from PIL import Image
from tqdm import tqdm

from signbridge.core.errors import SignBridgeError
from signbridge.core.shards import answers_of, names_of, vectors_of
from signbridge.vlm.extraction import Reader, sites_and_answers
from signbridge.vlm.shard_runs import read_in_shards
from signbridge.vlm.work_list import even_batch, work_list
from tests.vlm.conftest import PROMPT


@pytest.fixture
def prompts_read(tiny, monkeypatch) -> list[int]:
    """How many prompts each prefill of the tiny model held."""
    forward, read = type(tiny.model).forward, []

    def counted(self, input_ids, **inputs):
        if inputs.get("pixel_values") is not None:
            read.append(len(input_ids))
        return forward(self, input_ids=input_ids, **inputs)

    monkeypatch.setattr(type(tiny.model), "forward", counted)
    return read


@pytest.mark.parametrize("most", [1, 2, 8, 32, 64])
@pytest.mark.parametrize("items", [1, 7, 24, 64, 65, 300, 7172])
def test_batches_are_as_few_as_they_can_be_and_less_than_one_row_of_each_is_filled_up(items, most):
    together = even_batch(items, most)
    batches = -(-items // together)
    assert together <= most
    assert batches == -(-items // most), "no batch more than the largest that fit would make"
    assert batches * together - items < batches


def test_300_images_are_read_as_300():
    todo = work_list(range(300), 64, 64)
    assert (todo.together, [len(rows) for rows in todo.shards]) == (60, [60] * 5)


def test_as_many_prompts_are_read_as_there_are_images(tiny, images, tmp_path, prompts_read):
    """Six images where four fit: three and three, and not four and two that are filled up to four."""
    read_in_shards(Reader(tiny, PROMPT, 1, batch_size=4), images, tmp_path, items_per_shard=4)
    assert prompts_read == [3, 3]


def test_one_picture_for_all_rows_is_read_once_and_is_every_row(tiny, images, tmp_path, prompts_read):
    reader = Reader(tiny, PROMPT, 2, batch_size=4)
    shards = read_in_shards(reader, [Image.new("RGB", (28, 28), (90, 90, 90)) for _ in range(9)], tmp_path, 4)
    assert prompts_read == [1]
    alone = Reader(tiny, PROMPT, 2, batch_size=1).read([Image.new("RGB", (28, 28), (90, 90, 90))])
    assert answers_of(shards) == alone.answers * 9
    for name in names_of(shards[0]):
        assert vectors_of(shards, name).tobytes() == alone.vectors[name].tobytes() * 9, name


def test_copies_are_to_the_byte_what_reading_them_again_gives_also_after_a_killed_run(
    tiny, images, tmp_path, prompts_read
):
    """In the same batch, in a later one, and in a later shard; of three, one lies a shard back when the run goes on."""
    rows = [0, 1, 0, 2, 2, 3, 1, 0, 4, 3, 5, 5, 0]
    reader = Reader(tiny, PROMPT, 2, batch_size=2)
    items = [images[row].copy() for row in rows]
    shards = read_in_shards(reader, items, tmp_path, items_per_shard=2)
    assert prompts_read == [2] * 3, "six pictures in batches of two"
    every = [answers_of([path]) for path in shards]
    assert len(shards) > 1
    assert sum(map(len, every)) == len(items)
    again = reader.read(items, sites_and_answers(reader))
    assert answers_of(shards) == again.answers
    for name, vectors in again.vectors.items():
        assert vectors_of(shards, name).tobytes() == vectors.tobytes(), name
    before = [path.read_bytes() for path in shards]
    shards[-1].unlink()
    read_in_shards(reader, items, tmp_path, items_per_shard=2)
    assert [path.read_bytes() for path in shards] == before


def test_an_image_is_the_same_bytes_whatever_stands_before_it(tiny, images, tmp_path):
    """The size of a batch goes by how many images there are, and not by what is left at the end."""
    reader = Reader(tiny, PROMPT, 1, batch_size=4)
    one, other = images[:5], [*images[3:5], images[5], images[2], images[0]]
    read, read_other = (
        read_in_shards(reader, items, tmp_path / name, 4) for name, items in (("one", one), ("other", other))
    )
    for name in names_of(read[0]):
        assert vectors_of(read, name)[[3, 4, 2, 0]].tobytes() == vectors_of(read_other, name)[[0, 1, 3, 4]].tobytes()


def test_an_image_with_numbers_that_are_not_finite_is_named_by_its_own_row(tiny, images, tmp_path):
    reader = Reader(tiny, PROMPT, 1, batch_size=1)
    work = sites_and_answers(reader)

    def broken(inputs, keep):
        shard = work.read(inputs, keep)
        seen.append(keep)
        if len(seen) == 2:
            shard.vectors["embedding.prompt_last"] = np.full_like(shard.vectors["embedding.prompt_last"], np.nan)
        return shard

    seen: list[int] = []
    items = [images[0], images[0], images[0], images[1]]
    with pytest.raises(SignBridgeError, match=r"for image number 3 \(counted from 0\)"):
        read_in_shards(reader, items, tmp_path, 1, work._replace(read=broken))


def test_a_run_goes_on_where_no_progress_is_drawn(tiny, images, tmp_path, monkeypatch):
    reader = Reader(tiny, PROMPT, 1, batch_size=2)
    paths = read_in_shards(reader, images[:4], tmp_path, items_per_shard=2)
    before = [path.read_bytes() for path in paths]
    paths[1].unlink()
    # What TQDM_DISABLE=1 does, which tqdm reads once, when it is imported.
    monkeypatch.setattr("signbridge.vlm.shard_runs.tqdm", partial(tqdm, disable=True))
    read_in_shards(reader, images[:4], tmp_path, items_per_shard=2)
    assert [path.read_bytes() for path in paths] == before
