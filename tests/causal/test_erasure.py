"""Erasure: what is read under an eraser, held to a plain pass with the same map, and which controls go with it."""

import numpy as np
import pytest
import torch

from signbridge.causal.erasure import (
    IMAGE_TOKEN,
    ErasureSweep,
    Removal,
    damage,
    edits_at,
    erasing_work,
    leace,
    random_subspace,
    shard_name,
    spanned,
)
from signbridge.core.names import (
    LEACE,
    POSITION_OF,
    RANDOM_SUBSPACE,
    SHUFFLED_LABELS,
    TOKENS_OF,
)
from signbridge.core.shards import vectors_of
from signbridge.vlm.branching import image_span
from signbridge.vlm.extraction import Reader
from signbridge.vlm.residual import editing, reading
from signbridge.vlm.shard_runs import read_in_shards
from tests.causal.plain_runs import last_logits, log_probabilities, no_edit
from tests.vlm.conftest import PROMPT

DESCRIBE = "USER: <image>\nDescribe the hand.\nASSISTANT:"
SITES = ["layer_02", "layer_05", "layer_08"]
LABELS, PHOTOS = np.array(list("AABBCC")), np.array(list("uvwxyz"))
every_place = pytest.mark.parametrize("at", ["prompt_last", "image", "both"])


@pytest.fixture(scope="module")
def vectors(tiny, images):
    """What `extract` reads of the six images."""
    return Reader(tiny, PROMPT, 1, batch_size=6).read(images).vectors


@pytest.fixture(scope="module")
def edits(vectors) -> dict[str, list[Removal]]:
    """LEACE, and the opposite of a small change: all that the images span, gone."""
    generator = np.random.default_rng(0)
    made = {}
    for site in SITES:
        rows = {tokens: vectors[f"{site}.{POSITION_OF[tokens]}"] for tokens in TOKENS_OF["both"]}
        made[site] = [
            Removal(LEACE, 0, {tokens: leace(spanned(rows[tokens]), LABELS) for tokens in rows}),
            Removal(
                RANDOM_SUBSPACE, 0, {tokens: random_subspace(spanned(rows[tokens]), 5, generator) for tokens in rows}
            ),
        ]
    return made


def plain_edit(loaded, inputs, at: str, chosen: str, edit: Removal):
    """The eraser's map, in double precision, at the tokens that `at` names."""
    last = inputs["input_ids"].shape[1] - 1
    where = {"image": image_span(loaded, inputs), "prompt_last": slice(last, last + 1)}

    def change(site, stream):
        if site != chosen:
            return stream
        stream = stream.clone()
        for tokens in TOKENS_OF[at]:
            eraser = edit.of_tokens[tokens]
            left, right, mean = (torch.tensor(array) for array in eraser)
            rows = stream[:, where[tokens]].double()
            stream[:, where[tokens]] = (rows - (rows - mean) @ right.T @ left.T).float()
        return stream

    return change


@every_place
def test_what_is_read_under_an_eraser_is_that_of_a_plain_pass_under_its_map(tiny, images, edits, at):
    reader = Reader(tiny, PROMPT, 1, batch_size=4)
    found = reader.read(images[:3], erasing_work(reader, edits, [at])).vectors
    inputs = reader.prepare(images[:3])
    image, names = image_span(tiny, inputs), set()
    clean = last_logits(tiny, inputs, inputs["input_ids"][:, :0], no_edit).argmax(-1)
    for number, site in enumerate(SITES):
        for edit in edits[site]:
            streams = {}
            with (
                torch.inference_mode(),
                editing(tiny.parts, plain_edit(tiny, inputs, at, site, edit)),
                reading(tiny.parts, lambda place, stream, kept=streams: kept.update({place: stream.clone()})),
            ):
                says = tiny.model(**inputs).logits[:, -1].argmax(-1)
            for later in SITES[number:]:
                expected = {"prompt_last": streams[later][:, -1]}
                if at != "prompt_last":
                    expected["image_mean"] = streams[later][:, image].mean(dim=1)
                    expected[IMAGE_TOKEN] = streams[later][:, image][:, 49 // 2]
                for position, rows in expected.items():
                    name = shard_name(at, site, edit, later, position)
                    np.testing.assert_allclose(found[name], rows, rtol=1e-3, atol=1e-3, err_msg=name)
                    names.add(name)
            changed = shard_name(at, site, edit, site, "changed")
            np.testing.assert_array_equal(found[changed][:, 0] > 0, says != clean)
            names.add(changed)
    unedited = {f"{site}.{IMAGE_TOKEN}" for site in SITES}
    assert set(found) == names | unedited, "and nothing is read that was not touched"


def test_an_eraser_of_what_all_images_span_makes_them_one_at_that_site(tiny, images, edits, vectors):
    """So the answer hangs on the rest, and some answer changes: an eraser that is not applied would show."""
    reader = Reader(tiny, PROMPT, 1, batch_size=4)
    found = reader.read(images, erasing_work(reader, edits, ["prompt_last"])).vectors
    site = SITES[1]
    here = found[shard_name("prompt_last", site, edits[site][1], site, "prompt_last")]
    np.testing.assert_allclose(here, np.broadcast_to(here.mean(axis=0), here.shape), atol=1e-3)
    assert np.ptp(vectors[f"{site}.prompt_last"], axis=0).max() > 0.1


def test_shards_hold_every_image_once_and_in_order(tiny, images, edits, tmp_path):
    reader = Reader(tiny, PROMPT, 1, batch_size=4)
    work = erasing_work(reader, {SITES[1]: edits[SITES[1]]}, ["image"])
    shards = read_in_shards(reader, images[:5], tmp_path, 2, work)
    name = shard_name("image", SITES[1], edits[SITES[1]][0], SITES[1], "prompt_last")
    together = vectors_of(shards, name)
    for row, image in zip(together, images, strict=False):
        np.testing.assert_allclose(row, reader.read([image], work).vectors[name][0], rtol=1e-3, atol=1e-3)


@every_place
def test_damage_is_that_of_feeding_the_description_token_by_token_under_the_eraser(tiny, images, edits, at):
    reader, descriptions = Reader(tiny, DESCRIBE, 4, batch_size=4), [[40, 41], [50, 51, 52]]
    here = {site: edits[site] for site in SITES[1:2]}
    found = damage(reader, images[:2], descriptions, here, at)
    assert list(found) == SITES[1:2]
    for number, (image, tokens) in enumerate(zip(images[:2], descriptions, strict=True)):
        inputs = reader.prepare([image])
        before = log_probabilities(tiny, inputs, tokens, no_edit).mean()
        for row, edit in enumerate(here[SITES[1]]):
            after = log_probabilities(tiny, inputs, tokens, plain_edit(tiny, inputs, at, SITES[1], edit)).mean()
            assert found[SITES[1]][row, number] == pytest.approx(float(before - after), abs=2e-3)


# Which edits are made -------------------------------------------------------------------------------------------------


def sweep(draws: int) -> ErasureSweep:
    return ErasureSweep(layers=2, at=["both"], draws=draws, drawn=0, others=2)


def made_up(images: int = 24, width: int = 6) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """Vectors by position, letters, and photos of two copies each."""
    generator = np.random.default_rng(0)
    labels = np.repeat(list("ABC"), images // 3)
    apart = 3 * np.eye(3)[np.unique(labels, return_inverse=True)[1]] @ generator.normal(size=(3, width))
    rows = {position: apart + generator.normal(size=(images, width)) for position in ("prompt_last", "image_mean")}
    return rows, labels, np.array([f"photo-{index // 2}" for index in range(images)])


def made(draws: int = 2, seed: int = 0, site: str = "layer_00") -> list[Removal]:
    rows, labels, photos = made_up()
    return edits_at(site, lambda _, position: rows[position], labels, photos, sweep(draws), seed)


def erases_classes(edit: Removal, tokens: str, rows: np.ndarray, labels: np.ndarray) -> bool:
    eraser = edit.of_tokens[tokens]
    erased = rows - (rows - eraser.mean) @ eraser.right.T @ eraser.left.T
    means = np.stack([erased[labels == letter].mean(axis=0) for letter in np.unique(labels)])
    return np.ptp(means, axis=0).max() < 1e-4


def test_leace_is_fitted_to_each_kind_of_token_and_its_controls_leave_the_letter():
    rows, labels, _ = made_up()
    edits = made()
    assert [(edit.eraser, edit.draw) for edit in edits] == [
        (LEACE, 0), (RANDOM_SUBSPACE, 0), (SHUFFLED_LABELS, 0), (SHUFFLED_LABELS, 1)
    ]  # fmt: skip
    for edit in edits:
        for tokens in TOKENS_OF["both"]:
            assert erases_classes(edit, tokens, rows[POSITION_OF[tokens]], labels) == (edit.eraser == LEACE)
    assert not np.allclose(edits[0].of_tokens["image"].left, edits[0].of_tokens["prompt_last"].left)


def test_controls_erase_as_many_dimensions_as_leace():
    for edit in made():
        assert {eraser.left.shape[1] for eraser in edit.of_tokens.values()} == {2}, edit.eraser


def test_controls_are_drawn_by_seed_site_and_draw():
    left = [edit.of_tokens["image"].left for edit in made()]
    for number, edit in enumerate(made()):
        np.testing.assert_array_equal(edit.of_tokens["image"].left, left[number])
    assert not np.allclose(left[2], left[3])
    for other in (made(seed=1), made(site="layer_01")):
        np.testing.assert_array_equal(other[0].of_tokens["image"].left, left[0])
        assert not np.allclose(other[1].of_tokens["image"].left, left[1])


def test_each_kind_of_token_is_decomposed_once_for_all_its_erasers(monkeypatch):
    decomposed, svd = [], np.linalg.svd

    def counted(rows, **settings):
        decomposed.append(rows.shape)
        return svd(rows, **settings)

    monkeypatch.setattr(np.linalg, "svd", counted)
    assert len(made(draws=3)) == 5
    assert decomposed == [(24, 6)] * 2
