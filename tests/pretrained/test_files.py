"""Autoencoders that others trained: each format gives the features that its own authors' code gives."""

from pathlib import Path

import huggingface_hub.constants
import pytest
import torch
from sae_lens import SAE

from signbridge.core import params
from signbridge.core.errors import SignBridgeError
from signbridge.pretrained.files import fetched, read_pretrained, write_pretrained
from signbridge.pretrained.settings import OfFolder, chosen_pretrained
from tests.pretrained import formats
from tests.pretrained.formats import SCALE, WRITERS, Weights

WIDTH, FEATURES = 8, 40
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def weights() -> Weights:
    generator = torch.Generator().manual_seed(0)
    encoder, decoder = (torch.randn((WIDTH, FEATURES), generator=generator) for _ in range(2))
    return Weights(encoder, torch.randn(FEATURES, generator=generator), decoder.T)


@pytest.fixture
def streams() -> torch.Tensor:
    return torch.randn((20, WIDTH), generator=torch.Generator().manual_seed(1))


def entry(folder: Path, format: str, **changes: object) -> OfFolder:
    said = {**formats.folder_entry(folder, format, 3), "model": "tiny", "prompt": "<image>",
            "position": "prompt_last", "neuronpedia": None, "published": None, "dropped": None}  # fmt: skip
    return OfFolder.model_validate(said | changes)


def read(folder: Path, format: str, site: str = "layer_03", **changes: object) -> SAE:
    return read_pretrained(fetched("mine", entry(folder, format, **changes)), site)


@pytest.mark.parametrize("format", ["sae_lens", "gemma_scope_2"])
def test_features_and_what_is_given_back_are_those_of_the_weights(tmp_path, weights, streams, format):
    WRITERS[format](tmp_path, weights, 3)
    autoencoder = read(tmp_path, format)
    expected = (streams @ weights.encoder + weights.encoder_bias).relu()
    torch.testing.assert_close(autoencoder.encode(streams), expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(autoencoder(streams), expected @ weights.decoder, atol=1e-4, rtol=1e-4)


def test_a_threshold_keeps_features_below_it_from_firing(tmp_path, weights, streams):
    formats.write_gemma_scope_2(tmp_path, weights, 3)
    stored = formats.load_weights(tmp_path / "params.safetensors")
    formats.save_weights(tmp_path / "params.safetensors", {**stored, "threshold": torch.ones(FEATURES)})
    before = streams @ weights.encoder + weights.encoder_bias
    expected = before * (before > 1)
    torch.testing.assert_close(read(tmp_path, "gemma_scope_2").encode(streams), expected, atol=1e-5, rtol=1e-5)


def test_sparsify_takes_the_decoders_bias_off_and_keeps_the_k_strongest(tmp_path, weights, streams):
    """As its `Sae.pre_acts`, `select_topk` and `decode` have it, written out."""
    formats.write_sparsify(tmp_path, weights, 3)
    folder = tmp_path / "model.layers.3"
    config = folder / "cfg.json"
    config.write_text(config.read_text().replace(f'"k": {FEATURES}', '"k": 5'))
    stored = formats.load_weights(folder / "sae.safetensors")
    latents = ((streams - stored["b_dec"]) @ stored["encoder.weight"].T + stored["encoder.bias"]).relu()
    top, chosen = latents.topk(5)
    expected = torch.zeros_like(latents).scatter_(1, chosen, top)
    autoencoder = read(tmp_path, "sparsify")
    torch.testing.assert_close(autoencoder.encode(streams), expected, atol=1e-5, rtol=1e-5)
    given_back = expected @ stored["W_dec"] + stored["b_dec"]
    torch.testing.assert_close(autoencoder(streams), given_back, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("format", list(WRITERS))
def test_stored_it_is_opened_by_saelens_alone_and_the_same(tmp_path, weights, streams, format):
    WRITERS[format](tmp_path / "given", weights, 3)
    autoencoder = read(tmp_path / "given", format)
    write_pretrained(tmp_path / "stored", autoencoder)
    opened = SAE.load_from_disk(tmp_path / "stored")
    torch.testing.assert_close(opened.encode(streams), autoencoder.encode(streams))
    torch.testing.assert_close(opened(streams), autoencoder(streams))
    assert opened.cfg.metadata.hook_name == "blocks.3.hook_resid_post"


def test_one_trained_on_scaled_vectors_needs_the_scale(tmp_path, weights):
    formats.write_sae_lens(tmp_path, weights, 3)
    with pytest.raises(SignBridgeError, match=r"nothing says by how much\. Set norm_scaling_factor"):
        read(tmp_path, "sae_lens", norm_scaling_factor=None)


@pytest.mark.parametrize("format", list(WRITERS))
def test_one_of_another_layer_is_refused(tmp_path, weights, format):
    WRITERS[format](tmp_path, weights, 3)
    with pytest.raises(SignBridgeError, match="trained at layer_03, not at layer_04"):
        read(tmp_path, format, site="layer_04")


def test_files_of_another_format_are_named(tmp_path, weights):
    formats.write_gemma_scope_2(tmp_path, weights, 3)
    with pytest.raises(SignBridgeError, match=r"no cfg\.json here, so this is no autoencoder in the format sae_lens"):
        read(tmp_path, "sae_lens")


@pytest.mark.parametrize("damage", [b"", b"no weights"])
@pytest.mark.parametrize("format", list(WRITERS))
def test_damaged_weights_are_named(tmp_path, weights, format, damage):
    WRITERS[format](tmp_path, weights, 3)
    (file,) = tmp_path.rglob("*.safetensors")
    file.write_bytes(damage)
    with pytest.raises(SignBridgeError, match=rf"{file.name}: cut short.*Fetch it again"):
        read(tmp_path, format)


def test_a_signed_one_is_refused(tmp_path, weights):
    formats.write_sparsify(tmp_path, weights, 3)
    config = tmp_path / "model.layers.3/cfg.json"
    config.write_text(config.read_text().replace('"signed": false', '"signed": true'))
    with pytest.raises(SignBridgeError, match="signed features"):
        read(tmp_path, "sparsify")


@pytest.fixture
def offline_hub(tmp_path, monkeypatch) -> Path:
    """The cache of the hub's client, with no network behind it."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    return tmp_path / "hub"


IN_CATALOG = {  # the entries of autoencoders.yaml, and where the hub has them
    "llava-gemma-2b": ("jbloom/Gemma-2b-Residual-Stream-SAEs", "gemma_2b_blocks.12.hook_resid_post_16384", "sae_lens"),
    "gemma-3-4b-it": ("google/gemma-scope-2-4b-it", "resid_post/layer_17_width_16k_l0_medium", "gemma_scope_2"),
    "llava-next-llama3-8b": ("lmms-lab/llama3-llava-next-8b-hf-sae-131k", "", "sparsify"),
}


@pytest.mark.parametrize("name", list(IN_CATALOG))
def test_an_entry_of_the_catalog_is_taken_from_the_hub_at_its_commit(
    workspace, offline_hub, weights, streams, name, monkeypatch
):
    workspace.set(model=name)
    workspace.set_in(params.PRETRAINED, autoencoder=name)
    chosen, of_catalog = chosen_pretrained()
    assert chosen == name
    repository, inside, format = IN_CATALOG[name]
    in_cache = offline_hub / f"models--{repository.replace('/', '--')}"
    commit = of_catalog.revision or COMMIT
    (in_cache / "refs").mkdir(parents=True)
    (in_cache / "refs/main").write_text(commit)  # what is newest, for one that is not pinned
    WRITERS[format](in_cache / "snapshots" / commit / inside, weights, of_catalog.layer)
    found = fetched(name, of_catalog)
    assert (found.revision, found.format) == (commit, format)
    autoencoder = read_pretrained(found, f"layer_{of_catalog.layer:02d}")
    if name == "llava-gemma-2b":  # at the scale that SAELens lists, where the test's files have another
        scale = 0.21381938399317255 / SCALE
        expected = (streams @ weights.encoder * scale + weights.encoder_bias).relu()
        torch.testing.assert_close(autoencoder.encode(streams), expected, atol=1e-5, rtol=1e-5)


def test_without_a_network_the_way_out_is_named(workspace, offline_hub):
    workspace.set(model="llava-gemma-2b")
    with pytest.raises(SignBridgeError, match="cannot be had from the hub") as refused:
        fetched(*chosen_pretrained())
    assert "use source: folder" in str(refused.value)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("release", "gemma-9b-nobody", "SAELens lists no 'gemma-9b-nobody'"),
        ("id", "blocks.99.hook_resid_post", "no 'blocks.99.hook_resid_post' in gemma-2b-res-jb"),
        ("release", "llama_scope_lxr_8x", "There are: |a format that is not read here"),
    ],
)
def test_what_saelens_does_not_list_or_is_not_read_here_is_named(workspace, offline_hub, key, value, said):
    workspace.set(**{"model": "llava-gemma-2b", f"autoencoders__llava-gemma-2b__{key}": value})
    with pytest.raises(SignBridgeError, match=said):
        fetched(*chosen_pretrained())


@pytest.mark.parametrize("format", WRITERS)
def test_weights_that_are_not_finite_are_named(tmp_path, weights, format):
    weights.decoder[3, 2] = float("inf")
    WRITERS[format](tmp_path, weights, 3)
    with pytest.raises(SignBridgeError, match=r"W_dec: not finite \(inf, float32\) for row 3\. Fetch it again"):
        read(tmp_path, format)


@pytest.mark.parametrize("format", WRITERS)
def test_a_git_lfs_pointer_is_named(tmp_path, weights, format):
    WRITERS[format](tmp_path, weights, 3)
    (file,) = tmp_path.rglob("*.safetensors")
    file.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n")
    with pytest.raises(SignBridgeError, match=rf"{file.name}: a Git LFS pointer.*`git lfs pull`"):
        read(tmp_path, format)
