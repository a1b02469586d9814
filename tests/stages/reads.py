"""Which files of the project's folder a stage opens, against what its pipeline file declares.

A file that is read and not declared may change without a rerun, and may be missing where the stage runs. Python says of
every file that it opens (`sys.addaudithook`), and so of every Parquet table, which is tried before Arrow opens it. What
safetensors opens it does not see, nor what a process of its own does.
"""

import json
import os
import re
import sys
from contextlib import suppress
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from signbridge.vlm.chosen import AS_READ, MODEL
from tests.conftest import ROOT

STAGES = f"{ROOT / 'stages'}{os.sep}"
# What a stage may open beside what it declares, and why no result hangs on it.
BESIDE = {
    ".scratch": "unfinished work, random models and kept weights, each named by a fingerprint of what made it",
}
BESIDE_A_MODEL = {  # of the stages that depend on signbridge/vlm
    "params.yaml": "the name of the chosen model, as models.yaml",
    "models.yaml": "its entry: one that is not data/model.json's, or that does not fit the stage, ends it and no more",
    "{model}": "the files of a local model or an adapter, whose digest data/model.json has",
}
BESIDE_ONE_STAGE = {  # the same, of stages by their name, or by what the last part of it is
    "report": {"models.yaml": "the chosen entry as it is written, whose values the metadata of deps have: no remarks"},
    "choice": dict.fromkeys(("datasets.yaml", "models.yaml"), "only to refuse a choice that is not there"),
    "pretrained.features": {"stages/pretrained/autoencoders.yaml": "only to refuse a choice that is not there"},
    "pretrained.steer": {"stages/pretrained/autoencoders.yaml": "the same"},
}
# These copy or digest what lies elsewhere, where the catalog's entry says, which DVC cannot follow: any file, but for
# what stages write. Where such a file changes, they are run with `dvc repro --force`.
OF_ELSEWHERE = ("fetch", "pretrained.fetch", "pretrained.descriptions", "model", "models.model")
WRITTEN = ("data", "metrics", "plots", "report")


class Reads:
    """While it is on, notes what stages open and do not declare: `causal.patch reads data/letter_scores.parquet`."""

    def __init__(self) -> None:
        self.found: set[str] = set()
        self.is_on = False
        sys.addaudithook(self._opened)  # for good: Python takes none off

    def _opened(self, event: str, args: tuple) -> None:
        if event != "open" or not self.is_on or not isinstance(args[0], (str, os.PathLike)):
            return
        if (args[2] or 0) & (os.O_WRONLY | os.O_RDWR):
            return
        here, path = os.getcwd(), os.path.abspath(args[0])
        if not path.startswith(here + os.sep) or not os.path.isfile(path) or (stage := _running()) is None:
            return
        self.is_on = False  # what is opened to see whether it may be
        try:
            path = path.removeprefix(here + os.sep)
            if undeclared(stage, path):
                self.found.add(f"{stage} reads {path}")
        finally:
            self.is_on = True


def _running() -> str | None:
    """The stage whose `main` runs: `causal.patch`."""
    frame = sys._getframe(2)
    while frame is not None:
        if frame.f_code.co_name == "main" and frame.f_code.co_filename.startswith(STAGES):
            return frame.f_code.co_filename.removeprefix(STAGES).removesuffix(".py").replace(os.sep, ".")
        frame = frame.f_back
    return None


def undeclared(stage: str, path: str) -> bool:
    """Whether the stage neither declares `path`, relative to the project's folder, nor may open it all the same."""
    path = re.sub(r"/\.([^/]+)\.unfinished(?=/|$)", r"/\1", path)  # an output that the stage itself is writing
    if stage in OF_ELSEWHERE and not path.startswith(tuple(f"{folder}/" for folder in WRITTEN)):
        return False
    names = declared(stage)
    known = [*(_filled(name) for name in names), *BESIDE, *BESIDE_ONE_STAGE.get(stage, {})]
    known += BESIDE_ONE_STAGE.get(stage.rpartition(".")[2], {})
    if "signbridge/vlm" in names:
        known += [one for name in BESIDE_A_MODEL for one in (_model_folders() if name == "{model}" else [name])]
    if stage == "fetch":
        known += _local_copies()
    return not any(fnmatch(path, name) or fnmatch(path, f"{name}/*") for name in known)


def _model_folders() -> list[str]:
    folders = []
    for file in (MODEL, AS_READ, *Path("data/models/described").glob("*.json")):
        with suppress(FileNotFoundError, ValueError):  # not there, or no JSON, which the stage says
            entry = json.loads(file.read_text(encoding="utf-8"))["entry"]
            folders += [entry["path"]] if entry["source"] == "folder" else []
            folders += [entry["adapter"]] if "adapter" in entry else []
    return folders


def _local_copies() -> list[str]:
    """Of the chosen dataset, for `fetch`: DVC tracks where they lie and not what they hold, as docs/adding.md says."""
    chosen, catalog = (YAML(typ="safe").load(Path(file)) for file in ("params.yaml", "datasets.yaml"))
    entry = catalog.get(chosen["dataset"]) or {}
    return [os.path.relpath(entry[key]) for key in ("path", "archive") if isinstance(entry.get(key), str)]


@cache
def declared(stage: str) -> tuple[str, ...]:
    """Deps, files of params and outputs, as the pipeline file names them."""
    *question, name = stage.split(".")
    file = ROOT.joinpath("stages", *question, "dvc.yaml") if question else ROOT / "dvc.yaml"
    entry = YAML(typ="safe").load(file.read_text(encoding="utf-8"))["stages"][name]
    params = ["params.yaml" if isinstance(one, str) else next(iter(one)) for one in entry.get("params", [])]
    outs = [out for kind in ("outs", "metrics", "plots") for out in entry.get(kind, [])]
    return (*entry["deps"], *params, *(next(iter(out)) if isinstance(out, dict) else out for out in outs))


def _filled(name: str) -> str:
    """The name with the values of the params that it names; of a matrix, any."""
    found = re.search(r"\$\{([^}]+)\}", name)
    if found is None or found[1].startswith("item."):
        return re.sub(r"\$\{[^}]+\}", "*", name)
    value: Any = None
    for file in ("params.yaml", *(str(one) for one in Path("stages").glob("*/params.yaml"))):
        value = value or _value(YAML(typ="safe").load(Path(file).read_text(encoding="utf-8")), found[1])
    return _filled(name.replace(found[0], str(value)))


def _value(values: Any, key: str) -> Any:
    for part in key.split("."):
        values = values.get(part) if isinstance(values, dict) else None
    return values
