"""Read `params.yaml` and its kin: one section at a time, each checked by the pydantic model that lives beside its code.

No section is known here, so that a new one touches no other stage.
"""

import difflib
import re
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from ruamel.yaml import YAML, YAMLError

from signbridge.core.errors import SignBridgeError

PARAMS = Path("params.yaml")  # of the study, and what further questions share with it
CAUSAL = Path("stages/causal/params.yaml")
LENSES = Path("stages/lenses/params.yaml")
JUDGE = Path("stages/judge/params.yaml")
SAE = Path("stages/sae/params.yaml")
PLANTED = Path("stages/planted/params.yaml")
PRETRAINED = Path("stages/pretrained/params.yaml")
SIDE_BY_SIDE = Path("stages/models/params.yaml")
RESOLUTION = Path("stages/resolution/params.yaml")
FINETUNE = Path("stages/finetune/params.yaml")
MOTION = Path("stages/motion/params.yaml")
DATASETS, MODELS = Path("datasets.yaml"), Path("models.yaml")  # catalogs, an entry a key
SAE_PRESETS = Path("stages/sae/presets.yaml")
AUTOENCODERS = Path("stages/pretrained/autoencoders.yaml")
NAMES = 250  # characters of the names that a message lists
Checked = TypeVar("Checked")


class Section(BaseModel):
    """Base of every section: an unknown key is an error, and so is `"5"` where a number belongs."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def section(name: str, model: type[Checked] | Any, path: Path = PARAMS) -> Checked | Any:
    """The section `name` of the params file, as `model` (a `Section`, or any type pydantic can check).

    It may lie in another (`probe.grouped`). Raises `SignBridgeError` naming file, key and what was expected.
    """
    found: Any = _read(path)
    for key in name.split("."):
        found = _lookup(found, key, path)
    return _check(found, name, model, path)


def whole(model: type[Checked], path: Path) -> Checked:
    """All of the params file at `path`, as `section` has it."""
    return _check(_read(path), "", model, path)


def seed(path: Path = PARAMS) -> int:
    """The study's seed, which NumPy, scikit-learn and UMAP all take."""
    return _check(_lookup(_read(path), "seed", path), "seed", Annotated[int, Field(strict=True, ge=0, lt=2**32)], path)


def check_keys(path: Path, known: Collection[str]) -> None:
    """Raises `SignBridgeError` at the first key of the params file that is not `known`, saying the one that was meant.

    Keys of sections are joined by dots; `model_notes.*` stands for all keys of a section.
    """
    _check_keys(_read(path), "", known, path)


def _check_keys(found: dict[str, Any], section_: str, known: Collection[str], path: Path) -> None:
    here = list(dict.fromkeys(key.removeprefix(section_).split(".")[0] for key in known if key.startswith(section_)))
    for key, value in found.items():
        name = f"{section_}{key}"
        if str(key) not in here:
            elsewhere = [other for other in known if other.rpartition(".")[2] == str(key)]
            hint = f" Did you mean '{elsewhere[0]}'?" if elsewhere else _hint(str(key), here)
            raise SignBridgeError(f"{path}: {name}: unknown key.{hint}")
        if isinstance(value, dict) and name not in known and f"{name}.*" not in known:
            _check_keys(value, f"{name}.", known, path)


def model_notes(path: Path = PARAMS) -> dict[str, str]:
    """The section `model_notes`: what follows a model's name wherever its results are shown, by that name."""
    return _check(_lookup(_read(path), "model_notes", path), "model_notes", dict[str, str], path)


def selected(choice: str, catalog: Path, model: Any, path: Path = PARAMS) -> tuple[str, Any]:
    """The catalog entry that the key `choice` of `path` names: `selected("dataset", DATASETS, ...)`.

    `choice` may lie in a section (`sae.preset`). Returns the entry's name and the entry as `model`, a `Section` or a
    union of them told apart by a discriminator. Raises `SignBridgeError` saying which entries exist.
    """
    named: Any = _read(path)
    for key in choice.split("."):
        named = _lookup(named, key, path)
    name, entries = _check(named, choice, str, path), _read(catalog)
    if name not in entries and not (catalog == MODELS and "/" in name):
        raise SignBridgeError(f"{path}: {choice}: no '{name}' in {catalog}. There are: {_listed(sorted(entries))}.")
    return name, entry(name, catalog, model)


def entry(name: str, catalog: Path, model: Any) -> Any:
    """The entry `name` of a catalog as `model`; of models also `some-org/some-name@commit`.

    An entry that is `like` another is that one, but for what it says itself. Raises `SignBridgeError` as `selected`.
    """
    if catalog == MODELS and "/" in name:
        return _check(at_commit(name), name, model, catalog)
    entries = _read(catalog)
    return _check(_with_likes(name, entries, catalog, ()), name, model, catalog)


def _with_likes(name: str, entries: dict[str, Any], catalog: Path, seen: tuple[str, ...]) -> Any:
    said = _lookup(entries, name, catalog)
    if not isinstance(said, dict) or "like" not in said:
        return said
    if name in seen:
        raise SignBridgeError(f"{catalog}: {name}.like: leads back to itself. Let one of them say everything.")
    own = {key: value for key, value in said.items() if key != "like"}
    return {**_with_likes(said["like"], entries, catalog, (*seen, name)), **own}


def at_commit(name: str) -> dict[str, str]:
    """The catalog entry of `some-org/some-name@commit`, which names a model of the hub that the catalog lacks.

    In a list of models it is `some-org/some-name/commit`: DVC cuts the name of a stage with a matrix at its last @.
    Raises `SignBridgeError` if it does not name a commit.
    """
    found = re.fullmatch(r"(?P<hub_id>[\w.-]+/[\w.-]+)[@/](?P<revision>[0-9a-f]{40})", name)
    if not found:
        raise SignBridgeError(
            f"model: '{name}' names no commit of a model of the hub. Write some-org/some-name@commit, with all 40 "
            "digits of the commit (in a list of models some-org/some-name/commit), or choose a key of models.yaml."
        )
    return {"source": "hub", **found.groupdict()}


def shown_name(name: str) -> str:
    """A model's name as pages and metrics have it: of a commit the first eight digits."""
    return re.sub(r"(?<=[@/][0-9a-f]{8})[0-9a-f]{32}$", "", name)


def _read(path: Path) -> dict[str, Any]:
    try:
        params = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SignBridgeError(f"{path}: no such file here. Run from the project's root.") from None
    except UnicodeDecodeError:
        raise SignBridgeError(f"{path}: not UTF-8 text. Save it as UTF-8.") from None
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}, line {mark.line + 1}" if mark else f"{path}"
        problem = " ".join(str(getattr(error, "problem", None) or error).split())[:200]
        raise SignBridgeError(f"{where}: not readable as YAML: {problem}. Correct that line.") from None
    if not isinstance(params, dict):
        raise SignBridgeError(f"{path}: expected keys and values, found {type(params).__name__}.")
    return params


def _lookup(params: Any, key: str, path: Path) -> Any:
    if not isinstance(params, dict):
        raise SignBridgeError(f"{path}: expected keys and values around '{key}' (got {_short(params)}).")
    if key not in params:
        raise SignBridgeError(f"{path}: key '{key}' is missing.{_hint(key, params)}")
    return params[key]


def _check(value: Any, where: str, model: Any, path: Path) -> Any:
    try:
        return TypeAdapter(model).validate_python(value)
    except ValidationError as error:
        key, message = _explain(error, value, model)
        raise SignBridgeError(f"{path}: {'.'.join(filter(None, [where, *key]))}: {message}") from None


def _explain(error: ValidationError, value: Any, model: Any) -> tuple[list[str], str]:
    """The key of the first mistake, within the section, and what is wrong there."""
    # A misspelt key first: it explains the one that is missing.
    mistakes = sorted(error.errors(include_url=False), key=lambda mistake: mistake["type"] != "extra_forbidden")
    keys = [_key(mistake, value) for mistake in mistakes]
    # A value that may be of several types gives one mistake for each; the one that went deepest understood it best.
    key = max((k for k in keys if k[: len(keys[0])] == keys[0]), key=len)
    here = [mistake for mistake, k in zip(mistakes, keys, strict=True) if k == key]
    first = here[0]
    context = first.get("ctx", {})
    if first["type"] == "extra_forbidden":
        known = [name for m in _models(model, first["loc"][:-1]) for name in m.model_fields]
        return key, f"unknown key.{_hint(key[-1], known)}"
    if first["type"] == "missing":
        return key, "this key is missing."
    if first["type"] == "union_tag_not_found":
        return [*key, context["discriminator"].strip("'")], "this key is missing."
    if first["type"] == "union_tag_invalid":
        tag = context["discriminator"].strip("'")
        return [*key, tag], f"expected {_either(context['expected_tags'].split(', '))} (got {_short(context['tag'])})."
    expected = list(dict.fromkeys(_expected(mistake) for mistake in here))
    return key, f"expected {_either(expected)} (got {_short(first['input'])})."


def _key(mistake: dict[str, Any], value: Any) -> list[str]:
    """Where a mistake lies in the params: pydantic's own location also names the types that it tried."""
    key = []
    for part in mistake["loc"]:
        is_key = isinstance(value, dict) and part in value
        if is_key or (isinstance(value, list) and isinstance(part, int)):
            key.append(str(part))
            value = value[part]
    return [*key, str(mistake["loc"][-1])] if mistake["type"] == "missing" else key


def _expected(mistake: dict[str, Any]) -> str:
    context = mistake.get("ctx", {})
    if mistake["type"] == "literal_error":
        return context["expected"]
    if mistake["type"] in ("model_type", "model_attributes_type", "dict_type"):
        return "keys and values"
    if mistake["type"] == "string_pattern_mismatch":
        return f"text of the form {context['pattern']}"
    words = re.sub(r"^.*? should (be|have) ", "", mistake["msg"])
    return re.sub(r"^(a )?valid ", lambda found: "a " if found[1] else "", words).replace("a integer", "an integer")


def _models(model: Any, location: tuple) -> list[type[BaseModel]]:
    """The sections that may lie at `location`."""
    if isinstance(model, type) and issubclass(model, BaseModel):
        if not location:
            return [model]
        field = model.model_fields.get(location[0])
        # The location of a union also names the member, which is no key.
        return _models(field.annotation, location[1:]) if field else _models(model, location[1:])
    return [found for member in get_args(model) for found in _models(member, location)]


def _hint(key: str, known: Iterable[str]) -> str:
    known = list(dict.fromkeys(known))
    close = difflib.get_close_matches(key, known, n=1)
    return f" Did you mean '{close[0]}'?" if close else f" There are: {_listed(known)}."


def _listed(names: list[str]) -> str:
    """As many of the names as a line of a message holds, and how many more there are."""
    shown = [name for place, name in enumerate(names) if len(", ".join(names[: place + 1])) <= NAMES]
    more = len(names) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def _either(choices: list[str]) -> str:
    return choices[0] if len(choices) == 1 else f"{', '.join(choices[:-1])} or {choices[-1]}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
