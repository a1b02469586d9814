"""Which files make up a model in a folder, what tells one from another, and what is wrong with a folder.

Only names, JSON and the headers of safetensors files are read: a model that cannot be loaded is refused at once.
"""

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any, Literal

from signbridge.core.errors import SignBridgeError, place_tried, refusal

# In a hub repository or a folder: no pickles, no code.
SETTINGS_FILES = ("*.json", "*.model", "*.txt", "*.jinja")
MODEL_FILES = ("*.safetensors", *SETTINGS_FILES)

CONFIG, WEIGHTS = "config.json", "model.safetensors"
INDEX = f"{WEIGHTS}.index.json"
ADAPTER = "adapter_config.json"
IMAGE_PROCESSING = ("processor_config.json", "preprocessor_config.json")
TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "spiece.model", "sentencepiece.bpe.model")
READ_AS_JSON = (
    CONFIG, INDEX, *IMAGE_PROCESSING, "generation_config.json", "tokenizer.json", "tokenizer_config.json",
    "special_tokens_map.json", "added_tokens.json",
)  # fmt: skip
FLOATS = {"F64", "F32", "F16", "BF16"}  # what weights are, as safetensors calls it
LFS_POINTER = b"version https://git-lfs.github.com/spec/"
AGAIN = "Fetch it again, or save it again."

Quantization = Literal["none", "nf4"]


def folder_sha256(folder: Path) -> str:
    """Of the names and content of the model's files in `folder`; a card or a script beside them does not count.

    Raises `SignBridgeError` if there are none, or one cannot be read.
    """
    files, digest = _files(folder), hashlib.sha256()
    if not files:
        raise SignBridgeError(f"{folder}: no such model folder, or no file of a model in it.")
    for file in files:
        try:
            with file.open("rb") as content:
                digest.update(f"{file.name} {hashlib.file_digest(content, 'sha256').hexdigest()}\n".encode())
        except OSError as error:
            raise _unreadable(file, error) from None
    return digest.hexdigest()


def check_model_folder(folder: Path, quantization: Quantization = "none") -> None:
    """Raises `SignBridgeError` with file, cause and remedy if `folder` holds no model that can be loaded.

    `quantization` is how the entry of the catalog wants it loaded: weights that are packed already must be wanted so.
    """
    try:
        _check_is_model(folder)
        for file in _files(folder):
            if file.suffix != ".safetensors":  # of which those that are read are looked at below
                _check_file(file)
        _check_weights(folder)
        check_processor_files(folder)
        _check_packing(folder, quantization)
    except OSError as error:
        raise _unreadable(Path(error.filename or folder), error) from None


def check_file(file: Path) -> None:
    """Raises `SignBridgeError` if a file of weights or of settings is a Git LFS pointer, cut short or damaged."""
    try:
        if file.suffix == ".safetensors":
            _check_whole(file)
        else:
            _check_file(file)
    except OSError as error:
        raise _unreadable(file, error) from None


def packing(folder: Path) -> dict[str, Any]:
    """How the weights in `folder` were packed when they were saved, as config.json has it; empty if they were not."""
    config = _json(folder / CONFIG)
    of_text = config.get("text_config")
    places = [config, of_text if isinstance(of_text, dict) else {}]
    return next((place["quantization_config"] for place in places if place.get("quantization_config")), {})


def blocks_in_weights(folder: Path) -> int | None:
    """How many decoder blocks the weights in `folder` are of, by their names; None if nothing there tells.

    Blocks of a vision tower do not count. Of weights in shards the index is enough.
    """
    if (folder / WEIGHTS).is_file():
        names = _header(folder / WEIGHTS)[1]
    else:
        names = _json(folder / INDEX).get("weight_map", {}) if (folder / INDEX).is_file() else {}
    blocks = [re.search(r"\blayers\.(\d+)\.", name) for name in names if not re.search("vision|visual", name)]
    return max((int(found[1]) + 1 for found in blocks if found), default=None)


def _files(folder: Path) -> list[Path]:
    return sorted({file for pattern in MODEL_FILES for file in folder.glob(pattern)})


def _check_is_model(folder: Path) -> None:
    if folder.is_file():
        raise SignBridgeError(f"{folder}: a file. The path of a model is that of the folder with its config.json.")
    if not folder.is_dir():
        raise SignBridgeError(
            f"{folder}: no such model folder. Set the path of the entry in models.yaml to one that holds config.json."
            f"{place_tried(folder)}"
        )
    names = os.listdir(folder)  # says so if it may not be read, which glob does not
    if ADAPTER in names:
        base = _json(folder / ADAPTER).get("base_model_name_or_path")
        raise SignBridgeError(
            f"{folder / ADAPTER}: an adapter of {base or 'another model'}, which is not applied here. Merge it "
            "(PEFT's merge_and_unload), save what comes with save_pretrained() and name that folder."
        )
    if CONFIG in names:
        if "mm_vision_tower" in _json(folder / CONFIG):
            raise SignBridgeError(
                f"{folder / CONFIG}: a LLaVA in the layout of its authors' own code, which Transformers does not read. "
                "Take the same model from llava-hf on the hub, whose names end in -hf."
            )
        return
    deeper = sorted([*folder.glob(f"*/{CONFIG}"), *folder.glob(f"snapshots/*/{CONFIG}")])
    found = f" Found in {deeper[0].parent}: name that folder." if deeper else f" {AGAIN}"
    raise SignBridgeError(f"{folder}: no config.json here, so this is no Hugging Face model folder.{found}")


def _check_file(file: Path) -> None:
    """That the file is one, and no Git LFS pointer, and JSON where it should be."""
    if not file.exists():  # a link that leads nowhere: a cache of the hub of which a part was removed
        raise SignBridgeError(f"{file}: a link to {os.readlink(file)}, which is not there. {AGAIN}")
    with file.open("rb") as content:
        start = content.read(len(LFS_POINTER))
    if start == LFS_POINTER:
        raise SignBridgeError(
            f"{file}: a Git LFS pointer, not the file itself. Run `git lfs pull` in the folder, or fetch it again."
        )
    if file.name in READ_AS_JSON:
        _json(file)


def _check_weights(folder: Path) -> None:
    for file in _weight_files(folder):
        if not os.path.lexists(file):
            raise SignBridgeError(
                f"{file}: not there, and {INDEX} names it: half of the model was fetched. "
                "Fetch the folder again, whole."
            )
        _check_whole(file)


def _weight_files(folder: Path) -> list[Path]:
    if os.path.lexists(folder / WEIGHTS):
        return [folder / WEIGHTS]
    if os.path.lexists(folder / INDEX):
        return [folder / name for name in _shards(folder / INDEX)]
    raise SignBridgeError(_why_no_weights(folder))


def _shards(index: Path) -> list[str]:
    """The files that the index names."""
    content = _json(index)
    names = content.get("weight_map")
    if not isinstance(names, dict) or not names or not all(isinstance(name, str) for name in names.values()):
        raise SignBridgeError(f"{index}: no weight_map in it, which says where each weight lies. {AGAIN}")
    outside = [name for name in names.values() if Path(name).name != name]
    if outside:
        raise SignBridgeError(f"{index}: names '{outside[0]}', which is no file of this folder. {AGAIN}")
    if not isinstance(content.get("metadata"), dict):
        raise SignBridgeError(f'{index}: no metadata in it. Add "metadata": {{}}, or fetch it again.')
    return sorted(set(names.values()))


def _check_whole(file: Path) -> None:
    """That a safetensors file is as long as its header says."""
    _check_file(file)
    size, (start, weights) = file.stat().st_size, _header(file)
    try:
        expected = start + max((weight["data_offsets"][1] for weight in weights.values()), default=0)
    except (TypeError, KeyError, IndexError):
        raise SignBridgeError(f"{file}: damaged, its header says nothing. {AGAIN}") from None
    if size < expected:
        raise SignBridgeError(f"{file}: cut short, {size:,} of {expected:,} bytes are there. {AGAIN}")
    if size > expected:
        raise SignBridgeError(f"{file}: damaged, {size:,} bytes where its header tells of {expected:,}. {AGAIN}")


def _header(file: Path) -> tuple[int, dict[str, Any]]:
    """Where the weights in a safetensors file begin, and what its header says of each, by name."""
    size = file.stat().st_size
    with file.open("rb") as content:
        header_size = int.from_bytes(content.read(8), "little")
        header = content.read(header_size) if header_size <= size else b""
    if size < 8 or len(header) < header_size:
        raise SignBridgeError(f"{file}: cut short ({size:,} bytes), or no safetensors file. {AGAIN}")
    try:
        said = json.loads(header).items()
    except (ValueError, AttributeError):
        raise SignBridgeError(f"{file}: damaged, its header says nothing. {AGAIN}") from None
    return 8 + header_size, {name: weight for name, weight in said if name != "__metadata__"}


def _why_no_weights(folder: Path) -> str:
    def of(*patterns: str) -> list[str]:
        return sorted(str(file.relative_to(folder)) for pattern in patterns for file in folder.glob(pattern))

    if pickled := of("*.bin", "*.pt", "*.pth", "*.ckpt"):
        return (
            f"{folder}: the weights are pickled ({pickled[0]}) and could run any code, so they are not read. "
            "Save the model again with save_pretrained(), which writes safetensors."
        )
    if half := of("*.incomplete", ".cache/huggingface/download/*.incomplete", "*.part", "*.crdownload", "*.aria2"):
        return (
            f"{folder / half[0]}: a download that has not ended, and no {WEIGHTS} yet. Let it end, or fetch it again."
        )
    if other := of("*.safetensors"):
        return (
            f"{folder}: neither {WEIGHTS} nor {INDEX} here, and nothing says what {other[0]} is of. "
            "Fetch the missing file, or give a single file that name."
        )
    if other := of("*.gguf", "*.onnx", "*.h5", "*.msgpack"):
        return f"{folder}: no weights here that are read, only {other[0]}. Get the model in safetensors."
    return f"{folder}: no weights here. Expected {WEIGHTS}, or its shards with {INDEX}."


def check_processor_files(folder: Path) -> None:
    """Raises `SignBridgeError` if `folder` lacks how images are prepared, or a tokenizer."""
    for kind, names in (("how images are prepared", IMAGE_PROCESSING), ("a tokenizer", TOKENIZERS)):
        if not any((folder / name).exists() for name in names):
            raise SignBridgeError(
                f"{folder}: no {' or '.join(names[:2])} here, which holds {kind}. "
                "Copy it from where the model comes from: save it with processor.save_pretrained()."
            )


def _check_packing(folder: Path, quantization: Quantization) -> None:
    packed, where = packing(folder), folder / CONFIG
    if not packed:
        return _check_floats(folder)
    method = packed.get("quant_method") or "bitsandbytes"  # which did not give its name at first
    if method != "bitsandbytes":
        raise SignBridgeError(
            f"{where}: the weights are packed by {method}, which is not read here. Get the model as it was before, "
            "and set its quantization to nf4 if it is too large."
        )
    kind = packed.get("bnb_4bit_quant_type", "fp4") if packed.get("load_in_4bit") else "8 bits"
    if kind != "nf4":
        raise SignBridgeError(
            f"{where}: the weights are packed by bitsandbytes in {kind}; of its kinds only nf4 is read here. "
            "Get the model as it was before, and set its quantization to nf4 if it is too large."
        )
    if quantization != "nf4":
        raise SignBridgeError(
            f"{where}: the weights are packed by bitsandbytes in nf4 already. "
            "Set quantization of the entry in models.yaml to nf4."
        )


def _check_floats(folder: Path) -> None:
    """That no weight is a code for a number: the library would take it for the number itself."""
    for file in _weight_files(folder):
        for name, weight in _header(file)[1].items():
            if name.endswith((".weight", ".bias")) and weight.get("dtype") not in FLOATS:
                raise SignBridgeError(
                    f"{file}: {name} is in {weight.get('dtype')}: packed, and config.json has no quantization_config, "
                    "which says how. Take config.json from where the weights come from, or get the model unpacked."
                )


def _json(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        if isinstance(error, UnicodeDecodeError) or "BOM" in str(error):
            raise SignBridgeError(
                f"{file}: in another encoding than UTF-8, or with a byte order mark. Save it as plain UTF-8."
            ) from None
        raise SignBridgeError(f"{file}: not readable as JSON ({_short(error)}). {AGAIN}") from None
    if not isinstance(content, dict):
        raise SignBridgeError(f"{file}: JSON, but no object in braces. {AGAIN}")
    return content


def _short(error: Exception) -> str:
    return str(error).split(": line")[0].split("(char")[0].strip()


def _unreadable(path: Path, error: OSError) -> SignBridgeError:
    return refusal(error, path) or SignBridgeError(f"{path}: cannot be read: {error.strerror or error}.")
