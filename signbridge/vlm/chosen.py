"""The files that say what a model is, which its stages read: `data/model.json`, or one for each of several models.

It holds the entry of the catalog, complete, and the digest of a local model's files and of an adapter's. DVC tracks it
in place of the catalog, so that an entry may also be named by `some-org/some-name@commit`, and a new entry reruns
nothing.

`extract`, the first stage to load the model, says the same again in `data/model_as_read.json`, with the kind of weights
that it read. All later stages read that file. So a study has one kind, on whatever machines its stages run: where an
extraction on another card ends with the other kind, DVC reads all the rest anew. Of several models, each has its own.
"""

from pathlib import Path
from typing import Any, Literal

from signbridge.core import params
from signbridge.core.errors import SignBridgeError
from signbridge.core.model_folder import check_model_folder
from signbridge.core.pipeline import how_to_get, repro
from signbridge.core.scratch import SCRATCH
from signbridge.core.tables import read_json, write_json
from signbridge.vlm.adapter_files import digest_of
from signbridge.vlm.catalog import AUTO, Model, ModelParams

MODEL = Path("data/model.json")  # of the study's model
AS_READ = Path("data/model_as_read.json")  # the same and its kind of weights
Kind = Literal["plain", "packed", "expanded"]  # of weights: never packed, packed now, packed once

SCRATCH_MODELS = SCRATCH / "models"  # random models, and packed weights that are kept
FOUND = ("dtype", "prompt")  # what an entry may leave to the model's own files


def complete(entry: Model, question: str | None = None) -> Model:
    """The `entry` with a question in the model's chat template, and its dtype, where it says neither.

    The question is that of params.yaml unless another is given. Raises `SignBridgeError` as `loading.completed` does.
    """
    if entry.is_complete:
        return entry
    from signbridge.vlm.loading import completed  # imports PyTorch and Transformers: seconds

    return completed(entry, params.section("question", str) if question is None else question, SCRATCH_MODELS)


def write_model(path: Path, name: str, entry: Model, **also: Any) -> None:
    """Check the files of a local model, and of an adapter, and write what the entry `name` is to `path`, and `also`.

    Raises `SignBridgeError` if the files are no model, the adapter is of another one, or what the entry leaves to them
    is not there.
    """
    if entry.source == "folder":
        check_model_folder(Path(entry.path).expanduser(), entry.quantization)
    said = {"name": name, "entry": complete(entry).model_dump(), "folder_sha256": digest_of(entry)}
    write_json(path, {**said, **also})


def write_as_read(weights: Kind, of: Path = MODEL, to: Path = AS_READ) -> None:
    """Write what the file `of` says of a model, and which kind of weights was read, to the file `to`."""
    write_json(to, {**read_model(of), "weights": weights})


def read_model(path: Path) -> dict[str, Any]:
    """What `write_model` or `write_as_read` wrote. Raises `SignBridgeError` if it is not there."""
    if not path.is_file():
        raise SignBridgeError(f"{path}: not there. {how_to_get(path)}")
    return read_json(path)


def check_chosen(known: dict[str, Any], where: Path) -> None:
    """Raises `SignBridgeError` if `known`, a model's name and entry from the file `where`, is not the chosen one.

    What an entry leaves to the model's own files is not compared.
    """
    name, entry = params.selected("model", params.MODELS, ModelParams)
    left = {field: AUTO for field in FOUND if getattr(entry, field) == AUTO}
    if known["name"] != name or known["entry"] | left != entry.model_dump():
        raise SignBridgeError(f"{where}: made by another model than {name}. Make it again with {repro(where)}.")
