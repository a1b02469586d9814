"""Read `params.yaml`: one section at a time, each checked by the pydantic model that lives beside its code.

No section is known here, so that a new one touches no other stage.
"""

import difflib
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from ruamel.yaml import YAML, YAMLError

from signbridge.errors import SignBridgeError

PARAMS = Path("params.yaml")
Checked = TypeVar("Checked")


class Section(BaseModel):
    """Base of every section: an unknown key is an error, and so is `"5"` where a number belongs."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def section(name: str, model: type[Checked], path: Path = PARAMS) -> Checked:
    """The section `name` of the params file, as `model` (a `Section`, or any type pydantic can check).

    Raises `SignBridgeError` naming file, key and what was expected.
    """
    return _check(_lookup(_read(path), name, path), name, model, path)


def seed(path: Path = PARAMS) -> int:
    """The study's seed."""
    return section("seed", int, path)


def selected(choice: str, catalog: str, model: type[Checked], path: Path = PARAMS) -> tuple[str, Checked]:
    """The catalog entry that the key `choice` names: `selected("dataset", "datasets", ...)`.

    Returns its name and the checked entry. Raises `SignBridgeError` saying which entries exist.
    """
    params = _read(path)
    name = _check(_lookup(params, choice, path), choice, str, path)
    entries = _lookup(params, catalog, path)
    if name not in entries:
        raise SignBridgeError(f"{path}: {choice}: no '{name}' under '{catalog}'. There are: {', '.join(sorted(entries))}.")
    return name, _check(entries[name], f"{catalog}.{name}", model, path)


def _read(path: Path) -> dict[str, Any]:
    try:
        params = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SignBridgeError(f"{path}: no such file here. Run from the project's root.") from None
    except (YAMLError, UnicodeDecodeError) as error:
        raise SignBridgeError(f"{path}: not readable as YAML: {' '.join(str(error).split())}") from None
    if not isinstance(params, dict):
        raise SignBridgeError(f"{path}: expected keys and values, found {type(params).__name__}.")
    return params


def _lookup(params: dict[str, Any], key: str, path: Path) -> Any:
    if key not in params:
        close = difflib.get_close_matches(key, params, n=1)
        hint = f" Did you mean it by '{close[0]}'?" if close else f" There are: {', '.join(params)}."
        raise SignBridgeError(f"{path}: key '{key}' is missing.{hint}")
    return params[key]


def _check(value: Any, where: str, model: type[Checked], path: Path) -> Checked:
    try:
        return TypeAdapter(model).validate_python(value)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join([where, *(str(part) for part in first["loc"])])
        if first["type"] == "extra_forbidden":
            message = f"unknown key.{_known_keys(model, first['loc'])}"
        elif first["type"] == "missing":
            message = "this key is missing."
        else:
            message = f"{first['msg']} (got {first['input']!r})."
        raise SignBridgeError(f"{path}: {key}: {message}") from None


def _known_keys(model: Any, location: tuple) -> str:
    if not (isinstance(model, type) and issubclass(model, BaseModel)) or len(location) != 1:
        return ""
    close = difflib.get_close_matches(str(location[0]), model.model_fields, n=1)
    return f" Did you mean '{close[0]}'?" if close else f" There are: {', '.join(model.model_fields)}."
