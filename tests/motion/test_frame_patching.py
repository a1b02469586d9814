"""Patching frame by frame: held to a whole pass for each cell, and to what it must be at the embedding."""

import numpy as np
import pandas as pd
import pytest
import torch
from transformers import BatchFeature

from signbridge.causal.pairs import ImagePair
from signbridge.causal.patching import as_table
from signbridge.core.names import ALL_FRAMES
from signbridge.core.shards import write_shard
from signbridge.motion.frame_patching import ClipPair, clip_pairs, frames_work, patch_frames
from signbridge.vlm.families.parts import completed
from signbridge.vlm.residual import decoder_sites, editing, reading
from tests.motion.conftest import FRAMES, seen

SITES = ["embedding", "layer_00", "layer_01"]


def signs(signers: int = 3, takes: int = 2) -> pd.DataFrame:
    rows = [
        (f"{shape}-{movement}-{signer}-{take}", f"s{signer}", shape, movement, "path", (8, 8))
        for signer in range(signers) for shape in "BL" for movement in ("right", "left") for take in range(takes)
    ]  # fmt: skip
    rows.append(("J-0", "s0", "I", "hook", "letter", (8, 8)))
    return pd.DataFrame(rows, columns=["clip", "signer", "shape", "movement", "kind", "size"])


def test_pairs_differ_in_movement_alone_and_no_clip_is_in_two():
    clips = signs()
    pairs = clip_pairs(clips, 100, np.random.default_rng(0))
    assert len(pairs) == 3 * 2 * 2, "each take of one movement with one of the other"
    for pair in pairs:
        one, other = clips.iloc[pair.a], clips.iloc[pair.b]
        assert (one[["signer", "shape", "kind", "size"]] == other[["signer", "shape", "kind", "size"]]).all()
        assert one["movement"] != other["movement"]
    used = [row for pair in pairs for row in pair]
    assert len(set(used)) == len(used)
    few = clip_pairs(clips, 6, np.random.default_rng(0))
    assert {tuple(clips.iloc[pair.a][["signer", "shape"]]) for pair in few} == {
        (f"s{s}", h) for s in range(3) for h in "BL"
    }
    assert clip_pairs(clips.assign(movement=""), 6, np.random.default_rng(0)) == []


@torch.inference_mode()
def whole_pass(loaded, receiver, donor, where: torch.Tensor, chosen: str) -> torch.Tensor:
    """The last logits of a run on `receiver` with the donor's stream at those tokens of one site."""
    streams = {}
    with reading(loaded.parts, lambda site, stream: streams.update({site: stream.clone()})):
        loaded.model(**donor, logits_to_keep=1)

    def edit(site, stream):
        if site != chosen:
            return stream
        stream = stream.clone()
        stream[:, where] = streams[site][:, where]
        return stream

    with editing(loaded.parts, edit):
        return loaded.model(**receiver, logits_to_keep=1).logits[0, -1].float()


@pytest.mark.parametrize("family", ["llava-gemma", "qwen2-5-vl"])
def test_every_frame_at_every_site_is_a_whole_pass_with_the_donors_stream_there(clip_reader, family):
    reader, prompts = clip_reader(family)
    loaded = reader.loaded
    both = completed(loaded.parts, prompts.prepare([seen(0), seen(1)]))
    inputs = reader.to_device(BatchFeature(both))
    groups = prompts.tokens_of_groups(inputs["input_ids"])
    found = patch_frames(loaded, inputs, groups, SITES, most=5)
    assert found.patched.shape == (2, len(SITES), prompts.groups + 1)
    alone = [completed(loaded.parts, prompts.prepare([seen(clip)])) for clip in (0, 1)]
    with torch.inference_mode():
        clean = [loaded.model(**one, logits_to_keep=1).logits[0, -1].float() for one in alone]
    answer = [int(logits.argmax()) for logits in clean]
    every = torch.stack([group[0] for group in groups]).any(0).nonzero().flatten()
    spans = [group[0] for group in groups] + [torch.zeros_like(groups[0][0])]
    spans[-1][int(every[0]) : int(every[-1]) + 1] = True
    for run in (0, 1):
        receiver, donor = alone[run], alone[1 - run]
        for place, site in enumerate(SITES):
            for cell, where in enumerate(spans):
                logits = whole_pass(loaded, receiver, donor, where, site)
                plain = float(logits[answer[1 - run]] - logits[answer[run]])
                assert found.patched[run, place, cell] == pytest.approx(plain, abs=1e-3), (run, site, cell)
        # At the embedding all frames are all that differs.
        assert found.patched[run, 0, -1] == pytest.approx(found.donor[run], abs=1e-3)
    np.testing.assert_allclose(
        found.itself, np.broadcast_to(found.receiver[:, None, None], found.itself.shape), atol=1e-3
    )


def test_the_work_gives_a_row_a_pair_and_the_table_names_site_and_frame(clip_reader, tmp_path):
    reader, prompts = clip_reader("llava-gemma")
    work = frames_work(reader, prompts, SITES)
    pairs = [ClipPair(seen(2 * number), seen(2 * number + 1)) for number in range(3)]
    batches = work.batches(pairs, 16)
    assert [len(batch) for batch in batches] == [2, 1]
    paths = []
    for number, batch in enumerate(batches):
        shard = work.read(work.prepare(batch), len(batch))
        paths.append(tmp_path / f"{number}.safetensors")
        write_shard(paths[-1], shard)
    clips = pd.DataFrame({"image_id": [f"c{number}" for number in range(6)]})
    cells = {"site": SITES, "frame": [*range(FRAMES), ALL_FRAMES]}
    table = as_table(clips, [ImagePair(0, 1), ImagePair(2, 3), ImagePair(4, 5)], paths, cells)
    assert set(table["frame"]) <= {*range(FRAMES), ALL_FRAMES}
    whole = table[(table["site"] == "embedding") & (table["frame"] == ALL_FRAMES)]
    np.testing.assert_allclose(whole["moved"], whole["gap"], atol=1e-3)
    assert decoder_sites(reader.loaded.parts)[:3] == SITES
