"""Shapes and types of every annotated function are checked while the tests run; a project folder to run stages in."""

import gc
import importlib
import json
import marshal
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

if "PYTEST_XDIST_WORKER" in os.environ:  # processes share the cores: threads that wait for one another are slow
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("NUMBA_DISABLE_JIT", "1")  # for a few images compiling UMAP takes longer than running it
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # with it a child process compiles all that it imports anew, for 5 s

if os.environ.get("PYTEST_XDIST_WORKER") == "gw1":  # the first import compiles a package: not all twice at one time
    for name in ("sklearn.linear_model", "statsmodels.api", "matplotlib.pyplot", "altair", "umap", "gradio", "dvc"):
        importlib.import_module(name)

import jaxtyping

from tests import type_checking

jaxtyping.jaxtyped = type_checking.jaxtyped
jaxtyping.install_import_hook("signbridge", "tests.type_checking.check")  # before the first import of the package

import pytest  # noqa: E402
from ruamel.yaml import YAML  # noqa: E402

from signbridge.core import params  # noqa: E402
from signbridge.core.command_line import note_peak_memory, run  # noqa: E402
from signbridge.vlm.catalog import ModelParams  # noqa: E402
from signbridge.vlm.chosen import AS_READ, MODEL, complete  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]


def parse_each_text_once(parse: Callable[[YAML, Any], Any]) -> Callable[[YAML, Any], Any]:
    """As `YAML.load`, which takes 4 ms for a file of params; the tests read few different ones thousands of times."""
    parsed: dict[str, bytes] = {}

    def load(self: YAML, stream: Any) -> Any:
        if self.typ != ["safe"] or not isinstance(stream, str):
            return parse(self, stream)
        if stream not in parsed:
            found = parse(self, stream)
            try:
                parsed[stream] = marshal.dumps(found)
            except ValueError:  # a date
                return found
        return marshal.loads(parsed[stream])  # a copy of one's own

    return load


YAML.load = parse_each_text_once(YAML.load)

PARAMS_FILES = (params.PARAMS, params.MODELS, params.DATASETS, params.CAUSAL, params.LENSES, params.JUDGE)
PARAMS_FILES += (
    params.SIDE_BY_SIDE,
    params.RESOLUTION,
    params.FINETUNE,
    params.MOTION,
    params.PLANTED,
    params.SAE,
    params.PRETRAINED,
    params.SAE_PRESETS,
    params.AUTOENCODERS,
)
CATALOGS = {"models": params.MODELS, "datasets": params.DATASETS, "autoencoders": params.AUTOENCODERS}
CATALOGS |= {"sae_presets": params.SAE_PRESETS}


# The tests of these folders share set-ups that are dear, and run in one process. Elsewhere those of a file do.
TOGETHER = ("tests/demo", "tests/stages/causal", "tests/stages/sae")
LONGEST_FIRST = ("tests/test_dvc", "tests/demo", "tests/causal", "tests/stages", "tests/sae", "tests/report")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Which tests run in one process, where several share them (`pytest -n 2`)."""
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return next((folder for folder in TOGETHER if file.startswith(f"{folder}/")), file)

    return ByFile(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest first, so that no process ends long after the other."""
    rank = {prefix: place for place, prefix in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: min((rank[p] for p in rank if item.location[0].startswith(p)), default=len(rank)))


def pytest_collection_finish() -> None:
    """What the imports of all files made stays: the collector, which stages call, need not go through it each time."""
    gc.freeze()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Note the most memory that this process of the tests has taken."""
    note_peak_memory(f"tests-{os.environ.get('PYTEST_XDIST_WORKER', 'main')}", session.config.rootpath)


class Workspace:
    """A temporary folder with the project's params files, in which stages run as `dvc repro` runs them."""

    def __init__(self, folder: Path):
        """Start from the committed params."""
        self.folder = folder
        for file in PARAMS_FILES:
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / file, folder / file)

    def set(self, **values: Any) -> None:
        """Change `params.yaml` and the catalogs: `set(dataset="mine", datasets__mine={...})`.

        Two underscores go a level down. `models__`, `datasets__`, `autoencoders__` and `sae_presets__` lead into the
        catalogs' files. For the params of a further question use `set_in`.
        """
        for name, value in values.items():
            first, _, rest = name.partition("__")
            if first in CATALOGS and rest:
                self.set_in(CATALOGS[first], **{rest: value})
            else:
                self.set_in(params.PARAMS, **{name: value})

    def set_in(self, file: Path, **values: Any) -> None:
        """Change another params file: `set_in(params.CAUSAL, patching__small={"pairs": 3})`."""
        changed = YAML(typ="safe").load((self.folder / file).read_text(encoding="utf-8"))
        for name, value in values.items():
            *path, last = name.split("__")
            section = changed
            for key in path:
                section = section[key]
            section[last] = value
        YAML(typ="safe").dump(changed, self.folder / file)

    def describe_model(self, weights: str | None = None) -> None:
        """What the stages `model` and `extract` say of the chosen model; the second, that it read these weights."""
        name, entry = params.selected("model", params.MODELS, ModelParams)
        weights = weights or ("packed" if entry.quantization == "nf4" else "plain")
        said = {"name": name, "entry": complete(entry).model_dump(), "folder_sha256": "that of the stage model"}
        (self.folder / MODEL).parent.mkdir(exist_ok=True)
        (self.folder / MODEL).write_text(json.dumps(said))
        (self.folder / AS_READ).write_text(json.dumps({**said, "weights": weights}))

    def run(self, stage: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """`python -m stages.STAGE`, in a process of its own."""
        here = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
        command = [sys.executable, "-m", f"stages.{stage}"]
        return subprocess.run(command, cwd=self.folder, env=here, capture_output=True, text=True, timeout=120)

    def message_of_failure(self, main: Callable[[], None]) -> str:
        """What a stage's `main`, run in this process as its command runs it, says as it fails."""
        with pytest.raises(SystemExit) as stopped:
            run(main)
        message = str(stopped.value.code)  # Python prints it to stderr and exits with status 1
        assert message.startswith("error: ")
        assert 1 <= len(message.splitlines()) <= 2
        assert max(len(line) for line in message.splitlines()) < 400
        return message


@pytest.fixture
def workspace(tmp_path, monkeypatch) -> Workspace:
    """A temporary project folder, and the current folder in it."""
    monkeypatch.chdir(tmp_path)
    return Workspace(tmp_path)


@pytest.fixture(scope="session")
def browser(tmp_path_factory) -> Iterator[Any]:
    """One real browser for all tests of pages."""
    from tests.demo.browser import chromium

    with chromium(tmp_path_factory.mktemp("camera")) as running:
        yield running


@pytest.fixture(scope="session")
def real_signs() -> Path:
    """The folder with real images of Sign Language MNIST, which the project does not carry."""
    folder = Path(os.environ.get("SIGNBRIDGE_DATA", ROOT / "../shared/data"))
    if not (folder / "sign-language-mnist-excerpt.zip").is_file():
        pytest.skip(f"no sign-language-mnist-excerpt.zip in {folder}; SIGNBRIDGE_DATA can name its folder")
    return folder.resolve()
