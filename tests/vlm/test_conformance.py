"""Models of every family conform, on small random weights: what is read and edited is what the library computes."""

import importlib
import json
import sys
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from transformers.models.pixtral import image_processing_pil_pixtral as pil

from signbridge.core.errors import SignBridgeError
from signbridge.vlm import conformance
from signbridge.vlm.catalog import FolderModel
from signbridge.vlm.conformance import table
from signbridge.vlm.extraction import Reader
from signbridge.vlm.families import why_refused
from signbridge.vlm.families.parts import completed, one_row_each
from signbridge.vlm.families.video import FrameProcessor
from signbridge.vlm.loading import check_family, load
from tests.vlm import other_families

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("families")


def entry_of(folders: Path, family: str, quantization: str = "none") -> FolderModel:
    if not (folders / family).exists():
        other_families.CLIP_WRITERS[family](folders / family)
    return FolderModel(
        source="folder", path=str(folders / family), quantization=quantization, dequantize="never", dtype="float32",
        prompt=other_families.PROMPTS[family], max_new_tokens=3,
    )  # fmt: skip


def reader_of(folders: Path, family: str, quantization: str = "none") -> Reader:
    entry = entry_of(folders, family, quantization)
    return Reader(load(entry, folders, CPU), entry.prompt, 3, 2)


@pytest.mark.parametrize("family", list(other_families.CLIP_WRITERS))
def test_a_family_conforms(folders, family):
    findings = list(conformance.conformance(reader_of(folders, family)))
    assert {"sites", "steps", "rows of images", "threads", "reach", "branches", "text alone"} == {
        finding.check for finding in findings
    }
    assert all(finding.holds for finding in findings), table(findings)


@pytest.mark.parametrize(
    "family", ["llava-next", "qwen2-5-vl", "qwen3-vl", "internvl", "smolvlm", "mistral3", "pixtral"]
)
def test_images_of_two_shapes_take_different_numbers_of_tokens(folders, family):
    """Else nothing would be shown of prompts that differ in length for their images."""
    reader = reader_of(folders, family)
    draw = np.random.default_rng(0)
    images = [conformance.noise(draw, size) for size in (conformance.SQUARE, conformance.WIDE)]
    is_image = reader.prepare(images)["input_ids"] == reader.loaded.parts.image_token_id
    assert len(set(is_image.sum(1).tolist())) == 2


@pytest.mark.parametrize(
    ("family", "changed", "where"),
    [
        ("qwen3-vl", {"injected": ()}, {"sites", "branches"}),
        ("paligemma", {"looks_ahead": "none"}, {"steps", "reach", "branches"}),
        ("gemma3", {"looks_ahead": "prompt"}, {"reach"}),
        ("llava-next", {"rows_of_images": one_row_each}, {"rows of images"}),
        ("smolvlm", {"rows_of_images": one_row_each}, {"rows of images"}),
        ("internvl", {"rows_of_images": one_row_each}, {"rows of images"}),
    ],
)
def test_a_family_that_is_described_wrongly_does_not_conform(folders, family, changed, where):
    reader = reader_of(folders, family)
    reader.loaded = reader.loaded._replace(parts=reader.loaded.parts._replace(**changed))
    assert where <= {finding.check for finding in conformance.conformance(reader) if not finding.holds}


def test_plain_positions_of_qwen_do_not_conform(folders):
    """As the library counts them where the processor does not say which tokens are an image's, and says nothing."""
    reader = reader_of(folders, "qwen2-5-vl")
    plain = lambda inputs: torch.arange(inputs["input_ids"].shape[1]).expand(3, *inputs["input_ids"].shape)  # noqa: E731
    reader.loaded = reader.loaded._replace(parts=reader.loaded.parts._replace(positions=plain))
    assert {"steps", "branches"} <= {finding.check for finding in conformance.conformance(reader) if not finding.holds}


@pytest.mark.parametrize("family", ["qwen2-5-vl", "qwen3-vl", "internvl", "smolvlm", "llava-onevision"])
def test_a_processor_with_a_part_for_videos_is_read_with_one_that_needs_no_torchvision(tmp_path, family):
    """As published ones are, and where torchvision is not installed."""
    other_families.ALL_WRITERS[family](tmp_path / family)
    file = tmp_path / family / "processor_config.json"
    saved = json.loads(file.read_text(encoding="utf-8"))
    for_videos = {"video_processor_type": "OwnVideoProcessor", "size": {"shortest_edge": 64}}
    file.write_text(json.dumps({**saved, "video_processor": for_videos}), encoding="utf-8")
    (tmp_path / family / "video_preprocessor_config.json").write_text(json.dumps(for_videos), encoding="utf-8")
    draw = np.random.default_rng(0)
    reader = reader_of(tmp_path, family)
    inputs = reader.prepare([conformance.noise(draw, conformance.SQUARE)])
    assert (inputs["input_ids"] == reader.loaded.parts.image_token_id).any()
    assert isinstance(reader.loaded.processor.video_processor, FrameProcessor)


@pytest.mark.parametrize("merged", [1, 2])
def test_pixtrals_processor_gives_what_the_librarys_own_does(monkeypatch, merged):
    """Whose module is not imported without torchvision, for a function that the Pillow backend has too."""
    name = "transformers.models.pixtral."
    with_torchvision = SimpleNamespace(get_resize_output_image_size=pil.get_resize_output_image_size)
    monkeypatch.setitem(sys.modules, f"{name}image_processing_pixtral", with_torchvision)
    monkeypatch.delitem(sys.modules, f"{name}processing_pixtral", raising=False)
    theirs = importlib.import_module(f"{name}processing_pixtral").PixtralProcessor
    monkeypatch.delitem(sys.modules, f"{name}processing_pixtral")
    ours = other_families._pixtral_processor(merged)
    theirs = theirs(ours.image_processor, ours.tokenizer, patch_size=other_families.PATCH, spatial_merge_size=merged)
    draw = np.random.default_rng(0)
    for sizes in ([(28, 28), (56, 28)], [(30, 90), (100, 40)]):
        given = {"images": [[conformance.noise(draw, size)] for size in sizes], "text": ["[INST]a[IMG]b[/INST]"] * 2,
                 "return_tensors": "pt", "padding": True}  # fmt: skip
        found, expected = ours(**given), theirs(**given)
        assert found.keys() == expected.keys()
        assert all(torch.equal(torch.as_tensor(found[name]), torch.as_tensor(expected[name])) for name in expected)


def test_a_processor_that_does_not_mark_image_tokens_is_refused(folders):
    reader = reader_of(folders, "qwen2-5-vl")
    draw = np.random.default_rng(0)
    inputs = reader.prepare([conformance.noise(draw, conformance.SQUARE)])
    del inputs["mm_token_type_ids"]
    with pytest.raises(SignBridgeError, match="mm_token_type_ids"):
        completed(reader.loaded.parts, inputs)


def test_images_of_as_many_tokens_in_other_shapes_are_not_compared(folders):
    """Their tokens stand at other positions: a branch of one could not stand for the other."""
    reader = reader_of(folders, "qwen2-5-vl")
    draw = np.random.default_rng(0)
    images = [conformance.noise(draw, size) for size in ((112, 56), (56, 112))]
    inputs = reader.prepare(images)
    assert "attention_mask" not in inputs
    with pytest.raises(SignBridgeError, match="differ in shape"):
        conformance.clean_run(reader.loaded, inputs, 0)


@pytest.mark.parametrize("family", list(other_families.ALL_WRITERS))
def test_a_family_conforms_in_nf4(folders, family):
    reader = reader_of(folders, family, "nf4")
    packed = [name for name, module in reader.loaded.model.named_modules() if type(module).__name__ == "Linear4bit"]
    assert any("layers.0" in name for name in packed)
    assert not any(name.endswith("lm_head") for name in packed)
    findings = list(conformance.conformance(reader))
    assert all(finding.holds for finding in findings), table(findings)


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"model_type": "instructblip", "text_config": {"model_type": "t5"}}, "encoder-decoder"),
        (
            {"model_type": "blip-2", "text_config": {"model_type": "other", "is_encoder_decoder": True}},
            "encoder-decoder",
        ),
        ({"model_type": "florence2"}, "encoder-decoder"),
        ({"model_type": "gemma3n"}, "four streams"),
        ({"model_type": "mllama"}, "cross-attention"),
        ({"model_type": "phi4_multimodal"}, "adapter"),
        ({"model_type": "phi4mm", "auto_map": {"AutoModel": "own.Model"}}, "adapter"),
        ({"model_type": "qwen3_5"}, "recurrent"),
        ({"model_type": "minicpmv4_6"}, "recurrent"),
        ({"model_type": "llava", "text_config": {"layer_types": ["linear_attention", "full_attention"]}}, "recurrent"),
    ],
)
def test_what_cannot_be_read_is_refused_by_its_configuration(tmp_path, config, reason):
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(SignBridgeError, match=reason):
        check_family(tmp_path)


def test_what_can_be_read_is_not_refused():
    layers = ["sliding_attention", "full_attention"]
    assert why_refused({"model_type": "gemma3", "text_config": {"layer_types": layers}}) is None


@pytest.mark.parametrize(("tolerance", "ends"), [(1e-3, False), (-1.0, True)])
def test_the_command_prints_a_table_and_fails_where_a_check_does(folders, monkeypatch, capsys, tolerance, ends):
    entry = entry_of(folders, "blip-2")
    monkeypatch.setattr("sys.argv", ["conformance", "small"])
    monkeypatch.setattr(conformance, "named_or_chosen", lambda name: (name, entry))
    monkeypatch.setattr(conformance, "TOLERANCE", {torch.float32: tolerance})
    with pytest.raises(SystemExit, match="small does not conform") if ends else nullcontext():
        conformance.main()
    assert ("FAILS" in capsys.readouterr().out) == ends


def test_the_table_says_where_a_model_fails():
    findings = [conformance.Finding("steps", "alone", 2e-7, 1e-3), conformance.Finding("reach", "the last", 4, 0)]
    assert [line.split()[-1] for line in table(findings).splitlines()] == ["verdict", "ok", "FAILS"]
    assert not conformance.Finding("steps", "alone", float("nan"), 1e-3).holds
