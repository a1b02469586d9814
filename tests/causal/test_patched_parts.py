"""Patched heads and MLPs: held to whole passes, and to what must hold of any block."""

import numpy as np
import pytest
import torch
from transformers import BatchFeature

from signbridge.causal.patched_parts import parts_of_block, patch_parts
from signbridge.causal.patching import Swap, patching_work
from signbridge.vlm.branching import image_span
from signbridge.vlm.extraction import Reader
from tests.vlm import other_families
from tests.vlm.test_other_families import _reader, picture

AT = ["prompt_last", "question"]
TOKENS = [(7, 9)]
ALL = 2**30


@pytest.fixture(scope="module", params=["gemma3", "paligemma"])
def reader(request, tmp_path_factory) -> Reader:
    return _reader(tmp_path_factory.mktemp("parts"), request.param)


@pytest.fixture(scope="module")
def inputs(reader):
    return reader.prepare([picture(0), picture(1)])


@pytest.fixture(scope="module")
def found(reader, inputs):
    return patch_parts(reader.loaded, inputs, TOKENS, 5, AT)  # two parts at a time; below, all of a block


@torch.inference_mode()
def one_by_one(loaded, receiver: BatchFeature, donor: BatchFeature, part: str, at: str, block: int) -> torch.Tensor:
    """The last logits of a whole pass with the donor's part: the module's own hooks, and no run that leaves another."""
    last, behind = receiver["input_ids"].shape[1] - 1, image_span(loaded, receiver).stop
    where = {"prompt_last": slice(last, None), "question": slice(behind, last)}[at]
    of_block, given = loaded.parts.blocks[block], {}
    heads, head = of_block.self_attn.o_proj, int(part[-2:]) if part.startswith("head") else None
    width = of_block.self_attn.head_dim
    columns = slice(None) if head is None else slice(head * width, (head + 1) * width)

    def keep(name):
        def hook(module, args, output=None):
            given[name] = (args[0] if output is None else output).clone()

        return hook

    handles = [heads.register_forward_pre_hook(keep("heads")), of_block.mlp.register_forward_hook(keep("mlp"))]
    loaded.model(**donor)
    for handle in handles:
        handle.remove()

    def put_heads(module, args):
        put = args[0].clone()
        put[:, where, columns] = given["heads"][:, where, columns]
        return (put, *args[1:])

    def put_mlp(module, args, output):
        put = output.clone()
        put[:, where] = given["mlp"][:, where]
        return put

    mlp = part == "mlp"
    handle = of_block.mlp.register_forward_hook(put_mlp) if mlp else heads.register_forward_pre_hook(put_heads)
    logits = loaded.model(**receiver, logits_to_keep=1).logits[0, -1]
    handle.remove()
    return logits


def row(inputs: BatchFeature, number: int) -> BatchFeature:
    tiles = {"pixel_values": inputs["pixel_values"].chunk(2)[number]}
    rows = {name: tensor[number : number + 1] for name, tensor in inputs.items() if name != "pixel_values"}
    return BatchFeature(rows | tiles)


def test_every_part_is_that_of_a_whole_pass_whatever_the_family(reader, inputs, found):
    parts, blocks = parts_of_block(reader.loaded.parts), range(other_families.BLOCKS)
    assert parts == ["attention", "mlp", "head_00", "head_01", "head_02", "head_03"]
    assert found.patched.shape == (2, len(parts), len(AT), len(blocks))
    one, other = row(inputs, 0), row(inputs, 1)
    for number, part in enumerate(parts):
        for position, at in enumerate(AT):
            for block in blocks:
                logits = one_by_one(reader.loaded, one, other, part, at, block)
                a, b = TOKENS[0]
                expected = logits[b] - logits[a]
                np.testing.assert_allclose(found.patched[0, number, position, block], expected, atol=1e-4, rtol=1e-4)
    assert len(np.unique(found.patched[0].round(4))) > found.patched[0].size / 2, "cells all alike would show nothing"


def test_an_image_whose_own_parts_are_put_in_is_its_own_run(found):
    receiver = np.broadcast_to(found.receiver[:, None, None, None], found.itself.shape)
    np.testing.assert_allclose(found.itself, receiver, atol=1e-4)


@torch.inference_mode()
def test_the_one_attention_that_reads_the_image_moves_all_of_the_answer_and_the_others_nothing(tmp_path):
    """A known truth: of this model the last token sees others in the first block alone; MLPs work on what it saw."""
    reader = _reader(tmp_path, "llava-next")
    for block in reader.loaded.parts.blocks[1:]:
        block.self_attn.o_proj.weight.zero_()
    found = patch_parts(reader.loaded, reader.prepare([picture(0), picture(1)]), TOKENS, ALL, AT)
    gap = (found.donor - found.receiver)[:, None]
    moved = found.patched - found.receiver[:, None, None, None]
    assert np.abs(gap).min() > 1e-2
    np.testing.assert_allclose(moved[:, 0, 0], gap * [1, 0, 0], atol=1e-4, err_msg="attention at the last token")
    np.testing.assert_allclose(moved[:, :, 1], 0, atol=1e-4, err_msg="at the question nothing is read later")


def test_a_sweep_of_parts_is_written_and_told_as_one_of_sites(reader):
    swap = Swap(picture(0), picture(1), reader.prompt, (7, 9))
    shard = reader.read([swap], patching_work(reader, patch_parts))
    assert shard.vectors["patched"].shape == (1, 2, 6, 1, other_families.BLOCKS)
