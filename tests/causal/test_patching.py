"""Patching: held to a whole pass for each cell, to identities, and to what the miniature is known to do."""

import io

import numpy as np
import pandas as pd
import pytest
import torch
from transformers import BatchFeature

from benchmarks.live_memory import LiveMemory
from signbridge.causal.pairs import ImagePair
from signbridge.causal.patching import (
    Patched,
    PatchingParams,
    Swap,
    as_table,
    compared_tokens,
    patch,
    patch_one_by_one,
    patching_work,
    swaps,
)
from signbridge.core.errors import SignBridgeError
from signbridge.core.names import PATCHED
from signbridge.core.shards import Shard, write_shard
from signbridge.vlm.branching import image_span
from signbridge.vlm.extraction import Reader
from signbridge.vlm.letter_scoring import continuations
from signbridge.vlm.loading import load
from signbridge.vlm.residual import decoder_sites
from tests.causal.conftest import ENTRY, drawn
from tests.vlm.conftest import PROMPT, within_budget

TWO_LETTERS = "USER: <image>\nWhich letter does this hand show? Choose {letters}.\nASSISTANT:"
TOKENS = [(7, 9), (30, 11)]  # of two pairs of images
SITES = 10


def asking(question: str) -> PatchingParams:
    sizes = {"small": {"pairs": 3, "parts_at": []}, "full": {"pairs": 9, "parts_at": []}}
    return PatchingParams.model_validate({"question": question, "two_letters": TWO_LETTERS, **sizes})


def cells_of(loaded) -> dict[str, list[str]]:
    return {"site": decoder_sites(loaded.parts), "position": list(PATCHED)}


def every_cell(loaded) -> list[tuple[str, str]]:
    return [(site, position) for site in decoder_sites(loaded.parts) for position in PATCHED]


def row(inputs: BatchFeature, number: int) -> BatchFeature:
    return BatchFeature({name: tensor[number : number + 1] for name, tensor in inputs.items()})


@pytest.fixture(scope="module")
def inputs(tiny, images):
    """Two pairs: the images a, then the images b."""
    return Reader(tiny, PROMPT, 1, batch_size=4).prepare(images[:4])


@pytest.fixture(scope="module")
def found(tiny, inputs):
    return patch(tiny, inputs, TOKENS)


@torch.inference_mode()
def clean_logits(loaded, inputs) -> torch.Tensor:
    return loaded.model(**inputs, logits_to_keep=1).logits[:, -1]


def test_an_image_patched_into_itself_changes_nothing_to_the_last_bit(tiny, inputs):
    one = row(inputs, 0)
    clean = clean_logits(tiny, one)[0]
    cells = every_cell(tiny)
    for cell, logits in zip(cells, patch_one_by_one(tiny, one, one, cells), strict=True):
        assert torch.equal(logits, clean), cell


@pytest.mark.parametrize(("run", "receiver", "donor"), [(0, 0, 2), (3, 3, 1)])
def test_every_other_cell_in_each_direction_is_that_of_a_whole_pass(tiny, inputs, found, run, receiver, donor):
    a, b = TOKENS[run % 2]
    of_receiver, of_donor = (a, b) if run < 2 else (b, a)
    with torch.inference_mode():
        cells = [cell for cell in every_cell(tiny) if decoder_sites(tiny.parts).index(cell[0]) % 2 == run % 2]
        slow = torch.stack(list(patch_one_by_one(tiny, row(inputs, receiver), row(inputs, donor), cells)))
    differences = (slow[:, of_donor] - slow[:, of_receiver]).view(-1, len(PATCHED))
    np.testing.assert_allclose(found.patched[run, run % 2 :: 2], differences, rtol=1e-4, atol=1e-4)
    says = (slow.argmax(-1) == of_donor).float().view(-1, len(PATCHED))
    np.testing.assert_array_equal(found.says_donor[run, run % 2 :: 2], says)
    for image, quoted in ((receiver, found.receiver), (donor, found.donor)):
        logits = clean_logits(tiny, row(inputs, image))[0]
        np.testing.assert_allclose(quoted[run], logits[of_donor] - logits[of_receiver], rtol=1e-4, atol=1e-4)
    assert np.ptp(found.patched[run]) > 0.05, "cells that are all alike would show nothing"


def test_an_image_patched_into_itself_is_its_own_run_at_every_cell(found):
    np.testing.assert_allclose(
        found.itself, np.broadcast_to(found.receiver[:, None, None], found.itself.shape), atol=1e-4
    )


def test_all_tokens_of_the_donor_give_the_donors_logits_at_every_site(found):
    everything = found.patched[..., PATCHED.index("all")]
    np.testing.assert_allclose(everything, np.repeat(found.donor[:, None], SITES, axis=1), atol=1e-5)


@pytest.mark.parametrize(("site", "moves", "does_not"), [(0, "image", "prompt_last"), (-1, "prompt_last", "image")])
def test_the_image_carries_everything_before_the_first_block_and_the_last_token_after_the_last(
    found, site, moves, does_not
):
    """True of any decoder: at the embedding the prompts differ in the image alone, at the end one token is read."""
    np.testing.assert_allclose(found.patched[:, site, PATCHED.index(moves)], found.donor, atol=1e-4)
    np.testing.assert_allclose(found.patched[:, site, PATCHED.index(does_not)], found.receiver, atol=1e-4)
    assert np.abs(found.donor - found.receiver).min() > 1e-2


def test_a_pair_is_the_same_whatever_pair_is_beside_it(tiny, inputs, found):
    alone = BatchFeature({name: tensor[[1, 3]] for name, tensor in inputs.items()})
    of_one = patch(tiny, alone, TOKENS[1:])
    for name, values in of_one._asdict().items():
        np.testing.assert_allclose(values, getattr(found, name)[[1, 3]], atol=1e-4, err_msg=name)


def test_without_tokens_the_likeliest_of_each_clean_run_are_compared_and_donors_mirror_receivers():
    logits = torch.tensor([[0.0, 3, 1], [2, 0, 1], [5, 0, 1], [0, 1, 4]])
    donors = torch.tensor([2, 3, 0, 1])
    own, others = compared_tokens(logits, donors, [None, (1, 0)])
    assert own.tolist() == [1, 1, 0, 0]
    assert others.tolist() == [0, 0, 1, 1]


def test_images_that_take_other_places_in_the_prompt_are_refused(tiny, images):
    moved = PROMPT.replace("USER: <image>\nWhat", "USER: What <image>\n")
    reader = Reader(tiny, PROMPT, 1, batch_size=2)
    ids = [reader.prepare(images[:1], [prompt])["input_ids"][0] for prompt in (PROMPT, moved)]
    shortest = min(map(len, ids))
    with pytest.raises(SignBridgeError, match="take different numbers of tokens"):
        image_span(tiny, BatchFeature({"input_ids": torch.stack([each[:shortest] for each in ids])}))


def test_the_image_span_holds_the_image_tokens_and_nothing_else(tiny, inputs):
    span = image_span(tiny, inputs)
    is_image = inputs["input_ids"] == tiny.parts.image_token_id
    assert is_image[:, span].all()
    assert is_image.sum() == 4 * (span.stop - span.start)


# What a pair is asked -------------------------------------------------------------------------------------------------


def pngs_of(images) -> list[bytes]:
    contents = []
    for image in images:
        file = io.BytesIO()
        image.save(file, "PNG")
        contents.append(file.getvalue())
    return contents


def test_the_models_own_prompt_compares_whatever_it_answers(tiny, images):
    reader = Reader(tiny, PROMPT, 1, batch_size=16)
    [swap] = swaps(reader, asking("answer"), pngs_of(images), list("ABCABC"), [ImagePair(4, 2)])
    assert (swap.prompt, swap.tokens) == (PROMPT, None)
    assert swap.a.tobytes() == images[4].tobytes()
    assert swap.b.tobytes() == images[2].tobytes()


def test_two_letters_are_offered_in_one_order_and_each_image_has_its_own_token(tiny, images):
    reader = Reader(tiny, PROMPT, 1, batch_size=16)
    found = swaps(reader, asking("two_letters"), pngs_of(images), list("ABCABC"), [ImagePair(0, 1), ImagePair(4, 3)])
    prompt = TWO_LETTERS.replace("{letters}", "A or B")
    assert [swap.prompt for swap in found] == [prompt, prompt], "the order would give the image away"
    of_a, of_b = (tokens[0] for tokens in continuations(tiny.processor, prompt, ["A", "B"]))
    assert of_a != of_b
    assert [swap.tokens for swap in found] == [(of_a, of_b), (of_b, of_a)]


def test_classes_that_begin_alike_move_nothing_and_are_dropped_from_the_table(tiny, images, tmp_path):
    reader, pair = Reader(tiny, PROMPT, 1, batch_size=16), ImagePair(0, 1)
    labels = ["thank you", "thank me", *"BCBC"]
    [swap] = swaps(reader, asking("two_letters"), pngs_of(images), labels, [pair])
    assert swap.tokens[0] == swap.tokens[1]
    write_shard(tmp_path / "shard", reader.read([swap], patching_work(reader)))
    sample = pd.DataFrame({"image_id": [f"image-{index}" for index in range(6)]})
    assert as_table(sample, [pair], [tmp_path / "shard"], cells_of(tiny)).empty


def test_a_two_letter_prompt_that_does_not_fit_is_named_by_its_own_key(tiny, images):
    reader = Reader(tiny, PROMPT, 1, batch_size=16)
    for prompt, missing in (("USER: <image>\nWhich?", "{letters}"), ("Which of {letters}?", "<image>")):
        settings = asking("two_letters").model_copy(update={"two_letters": prompt})
        with pytest.raises(SignBridgeError, match=rf"patching\.two_letters must hold {missing} exactly once"):
            swaps(reader, settings, pngs_of(images), list("ABCABC"), [ImagePair(0, 1)])


def test_swaps_of_prompts_of_several_lengths_are_those_of_each_alone_in_order(tiny, images):
    longer = f"Think. {PROMPT}"
    todo = [
        Swap(images[0], images[1], PROMPT, (7, 9)),
        Swap(images[2], images[3], PROMPT, (30, 11)),
        Swap(images[4], images[5], longer, (7, 9)),
        Swap(images[1], images[4], PROMPT, None),
    ]
    reader = Reader(tiny, PROMPT, 1, batch_size=16)
    together = reader.read(todo, patching_work(reader))
    assert together.vectors["patched"].shape == (4, 2, SITES, len(PATCHED))
    assert together.answers == [""] * 4
    for number, swap in enumerate(todo):
        alone = patch(tiny, reader.prepare([swap.a, swap.b], [swap.prompt] * 2), [swap.tokens])
        for name, values in alone._asdict().items():
            np.testing.assert_allclose(together.vectors[name][number], values, atol=1e-4, err_msg=name)


@pytest.mark.parametrize(("batch_size", "batches"), [(1, [1, 1, 1, 1, 1]), (16, [2, 1, 1, 1]), (32, [3, 1, 1])])
def test_a_batch_holds_prompts_of_one_length_and_no_more_than_fit(tiny, images, batch_size, batches):
    todo = [Swap(images[0], images[1], prompt, None) for prompt in [PROMPT] * 3 + [f"Think. {PROMPT}", PROMPT]]
    reader = Reader(tiny, PROMPT, 1, batch_size=batch_size)
    made = patching_work(reader).batches(todo, reader.batch_size)
    assert [len(batch) for batch in made] == batches
    assert [swap for batch in made for swap in batch] == todo


@pytest.mark.parametrize("most", [1, 9])
def test_few_branches_at_a_time_find_what_all_of_them_together_do(tiny, inputs, found, most):
    for name, values in patch(tiny, inputs, TOKENS, most)._asdict().items():
        np.testing.assert_allclose(values, getattr(found, name), atol=1e-4, err_msg=name)


def test_room_for_fewer_branches_than_there_are_sites_is_cured_by_smaller_batches(tiny, images):
    swap = Swap(images[0], images[1], PROMPT, None)
    inputs = Reader(tiny, PROMPT, 1, batch_size=1).prepare([swap.a, swap.b])
    with LiveMemory() as room_for_eight:
        expected = patch(tiny, inputs, [None], most=8)
    reader = Reader(tiny, PROMPT, 1, batch_size=4)
    read = reader.read([swap], within_budget(patching_work(reader), 1.02 * room_for_eight.peak))
    assert reader.batch_size == 1
    np.testing.assert_array_equal(read.vectors["patched"][0], expected.patched)


# The table ------------------------------------------------------------------------------------------------------------


def table_of(tiny, folder, receiver, donor, patched) -> pd.DataFrame:
    """The table of pairs (0, 1), (2, 3) ... with one number a cell."""
    receiver, donor = np.array(receiver, dtype=np.float32), np.array(donor, dtype=np.float32)
    cells = np.zeros((len(receiver), 2, SITES, len(PATCHED)), dtype=np.float32) + np.array(patched)[:, :, None, None]
    arrays = {
        "receiver": receiver,
        "donor": donor,
        "patched": cells.astype(np.float32),
        "says_donor": np.ones_like(cells),
        "itself": cells / 4,
    }
    write_shard(folder / "shard", Shard(arrays, [""] * len(receiver), "test"))
    pairs = [ImagePair(2 * number, 2 * number + 1) for number in range(len(receiver))]
    sample = pd.DataFrame({"image_id": [f"image-{index}" for index in range(2 * len(pairs))]})
    return as_table(sample, pairs, [folder / "shard"], cells_of(tiny))


def test_every_cell_has_its_own_row_with_its_pair_its_images_and_its_place(tiny, tmp_path):
    receiver, donor = np.array([[-4, -2]], dtype=np.float32), np.array([[4, 2]], dtype=np.float32)
    patched = np.arange(2 * SITES * len(PATCHED), dtype=np.float32).reshape(1, 2, SITES, len(PATCHED))
    arrays = {"receiver": receiver, "donor": donor, "patched": patched, "says_donor": patched % 2}
    arrays["itself"] = patched / 8
    write_shard(tmp_path / "shard", Shard(arrays, [""], "test"))
    sample = pd.DataFrame({"image_id": ["w", "x", "y", "z"]})
    table = as_table(sample, [ImagePair(3, 1)], [tmp_path / "shard"], cells_of(tiny))
    assert len(table) == patched.size
    sites = decoder_sites(tiny.parts)
    for cell in table.itertuples():
        run = 0 if cell.receiver == "z" else 1
        assert {cell.receiver, cell.donor} == {"z", "x"}
        value = patched[0, run, sites.index(cell.site), PATCHED.index(cell.position)]
        assert cell.moved == pytest.approx(value - receiver[0, run])
        assert cell.gap == pytest.approx([8, 4][run])
        assert cell.moved_by_itself == pytest.approx(value / 8 - receiver[0, run])
        assert cell.says_donor == (value % 2 > 0)


def test_a_pair_whose_logits_do_not_differ_is_dropped(tiny, tmp_path):
    table = table_of(tiny, tmp_path, [[-1, -1], [2, 2]], [[1, 1], [2, 2]], [[1, 1], [5, 5]])
    assert set(table["pair"]) == {0}
    assert table_of(tiny, tmp_path, [[2, 2]], [[2, 2]], [[5, 5]]).empty


def test_without_a_pair_the_table_has_its_columns_and_no_row(tiny, tmp_path):
    some = table_of(tiny, tmp_path, [[-1, -1]], [[1, 1]], [[1, 1]])
    none = as_table(pd.DataFrame({"image_id": []}), [], [], cells_of(tiny))
    assert none.empty
    assert list(none.columns) == list(some.columns)


def test_a_pair_that_leans_the_other_way_counts_what_is_moved_towards_the_donor(tiny, tmp_path):
    """Of a swap that does all, `moved` is `gap`, whichever way the logits lean."""
    table = table_of(tiny, tmp_path, [[-1, 3], [0, 0]], [[1, -3], [-4, 4]], [[1, -3], [-1, 1]])
    of_run = table.groupby(["pair", "receiver"], sort=False)[["gap", "moved"]].first()
    assert of_run["gap"].tolist() == [2, 6, 4, 4]
    assert of_run["moved"].tolist() == [2, 6, 1, 1]


# The miniature: one word for each hand, read from the image tokens by the last token in its middle blocks -------------


@pytest.fixture(scope="module")
def effects(miniature, fists_and_peaces) -> pd.DataFrame:
    """The share of the gap that is moved, by site and position, between nine fists and nine peace signs."""
    images, _ = fists_and_peaces
    reader = Reader(miniature, ENTRY.prompt, 1, batch_size=16)
    todo = [Swap(a, b, ENTRY.prompt, None) for a, b in zip(images[:5], images[9:14], strict=True)]
    found = reader.read(todo, patching_work(reader)).vectors
    gap = found["donor"] - found["receiver"]
    assert gap.min() > 5, "the two words are to be far apart"
    moved = (found["patched"] - found["receiver"][:, :, None, None]).sum(axis=(0, 1)) / gap.sum()
    return pd.DataFrame(moved, index=decoder_sites(miniature.parts), columns=list(PATCHED))


def test_in_the_miniature_the_answer_is_in_the_image_first_and_in_the_last_token_at_the_end(effects):
    """Structural at both ends; that little is read in the first block and all before the last is this model's."""
    assert effects.loc["embedding", "prompt_last"] == pytest.approx(0, abs=1e-3)
    assert effects.loc["embedding", "image"] == pytest.approx(1, abs=1e-3)
    assert effects.loc[:"layer_00", "prompt_last"].max() < 0.2
    assert effects.loc[:"layer_00", "image"].min() > 0.5  # most of it
    assert effects.loc["layer_10":, "prompt_last"].min() > 0.9
    assert effects.loc["layer_10":, "image"].max() < 0.1
    assert effects.loc["layer_11", "image"] == pytest.approx(0, abs=1e-3)


def test_in_the_miniature_image_and_last_token_together_carry_the_whole_answer(effects):
    """Of this model: the question's tokens between them carry nothing of the hand."""
    assert effects["question"].abs().max() < 0.2
    together = effects["prompt_last"] + effects["image"]
    assert together.between(0.75, 1.25).all(), together
    np.testing.assert_allclose(effects["all"], 1, atol=1e-4)


@pytest.fixture(scope="module")
def in_bfloat16(tmp_path_factory) -> Patched:
    """Letters that were offered to the miniature, which it does not know: their logits hardly differ."""
    loaded = load(ENTRY.model_copy(update={"dtype": "bfloat16"}), tmp_path_factory.mktemp("half"), torch.device("cpu"))
    reader = Reader(loaded, ENTRY.prompt, 1, batch_size=16)
    letters = "ABCDEFGH"
    pairs = [ImagePair(number, number + 1) for number in range(0, len(letters), 2)]
    todo = swaps(reader, asking("two_letters"), pngs_of([drawn(letter, 0) for letter in letters]), letters, pairs)
    arrays = reader.read(todo, patching_work(reader)).vectors
    return Patched(*(arrays[name] for name in Patched._fields))


def test_in_bfloat16_cells_that_must_be_the_receivers_are_so_but_for_the_noise_that_is_reported(in_bfloat16):
    """The last token is the same in both prompts before block 0, and no image token is read behind the last block."""
    receiver, itself = in_bfloat16.receiver, in_bfloat16.itself
    noise = np.abs(itself - receiver[..., None, None])
    for site, position in ((0, "prompt_last"), (-1, "image")):
        moved = np.abs(in_bfloat16.patched - receiver[..., None, None])[..., site, PATCHED.index(position)]
        assert (moved <= noise[..., site, PATCHED.index(position)] + 1e-6).all()
    gap = np.abs(in_bfloat16.donor - receiver)
    assert gap.min() < 0.5, "or rounding would not show"
    assert noise.max() < 0.004, "logits in bfloat16 are 0.0156 apart here"


def test_in_bfloat16_the_logits_compared_are_no_multiples_of_its_steps(in_bfloat16):
    values = np.concatenate([in_bfloat16.receiver.ravel(), in_bfloat16.patched.ravel()])
    assert (values * 512 % 1 != 0).mean() > 0.9
