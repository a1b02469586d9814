"""Minimal pairs: fingers of made-up differences, texts patched where they part, and pushes held to whole passes."""

import numpy as np
import pytest
import torch

from signbridge.causal.minimal_pairs import (
    IMAGE_TOKENS,
    Pair,
    described_swaps,
    halves,
    push_pairs,
    pushes_of,
    read_table,
    token_vectors,
)
from signbridge.causal.patching import Swap, patching_work
from signbridge.datasets.hands import FINGERS
from signbridge.vlm.branching import image_span
from signbridge.vlm.extraction import Reader
from signbridge.vlm.residual import editing
from tests.vlm.conftest import plain_streams
from tests.vlm.test_other_families import _reader, picture

PHOTOS, WIDTH = 8, 12
PAIRS = [
    Pair(photo, "BC"[photo % 2], finger, 5 * photo, 5 * photo + 1 + place)
    for photo in range(PHOTOS) for place, finger in enumerate(FINGERS)
]  # fmt: skip


@pytest.fixture(scope="module")
def reader(tmp_path_factory) -> Reader:
    return _reader(tmp_path_factory.mktemp("pairs"), "llava-next")


def vectors(told: bool, common: float = 5.0) -> np.ndarray:
    """Images of a signer each, with all that a bent finger does, and what only one finger does if it is `told`."""
    noise = np.random.default_rng(0)
    found = np.zeros((5 * PHOTOS, WIDTH), dtype=np.float32)
    for photo in range(PHOTOS):
        found[5 * photo :][:5] = 10 * noise.standard_normal(WIDTH)
        for finger in range(4):
            found[5 * photo + 1 + finger] += common + 0.3 * noise.standard_normal(WIDTH)
            found[5 * photo + 1 + finger, finger] += 2.0 * told
    return found


@pytest.mark.parametrize(("told", "least", "most"), [(True, 0.95, 1.0), (False, 0.0, 0.5)])
def test_the_finger_is_read_where_it_is_told_and_by_chance_where_it_is_not(told, least, most):
    table = read_table(PAIRS, [("here", "flat")], lambda *_: vectors(told), 20, np.random.default_rng(0))
    right = (table["finger"] == table["predicted"]).groupby(table["fitted_on"]).mean()
    assert least <= right["named"] <= most
    assert right["random"] == pytest.approx(0.25, abs=0.08)
    assert len(table) == len(PAIRS) * 21


def test_no_photo_reads_itself_and_no_letter_another():
    """With what each photo alone has in its fingers there is nothing to read: whoever fitted on it would."""
    own = vectors(told=False)
    own += 40 * np.random.default_rng(3).standard_normal(own.shape).astype(np.float32)
    table = read_table(PAIRS, [("here", "flat")], lambda *_: own, 1, np.random.default_rng(0))
    assert (table["finger"] == table["predicted"])[table["fitted_on"] == "named"].mean() < 0.5
    second = halves(PAIRS)
    for letter in "BC":
        of_letter = [place for place, pair in enumerate(PAIRS) if pair.letter == letter]
        photos = [{PAIRS[place].photo for place in of_letter if second[place] == half} for half in (False, True)]
        assert [len(some) for some in photos] == [2, 2]
        assert not photos[0] & photos[1]


def test_the_pushes_are_the_mean_differences_of_other_photos_of_the_letter_and_as_long_as_one_another():
    of_images = vectors(told=True)
    differences = np.stack([of_images[pair.moved] - of_images[pair.unmoved] for pair in PAIRS])
    pair, second = PAIRS[1], halves(PAIRS)
    others = [place for place, other in enumerate(PAIRS) if other.letter == pair.letter
              and other.finger == pair.finger and second[place] != second[1]]  # fmt: skip
    own, twice, other, _ = pushes_of(differences, PAIRS, pair, [1.0, 2.0])
    np.testing.assert_allclose(own, differences[others].mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(twice, 2 * own)
    assert np.linalg.norm(other) == pytest.approx(np.linalg.norm(own))
    assert not np.allclose(other, own, rtol=0.01)


@torch.inference_mode()
def test_every_image_token_of_every_site_is_kept(reader):
    pictures = [picture(number) for number in range(3)]
    found = reader.read(pictures, token_vectors(reader)).vectors
    inputs = reader.prepare(pictures)
    image = image_span(reader.loaded, inputs)
    for site, stream in plain_streams(reader.loaded, inputs).items():
        if site not in ("vision", "projector"):
            np.testing.assert_allclose(found[f"{site}.{IMAGE_TOKENS}"], stream[:, image].flatten(1), atol=1e-4)


@torch.inference_mode()
def test_a_stream_too_wide_is_projected_and_keeps_its_angles(reader, monkeypatch):
    pictures = [picture(number) for number in range(2)]
    whole = reader.read(pictures, token_vectors(reader)).vectors["layer_01.image_tokens"]
    monkeypatch.setattr("signbridge.causal.minimal_pairs.NUMBERS", 600)
    few = reader.read(pictures, token_vectors(reader)).vectors["layer_01.image_tokens"]
    assert few.shape[1] <= 600 < whole.shape[1]
    cosine = [float(a @ b / np.linalg.norm(a) / np.linalg.norm(b)) for a, b in (whole, few)]
    assert cosine[0] == pytest.approx(cosine[1], abs=0.15)


@torch.inference_mode()
def test_a_push_is_that_of_a_whole_pass_towards_the_other_image_and_back(reader):
    loaded, width = reader.loaded, reader.loaded.model.config.get_text_config().hidden_size
    push = np.random.default_rng(0).standard_normal((2, width)).astype(np.float32)
    swap = Swap(picture(0), picture(1), reader.prompt, (7, 9), {"layer_00": push, "layer_02": 3 * push})
    shard = reader.read([swap], patching_work(reader, push_pairs, wanted=lambda swap: swap))
    assert shard.vectors["patched"].shape == (1, 2, 2, 2)
    for run, image in enumerate((swap.a, swap.b)):
        inputs, sign = reader.prepare([image]), (1, -1)[run]
        tokens = image_span(loaded, inputs)

        def edit(site, stream, tokens=tokens, sign=sign):
            if site != "layer_02":
                return stream
            stream = stream.clone()
            stream[:, tokens] += sign * 3 * torch.from_numpy(push[1])
            return stream

        with editing(loaded.parts, edit):
            logits = loaded.model(**inputs, logits_to_keep=1).logits[0, -1]
        expected = (logits[9] - logits[7]) * sign
        assert shard.vectors["patched"][0, run, 1, 1] == pytest.approx(float(expected), abs=1e-4)


def test_texts_are_patched_at_the_first_token_in_which_they_part(reader):
    said = ["the hand is up", "the hand is down", "the hand is up", "", "the hand"]
    pairs, images = PAIRS[:4], [picture(number) for number in range(5)]
    found = dict(described_swaps(reader, pairs, images, said))
    assert set(found) == {0, 2, 3}, "one text twice leaves nothing to patch"
    ids = reader.loaded.processor.tokenizer
    assert found[0].prompt == f"{reader.prompt} the hand is"
    a, b = (ids(f"{reader.prompt} {text}")["input_ids"] for text in said[:2])
    before = len(ids(found[0].prompt)["input_ids"])
    assert found[0].tokens == (a[before], b[before])
    assert found[3].prompt == f"{reader.prompt} the hand"
    assert found[3].tokens[1] == reader.loaded.end_tokens[0], "one that is the beginning of the other ends there"
