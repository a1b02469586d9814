"""Steering: every edit held to plain passes under the same edit, and to what the miniature is known to do."""

import itertools

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.live_memory import LiveMemory
from signbridge.causal.courses import mean_norms
from signbridge.causal.directions import all_directions, directions, fit_classes
from signbridge.causal.pairs import ClassPair, says
from signbridge.causal.steering import (
    Clamps,
    Course,
    Steered,
    SteeringSweep,
    all_pushes,
    durings,
    steer,
    steering_work,
    told_sites,
)
from signbridge.core.names import DIRECTIONS, RANDOM
from signbridge.vlm.branching import image_span
from signbridge.vlm.extraction import Reader, Work
from signbridge.vlm.letter_scoring import added_tokens
from signbridge.vlm.residual import decoder_sites
from tests.causal.conftest import ENTRY
from tests.causal.plain_runs import (
    edit_at,
    greedy,
    last_logits,
    log_probabilities,
    no_edit,
    texts,
)
from tests.vlm.conftest import PROMPT, within_budget

DESCRIBE = "USER: <image>\nDescribe the hand.\nASSISTANT:"
SITES = ["layer_01", "layer_06"]
ANSWER = [7, 9, 300]  # b's, of several tokens
DESCRIPTIONS = [[40, 41], [50, 51, 52, 53]]
STRENGTHS = [0.5, 2.0]
AT = ["image", "prompt_last", "every"]
NAMES = [*((name, 0) for name in DIRECTIONS), (RANDOM, 0), ("clamp", 0)]
CLAMP = len(NAMES) - 1
every_place = pytest.mark.parametrize("at", AT)
the_widest_place = pytest.mark.parametrize(  # by default; it holds the tokens of the others
    "at", [*(pytest.param(at, marks=pytest.mark.slow) for at in AT[:-1]), AT[-1]]
)


def sweep(**changes) -> SteeringSweep:
    settings = {
        "layers": 2, "pairs": 1, "images": 2, "others": 2, "at": AT, "during": ["prefill", "every_step"],
        "strengths": STRENGTHS, "draws": 1, "answer_tokens": 3,
    }  # fmt: skip
    return SteeringSweep.model_validate(settings | changes)


class Ramps:
    """Two features that are how far a vector reaches along fixed directions, and beyond a bias."""

    def __init__(self, width: int):
        self.W_dec = torch.randn(2, width, generator=torch.Generator().manual_seed(5)) / width**0.5

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        return (x @ self.W_dec.flip(0).T + 0.1).relu()

    def decode(self, feature_acts: torch.Tensor) -> torch.Tensor:
        return feature_acts @ self.W_dec + 0.1


def course(images: list[Image.Image], at: str, width: int, zero: bool = False, **changes) -> Course:
    """A course of the directions `NAMES`; the last of them holds the second feature of `Ramps`."""
    generator = np.random.default_rng(0)
    drawn = {site: generator.normal(size=(len(NAMES), width)) for site in SITES}
    for rows in drawn.values():
        rows[CLAMP] = Ramps(width).W_dec[1].numpy()
    held = Clamps(Ramps(width), np.array([-1] * CLAMP + [-1 if zero else 1]))
    unit = {site: rows * (not zero) / np.linalg.norm(rows, axis=1, keepdims=True) for site, rows in drawn.items()}
    made = Course(
        pair=ClassPair("A", "B", "fist", "palm"), at=at, unsteered=["fist", "fist"],
        image_ids=["i0", "i1"], images=images[:2], other_ids=["o0", "o1"], others=images[2:4],
        before="", descriptions=DESCRIPTIONS, answer=ANSWER,
        names=NAMES, told=("class_means", RANDOM, "clamp"), directions=unit,
        unit={"layer_01": 10.0, "layer_06": 40.0}, clamps=dict.fromkeys(SITES, held),
    )  # fmt: skip
    return made._replace(**changes)


def steered_by(loaded, made: Course, batch_size: int = 8, **changes) -> Steered:
    reader, describer = Reader(loaded, PROMPT, 5, batch_size), Reader(loaded, DESCRIBE, 3, batch_size)
    return steer(reader, describer, sweep(**changes), made)


def width_of(loaded) -> int:
    return loaded.model.config.get_text_config().hidden_size


def prompt_tokens(loaded, inputs, at: str) -> slice:
    last = inputs["input_ids"].shape[1] - 1
    return {"image": image_span(loaded, inputs), "prompt_last": slice(last, last + 1), "every": slice(0, last + 1)}[at]


def plain_edit(loaded, inputs, of: Course, site: str, during: str, direction: int, strength: float):
    """`direction` at `strength` added at the tokens named, and at all that are fed back or at none."""
    added = torch.tensor(of.directions[site][direction] * strength * of.unit[site], dtype=torch.float32)
    where = [prompt_tokens(loaded, inputs, of.at)]
    if during == "every_step":
        where.append(slice(inputs["input_ids"].shape[1], None))
    encoder, features, decoded = of.clamps[site]

    def push(stream: torch.Tensor) -> torch.Tensor:
        if features[direction] < 0:
            return stream + added
        active, row = encoder.encode(stream), encoder.W_dec[features[direction]]
        if np.any(decoded):
            active[..., features[direction]] = strength * of.unit[site] / row.norm()
            return encoder.decode(active)
        return stream + added - active[..., features[direction], None] * row

    return edit_at(site, where, push)


def every_edit(of: Course) -> list[tuple]:
    """Where an edit stands in the arrays, and what it is: first, last and one between of each kind."""
    every = itertools.product(range(len(SITES)), durings(of.at, ["prefill", "every_step"]), (0, 3, CLAMP), range(2))
    return [
        ((site, number, direction, strength), (SITES[site], during, direction, STRENGTHS[strength]))
        for site, during, direction, strength in every
        for number in [durings(of.at, ["prefill", "every_step"]).index(during)]
    ]


@pytest.fixture(scope="module")
def steered(tiny, images):
    """What steering finds, by place."""
    found = {}

    def of(at: str):
        if at not in found:
            made = course(images, at, width_of(tiny))
            found[at] = made, steered_by(tiny, made)
        return found[at]

    return of


@the_widest_place
def test_the_probability_of_an_answer_of_several_tokens_is_the_product_of_its_steps(tiny, images, steered, at):
    made, found = steered(at)
    inputs = Reader(tiny, PROMPT, 5, 2).prepare(images[:2])
    assert found.probability.shape == (2, 1 if at == "image" else 2, len(NAMES), 2, 2)
    for place, edit in every_edit(made)[::7]:
        slow = log_probabilities(tiny, inputs, ANSWER, plain_edit(tiny, inputs, made, *edit)).sum(-1).exp()
        np.testing.assert_allclose(found.probability[place], slow, rtol=2e-3, atol=0, err_msg=str(edit))
    clean = log_probabilities(tiny, inputs, ANSWER, no_edit).sum(-1).exp()
    np.testing.assert_allclose(found.clean_probability, clean, rtol=1e-3, atol=0)
    assert not np.allclose(found.probability[0, 0, 0, 1], clean, rtol=0.1, atol=0), "the edits are to do something"


@every_place
def test_damage_is_that_of_feeding_the_description_token_by_token_under_the_edit(tiny, images, steered, at):
    made, found = steered(at)
    for number, (image, tokens) in enumerate(zip(images[2:4], DESCRIPTIONS, strict=True)):
        inputs = Reader(tiny, DESCRIBE, 5, 1).prepare([image])
        before = log_probabilities(tiny, inputs, tokens, no_edit).mean()
        for place, edit in every_edit(made)[1::4]:
            after = log_probabilities(tiny, inputs, tokens, plain_edit(tiny, inputs, made, *edit)).mean()
            assert found.damage[(*place, number)] == pytest.approx(float(before - after), abs=2e-3), edit


@every_place
def test_the_text_is_that_of_a_whole_pass_for_every_token(tiny, images, steered, at):
    made, found = steered(at)
    inputs = Reader(tiny, PROMPT, 5, 2).prepare(images[:2])
    for (site, during, direction, strength), edit in every_edit(made)[1::4]:
        slow = texts(tiny, greedy(tiny, inputs, 3, plain_edit(tiny, inputs, made, *edit)))
        assert found.answers[site][during][direction * len(STRENGTHS) + strength] == slow, edit


@every_place
def test_the_descriptions_told_are_of_the_first_image_under_the_last_kind_of_edit(tiny, images, steered, at):
    made, found = steered(at)
    assert list(found.descriptions) == SITES
    during = durings(at, ["prefill", "every_step"])[-1]
    inputs = Reader(tiny, DESCRIBE, 3, 1).prepare(images[:1])
    for number, (direction, strength) in enumerate(itertools.product((0, 3, CLAMP), STRENGTHS)):
        edit = plain_edit(tiny, inputs, made, SITES[1], during, direction, strength)
        assert [found.descriptions[SITES[1]][number]] == texts(tiny, greedy(tiny, inputs, 3, edit))


@the_widest_place
def test_a_feature_that_is_held_in_what_is_decoded_is_held_so_at_every_token_edited(tiny, images, steered, at):
    """The strength is the length of what the feature adds, as it is of a direction."""
    made, kept = steered(at)
    held = {site: clamps._replace(decoded=np.arange(len(NAMES)) == CLAMP) for site, clamps in made.clamps.items()}
    found = steered_by(tiny, made._replace(clamps=held))
    np.testing.assert_array_equal(found.probability[:, :, :CLAMP], kept.probability[:, :, :CLAMP])
    during = durings(at, ["prefill", "every_step"])[-1]
    inputs = Reader(tiny, PROMPT, 5, 2).prepare(images[:2])
    for number, site in enumerate(SITES):
        edit = plain_edit(tiny, inputs, made._replace(clamps=held), site, during, CLAMP, STRENGTHS[0])
        slow = log_probabilities(tiny, inputs, ANSWER, edit).sum(-1).exp()
        np.testing.assert_allclose(found.probability[number, -1, CLAMP, 0], slow, rtol=2e-3, atol=0)
        assert not np.allclose(kept.probability[number, -1, CLAMP, 0], slow, rtol=0.05, atol=0)


@the_widest_place
def test_no_direction_changes_nothing(tiny, images, at):
    made = course(images, at, width_of(tiny), zero=True)
    found = steered_by(tiny, made._replace(directions={SITES[0]: made.directions[SITES[0]]}))
    np.testing.assert_allclose(found.damage, 0, atol=1e-5)
    clean = np.broadcast_to(found.clean_probability, found.probability.shape)
    np.testing.assert_allclose(found.probability, clean, rtol=1e-3, atol=0)
    inputs = Reader(tiny, PROMPT, 5, 2).prepare(images[:2])
    plain = texts(tiny, greedy(tiny, inputs, 3, no_edit))
    assert {tuple(answers) for site in found.answers for during in site for answers in during} == {tuple(plain)}


@pytest.mark.parametrize("at", ["prompt_last", "every"])
def test_an_edit_at_every_step_is_another_than_one_of_the_prompt_alone(steered, at):
    """In what follows the first token: the text and the damage. The first token itself is the same."""
    _, found = steered(at)
    assert np.abs(found.damage[:, 0] - found.damage[:, 1]).max() > 0.1
    assert any(site[0] != site[1] for site in found.answers)


def test_at_the_image_tokens_there_is_no_step_to_edit():
    assert durings("image", ["prefill", "every_step"]) == ["prefill"]
    assert durings("image", ["every_step"]) == ["prefill"]
    assert durings("every", ["every_step"]) == ["every_step"]


def test_what_runs_side_by_side_makes_no_difference(tiny, images, steered):
    made, together = steered("image")
    site = SITES[0]
    one_by_one = steered_by(tiny, made._replace(directions={site: made.directions[site]}), batch_size=1)
    np.testing.assert_allclose(one_by_one.probability, together.probability[:1], rtol=2e-3, atol=0)
    np.testing.assert_allclose(one_by_one.damage, together.damage[:1], atol=2e-3)
    assert one_by_one.answers == together.answers[:1]
    assert one_by_one.descriptions == {site: together.descriptions[site]}


def test_room_for_fewer_rows_than_are_told_is_cured_by_smaller_batches(tiny, images):
    both = course(images, "prompt_last", width_of(tiny))
    rows, held = [NAMES.index((name, 0)) for name in both.told], both.clamps[SITES[0]]
    made = both._replace(
        names=[NAMES[row] for row in rows], directions={SITES[0]: both.directions[SITES[0]][rows]},
        clamps={SITES[0]: held._replace(features=held.features[rows])}, image_ids=["i0"],
        images=images[:1], other_ids=["o0"], others=images[2:3], descriptions=DESCRIPTIONS[:1],
    )  # fmt: skip
    assert len(made.told) * len(STRENGTHS) == 6
    settings = sweep(during=["prefill"])

    def work_of(reader: Reader) -> Work:
        return steering_work(reader, Reader(tiny, DESCRIBE, 3, batch_size=8), settings)

    with LiveMemory() as room_for_four:
        work_of(Reader(tiny, PROMPT, 5, batch_size=4)).read(made._replace(told=made.told[:2]), 1)
    expected = work_of(Reader(tiny, PROMPT, 5, batch_size=4)).read(made, 1)
    reader = Reader(tiny, PROMPT, 5, batch_size=8)
    found = reader.read([made], within_budget(work_of(reader), 1.02 * room_for_four.peak))
    assert reader.batch_size == 4
    assert found.answers == expected.answers
    for name, array in expected.vectors.items():
        np.testing.assert_array_equal(found.vectors[name], array)


def test_a_strength_of_one_is_as_long_as_the_unit_whatever_the_direction(tiny, images):
    made = course(images, "image", width_of(tiny))
    for site, pushes in all_pushes(sweep(), made, tiny.device).items():
        lengths = pushes.added.norm(dim=-1).view(len(NAMES), len(STRENGTHS))
        expected = torch.tensor([strength * made.unit[site] for strength in STRENGTHS], dtype=torch.float32)
        torch.testing.assert_close(lengths, expected.expand_as(lengths))


def test_the_mean_norm_is_over_the_tokens_that_are_edited_and_leaves_the_first_of_all_out(tiny, images):
    reader = Reader(tiny, PROMPT, 5, batch_size=4)
    found = mean_norms(reader, images[:5])
    inputs = reader.prepare(images[:5])
    streams = {}
    with torch.inference_mode():
        last_logits(tiny, inputs, inputs["input_ids"][:, :0], lambda site, s: streams.setdefault(site, s.clone()))
    image = image_span(tiny, inputs)
    for site in decoder_sites(tiny.parts):
        norms = streams[site].norm(dim=-1)
        expected = {"image": norms[:, image], "prompt_last": norms[:, -1], "every": norms[:, 1:]}
        for at, part in expected.items():
            assert found[at][site] == pytest.approx(float(part.mean()), rel=1e-4), (at, site)


def test_texts_are_told_at_the_first_middle_and_last_site(images):
    sites = [f"layer_{block:02d}" for block in range(9)]
    made = course(images, "image", 4)
    assert told_sites(made._replace(directions=dict.fromkeys(sites))) == ["layer_00", "layer_04", "layer_08"]
    assert told_sites(made._replace(directions=dict.fromkeys(sites[:1]))) == ["layer_00"]


# The miniature: S is called Fist and V is called Peace ---------------------------------------------------------------


@pytest.fixture(scope="module")
def towards_peace(miniature, fists_and_peaces):
    """Six fists steered towards Peace, with directions fitted on other photos: probabilities and texts, by place."""
    images, labels = fists_and_peaces
    reader = Reader(miniature, ENTRY.prompt, 5, batch_size=36)
    fitted = np.arange(len(labels)) % 9 < 5
    vectors = reader.read([image for image, of_half in zip(images, fitted, strict=True) if of_half]).vectors
    norms = mean_norms(reader, images[:5])
    unembedding = miniature.model.get_output_embeddings().weight.float().detach().numpy()
    answers = [added_tokens(miniature.processor, ENTRY.prompt, word, "prompt") for word in ("Fist", "Peace")]
    steered = [
        image for image, label, of_half in zip(images, labels, fitted, strict=True) if label == "S" and not of_half
    ]
    draws, strengths = 4, [1.0, 2.0]

    def of(at: str, position: str, site: str):
        classes = fit_classes(
            vectors[f"{site}.{position}"], labels[fitted], np.arange(10).astype(str), np.ones(10, dtype=bool), 0.01,
            draws, np.random.default_rng(1),
        )  # fmt: skip
        rows = directions(
            classes, "S", "V", unembedding[[tokens[0] for tokens in answers]], draws, np.random.default_rng(0)
        )
        made = Course(
            ClassPair("S", "V", "Fist", "Peace"), at, ["Fist"] * 4, ["s"] * 4, steered, ["o"], steered[:1], "",
            [answers[0]], answers[1], all_directions(draws), ("class_means",), {site: rows}, {site: norms[at][site]},
        )  # fmt: skip
        settings = sweep(strengths=strengths, draws=draws, during=["prefill"], answer_tokens=3)
        found = steer(reader, Reader(miniature, DESCRIBE, 2, 36), settings, made)
        said = [[says(text, "Peace") for text in image_texts] for image_texts in found.answers[0][0]]
        return found, np.reshape(said, (len(DIRECTIONS) + 2 * draws, len(strengths), len(steered)))

    return of


@pytest.mark.parametrize(
    ("at", "position", "site"), [("image", "image_mean", "layer_00"), ("prompt_last", "prompt_last", "layer_11")]
)
def test_in_the_miniature_class_means_turn_a_fist_into_peace_and_random_directions_do_not(
    towards_peace, at, position, site
):
    found, said = towards_peace(at, position, site)
    probability = found.probability[0, 0]
    means, random = DIRECTIONS.index("class_means"), slice(len(DIRECTIONS), len(DIRECTIONS) + 4)
    assert found.clean_probability.max() < 0.1
    assert said[means].any(axis=0).mean() > 0.7
    assert said[random].mean() <= 0.1
    best = probability[means].mean(axis=1).max()
    assert best > 0.7
    assert best - probability[random].mean(axis=(0, 2)).max() > 0.5
