"""The section `sae` and the presets: those in params.yaml, and what is refused."""

from collections.abc import Callable
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from signbridge.core import params
from signbridge.core.activations import layer_site
from signbridge.core.errors import SignBridgeError
from signbridge.sae.settings import (
    SaeParams,
    chosen_preset,
    features_of,
    prompts_of_images,
    sae_sites,
)
from tests.conftest import ROOT
from tests.sae.conftest import PRESETS

PARAMS = ROOT / "params.yaml"


@pytest.fixture
def mine(tmp_path) -> Callable[[dict], Path]:
    """A params file whose one preset, `mine`, says what `PRESETS["topk"]` does but for what is changed."""

    def write(changed: dict) -> Path:
        entry = {**PRESETS["topk"].model_dump(), **changed}
        YAML(typ="safe").dump({"sae_presets": {"mine": entry, "broken": 5}}, tmp_path / "params.yaml")
        return tmp_path / "params.yaml"

    return write


def test_every_committed_preset_can_be_chosen():
    assert params.section("sae", SaeParams, PARAMS).preset == "default"
    for name in ("default", "line_of_sight", "multimodal_sae"):
        preset = chosen_preset(name, PARAMS)
        assert preset.buffer >= 16 * preset.batch


def test_the_published_recipes_are_what_they_say():
    sight = chosen_preset("line_of_sight", PARAMS)
    assert (sight.architecture, features_of(sight, 4096), sight.l1, sight.l1_ramp) == ("standard", 65536, 5.0, 0.05)
    assert (sight.lr, sight.decay, sight.mean_norm) == (5e-5, 0.2, 64.0)
    multimodal = chosen_preset("multimodal_sae", PARAMS)
    assert (multimodal.architecture, features_of(multimodal, 4096), multimodal.k) == ("topk", 131072, 256)


def test_a_preset_that_is_not_there_is_named_with_those_that_are():
    with pytest.raises(SignBridgeError, match=r"sae\.preset: no 'big' under 'sae_presets'.*line_of_sight"):
        chosen_preset("big", PARAMS)


def test_no_preset_but_the_chosen_one_is_checked(mine):
    assert chosen_preset("mine", mine({})) == PRESETS["topk"]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"warm_up": 0.7, "decay": 0.7}, "sae_presets.mine: .*1.4 of the steps"),
        ({"tokens": 63}, "sae_presets.mine: .*no batch of 64"),
        ({"buffer": 63}, "sae_presets.mine: a buffer of 63 holds no batch of 64"),
        ({"kk": 3}, "sae_presets.mine.kk: unknown key. Did you mean 'k'"),
        ({"architecture": "gated"}, "sae_presets.mine.architecture: expected .*batchtopk"),
        ({"width": "16 x"}, "sae_presets.mine.width"),
        ({"decay": 2.0}, "sae_presets.mine.decay"),
        ({"mean_norm": "unit"}, "sae_presets.mine.mean_norm"),
    ],
)
def test_a_preset_that_cannot_be_is_refused_with_its_key(mine, changed, said):
    with pytest.raises(SignBridgeError, match=said):
        chosen_preset("mine", mine(changed))


def test_layers_are_named_or_evenly_spread_or_all():
    assert sae_sites([7, 3, 3], 12) == [layer_site(3), layer_site(7)]
    assert sae_sites(3, 5) == [layer_site(0), layer_site(2), layer_site(4)]
    assert sae_sites("all", 3) == [layer_site(0), layer_site(1), layer_site(2)]


def test_a_layer_that_is_not_there_is_refused():
    with pytest.raises(SignBridgeError, match=r"sae\.layers: this decoder has blocks 0 to 11, not 12"):
        sae_sites([3, 12], 12)
    with pytest.raises(SignBridgeError, match="not -1"):
        sae_sites([-1], 12)
    with pytest.raises(SignBridgeError, match="at least one"):
        sae_sites(0, 12)


def test_prompts_are_filled_in_and_those_that_need_unknown_words_left_out():
    templates = ["own", "<image> {label}", "<image> The fingers are {words}."]
    found = prompts_of_images(
        templates, "<image> {?", "<image>", ["A", "B"], [frozenset({"up", "bent", "curved"}), None]
    )
    assert found == [
        ["<image> {?", "<image> A", "<image> The fingers are bent, curved and up."],
        ["<image> {?", "<image> B"],
    ]


def test_image_in_a_prompt_stands_for_the_models_own_token():
    found = prompts_of_images(["own", "<image> {label}"], "<own> What?", "<own>", ["A"], [None])
    assert found == [["<own> What?", "<own> A"]]


@pytest.mark.parametrize("template", ["no image", "<image> <image>", "<image> {word}", "<image> {", "<image> {0}"])
def test_a_prompt_that_cannot_be_read_is_refused(template):
    with pytest.raises(SignBridgeError, match=r"sae\.prompts"):
        prompts_of_images([template], "<image>", "<image>", ["A"], [None])
