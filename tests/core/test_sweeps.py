"""Which blocks a sweep takes, and what its sections accept."""

import itertools

import pytest

from signbridge.causal.erasure import ErasureParams
from signbridge.causal.knockout_sweep import KnockoutParams
from signbridge.causal.minimal_pairs import MinimalPairsParams
from signbridge.causal.patching import PatchingParams
from signbridge.causal.steering import SteeringParams
from signbridge.core import params
from signbridge.core.activations import layer_site
from signbridge.core.errors import SignBridgeError
from signbridge.core.sweeps import QuestionsParams, spread_layers

SECTIONS = {
    "questions": QuestionsParams,
    "patching": PatchingParams,
    "knockout": KnockoutParams,
    "minimal_pairs": MinimalPairsParams,
    "steering": SteeringParams,
    "erasure": ErasureParams,
}
FILES = {name: params.PARAMS if name == "questions" else params.CAUSAL for name in SECTIONS}


@pytest.mark.parametrize("blocks", [1, 2, 9, 12, 32])
def test_all_layers_are_all(blocks):
    assert spread_layers("all", blocks) == [layer_site(block) for block in range(blocks)]


@pytest.mark.parametrize("blocks", [3, 9, 12, 32])
@pytest.mark.parametrize("wanted", [2, 3, 5, 8])
def test_layers_are_spread_from_the_first_to_the_last_in_steps_that_hardly_differ(wanted, blocks):
    found = [int(site.removeprefix("layer_")) for site in spread_layers(wanted, blocks)]
    assert len(set(found)) == min(wanted, blocks)
    assert (found[0], found[-1]) == (0, blocks - 1)
    steps = {after - before for before, after in itertools.pairwise(found)}
    assert min(steps) >= 1
    assert max(steps) - min(steps) <= 1


def test_no_layer_is_none():
    assert spread_layers(0, 9) == []


def test_one_layer_is_the_middle_one():
    assert spread_layers(1, 9) == ["layer_04"]
    assert spread_layers(1, 1) == spread_layers("all", 1) == ["layer_00"]


@pytest.mark.parametrize("name", SECTIONS)
def test_the_committed_params_are_read(workspace, name):
    params.section(name, SECTIONS[name], FILES[name])


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("questions__sweep", "medium", "questions.sweep: expected 'small' or 'full'"),
        ("questions__describe", "", "questions.describe: expected"),
        ("patching__question", "letters", "patching.question: expected 'answer' or 'two_letters'"),
        ("patching__small__pairs", -1, "patching.small.pairs: expected"),
        ("patching__small__parts_at", ["image"], "patching.small.parts_at.0: expected 'prompt_last' or 'question'"),
        ("knockout__small__window", 0, "knockout.small.window: expected"),
        ("minimal_pairs__full__degrees", 0, "minimal_pairs.full.degrees: expected"),
        ("steering__small__strengths", [0.0, 1.0], "steering.small.strengths.0: expected greater than 0"),
        ("steering__small__strengths", [], "steering.small.strengths: expected"),
        ("steering__full__at", ["images"], "steering.full.at.0: expected 'image', 'prompt_last' or 'every'"),
        ("steering__full__during", ["decode"], "steering.full.during.0: expected 'prefill' or 'every_step'"),
        ("steering__small__layers", "some", "steering.small.layers: expected an integer or 'all'"),
        ("erasure__small__layers", -1, "erasure.small.layers: expected"),
        ("erasure__full__at", ["every"], "erasure.full.at.0: expected 'prompt_last', 'image' or 'both'"),
        ("erasure__full__draw", 3, "erasure.full.draw: unknown key. Did you mean 'draws'?"),
        ("steering__small__strength", [1.0], "steering.small.strength: unknown key. Did you mean 'strengths'?"),
        ("patching__smal", {"pairs": 3}, "patching.smal: unknown key. Did you mean 'small'?"),
    ],
)
def test_a_mistake_is_named_by_its_key_with_what_belongs_there(workspace, key, value, said):
    name = key.partition("__")[0]
    workspace.set_in(FILES[name], **{key: value})
    with pytest.raises(SignBridgeError) as error:
        params.section(name, SECTIONS[name], FILES[name])
    assert f"{FILES[name]}: {said}" in str(error.value)
