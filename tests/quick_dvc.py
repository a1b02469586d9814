"""DVC, made quicker where it does work twice: what `Clone.dvc` of tests/dvc_clone.py runs in place of `dvc`.

After each stage DVC parses the whole lock file with a parser that keeps comments, of which a lock file has none, and
writes all of it again. For each stage it parses the params files, and pyproject.toml with a parser that keeps the
layout, though it writes nothing there. Here a text is parsed once, and the lines of a stage are made once. A stub
(tests/stub_stage.py) runs in a fork of this process in place of a new Python; any other command as ever. What is read
is the same; what DVC writes stays the same to the byte (tests/test_quick_dvc.py).

With `--serve` it runs many commands, each in a fork of this process, which has imported DVC once and parsed the files
of the pipelines as they were. Nothing else runs beside them: no stage waits for a lock on its paths.
"""

import contextlib
import copy
import importlib
import io
import json
import os
import re
import shlex
import sys
import tomllib
import traceback
from pathlib import Path
from typing import Any, NoReturn, TextIO

from dvc.cli import main
from dvc.stage import run as stage_run
from dvc.stage.exceptions import StageCmdFailedError
from dvc.utils.serialize import _toml, _yaml

sys.path.append(str(Path(__file__).parents[1]))  # last: for the stub alone

from tests import stub_stage

USED = ("dvc.cli.parser", "dvc.repo.reproduce", "dvc.repo.plots", "dvc.repo.experiments", "dvc.repo.graph", "dvc.scm")
USED += (
    "dvc.data_cloud",
    "dvc_data.hashfile.db.local",
    "dulwich.repo",
    "networkx",
    "pygit2",
    "fsspec.implementations.memory",
)
_LOCK = "schema: '2.0'\nstages:\n"
_parse, _dump_all, _run = _yaml.parse_yaml, _yaml._dump, stage_run._run
_keeping_comments, _keeping_layout = _yaml.parse_yaml_for_update, _toml.parse_toml
_parsed: dict[str, Any] = {}
_lines: dict[str, str] = {}


def _parse_yaml(text: str, path: Any, typ: str = "safe") -> Any:
    if typ != "safe":
        return _parse(text, path, typ)
    if text not in _parsed:
        _parsed[text] = _parse(text, path)
    return copy.deepcopy(_parsed[text])  # a copy of one's own


def _parse_yaml_for_update(text: str, path: Any) -> Any:
    if not str(path).endswith("dvc.lock"):
        return _keeping_comments(text, path)
    data = _parse_yaml(text, path)
    if text.startswith(_LOCK):
        parts = re.split(r"^(?=  \S)", text.removeprefix(_LOCK), flags=re.MULTILINE)[1:]
        _lines.update({repr(of): part for of, part in zip(data["stages"].items(), parts, strict=True)})
    return data


def _dump(data: Any, stream: TextIO) -> None:
    """Write `data` as DVC does; of a lock file, put together from the lines of each stage."""
    stages = data["stages"] if list(data) == ["schema", "stages"] and data["schema"] == "2.0" else None
    parts = [_lines_of(name, entry) for name, entry in stages.items()] if stages else []
    if not parts or any("&id" in part for part in parts):  # what is there twice is numbered through the whole file
        _dump_all(data, stream)
    else:
        text = _LOCK + "".join(parts)
        _parsed[text] = copy.deepcopy(data)  # DVC reads it before the next stage
        stream.write(text)


def _lines_of(name: str, entry: Any) -> str:
    key = repr((name, entry))
    if key not in _lines:
        alone = io.StringIO()
        _dump_all({"schema": "2.0", "stages": {name: entry}}, alone)
        _lines[key] = alone.getvalue().removeprefix(_LOCK)
    return _lines[key]


def _run_command(executable: str, command: str, **options: Any) -> None:
    """Run a stage's command; a stub's in a fork, which starts with what this process has parsed."""
    python, flag, module, *items = *shlex.split(command), "", ""
    file = Path(*module.split(".")).with_suffix(".py") if module else Path()
    of_stub = (python, flag) == ("python", "-m") and file.is_file() and file.read_text("utf-8") == stub_stage.STUB
    if not of_stub or options["cwd"] != os.getcwd():
        return _run(executable, command, **options)
    stub_stage.all_deps()
    child = os.fork()
    if child == 0:
        _end_as_stub(file, *filter(None, items))
    if status := os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]):
        raise StageCmdFailedError(command, status)


def _end_as_stub(file: Path, *items: str) -> NoReturn:
    status = 1
    try:
        stub_stage.run(str(file), *items)
        status = 0
    except Exception:
        traceback.print_exc()
    finally:
        os._exit(status)


def _load_toml(path: Any, fs: Any = None, **options: Any) -> Any:
    def parse(text: str, path: Any) -> Any:
        try:
            return tomllib.loads(text)
        except tomllib.TOMLDecodeError:
            return _keeping_layout(text, path)  # which says what is wrong in DVC's words

    return _toml._load_data(path, parser=parse, fs=fs, **options)


def serve() -> None:
    """Run `dvc` for each line of standard input, [folder, arguments, file for the output], and say how it ended."""
    for line in sys.stdin:
        folder, arguments, output = json.loads(line)
        os.chdir(folder)
        _parse_pipelines()
        child = os.fork()
        if child == 0:
            _end_as_dvc(arguments, output)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


def _parse_pipelines() -> None:
    for file in [*Path().glob("*.yaml"), *Path().glob("stages/*/*.yaml")]:
        if (text := file.read_text(encoding="utf-8")) not in _parsed:
            _parse_yaml(text, file)
    for file in [*Path().glob("dvc.lock"), *Path().glob("stages/*/dvc.lock")]:
        if (text := file.read_text(encoding="utf-8")) not in _parsed:
            _parse_yaml_for_update(text, file)


def _end_as_dvc(arguments: list[str], output: str) -> NoReturn:
    written = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for ours, standard in zip((nothing, written, written), (0, 1, 2), strict=True):
        os.dup2(ours, standard)
    status = 1
    try:
        status = main(arguments)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    from dvc.utils import serialize

    _yaml.parse_yaml, _yaml.parse_yaml_for_update, _yaml._dump = _parse_yaml, _parse_yaml_for_update, _dump
    stage_run._run = _run_command
    serialize.parse_yaml = _parse_yaml
    serialize.LOADERS[".toml"] = _load_toml
    if sys.argv[1:] == ["--serve"]:
        from diskcache.core import DEFAULT_SETTINGS
        from dvc import rwlock

        for module in USED:
            importlib.import_module(module)
        rwlock.rwlock = lambda *_: contextlib.nullcontext()
        DEFAULT_SETTINGS["sqlite_synchronous"] = 0  # what DVC knows of files may be lost with the machine
        serve()
    else:
        sys.exit(main(sys.argv[1:]))
