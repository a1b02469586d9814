"""Autoencoders that are shipped trained: taken whole, and refused where they do not belong."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file

from signbridge.core import tables
from signbridge.core.errors import SignBridgeError
from signbridge.core.names import MODEL, TWIN
from signbridge.sae.passages import PASSAGES, TRAINING, TrainingSet
from signbridge.sae.settings import SaeParams, TopKPreset
from signbridge.sae.shipped import pack, weights_digest, write_shipped

SITES = ["layer_00", "layer_06"]
RECIPE: dict[str, Any] = {
    "architecture": "batchtopk", "width": "4x", "k": 8, "tokens": 1000, "batch": 100, "buffer": 200, "lr": 0.001,
    "warm_up": 0.05, "decay": 0.3, "mean_norm": "sqrt_width", "dead_after": 30, "matmul": "float32",
}  # fmt: skip
SETTINGS = SaeParams(preset="shipped", layers=[0, 6], prompts=["own"], text_share=0.2)
MADE_BY: dict[str, Any] = {"model_folder_sha256": "ab" * 32, "model": {"name": "miniature"}}
SAID = ["read once", "kept from training"]


@pytest.fixture
def shipped(tmp_path) -> Path:
    """A folder as `benchmarks.sae_tokens --ship` leaves it: of the model, and of its twin."""
    generator = torch.Generator().manual_seed(0)
    for whose, about in ((MODEL, {}), (TWIN, {"twin_seed": 0})):
        trained = tmp_path / f"trained_{whose}"
        for site in SITES:
            (trained / site).mkdir(parents=True)
            (trained / site / "cfg.json").write_text("{}")
            for name in ("sae_weights", "pca"):
                save_file({"W": torch.randn(5, 4, generator=generator)}, trained / site / f"{name}.safetensors")
        made_by = {
            **MADE_BY,
            **about,
            "preset": RECIPE,
            "sae": SETTINGS.model_dump(),
            "sites": SITES,
            "read": {"texts": 9},
        }
        tables.write(pd.DataFrame({"site": SITES * 2, "step": [1, 1, 2, 2]}), trained / TRAINING, made_by)
        items = [("images", "a", False), ("images", "b", True), *zip(["texts"] * 2, SAID, [False, True], strict=True)]
        tables.write(pd.DataFrame(items, columns=["kind", "item", "unread"]), trained / PASSAGES, made_by)
        pack(trained, tmp_path / "shipped" / whose)
    return tmp_path / "shipped"


def study(shipped: Path, settings: SaeParams = SETTINGS, **changed: Any) -> TrainingSet:
    """A study of which training has read an image, held out another, and never seen a third."""
    recipe = {**RECIPE, **changed}
    preset = TopKPreset(**recipe, folder=str(shipped), sha256=weights_digest(shipped))
    images = pd.DataFrame({"image_id": ["a", "b", "c"], "label": "A"})
    made_by = {"preset": preset.model_dump(exclude_none=True), "sae": settings.model_dump()}
    return TrainingSet(settings, preset, images, Path("images.parquet"), pd.DataFrame(), [*SAID, "new"], 42, made_by)


def test_weights_are_those_that_were_trained_but_for_their_rounding(shipped, tmp_path):
    write_shipped("shipped", MODEL, ["layer_06"], study(shipped), tmp_path / "out", MADE_BY)
    for name in ("sae_weights.safetensors", "pca.safetensors"):
        given = load_file(tmp_path / "trained_model/layer_06" / name)["W"]
        taken = load_file(tmp_path / "out/layer_06" / name)["W"]
        assert taken.dtype == torch.float32
        np.testing.assert_allclose(taken, given, rtol=2**-10)
    assert not (tmp_path / "out/layer_00").exists()
    log, made_by = tables.read(tmp_path / "out" / TRAINING), tables.made_by(tmp_path / "out" / TRAINING)
    assert log["site"].tolist() == ["layer_06"] * 2
    assert made_by["sites"] == list(made_by["weights_sha256"]) == ["layer_06"]
    assert made_by["read"] == {"texts": 9}


def test_what_training_did_not_read_is_unread_and_so_is_what_it_never_saw(shipped, tmp_path):
    unread = write_shipped("shipped", MODEL, SITES, study(shipped), tmp_path / "out", MADE_BY)
    assert unread.to_dict("list") == {
        "kind": ["images"] * 3 + ["texts"] * 3, "item": ["a", "b", "c", *SAID, "new"],
        "unread": [False, True, True, False, True, True],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("whose", "sites", "changed", "made_by", "said"),
    [
        (MODEL, SITES, {}, {"model_folder_sha256": "cd" * 32}, "other weights than this.*abababab.*cdcdcdcd"),
        (MODEL, SITES, {"tokens": 2000}, {}, "was trained with tokens: 1000, and the settings say 2000"),
        (MODEL, SITES, {"text_share": 0.5}, {}, "was trained with text_share: 0.2, and the settings say 0.5"),
        (TWIN, SITES, {}, {"twin_seed": 1}, "was trained with twin_seed: 0, and the settings say 1"),
        (MODEL, ["layer_00", "layer_03"], {}, {}, "has autoencoders of layer_00, layer_06, not of layer_03"),
    ],
)  # fmt: skip
def test_what_does_not_belong_is_refused_and_nothing_is_written(
    shipped, tmp_path, whose, sites, changed, made_by, said
):
    settings = SETTINGS.model_copy(update={key: changed.pop(key) for key in ("text_share",) if key in changed})
    with pytest.raises(SignBridgeError, match=f"(?s){said}"):
        write_shipped(
            "shipped", whose, sites, study(shipped, settings, **changed), tmp_path / "out", {**MADE_BY, **made_by}
        )
    assert not (tmp_path / "out").exists()


def test_other_weights_in_the_folder_are_refused(shipped, tmp_path):
    before = study(shipped)
    save_file({"W": torch.zeros(5, 4)}, shipped / MODEL / "layer_00/sae_weights.safetensors")
    with pytest.raises(SignBridgeError, match="not the weights that 'shipped' in"):
        write_shipped("shipped", MODEL, SITES, before, tmp_path / "out", MADE_BY)
