"""The file that says what a model is, which its stages read: `data/model.json`, or one for each of several models.

It holds the entry of the catalog, complete, and the digest of a local model's files. DVC tracks it in place of the
catalog, so that an entry may also be named by `some-org/some-name@commit`, and a new entry reruns nothing.
"""

import json
from pathlib import Path
from typing import Any

from signbridge.core import params
from signbridge.core.errors import SignBridgeError
from signbridge.core.model_folder import check_model_folder, folder_sha256
from signbridge.core.pipeline import how_to_get
from signbridge.core.tables import read_json, whole_file
from signbridge.vlm.catalog import AUTO, Model

MODEL = Path("data/model.json")  # of the study's model
SCRATCH = Path(".scratch")
SCRATCH_MODELS = SCRATCH / "models"  # random models, and packed weights that are kept
FOUND = ("dtype", "prompt")  # what an entry may leave to the model's own files


def complete(entry: Model) -> Model:
    """The `entry` with the question of params.yaml in the model's chat template, and its dtype, where it says neither.

    Raises `SignBridgeError` as `loading.completed` does.
    """
    if entry.is_complete:
        return entry
    from signbridge.vlm.loading import completed  # imports PyTorch and Transformers: seconds

    return completed(entry, params.section("question", str), SCRATCH_MODELS)


def write_model(path: Path, name: str, entry: Model) -> None:
    """Check the files of a local model and write what the entry `name` is to `path`.

    Raises `SignBridgeError` if the files are no model, or what the entry leaves to them is not there.
    """
    digest = None
    if entry.source == "folder":
        folder = Path(entry.path).expanduser()
        check_model_folder(folder, entry.quantization)
        digest = folder_sha256(folder)
    described = {"name": name, "entry": complete(entry).model_dump(), "folder_sha256": digest}
    with whole_file(path) as unfinished:
        unfinished.write_text(json.dumps(described, indent=2) + "\n", encoding="utf-8", newline="\n")


def read_model(path: Path) -> dict[str, Any]:
    """What `write_model` wrote. Raises `SignBridgeError` if it is not there."""
    if not path.is_file():
        raise SignBridgeError(f"{path}: not there. {how_to_get(path)}")
    return read_json(path)


def with_found(name: str, entry: Model, known: dict[str, Any], where: Path) -> Model:
    """The `entry` with what it leaves to the model's own files, from an entry that is `known` from the file `where`.

    Raises `SignBridgeError` if that is of another model.
    """
    left = [field for field in FOUND if getattr(entry, field) == AUTO]
    if not left:
        return entry
    as_said = {field: value for field, value in known.items() if field != "name"}
    if known.get("name") != name or as_said | dict.fromkeys(left, AUTO) != entry.model_dump():
        raise SignBridgeError(f"{where}: made by another model than {name}. Make it again with `dvc repro`.")
    return entry.model_copy(update={field: known[field] for field in left})
