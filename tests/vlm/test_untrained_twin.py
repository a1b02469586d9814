"""The untrained twin: the source in everything but its weights, and those by seed and name alone."""

import hashlib
import json
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
from huggingface_hub import constants
from scipy.stats import ks_2samp
from torch.multiprocessing.reductions import StorageWeakRef
from transformers import AutoConfig, AutoModelForImageTextToText, LlavaForConditionalGeneration
from transformers.initialization import TORCH_INIT_FUNCTIONS

from signbridge.core.errors import SignBridgeError
from signbridge.vlm import untrained_twin
from signbridge.vlm.catalog import FolderModel, HubModel, TinyRandomModel
from signbridge.vlm.extraction import Reader
from signbridge.vlm.loading import LoadedModel, load
from tests.vlm import other_families
from tests.vlm.conftest import CPU, PROMPT, tiny_random

MINIATURE = Path(__file__).parents[2] / "models/miniature"
SETTINGS = {"quantization": "none", "dequantize": "auto", "dtype": "float32", "prompt": PROMPT, "max_new_tokens": 5}
NOWHERE = Path("nowhere")  # where random models are written, for those that need no such folder


def folder_model(path: Path, **changes: str) -> FolderModel:
    return FolderModel(source="folder", path=str(path), **(SETTINGS | changes))


def twin_of(entry: FolderModel | HubModel | TinyRandomModel, seed: int = 0, scratch: Path = NOWHERE) -> LoadedModel:
    return load(entry, scratch, CPU, seed)


def weights_of(loaded: LoadedModel) -> dict[str, torch.Tensor]:
    return loaded.model.state_dict()


@pytest.fixture(scope="module")
def twin() -> LoadedModel:
    """The miniature's twin of seed 0."""
    return twin_of(folder_model(MINIATURE))


@pytest.fixture(scope="module")
def miniature() -> LoadedModel:
    return load(folder_model(MINIATURE), NOWHERE, CPU)


@pytest.fixture
def saved(tmp_path, tiny) -> Path:
    """The tiny random model in a folder of its own."""
    folder = tmp_path / "saved"
    tiny.model.save_pretrained(folder)
    tiny.processor.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module", params=["miniature", *other_families.WRITERS])
def family(request, tmp_path_factory) -> tuple[FolderModel, LoadedModel]:
    """A model of a family, and its twin of seed 3."""
    folder = MINIATURE
    if request.param != "miniature":
        folder = tmp_path_factory.mktemp("families") / request.param
        other_families.WRITERS[request.param](folder)
    entry = folder_model(folder, prompt=other_families.PROMPTS.get(request.param, PROMPT))
    return entry, twin_of(entry, 3)


def test_the_twin_has_its_sources_weights_by_name_and_shape_and_no_value(twin, miniature):
    ours, theirs = weights_of(twin), weights_of(miniature)
    assert {name: weight.shape for name, weight in ours.items()} == {name: w.shape for name, w in theirs.items()}
    for name, weight in ours.items():
        drawn = weight.unique().numel() > 1  # norms and biases start as ones and zeros, as in any model
        assert not drawn or not torch.isclose(weight, theirs[name].float()).all(), name
    assert sum(weight.unique().numel() > 1 for weight in ours.values()) > 100


def test_every_weight_is_distributed_as_the_library_initialises_it(family):
    """Constants to the value, draws as far as two samples can tell: in scale, centre and shape."""
    entry, twin = family
    config = AutoConfig.from_pretrained(entry.path, trust_remote_code=False)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = AutoModelForImageTextToText.from_config(config, dtype=torch.float32, trust_remote_code=False)
    kinds = set()
    for name, theirs in model.state_dict().items():
        ours = weights_of(twin)[name]
        assert torch.equal(ours == 0, theirs == 0), name  # the row of the token for padding, if it starts as zeros
        if theirs.unique().numel() == 1:
            assert torch.equal(ours, theirs), name
            continue
        ours, theirs = (weight[weight != 0][:20_000].double() for weight in (ours, theirs))
        assert ks_2samp(ours, theirs).pvalue > 1e-5, name
        kinds.add("normal" if ours.abs().max() / ours.std() > 2 else "uniform")
    assert kinds == {"normal", "uniform"} if config.model_type == "gemma3" else {"normal"}


def test_what_is_no_weight_is_the_sources_own(family):
    """Rotary frequencies, places in the image, and what a module counts once, as it is made."""
    entry, twin = family
    theirs = dict(load(entry, NOWHERE, CPU).model.named_buffers())
    ours = dict(twin.model.named_buffers())
    assert any("inv_freq" in name for name in ours)
    assert any("position_ids" in name for name in ours)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(buffer, theirs[name]) for name, buffer in ours.items())


def test_the_twin_reads_and_answers_as_its_source_is_read(twin, miniature, images):
    assert twin.end_tokens == miniature.end_tokens
    assert twin.parts.image_token_id == miniature.parts.image_token_id
    assert twin.model.generation_config.to_dict() == miniature.model.generation_config.to_dict()
    assert twin.model.config.to_dict() | {"_name_or_path": ""} == miniature.model.config.to_dict() | {
        "_name_or_path": ""
    }
    ours, theirs = (Reader(loaded, PROMPT, 5, batch_size=2) for loaded in (twin, miniature))
    assert ours.prepare(images[:1])["input_ids"].tolist() == theirs.prepare(images[:1])["input_ids"].tolist()
    one, other = ours.read(images[:2]), theirs.read(images[:2])
    assert list(one.vectors) == list(other.vectors)
    for name, vectors in one.vectors.items():
        assert vectors.shape == other.vectors[name].shape, name
        assert not (vectors == other.vectors[name]).all(), name
    assert len(one.answers) == 2


def test_one_seed_repeats_to_the_byte_and_another_gives_other_weights(twin):
    again, other = twin_of(folder_model(MINIATURE)), twin_of(folder_model(MINIATURE), 1)
    assert all(torch.equal(weight, weights_of(again)[name]) for name, weight in weights_of(twin).items())
    drawn = [name for name, weight in weights_of(twin).items() if weight.unique().numel() > 1]
    assert not any(torch.equal(weights_of(twin)[name], weights_of(other)[name]) for name in drawn)


def test_no_two_weights_of_one_shape_have_the_same_values(twin):
    of_shape = [w for n, w in weights_of(twin).items() if n.endswith("language_model.layers.0.self_attn.q_proj.weight")]
    of_shape += [
        w for n, w in weights_of(twin).items() if n.endswith("language_model.layers.1.self_attn.q_proj.weight")
    ]
    assert not torch.equal(*of_shape)


DIGESTS = {
    "normal": {"float32": "626e43aa6ee71664", "float16": "1182812259ffe597", "bfloat16": "8695ed1bb018ae9c"},
    "uniform": {"float32": "53344ccb6f7a674a", "float16": "1da422a046e2c35e", "bfloat16": "bc842a82518bda9d"},
    "cut off": {"float32": "fcf25834e5f37290", "float16": "e13d8b602d4e75a2", "bfloat16": "5652149e040371a7"},
}


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("kind", list(DIGESTS))
def test_the_bytes_are_those_of_every_machine(kind, dtype):
    """Whatever its processor, its number of threads, its C library and the version of NumPy: these, to the bit."""
    init = {
        "normal": lambda weight: torch.nn.init.normal_(weight, std=0.02),
        "uniform": torch.nn.init.xavier_uniform_,
        "cut off": lambda weight: TORCH_INIT_FUNCTIONS["trunc_normal_"](weight, std=1.5),
    }
    weight = torch.empty(700, 900, dtype=getattr(torch, dtype), device="meta")
    with untrained_twin._Recorder() as recorder:
        init[kind](weight)
    (writes,) = recorder.writes.values()
    drawn = untrained_twin.Unwritten(0, "weight", weight, writes)[...]
    found = hashlib.sha256(drawn.view(torch.uint8).numpy().tobytes()).hexdigest()[:16]
    assert found == DIGESTS[kind][dtype]


def test_no_quantile_is_rounded_otherwise_by_a_c_library_that_errs_in_the_last_bits():
    places = (np.arange(untrained_twin.LEVELS) + 0.5) / untrained_twin.LEVELS
    exact = np.array([untrained_twin.NormalDist().inv_cdf(place) for place in places])
    rounded = untrained_twin._normal().numpy()
    np.testing.assert_array_equal(rounded, exact.astype(np.float32))
    other = np.nextafter(rounded, np.where(exact > rounded, np.inf, -np.inf).astype(np.float32))
    middle = (rounded.astype(np.float64) + other) / 2
    assert (np.abs(exact - middle) / np.abs(exact)).min() > 100 * np.finfo(np.float64).eps


def test_the_quantiles_have_the_moments_of_the_normal_distribution():
    levels = untrained_twin._normal().double()
    assert levels.mean().abs() < 1e-6
    assert abs(levels.std() - 1) < 2e-5
    assert abs((levels**4).mean() - 3) < 1e-3


def test_no_weight_is_drawn_before_the_one_before_is_packed_and_none_twice(tmp_path, monkeypatch):
    """At LLaVA-1.5-7B's size all of them are 13 GiB, and as long to draw as 7 billion numbers take."""
    drawn: dict[str, StorageWeakRef] = {}
    draw = untrained_twin._draw

    def alone(into, levels, stream):
        assert stream not in drawn
        packed = [weight for other, weight in drawn.items() if "layers" in other and "_proj.weight" in other]
        assert all(weight.expired() for weight in packed)
        drawn[stream] = StorageWeakRef(into.untyped_storage())
        draw(into, levels, stream)

    monkeypatch.setattr(untrained_twin, "_draw", alone)
    twin_of(tiny_random(quantization="nf4", dequantize="never"), scratch=tmp_path)
    assert sum("_proj.weight" in stream for stream in drawn) == 9 * 7 + 2 * 4


def test_drawing_takes_little_beside_the_weight_itself():
    weight = torch.empty(4096, 8192, dtype=torch.float16, device="meta")
    with untrained_twin._Recorder() as recorder:
        torch.nn.init.normal_(weight)
    (writes,) = recorder.writes.values()
    tracemalloc.start()
    untrained_twin.Unwritten(0, "weight", weight, writes)[...]
    _, peak = tracemalloc.get_traced_memory()  # of NumPy; the weight's own 64 MB are PyTorch's
    tracemalloc.stop()
    assert peak < 8e6


def test_nothing_is_written(saved, tmp_path):
    twin_of(folder_model(saved), scratch=tmp_path / "scratch")
    assert {file.name for file in tmp_path.iterdir()} == {"saved"}


def test_a_source_without_generation_settings_has_a_twin_that_ends_its_answers_alike(saved):
    (saved / "generation_config.json").unlink()
    trained, untrained = load(folder_model(saved), NOWHERE, CPU), twin_of(folder_model(saved))
    assert untrained.end_tokens == trained.end_tokens
    assert untrained.model.generation_config.to_dict() == trained.model.generation_config.to_dict()


def test_the_global_generator_is_left_alone(tmp_path, model_scratch):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    twin_of(tiny_random(), 1, model_scratch)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_weights_are_in_the_entrys_dtype(dtype, twin):
    loaded = twin_of(folder_model(MINIATURE, dtype=dtype))
    assert {weight.dtype for weight in weights_of(loaded).values()} == {getattr(torch, dtype)}
    for name, weight in weights_of(twin).items():
        assert torch.equal(weight.to(getattr(torch, dtype)), weights_of(loaded)[name]), name


def test_a_random_models_twin_is_another_draw_of_its_architecture_with_the_same_seed_too(tiny, model_scratch):
    ours, theirs = weights_of(twin_of(tiny_random(seed=0), 0, model_scratch)), weights_of(tiny)
    assert {name: weight.shape for name, weight in ours.items()} == {name: w.shape for name, w in theirs.items()}
    assert not torch.equal(ours["lm_head.weight"], theirs["lm_head.weight"])


def test_a_hub_models_twin_is_made_from_its_snapshot_in_the_cache(tmp_path, saved, monkeypatch):
    entry = HubModel(source="hub", hub_id="some/model", revision="0" * 40, **SETTINGS)
    snapshot = tmp_path / "hub/models--some--model/snapshots" / entry.revision
    snapshot.mkdir(parents=True)
    for file in saved.iterdir():
        (snapshot / file.name).symlink_to(file)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    of_hub, of_folder = (weights_of(twin_of(one)) for one in (entry, folder_model(saved)))
    assert all(torch.equal(of_hub[name], weight) for name, weight in of_folder.items())


def test_a_hub_that_cannot_be_reached_is_said_in_two_lines(tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    entry = HubModel(source="hub", hub_id="some/model", revision="0" * 40, **SETTINGS)
    with pytest.raises(SignBridgeError, match="model some/model at 000000000000 cannot be had") as refused:
        twin_of(entry)
    assert len(str(refused.value).splitlines()) == 2


@pytest.mark.parametrize("dequantize", ["never", "always"])
def test_a_twin_of_an_nf4_model_is_packed_or_expanded_as_it_is(dequantize, model_scratch):
    entry = tiny_random(quantization="nf4", dequantize=dequantize)
    twin, model = twin_of(entry, 1, model_scratch), load(entry, model_scratch, CPU)
    ours, theirs = ({name: type(module) for name, module in one.model.named_modules()} for one in (twin, model))
    assert ours == theirs
    assert ("Linear4bit" in {kind.__name__ for kind in ours.values()}) == (dequantize == "never")


def test_a_twin_is_packed_like_a_source_that_is_packed_already(saved, tmp_path, model_scratch):
    """Whose vision tower is not, which its configuration says."""
    loaded = load(tiny_random(quantization="nf4", dequantize="never"), model_scratch, CPU)
    loaded.model.save_pretrained(saved)
    config = json.loads((saved / "config.json").read_text())
    assert config["quantization_config"]["bnb_4bit_use_double_quant"]
    config["quantization_config"] |= {
        "llm_int8_skip_modules": ["model.vision_tower"],
        "bnb_4bit_use_double_quant": False,
    }
    (saved / "config.json").write_text(json.dumps(config))
    twin = twin_of(folder_model(saved, quantization="nf4", dequantize="never")).model
    packed = {name for name, module in twin.named_modules() if type(module).__name__ == "Linear4bit"}
    assert packed
    assert not any("vision_tower" in name for name in packed)
    assert not twin.get_decoder().layers[0].mlp.up_proj.weight.quant_state.nested


def test_tied_weights_stay_tied_and_are_drawn_once(saved, tiny, monkeypatch):
    config = type(tiny.model.config).from_pretrained(saved, trust_remote_code=False)
    config.tie_word_embeddings = config.text_config.tie_word_embeddings = True
    LlavaForConditionalGeneration(config).save_pretrained(saved)
    streams, draw = [], untrained_twin._draw
    monkeypatch.setattr(untrained_twin, "_draw", lambda *given: (streams.append(given[-1]), draw(*given)))
    model = twin_of(folder_model(saved)).model
    assert model.lm_head.weight.data_ptr() == model.get_input_embeddings().weight.data_ptr()
    assert sum("embed_tokens" in stream or "lm_head" in stream for stream in streams) == 1
    assert not model.lm_head.weight[model.config.text_config.pad_token_id].any(), "drawn as an embedding"


@pytest.mark.parametrize(
    ("begins", "said"), [(lambda weight: weight, "left as it is"), (torch.Tensor.exponential_, "aten.exponential_")]
)
def test_a_weight_whose_start_is_not_known_is_named(saved, monkeypatch, begins, said):
    """A family that the library initialises by another rule than those that are known here."""
    monkeypatch.setitem(TORCH_INIT_FUNCTIONS, "ones_", begins)
    with pytest.raises(SignBridgeError, match=rf"norm\d?\.weight .*{said}.*leave untrained_twin out") as refused:
        twin_of(folder_model(saved))
    assert len(str(refused.value).splitlines()) == 1


def test_a_source_whose_weights_do_not_fit_its_configuration_is_refused(saved):
    config = saved / "config.json"
    config.write_text(config.read_text().replace('"intermediate_size": 864', '"intermediate_size": 640'))
    with pytest.raises(SignBridgeError, match=r"do not fit config\.json.*\[320, 864\].*\[320, 640\]") as refused:
        twin_of(folder_model(saved))
    assert len(str(refused.value).splitlines()) <= 2


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ('{"model_type": "nonsense"}', r"config\.json: model family 'nonsense' is not known"),
        (
            '{"model_type": "llava", "text_config": {"hidden_size": "wide"}}',
            r"cannot be loaded \(.*Its files are damaged",
        ),
        (
            '{"model_type": "llava", "text_config": {"model_type": "nonsense"}}',
            r"cannot be loaded \(.*Its files are dam",
        ),
    ],
)
def test_a_configuration_that_makes_no_model_is_refused(saved, config, message):
    (saved / "config.json").write_text(config)
    with pytest.raises(SignBridgeError, match=message) as refused:
        twin_of(folder_model(saved))
    assert len(str(refused.value).splitlines()) <= 2


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(SignBridgeError, match="nowhere: no such model folder"):
        twin_of(folder_model(tmp_path / "nowhere"))
