"""A low-rank adapter (LoRA) in a folder, in PEFT's files, and which model it belongs to.

`adapter_config.json` says of which model (`base_model_name_or_path`), at which commit (`revision`), and in which kind
of weights the adapter was tuned (`auto_mapping`, which PEFT hands on as it is). An adapter of packed weights belongs to
the values that they stand for: put onto others it would add to what it has never seen.
"""

import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple

from signbridge.core.errors import SignBridgeError, place_tried
from signbridge.core.model_folder import ADAPTER, folder_sha256
from signbridge.core.tables import file_sha256
from signbridge.vlm.catalog import Model

WEIGHTS = "adapter_model.safetensors"
KINDS = ("quantization", "quantize", "untrained")  # what of an entry changes its weights, beside base and commit
OURS = "signbridge"  # what this project writes of its own
UNKNOWN = (  # what PEFT can do beside plain LoRA
    "use_dora", "modules_to_save", "rank_pattern", "alpha_pattern", "layer_replication", "trainable_token_indices",
    "target_parameters", "lora_bias", "use_qalora", "use_bdlora", "alora_invocation_tokens", "fan_in_fan_out",
)  # fmt: skip


class Base(NamedTuple):
    """What an adapter is tuned on."""

    name: str
    commit: str  # of the hub; of a local folder the digest of its files, of a random model its seed
    kind: dict[str, Any]  # how its weights were packed, or drawn

    def __str__(self) -> str:
        said = [self.commit[:12]]
        if self.kind["untrained"] is not None:
            said.append(f"untrained, seed {self.kind['untrained']}")
        if self.kind["quantization"] != "none":
            said.append(f"{self.kind['quantization']} of {self.kind['quantize']}")
        return f"{self.name} ({', '.join(said)})"


def base_of(entry: Model, sha256: str | None = None) -> Base:
    """What the weights of an entry are, without its adapter; `sha256` is the digest of a local folder, if it is known.

    Raises `SignBridgeError` if the folder holds no model.
    """
    kind = {name: getattr(entry, name) for name in KINDS}
    if entry.quantization == "none":
        kind["quantize"] = "all"
    if entry.source == "hub":
        return Base(entry.hub_id, entry.revision, kind)
    if entry.source == "folder":
        return Base(entry.path, sha256 or folder_sha256(Path(entry.path).expanduser()), kind)
    return Base(f"tiny_random {entry.family}", f"seed {entry.seed}", kind)


def written_for(config: dict[str, Any], base: Base) -> dict[str, Any]:
    """PEFT's configuration of an adapter, with the model that it belongs to, ready for JSON."""
    said = {"base_model_name_or_path": base.name, "revision": base.commit, "auto_mapping": {OURS: base.kind}}
    return {**config, **said, "inference_mode": True}


def read_config(folder: Path, base: Base) -> dict[str, Any]:
    """The configuration of the adapter in `folder`, if it can be applied to `base`.

    Raises `SignBridgeError` if there is none, it is of another model, commit or kind of weights, or of another method
    than LoRA.
    """
    path = folder / ADAPTER
    for file in (path, folder / WEIGHTS):
        if not file.is_file():
            raise SignBridgeError(
                f"{file}: no such file, so {folder} holds no adapter. Correct adapter in models.yaml."
                f"{place_tried(folder)}"
            )
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        unknown = [name for name in UNKNOWN if config.get(name)]
        method, bias = config["peft_type"], config.get("bias", "none")
        float(config["r"]), float(config["lora_alpha"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SignBridgeError(f"{path}: not the configuration of an adapter ({error!r}). Save it again.") from None
    if method != "LORA" or unknown or bias != "none":
        said = unknown[0] if method == "LORA" and unknown else "bias" if method == "LORA" else method
        raise SignBridgeError(
            f"{path}: {said}: only plain LoRA is applied here. Merge it by PEFT, and name that model."
        )
    _check_base(path, config, base)
    return config


def _check_base(path: Path, config: dict[str, Any], base: Base) -> None:
    of_others = {**base.kind, "untrained": None}  # trained, in any kind of weights
    kind = (config.get("auto_mapping") or {}).get(OURS) or of_others
    theirs = Base(str(config.get("base_model_name_or_path")), str(config.get("revision")), kind)
    moved = len(base.commit) == 64  # a local folder is known by its files, wherever it lies
    if theirs.commit != base.commit or theirs.kind != base.kind or (theirs.name != base.name and not moved):
        raise SignBridgeError(
            f"{path}: an adapter of {theirs}, and the model is {base}. Choose the adapter of this model, or the model "
            "of this adapter, in models.yaml."
        )


def adapter_sha256(folder: Path) -> str:
    """The digest of an adapter's two files."""
    digests = [file_sha256(folder / name) for name in (ADAPTER, WEIGHTS)]
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()


def digest_of(entry: Model) -> str | None:
    """What tells a model's files apart where its entry does not: of a local folder, of an adapter, or of both.

    Raises `SignBridgeError` if the adapter is not there, or is of another model.
    """
    of_folder = folder_sha256(Path(entry.path).expanduser()) if entry.source == "folder" else None
    if entry.adapter is None:
        return of_folder
    folder = Path(entry.adapter).expanduser()
    read_config(folder, base_of(entry, of_folder))
    both = [digest for digest in (of_folder, adapter_sha256(folder)) if digest]
    return hashlib.sha256("\n".join(both).encode()).hexdigest() if of_folder else both[0]
