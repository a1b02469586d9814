"""Model folders as people have them: each runs as they would expect, or is named with file, cause and remedy."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from signbridge.core.errors import SignBridgeError
from signbridge.core.model_folder import check_model_folder
from signbridge.vlm.catalog import FolderModel
from signbridge.vlm.extraction import Reader
from signbridge.vlm.loading import load
from signbridge.vlm.random_weights import tiny_config, write_random_llava
from tests.vlm.conftest import CPU, PROMPT

LFS_POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 14850024\n"
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"


def entry(folder: Path, **changes) -> FolderModel:
    """The catalog's entry of the model in `folder`."""
    settings = {"quantization": "none", "dequantize": "never", "dtype": "float32", "prompt": PROMPT}
    return FolderModel(source="folder", path=str(folder), max_new_tokens=4, **settings | changes)


def edit(file: Path, **values) -> None:
    """Change a JSON file; None removes a key."""
    content = json.loads(file.read_text()) | values
    file.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))


@pytest.fixture(scope="module")
def whole(tmp_path_factory, tiny) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "model"
    tiny.model.save_pretrained(folder)
    tiny.processor.save_pretrained(folder)
    tokenizer = json.loads((folder / "tokenizer.json").read_text())  # it keeps how the last batch was padded
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer | {"padding": None}))
    return folder


@pytest.fixture
def model(whole, tmp_path) -> Path:
    """A folder of the tiny random model, to be changed."""
    return shutil.copytree(whole, tmp_path / "model")


@pytest.fixture(scope="module")
def packed(whole, tmp_path_factory) -> Path:
    """The tiny random model as bitsandbytes packs it, computing in float16, and as Transformers saves that."""
    folder = tmp_path_factory.mktemp("packed") / "model"
    loaded = load(entry(whole, quantization="nf4", dtype="float16"), folder.parent, CPU)
    loaded.model.save_pretrained(folder)
    loaded.processor.save_pretrained(folder)
    return folder


def shards(folder: Path, tiny) -> None:
    """Save the weights again, in several files."""
    (folder / WEIGHTS).unlink()
    tiny.model.save_pretrained(folder, max_shard_size="4MB")
    assert len(list(folder.glob("model-*.safetensors"))) > 2


# --- what runs ---------------------------------------------------------------------------------------------------


def answers(folder: Path, tmp_path: Path, images) -> list[str]:
    reader = Reader(load(entry(folder), tmp_path, CPU), PROMPT, 4, batch_size=2)
    return reader.read(images).answers


def test_a_sharded_model_is_the_model(model, tmp_path, tiny, images):
    expected = answers(model, tmp_path, images)
    shards(model, tiny)
    assert answers(model, tmp_path, images) == expected


def without_in_generation(folder: Path) -> list[int]:
    edit(folder / "generation_config.json", eos_token_id=None)
    return [2]


def without_generation_config(folder: Path) -> list[int]:
    (folder / "generation_config.json").unlink()
    return [2]


def as_a_word_in_generation(folder: Path) -> list[int]:
    edit(folder / "generation_config.json", eos_token_id="</s>")
    return [2]


def in_the_whole_configuration_alone(folder: Path) -> list[int]:
    without_in_generation(folder)
    of_text = json.loads((folder / "config.json").read_text())["text_config"] | {"eos_token_id": None}
    edit(folder / "config.json", eos_token_id=[7, 9], text_config=of_text)
    return [7, 9]


def in_the_tokenizer_alone(folder: Path) -> list[int]:
    in_the_whole_configuration_alone(folder)
    edit(folder / "config.json", eos_token_id=None)
    return [2]


def nowhere(folder: Path) -> list[int]:
    in_the_tokenizer_alone(folder)
    edit(folder / "tokenizer_config.json", eos_token=None)
    return []


@pytest.mark.parametrize(
    "end_token",
    [
        without_in_generation,
        without_generation_config,
        as_a_word_in_generation,
        in_the_whole_configuration_alone,
        in_the_tokenizer_alone,
        nowhere,
    ],
    ids=lambda end: end.__name__,
)
def test_the_end_token_is_taken_from_where_the_folder_says_it(model, tmp_path, images, end_token):
    expected = end_token(model)
    loaded = load(entry(model), tmp_path, CPU)
    assert loaded.end_tokens == expected
    assert len(Reader(loaded, PROMPT, 4, batch_size=2).read(images).answers) == len(images)


def test_without_any_end_token_an_answer_has_as_many_tokens_as_it_may(model, tmp_path, images):
    from signbridge.vlm.answering import read_and_answer

    nowhere(model)
    loaded = load(entry(model), tmp_path, CPU)
    reader = Reader(loaded, PROMPT, 4, batch_size=2)
    inputs = reader.to_device(reader.prepare(images))
    said = read_and_answer(loaded.model, loaded.parts, inputs, 4, loaded.end_tokens).answers
    assert [len(tokens) for tokens in said] == [4] * len(images)


def test_a_tokenizer_without_a_token_for_padding_reads_prompts_of_several_lengths(model, tmp_path, tiny, images):
    edit(model / "tokenizer_config.json", pad_token=None)
    edit(model / "generation_config.json", pad_token_id=None)
    prompts = [PROMPT, f"USER: <image>\n{'Which letter is it? ' * 3}\nASSISTANT:"]

    def read(loaded) -> dict[str, np.ndarray]:
        from signbridge.vlm.answering import read_and_answer

        reader = Reader(loaded, PROMPT, 4, batch_size=2)
        inputs = reader.to_device(reader.prepare(images[:2], prompts))
        assert not inputs["attention_mask"].all()
        vectors = read_and_answer(loaded.model, loaded.parts, inputs, 4, loaded.end_tokens).vectors
        return {site: of["prompt_last"] for site, of in vectors.items() if "prompt_last" in of}

    without = load(entry(model), tmp_path, CPU)
    assert without.processor.tokenizer.pad_token == "</s>"
    for site, vectors in read(without).items():
        torch.testing.assert_close(vectors, read(tiny)[site], msg=site)


def test_a_tokenizer_without_any_special_token_pads_with_none_of_an_image(model, tmp_path):
    edit(model / "tokenizer_config.json", pad_token=None, eos_token=None, unk_token=None, bos_token=None)
    tokenizer = load(entry(model), tmp_path, CPU).processor.tokenizer
    assert tokenizer.pad_token_id is not None
    assert tokenizer.pad_token != "<image>"


@pytest.mark.parametrize("dtype", ["float16", "float32", "bfloat16"])
def test_weights_that_are_packed_already_give_what_packing_them_gives(whole, packed, tmp_path, images, dtype):
    """They were packed for float16; the entry's dtype is what they are computed in."""
    settings = {"quantization": "nf4", "dtype": dtype}
    ours, theirs = (load(entry(folder, **settings), tmp_path, CPU) for folder in (packed, whole))
    layers = [module for module in ours.model.modules() if type(module).__name__ == "Linear4bit"]
    assert layers
    assert {layer.compute_dtype for layer in layers} == {getattr(torch, dtype)}
    found, expected = (Reader(loaded, PROMPT, 2, batch_size=2).read(images) for loaded in (ours, theirs))
    for name, vectors in found.vectors.items():
        other = expected.vectors[name].astype(np.float32)
        if dtype == "float16":
            np.testing.assert_array_equal(vectors, other, err_msg=name)
        elif not name.endswith("answer_last"):  # where another token may have been said
            share = {"float32": 0.1, "bfloat16": 0.3}[dtype]
            assert np.linalg.norm(vectors - other) < share * np.linalg.norm(other), name


def test_weights_that_are_packed_already_are_expanded_and_have_a_twin(packed, tmp_path, images):
    expanded = load(entry(packed, quantization="nf4", dequantize="always", dtype="float16"), tmp_path, CPU)
    assert "Linear4bit" not in {type(module).__name__ for module in expanded.model.modules()}
    loaded = load(entry(packed, quantization="nf4", dequantize="never"), tmp_path, CPU, twin_seed=0)
    assert "Linear4bit" in {type(module).__name__ for module in loaded.model.modules()}
    assert len(Reader(loaded, PROMPT, 1, batch_size=2).read(images).answers) == len(images)


def test_files_that_are_not_read_make_no_difference(model, tmp_path):
    (model / "consolidated.safetensors").write_text(LFS_POINTER)
    (model / "pytorch_model.bin").write_bytes(b"pickled")
    (model / "notes.json").write_text("no JSON")
    (model / "README.md").touch()
    assert load(entry(model), tmp_path, CPU).end_tokens == [2]


# --- what is named -----------------------------------------------------------------------------------------------


def pointer(name: str) -> Callable:
    def change(folder: Path, tiny) -> None:
        (folder / name).write_text(LFS_POINTER)

    return change


def cut(name: str, size: int) -> Callable:
    def change(folder: Path, tiny) -> None:
        (folder / name).write_bytes((folder / name).read_bytes()[:size])

    return change


def instead_of_weights(*names: str) -> Callable:
    def change(folder: Path, tiny) -> None:
        (folder / WEIGHTS).unlink()
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(b"something")

    return change


def without(*names: str) -> Callable:
    def change(folder: Path, tiny) -> None:
        for name in names:
            (folder / name).unlink()

    return change


def one_shard(change: Callable) -> Callable:
    def changed(folder: Path, tiny) -> None:
        shards(folder, tiny)
        change(sorted(folder.glob("model-*.safetensors"))[1])

    return changed


def index(content: str) -> Callable:
    def change(folder: Path, tiny) -> None:
        (folder / WEIGHTS).rename(folder / "model-00001-of-00001.safetensors")
        (folder / INDEX).write_text(content)

    return change


def json_file(name: str, **values) -> Callable:
    return lambda folder, tiny: edit(folder / name, **values)


def longer(folder: Path, tiny) -> None:
    with (folder / WEIGHTS).open("ab") as weights:
        weights.write(b"more")


def shards_without_index(folder: Path, tiny) -> None:
    shards(folder, tiny)
    (folder / INDEX).unlink()


def adapter(folder: Path, tiny) -> None:
    for file in folder.iterdir():
        file.unlink()
    (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "some/base", "peft_type": "LORA"}')
    (folder / "adapter_model.safetensors").write_bytes(b"")


def adapter_beside_a_model(folder: Path, tiny) -> None:
    (folder / "adapter_config.json").write_text('{"peft_type": "LORA"}')


def one_level_too_high(folder: Path, tiny) -> None:
    deeper = folder.rename(folder.with_name("moved"))
    folder.mkdir()
    deeper.rename(folder / "llava")


def cache_of_the_hub(folder: Path, tiny) -> None:
    deeper = folder.rename(folder.with_name("moved"))
    (folder / "snapshots").mkdir(parents=True)
    deeper.rename(folder / "snapshots" / ("0" * 40))


def link_to_nowhere(folder: Path, tiny) -> None:
    (folder / WEIGHTS).unlink()
    (folder / WEIGHTS).symlink_to("../../blobs/0000")


def packed_by(**settings) -> Callable:
    return json_file("config.json", quantization_config=settings)


def fewer_blocks(folder: Path, tiny) -> None:
    of_text = json.loads((folder / "config.json").read_text())["text_config"] | {"num_hidden_layers": 8}
    edit(folder / "config.json", text_config=of_text)


def images_of_another_size(folder: Path, tiny) -> None:
    images = json.loads((folder / "processor_config.json").read_text())["image_processor"]
    images |= {"size": {"shortest_edge": 64}, "crop_size": {"height": 64, "width": 64}}
    edit(folder / "processor_config.json", image_processor=images)


def packed_as(dtype: torch.dtype) -> Callable:
    def change(folder: Path, tiny) -> None:
        weights = load_file(folder / WEIGHTS)
        name = next(name for name in weights if name.endswith("q_proj.weight"))
        save_file(weights | {name: weights[name].to(dtype)}, folder / WEIGHTS, metadata={"format": "pt"})

    return change


def fewer_embeddings(folder: Path, tiny) -> None:
    weights = {
        name: weight[:300].clone() if name.endswith(("embed_tokens.weight", "lm_head.weight")) else weight
        for name, weight in load_file(folder / WEIGHTS).items()
    }
    save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})
    of_text = json.loads((folder / "config.json").read_text())["text_config"] | {"vocab_size": 300}
    edit(folder / "config.json", text_config=of_text)


def language_model(folder: Path, tiny) -> None:
    (folder / "config.json").write_text(json.dumps({"model_type": "llama", "hidden_size": 8}))


NAMED = {
    "an LFS pointer for weights": (pointer(WEIGHTS), f"{WEIGHTS}: a Git LFS pointer", "git lfs pull"),
    "an LFS pointer for a tokenizer": (pointer("tokenizer.json"), "tokenizer.json: a Git LFS pointer", "git lfs pull"),
    "an LFS pointer for a shard": (
        one_shard(lambda shard: shard.write_text(LFS_POINTER)), "model-00002-of-", "git lfs pull"),
    "weights cut short": (cut(WEIGHTS, 3_000_000), f"{WEIGHTS}: cut short, 3,000,000 of", "Fetch it again"),
    "weights cut in their header": (cut(WEIGHTS, 100), f"{WEIGHTS}: cut short (100 bytes)", "Fetch it again"),
    "empty weights": (cut(WEIGHTS, 0), f"{WEIGHTS}: cut short (0 bytes)", "Fetch it again"),
    "a page for weights": (
        lambda folder, tiny: (folder / WEIGHTS).write_text("<html>404 not found</html>"), WEIGHTS, "Fetch it again"),
    "a header of nonsense": (
        lambda folder, tiny: (folder / WEIGHTS).write_bytes((5).to_bytes(8, "little") + b"12345"), "damaged", "Fetch"),
    "weights with more behind": (longer, f"{WEIGHTS}: damaged", "Fetch it again"),
    "a shard cut short": (
        one_shard(lambda shard: os.truncate(shard, 9_000)), "model-00002-of-", "Fetch it again"),
    "a shard that is missing": (
        one_shard(Path.unlink), "half of the model was fetched", "Fetch the folder again"),
    "shards without index": (shards_without_index, f"neither {WEIGHTS} nor {INDEX}", "Fetch the missing file"),
    "an index without its map": (index('{"metadata": {}}'), f"{INDEX}: no weight_map", "Fetch it again"),
    "an index of a list": (index("[]"), f"{INDEX}: JSON, but no object", "Fetch it again"),
    "an index cut short": (index('{"weight_map": {"lm_head'), f"{INDEX}: not readable as JSON", "Fetch it again"),
    "an index that leads elsewhere": (
        index('{"weight_map": {"lm_head.weight": "../other/model.safetensors"}}'), "no file of this folder", "Fetch"),
    "a download that has not ended": (
        instead_of_weights(".cache/huggingface/download/x.incomplete"), "x.incomplete: a download", "Let it end"),
    "weights of another format": (instead_of_weights("llava.gguf"), "only llava.gguf", "in safetensors"),
    "pickled weights": (instead_of_weights("pytorch_model.bin"), "pickled (pytorch_model.bin)", "Save the model again"),
    "no weights": (instead_of_weights(), "no weights here", "Expected model.safetensors"),
    "weights under another name": (instead_of_weights("llava.safetensors"), "llava.safetensors", "give a single file"),
    "a link to nowhere": (link_to_nowhere, f"{WEIGHTS}: a link to ../../blobs/0000", "Fetch it again"),
    "an adapter": (adapter, "adapter_config.json: an adapter of some/base", "merge_and_unload"),
    "an adapter beside a model": (adapter_beside_a_model, "adapter_config.json: an adapter of", "merge_and_unload"),
    "one level too high": (one_level_too_high, "no config.json here", "model/llava: name that folder"),
    "a cache of the hub": (cache_of_the_hub, "no config.json here", f"snapshots/{'0' * 40}: name that folder"),
    "a configuration cut short": (cut("config.json", 40), "config.json: not readable as JSON", "Fetch it again"),
    "an empty tokenizer": (cut("tokenizer.json", 0), "tokenizer.json: not readable as JSON", "Fetch it again"),
    "a tokenizer of nonsense": (
        json_file("tokenizer.json", model={"type": "nonsense"}), "cannot be loaded", "fetch it again"),
    "no tokenizer": (
        without("tokenizer.json", "tokenizer_config.json"), "no tokenizer.json or tokenizer.model", "Copy it"),
    "no image processing": (without("processor_config.json"), "no processor_config.json or preproc", "Copy it"),
    "packed in nf4": (
        packed_by(quant_method="bitsandbytes", load_in_4bit=True, bnb_4bit_quant_type="nf4"),
        "config.json: the weights are packed by bitsandbytes in nf4", "Set quantization"),
    "packed in fp4": (
        packed_by(quant_method="bitsandbytes", load_in_4bit=True, bnb_4bit_quant_type="fp4"), "in fp4", "Get the"),
    "packed in 8 bits": (packed_by(quant_method="bitsandbytes", load_in_8bit=True), "in 8 bits", "Get the model"),
    "packed in whole numbers, which no file tells": (
        packed_as(torch.int8), "q_proj.weight is in I8", "Take config.json"),
    "packed in bytes, which no file tells": (
        packed_as(torch.uint8), "q_proj.weight is in U8", "get the model unpacked"),
    "packed in 8-bit floats, which no file tells": (
        packed_as(torch.float8_e4m3fn), "q_proj.weight is in F8_E4M3", "get the model unpacked"),
    "features of a layer that is not there": (
        json_file("config.json", vision_feature_layer=-9), "vision_feature_layer is -9", "Correct it"),
    "features of layers of which one is not there": (
        json_file("config.json", vision_feature_layer=[-2, 99]), "vision_feature_layer is 99", "Correct it"),
    "features of no layer": (
        json_file("config.json", vision_feature_layer=[]), "vision_feature_layer is empty", "Correct it"),
    "a tokenizer with more tokens than the model": (
        fewer_embeddings, "in the prompt, and the model has 300 embeddings", "Take the tokenizer of this very model"),
    "patches of another size": (
        json_file("processor_config.json", patch_size=7), "patches of 7 pixels", "of this very model"),
    "packed by another": (packed_by(quant_method="gptq", bits=4), "packed by gptq", "Get the model as it was"),
    "an index without metadata": (
        index('{"weight_map": {"lm_head.weight": "model-00001-of-00001.safetensors"}}'), "no metadata", "fetch it"),
    "a byte order mark": (
        lambda folder, tiny: (folder / "config.json").write_bytes(
            b"\xef\xbb\xbf" + (folder / "config.json").read_bytes()), "byte order mark", "Save it as plain UTF-8"),
    "a configuration in UTF-16": (
        lambda folder, tiny: (folder / "config.json").write_text("{}", encoding="utf-16"), "encoding", "plain UTF-8"),
    "an image token of another tokenizer": (
        json_file("config.json", image_token_id=7, image_token_index=7), "its image token is 7", "Correct image_token"),
    "images of another size": (images_of_another_size, "images are made 64 pixels high", "of this very model"),
    "a decoder with fewer blocks": (
        fewer_blocks, "the weights hold 9 decoder blocks, and config.json says 8", "together"),
    "the layout of LLaVA's authors": (
        json_file("config.json", mm_vision_tower="openai/clip-vit-large-patch14-336"), "authors' own code", "llava-hf"),
    "a language model": (language_model, "config.json: model family 'llama' is not known", "Choose a model"),
    "numbers that are words": (
        json_file("config.json", text_config={"model_type": "llama", "hidden_size": "wide"}), "cannot be", "fetch"),
}  # fmt: skip


@pytest.mark.parametrize("kind", NAMED)
def test_a_folder_that_cannot_be_loaded_is_named_with_file_cause_and_remedy(model, tmp_path, tiny, kind, capfd):
    change, cause, remedy = NAMED[kind]
    change(model, tiny)
    with pytest.raises(SignBridgeError) as refused:
        load(entry(model), tmp_path, CPU)
    message = str(refused.value)
    assert str(model) in message
    assert cause in message
    assert remedy in message
    assert len(message.splitlines()) <= 2
    assert max(map(len, message.splitlines())) < 400
    assert "MISMATCH" not in capfd.readouterr().err


def test_a_folder_that_is_a_file_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(SignBridgeError, match="file: a file"):
        load(entry(tmp_path / "file"), tmp_path, CPU)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", WEIGHTS])
def test_a_file_that_may_not_be_read_is_named_with_the_reason(model, monkeypatch, name):
    opened = Path.open

    def denied(self, *args, **options):
        if self.name == name:
            raise PermissionError(13, "Permission denied", str(self))
        return opened(self, *args, **options)

    monkeypatch.setattr(Path, "open", denied)
    with pytest.raises(SignBridgeError, match=rf"model/{name}: Permission denied\."):
        check_model_folder(model)


def test_the_tiny_models_own_weights_are_not_touched_by_looking_at_them(model):
    before = {file.name: file.read_bytes() for file in model.iterdir()}
    check_model_folder(model)
    assert {file.name: file.read_bytes() for file in model.iterdir()} == before


def test_weights_that_are_tied_or_beside_the_point_are_no_fault(model, tmp_path):
    weights = load_file(model / WEIGHTS)
    save_file(weights | {"unknown.weight": torch.zeros(2)}, model / WEIGHTS, metadata={"format": "pt"})
    assert load(entry(model), tmp_path, CPU).end_tokens == [2]


@pytest.mark.parametrize("kind", ["packed in bytes, which no file tells", "features of a layer that is not there"])
def test_it_is_named_before_weights_are_read(model, tmp_path, tiny, kind, monkeypatch):
    def read(*_, **__):
        raise AssertionError("weights are read")

    NAMED[kind][0](model, tiny)
    monkeypatch.setattr("transformers.AutoModelForImageTextToText.from_pretrained", read)
    with pytest.raises(SignBridgeError):
        load(entry(model), tmp_path, CPU)


def test_a_random_model_that_a_full_disk_cuts_short_is_named_and_leaves_nothing(tmp_path, monkeypatch):
    def full(*_, **__):
        raise Exception("No space left on device (os error 28)")

    monkeypatch.setattr("transformers.LlavaProcessor.save_pretrained", full)
    with pytest.raises(SignBridgeError, match=rf"{tmp_path}/it: No space left on device\. Free some room"):
        write_random_llava(tmp_path / "it", tiny_config(), 0)
    assert list(tmp_path.iterdir()) == []
