"""What stands in for a stage in tests of DVC's rules: its outputs are hashes of its data deps and params.

The pipeline files are the project's own, so what reruns is what would rerun; only the work is left out. Code does not
enter the hash: a stage that reruns for an edit that changes no result writes what it wrote. `choice` and `model` write
what they do write: the first always the same words, the second what the chosen model consists of, which `extract` says
again, as long as it reads the same kind of weights, and so does `base` of fine-tuning, for each run. `sample` only
checks that its images can be split as `probe` asks, and the pictures of a rung do not depend on which others there are.
"""

import hashlib
import json
import os
import re
from functools import cache
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

AS_READ = "data/model_as_read.json"
WEIGHTS = "STUB_WEIGHTS"  # the kind that `extract` reads, for another machine's
STUB = f"import sys\nfrom tests.{Path(__file__).stem} import run\n\nif __name__ == '__main__':\n    run(*sys.argv)\n"


def run(stage_file: str, item: str | None = None) -> None:
    """Write every output that the pipeline file declares for the stage in `stage_file`, from the project's root.

    `item` is the model, or the rung, of a stage with a matrix.
    """
    path = Path(stage_file).resolve().relative_to(Path.cwd())
    at_root = path.parent.name == "stages"
    entry = _yaml(Path("dvc.yaml") if at_root else path.parent / "dvc.yaml")["stages"][path.stem]
    names = _names(path.parent) | {"item": dict.fromkeys(entry.get("matrix", {}), item)}
    digest = hashlib.sha256()
    for dep in entry["deps"]:
        dep = _filled(dep, names)
        if not dep.startswith(("signbridge", "stages/", "models/")):
            digest.update(_contents(Path(dep)))
    found = [(key, value) for key, value in _params(entry.get("params", []), names) if not _only_checked(path, key)]
    digest.update(json.dumps(found, sort_keys=True).encode())
    of_all = "always the same" if path.stem == "choice" else digest.hexdigest()
    if path.stem == "model":
        of_all = _model_consists_of(names, item or names["model"])
    if path.as_posix() == "stages/finetune/base.py":
        return _write_bases(names)
    for kind in ("outs", "metrics", "plots"):
        for out in entry.get(kind, []):
            name = next(iter(out)) if isinstance(out, dict) else out
            found = _as_read(names) if name == AS_READ else of_all
            _write(Path(_filled(name, names)), found, kind)


def _write_bases(names: dict[str, Any]) -> None:
    """What each run tunes: its untrained twin alone goes by the seed of it."""
    read = Path(AS_READ).read_text(encoding="utf-8")
    for run_name in names["runs"]:
        seed = names["controls"]["twin_seed"] if names["variants"][run_name].get("untrained") else None
        _write(Path(f"data/finetune/base/{run_name}.json"), f"{read} {seed}", "outs")


def _as_read(names: dict[str, Any]) -> str:
    return f"{_model_consists_of(names, names['model'])} {os.environ.get(WEIGHTS, 'packed')}"


def _only_checked(stage: Path, key: str) -> bool:
    return stage.stem in ("sample", "pictures") and (key.startswith("probe.") or key == "rungs")


def _model_consists_of(names: dict[str, Any], model: str) -> str:
    entry = _yaml(Path("models.yaml")).get(model, {"source": "hub"})
    files = hashlib.sha256(_contents(Path(entry["path"]))).hexdigest() if entry.get("source") == "folder" else ""
    asked = names["question"] if entry.get("prompt", "auto") == "auto" else ""
    return hashlib.sha256(json.dumps([model, entry, files, asked]).encode()).hexdigest()


def _params(listed: list[Any], names: dict[str, Any]) -> Any:
    for item in listed:
        if isinstance(item, str):
            yield item, _value(names, _filled(item, names))
            continue
        for file, keys in item.items():
            if file.endswith(".toml"):
                yield file, Path(file).read_text(encoding="utf-8")
            else:
                values = _yaml(Path(file))
                yield from ((key, _value(values, _filled(key, names))) for key in keys or values)


def _write(path: Path, found: str, kind: str) -> None:
    if not path.suffix:  # a folder, with the files of it that some stage reads
        for file in {path / "part.txt", *(dep for dep in all_deps() if path in dep.parents and dep.suffix)}:
            _write(file, found, kind)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    share = int(hashlib.sha256(found.encode()).hexdigest()[:6], 16) / 16**6
    if kind == "metrics":
        path.write_text(json.dumps({"accuracy": share}) + "\n", encoding="utf-8")
    else:
        path.write_text(f"{path.name} {found}\n", encoding="utf-8")


@cache
def all_deps() -> set[Path]:
    """By path: what some stage reads; of a stage with a matrix, for each of its items."""
    found = set()
    for file in [Path("dvc.yaml"), *Path("stages").glob("*/dvc.yaml")]:
        names = _names(file.parent)
        for stage in _yaml(file)["stages"].values():
            items = [{key: one} for key, of in stage.get("matrix", {}).items() for one in _value(names, of[2:-1])]
            found |= {Path(_filled(dep, names | {"item": item})) for item in items or [{}] for dep in stage["deps"]}
    return found


def _names(folder: Path) -> dict[str, Any]:
    """The params that the pipeline file in `folder` can name."""
    own = folder / "params.yaml"
    return _yaml(Path("params.yaml")) | (_yaml(own) if own.exists() else {})


def _contents(path: Path) -> bytes:
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    return b"".join(file.as_posix().encode() + file.read_bytes() for file in files)


def _value(values: Any, key: str) -> Any:
    for part in key.split("."):
        values = values[part]
    return values


def _filled(text: str, names: dict[str, Any]) -> str:
    return re.sub(r"\$\{([^}]+)\}", lambda found: str(_value(names, found[1])), text)


def _yaml(path: Path) -> dict[str, Any]:
    return _parsed(path.read_text(encoding="utf-8"))


@cache
def _parsed(text: str) -> dict[str, Any]:
    return YAML(typ="safe").load(text)
