"""What is stored of the vectors: what is left out is never written, and distances outlast a projection."""

import logging

import numpy as np
import pytest
import torch

from signbridge.core import activations, params
from signbridge.core.errors import SignBridgeError
from signbridge.vlm import needs
from signbridge.vlm.catalog import ModelParams
from signbridge.vlm.needs import check_room
from signbridge.vlm.random_weights import tiny_config
from signbridge.vlm.store import Store, check_sites, chosen_store, random_directions, stored_bytes

CPU = torch.device("cpu")


def test_what_is_left_out_is_not_kept():
    store = Store(sites=["vision", "layer_01"], positions=["prompt_last"])
    assert store.keeps("layer_01", "prompt_last")
    assert not store.keeps("layer_01", "image_mean")
    assert not store.keeps("layer_02", "prompt_last")
    assert store.keeps("vision", "image_mean")  # its only one
    assert Store().is_everything
    assert Store().made_by() == {}
    assert store.made_by()["store"]["sites"] == ["vision", "layer_01"]


def test_a_projection_keeps_distances_to_within_what_the_lemma_says():
    vectors = torch.randn(40, 3000, generator=torch.Generator().manual_seed(0))
    stored = Store(project=512).stored(vectors, torch.float32)
    assert stored.shape == (40, 512)
    distances, kept = (torch.pdist(rows) for rows in (vectors, torch.from_numpy(stored)))
    share = (8 * np.log(40) / 512) ** 0.5  # 0.24
    assert (abs(kept / distances - 1) < share).all()
    assert abs(kept / distances - 1).max() > 0.01  # it is no identity
    assert torch.equal(random_directions(3000, 512, CPU), random_directions(3000, 512, CPU))
    narrow = Store(project=512).stored(vectors[:, :100], torch.float16)
    np.testing.assert_array_equal(narrow, vectors[:, :100].half().numpy())


def test_its_bytes_are_counted_from_the_configuration():
    config = tiny_config("llava")
    everything = stored_bytes(Store(), config, torch.float32)
    width, blocks = config.text_config.hidden_size, config.text_config.num_hidden_layers
    assert everything == 4 * (config.vision_config.hidden_size + width + 3 * width * (1 + blocks))
    assert stored_bytes(Store(dtype="float16"), config, torch.float32) == everything // 2
    few = Store(sites=["layer_00", "layer_08"], positions=["prompt_last"], project=16)
    assert stored_bytes(few, config, torch.float16) == 2 * 2 * 16


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"positions": ["last"]}, r"extract\.store\.positions: no 'last'\. There are: prompt_last, answer_last"),
        ({"positions": []}, r"extract\.store\.positions: none\. There are: prompt_last"),
        ({"project": 0}, r"extract\.store\.project: 0\. Set none, or how many directions"),
    ],
)
def test_a_choice_that_is_none_is_named(workspace, settings, said):
    workspace.set(**{f"extract__store__{key}": value for key, value in settings.items()})
    with pytest.raises(SignBridgeError, match=said):
        chosen_store()


def test_a_site_that_the_model_lacks_is_named_with_those_it_has():
    with pytest.raises(SignBridgeError, match=r"extract\.store\.sites: no 'layer_31'\. There are: vision, projector"):
        check_sites(Store(sites=["pixels", "layer_31"]), tiny_config("llava"))


def test_a_large_set_is_told_in_bytes_and_hours_and_refused_where_the_disk_is_too_small(workspace, monkeypatch, caplog):
    config, entry = tiny_config("llava"), params.entry("tiny-random", params.MODELS, ModelParams)
    monkeypatch.setattr(needs, "SECONDS", 0.01)
    size = stored_bytes(Store(), config, torch.float32)
    many = 10**9 // (2 * size) + 1
    with caplog.at_level(logging.INFO):
        check_room(Store(), config, entry, CPU, 300)
        assert "GB of vectors" not in caplog.text
        check_room(Store(), config, entry, CPU, many)
    assert f"{many:,} images take 1.0 GB of vectors" in caplog.text
    assert "hours at the speed of bare matrix products on one cpu" in caplog.text
    monkeypatch.setattr(needs, "free_disk", lambda folder: 1)
    with pytest.raises(SignBridgeError, match=r"300 images take .* 0\.0 GB are free\. Free some, or store less"):
        check_room(Store(), config, entry, CPU, 300)


def test_what_edits_the_model_refuses_projected_vectors(tmp_path):
    made_by = {"sites": ["pixels"], **Store(project=8).made_by()}
    activations.write(tmp_path, "pixels", ["a"], {"flat": np.ones((1, 4), np.float32)}, made_by)
    with pytest.raises(SignBridgeError, match=r"projected onto 8 random directions .*set project: none"):
        activations.check_own_basis(tmp_path)
