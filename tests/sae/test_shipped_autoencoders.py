"""The autoencoders in models/autoencoders/: they belong to the miniature as it is, and do what is quoted of them."""

import json

import pytest
import torch
from PIL import Image

from benchmarks.sae_tokens import shared_and_explained
from signbridge.core import params, tables
from signbridge.core.model_folder import folder_sha256
from signbridge.core.names import MODEL, TWIN
from signbridge.core.sweeps import QuestionsParams
from signbridge.datasets.control_images import ControlsParams
from signbridge.rendered.dataset import RenderedParams, copy_of, develop, frame_of, photo_in_numbers
from signbridge.sae.passages import PASSAGES, TRAINING, with_successors
from signbridge.sae.settings import chosen_preset
from signbridge.sae.shipped import unpack, weights_digest
from signbridge.sae.token_sums import summed_images, summed_phrases
from signbridge.statistics.autoencoders import SHARED_MASS, EvaluateParams
from signbridge.vlm.catalog import ModelParams
from signbridge.vlm.extraction import Reader
from signbridge.vlm.loading import load
from tests.conftest import ROOT

SHIPPED, MINIATURE = ROOT / "models/autoencoders", ROOT / "models/miniature"
MOST_BYTES = 3_000_000
SHARES = {
    "shared": 0.02,
    SHARED_MASS: 0.02,
    "variance_image": 0.002,
    "variance_text": 0.002,
}  # and how far off they may be
CPU = torch.device("cpu")


@pytest.fixture
def preset(workspace):
    workspace.set_in(params.SAE, sae__preset="shipped")
    return chosen_preset()[1]


def test_the_preset_names_them_and_they_belong_to_the_miniature_as_it_is(preset):
    """Whoever teaches the miniature anew trains them anew: models/autoencoders/README.md says how."""
    assert ROOT / preset.folder == SHIPPED
    assert weights_digest(SHIPPED) == preset.sha256
    for whose in (MODEL, TWIN):
        made_by = tables.made_by(SHIPPED / whose / TRAINING)
        assert made_by["model_folder_sha256"] == folder_sha256(MINIATURE)
        recipe = preset.model_dump(exclude_none=True)
        assert made_by["preset"] == {key: recipe[key] for key in recipe if key not in ("folder", "sha256")}
    assert sum(path.stat().st_size for path in SHIPPED.rglob("*") if path.is_file()) < MOST_BYTES


def test_none_of_what_they_are_judged_on_was_read_in_training():
    for whose in (MODEL, TWIN):
        judged = json.loads((SHIPPED / whose / "evaluation.json").read_text(encoding="utf-8"))
        read = tables.read(SHIPPED / whose / PASSAGES)
        read = set(read.loc[~read["unread"], "item"])
        assert read.isdisjoint(judged["images"] + judged["phrases"])
        photos = {image_id.rpartition("-")[0] for image_id in read if image_id.count("-") == 2}
        assert photos.isdisjoint(image_id.rpartition("-")[0] for image_id in judged["images"]), "nor a copy of a photo"


def _drawn(image_id: str) -> Image.Image:
    """An image of the rendered dataset, drawn again by itself."""
    dataset = params.selected("dataset", params.DATASETS, RenderedParams)[1]
    letter, number, copy = image_id.split("-")
    photo = develop(photo_in_numbers(dataset.seed, letter, int(number)), frame_of(dataset.size))
    pixels = copy_of(photo, dataset.size, dataset.seed, letter, int(number), int(copy))
    return Image.fromarray(pixels).convert("RGB")


@pytest.mark.slow
@pytest.mark.parametrize("whose", [MODEL, TWIN])
def test_they_share_and_explain_what_is_quoted_of_them(whose, tmp_path, workspace):
    from signbridge.sae.autoencoders import open_autoencoders

    judged = json.loads((SHIPPED / whose / "evaluation.json").read_text(encoding="utf-8"))
    questions = params.section("questions", QuestionsParams)
    model = params.selected("model", params.MODELS, ModelParams)[1].model_copy(update={"path": str(MINIATURE)})
    twin_seed = params.section("controls", ControlsParams).twin_seed if whose == TWIN else None
    reader = Reader(load(model, tmp_path, CPU, twin_seed), model.prompt, 1)
    sites = list(judged["found"])
    unpack(SHIPPED / whose, tmp_path / "sae", sites)
    autoencoders = open_autoencoders(tmp_path / "sae", sites, CPU)
    said = with_successors(judged["phrases"], reader.loaded.processor.tokenizer, questions.corpus)
    describer = reader.asking(questions.describe, "questions.describe", 1)
    images = [_drawn(one) for one in judged["images"]]
    read = {
        "image": describer.read(images, summed_images(describer, autoencoders)).vectors,
        "text": reader.read(list(said.values()), summed_phrases(reader, autoencoders)).vectors,
    }
    bounds = tuple(params.section("evaluate", EvaluateParams, params.SAE).shared)
    for site in sites:
        found = shared_and_explained(read, site, bounds)
        for name, off in SHARES.items():
            assert found[name] == pytest.approx(judged["found"][site][name], abs=off), f"{site} {name}"
