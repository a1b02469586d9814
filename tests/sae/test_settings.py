"""The section `sae` and the presets: those that are committed, what is refused, and which models a preset fits."""

from collections.abc import Callable
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from signbridge.core import params
from signbridge.core.activations import layer_site
from signbridge.core.errors import SignBridgeError
from signbridge.sae.settings import (
    AnyPreset,
    SaeParams,
    StandardPreset,
    TopKPreset,
    check_preset_fits,
    check_room,
    chosen_preset,
    examples_of_a_feature,
    features_of,
    prompts_of_images,
    sae_sites,
)
from signbridge.vlm import machine
from signbridge.vlm.catalog import FolderModel, TinyRandomModel
from signbridge.vlm.loading import decoder_blocks, stream_width
from tests.conftest import ROOT, Workspace
from tests.sae.conftest import PRESETS

MINIATURE, TINY, LLAVA, GEMMA = 192, 320, 4096, 2048  # widths of streams


@pytest.fixture
def mine(tmp_path) -> Callable[[dict], tuple[Path, Path]]:
    """A params file and a catalog whose one sound preset, `mine`, is `PRESETS["topk"]` but for what is changed."""

    def write(changed: dict) -> tuple[Path, Path]:
        entry = {**PRESETS["topk"].model_dump(), **changed}
        YAML(typ="safe").dump({"sae": {"preset": "mine"}}, tmp_path / "params.yaml")
        YAML(typ="safe").dump({"mine": entry, "broken": 5}, tmp_path / "presets.yaml")
        return tmp_path / "params.yaml", tmp_path / "presets.yaml"

    return write


def committed(workspace: Workspace, name: str) -> AnyPreset:
    """A preset of the committed catalog."""
    workspace.set_in(params.SAE, sae__preset=name)
    return chosen_preset()[1]


def test_every_committed_preset_can_be_chosen(workspace):
    assert params.section("sae", SaeParams, ROOT / params.SAE).preset == "default"
    for name in ("default", "shipped", "line_of_sight", "multimodal_sae"):
        preset = committed(workspace, name)
        assert preset.buffer >= 16 * preset.batch


def test_the_published_recipes_are_what_they_say(workspace):
    sight = committed(workspace, "line_of_sight")
    assert (sight.architecture, features_of(sight, 4096), sight.l1, sight.l1_ramp) == ("standard", 65536, 5.0, 0.05)
    assert (sight.lr, sight.decay, sight.mean_norm) == (5e-5, 0.2, 64.0)
    multimodal = committed(workspace, "multimodal_sae")
    assert (multimodal.architecture, features_of(multimodal, 4096), multimodal.k) == ("topk", 131072, 256)


def test_a_preset_that_is_not_there_is_named_with_those_that_are(workspace):
    with pytest.raises(SignBridgeError, match=r"sae\.preset: no 'big' in .*presets\.yaml.*line_of_sight"):
        committed(workspace, "big")


def test_no_preset_but_the_chosen_one_is_checked(mine):
    assert chosen_preset(*mine({})) == ("mine", PRESETS["topk"])


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"warm_up": 0.7, "decay": 0.7}, "presets.yaml: mine: .*1.4 of the steps"),
        ({"tokens": 63}, "presets.yaml: mine: .*no batch of 64"),
        ({"buffer": 63}, "presets.yaml: mine: a buffer of 63 holds no batch of 64"),
        ({"kk": 3}, "presets.yaml: mine.kk: unknown key. Did you mean 'k'"),
        ({"architecture": "gated"}, "presets.yaml: mine.architecture: expected .*batchtopk"),
        ({"width": "16 x"}, "presets.yaml: mine.width"),
        ({"decay": 2.0}, "presets.yaml: mine.decay"),
        ({"mean_norm": "unit"}, "presets.yaml: mine.mean_norm"),
    ],
)
def test_a_preset_that_cannot_be_is_refused_with_its_key(mine, changed, said):
    with pytest.raises(SignBridgeError, match=said):
        chosen_preset(*mine(changed))


@pytest.mark.parametrize(
    ("preset", "width"),
    [("default", MINIATURE), ("default", TINY), ("line_of_sight", LLAVA), ("multimodal_sae", LLAVA)],
)
def test_presets_fit_the_models_that_they_are_for(workspace, preset, width):
    check_preset_fits(preset, committed(workspace, preset), "its model", width)


@pytest.mark.parametrize("width", [GEMMA, LLAVA])
def test_the_default_preset_does_not_fit_a_large_model(workspace, width):
    with pytest.raises(SignBridgeError, match="'default' does not fit the model llava-1-5-7b"):
        check_preset_fits("default", committed(workspace, "default"), "llava-1-5-7b", width)


def test_a_refusal_gives_the_numbers_and_the_ways_out(workspace):
    preset = committed(workspace, "default")
    with pytest.raises(SignBridgeError) as refused:
        check_preset_fits("default", preset, "llava-1-5-7b", LLAVA)
    said = str(refused.value)
    for number in ("80,000 tokens", "312 steps", "16,384 features", "156 examples", "4,096 numbers"):
        assert number in said
    assert "stages/sae/presets.yaml" in said
    needed = int(said.split("give this one ")[1].split(" tokens")[0].replace(",", ""))
    enough = preset.model_copy(update={"tokens": needed})
    check_preset_fits("default", enough, "llava-1-5-7b", LLAVA)
    assert examples_of_a_feature(enough, LLAVA) >= LLAVA
    assert len(said.splitlines()) == 2


def test_a_disk_too_small_to_train_in_is_refused_with_figures(workspace, monkeypatch):
    preset, sae = committed(workspace, "line_of_sight"), params.section("sae", SaeParams, params.SAE)
    monkeypatch.setattr(machine, "free_disk", lambda folder: 30 * 10**9)
    with pytest.raises(
        SignBridgeError, match=r"\.scratch: training 2 autoencoders of 65,536 features takes 3\d\.\d GB"
    ):
        check_room(sae, preset, 32, LLAVA, Path(".scratch"))
    check_room(sae.model_copy(update={"layers": [6]}), preset, 32, LLAVA, Path(".scratch"))
    with pytest.raises(SignBridgeError, match="training 32 autoencoders"):
        check_room(sae.model_copy(update={"layers": "all"}), preset, 32, LLAVA, Path(".scratch"))


def test_every_feature_counts_and_so_does_each_that_fires():
    preset = TopKPreset(**{**PRESETS["topk"].model_dump(), "tokens": 6400, "width": 64, "k": 4})
    assert examples_of_a_feature(preset, 100) == 400
    assert examples_of_a_feature(preset.model_copy(update={"width": 128}), 100) == 200
    assert examples_of_a_feature(preset.model_copy(update={"k": 8}), 100) == 800
    relu = StandardPreset(**{**PRESETS["standard"].model_dump(), "tokens": 6400, "width": 64})
    assert examples_of_a_feature(relu, 100) == 3200


def test_the_width_is_read_from_the_configuration_alone(tmp_path):
    shared = {
        "quantization": "none",
        "dequantize": "never",
        "dtype": "float32",
        "prompt": "<image>",
        "max_new_tokens": 1,
    }
    assert stream_width(TinyRandomModel(source="tiny_random", seed=0, **shared)) == TINY
    path = ROOT / "models/miniature"
    miniature = FolderModel(source="folder", path=str(path), **shared)
    assert (stream_width(miniature), decoder_blocks(miniature)) == (MINIATURE, 12)
    with pytest.raises(SignBridgeError, match="no such model folder"):
        stream_width(FolderModel(source="folder", path=str(tmp_path / "absent"), **shared))


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
