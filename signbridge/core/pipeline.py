"""Which pipeline a stage or an output belongs to, and the digest of the code that a stage depends on: from `dvc.yaml`.

The pipeline of `stages/probe.py` is `dvc.yaml`; that of `stages/causal/patch.py` is `stages/causal/dvc.yaml`.
"""

import hashlib
from pathlib import Path
from typing import Any, NamedTuple

from ruamel.yaml import YAML

from signbridge.core.params import check_keys

ROOT = Path(__file__).parents[2]  # of the code, wherever the stage runs
STUDY = "dvc.yaml"  # the file of the study's pipeline; those of the questions lie in folders below `stages/`


class Stage(NamedTuple):
    """One stage of a pipeline."""

    name: str
    pipeline: str  # `study`, or the folder below `stages/`
    entry: dict[str, Any]  # what the pipeline's file says of it
    pipeline_entries: dict[str, Any]  # the same of every stage of the pipeline, by name


def stage_of(stage_file: str | Path) -> Stage | None:
    """The stage that `stage_file` (`stages/NAME.py` or `stages/QUESTION/NAME.py`) runs; None if no pipeline has it."""
    path = Path(stage_file).resolve()
    if not path.is_relative_to(ROOT / "stages"):
        return None
    folder = path.parent.relative_to(ROOT / "stages").as_posix()
    file = ROOT / "dvc.yaml" if folder == "." else path.with_name("dvc.yaml")
    stages = YAML(typ="safe").load(file.read_text(encoding="utf-8"))["stages"]
    if path.stem not in stages:
        return None
    pipeline = "study" if folder == "." else folder
    return Stage(path.stem, pipeline, stages[path.stem], stages)


def check_own_keys(stage: Stage) -> None:
    """Raises `SignBridgeError` if the params of a further question have a key that no stage of it reads.

    Those of the study are checked by its first stage, and a file that a stage reads as a whole by that stage.
    """
    if stage.pipeline == "study":
        return
    file = Path("stages") / stage.pipeline / "params.yaml"
    known: set[str] = set()
    for name, entry in stage.pipeline_entries.items():
        known |= {listed[2:-1] for listed in entry.get("matrix", {}).values()}  # `${runs}`
        for named in entry.get("params", []):
            if not isinstance(named, dict) or file.as_posix() not in named:
                continue
            if named[file.as_posix()] is None and name != "report":  # the page shows the file as it is
                return
            known |= set(named[file.as_posix()] or [])
    check_keys(file, {f"{key.partition('.')[0]}.*" for key in known})


def how_to_get(path: Path | str) -> str:
    """What to do about an output at `path` that is not there: the commands that make it and that fetch it.

    `dvc pull` without the name of a pipeline ends in an error, as some were never pushed.
    """
    pipeline, is_cached = _written_by(path)
    get = f"`dvc pull {pipeline}`" if is_cached else f"`git checkout -- {path}`"
    return f"Make it with {repro(path)}, or get it with {get}."


def repro(path: Path | str) -> str:
    """The command that makes the output at `path`, quoted."""
    pipeline = _written_by(path)[0]
    return "`dvc repro`" if pipeline == STUDY else f"`dvc repro {pipeline}`"


def _written_by(path: Path | str) -> tuple[str, bool]:
    """The file of the pipeline that writes `path`, and whether DVC keeps it; the study's for what no stage writes."""
    path = Path(path)
    if path.is_absolute() and path.is_relative_to(Path.cwd()):
        path = path.relative_to(Path.cwd())
    for file in (ROOT / STUDY, *sorted(ROOT.glob(f"stages/*/{STUDY}"))):
        for entry in YAML(typ="safe").load(file.read_text(encoding="utf-8"))["stages"].values():
            for out in (out for kind in ("outs", "metrics", "plots") for out in entry.get(kind, [])):
                [(name, settings)] = out.items() if isinstance(out, dict) else [(out, {})]
                if Path(name.partition("${")[0]) in (path, *path.parents):  # of a matrix: the folder of all its outputs
                    return file.relative_to(ROOT).as_posix(), settings.get("cache", True)
    return STUDY, True


def code_digest(stage_file: str | Path) -> str:
    """SHA-256 of all code that the stage depends on, by the deps of its pipeline's file."""
    stage = stage_of(stage_file)
    if stage is None:
        raise ValueError(f"{stage_file}: no stage of a pipeline")
    digest = hashlib.sha256()
    for dep in sorted(dep for dep in stage.entry["deps"] if dep.startswith(("signbridge/", "stages/"))):
        path = ROOT / dep
        files = sorted(path.rglob("*.py")) if path.is_dir() else [path]
        for file in files:
            digest.update(file.relative_to(ROOT).as_posix().encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()
