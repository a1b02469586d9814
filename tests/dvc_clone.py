"""A clone of the project in a folder of its own, in which tests run DVC itself.

Nothing of the user's is read or written: home, DVC's settings and git's are the test's own.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from tests.conftest import CATALOGS
from tests.stub_stage import STUB

PROJECT = Path(__file__).parents[1]
QUICK_DVC = PROJECT / "tests/quick_dvc.py"
OTHERS_SETTINGS = ("AWS_", "DVC_", "GIT_", "HF_", "KAGGLE", "PYTEST_", "SIGNBRIDGE_", "XDG_")
# A clone with stubs does without what no stage reads, and without most code: DVC hashes all files of a folder.
UNREAD = re.compile(r"(tests|docs|benchmarks)/|signbridge/.*\.py$|.*\.safetensors$")
READ = re.compile(r"tests/stub_stage\.py|.*/(__init__|intervals|umap_projection)\.py")
# Two images a batch and a shard, so that even a small study has many shards.
SMALL_SHARDS = {"SIGNBRIDGE_BATCH_SIZE": "2", "SIGNBRIDGE_SHARD_IMAGES": "2"}


@dataclass(frozen=True)
class Outcome:
    """What a `dvc` command did."""

    returncode: int
    output: str  # stdout and stderr

    @property
    def ran(self) -> set[str]:
        """The stages whose commands were run: `probe` of the study, `causal:patch` of a further question.

        A stage with a matrix is named once, however many of its models it ran for.
        """
        found = re.findall(
            r"^Running stage '(?:stages/(\w+)/dvc\.yaml:)?(\w+)(?:@[\w./-]+)?':", self.output, re.MULTILINE
        )
        return {f"{question}:{stage}" if question else stage for question, stage in found}


@dataclass(frozen=True)
class Clone:
    """A clone at `root`; `home` is shared by the clones of one test session; `settings` join the environment."""

    root: Path
    home: Path
    settings: dict[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        """The environment its commands run in: no user settings, no network, no GPU."""
        own = {name: value for name, value in os.environ.items() if not name.startswith(OTHERS_SETTINGS)}
        return own | {
            "HOME": str(self.home),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "SHELL": "/bin/sh",
            "DVC_NO_ANALYTICS": "1",
            "DVC_GLOBAL_CONFIG_DIR": str(self.home / "dvc-global"),
            "DVC_SYSTEM_CONFIG_DIR": str(self.home / "dvc-system"),
            "DVC_SITE_CACHE_DIR": str(self.home / "dvc-site"),
            "GIT_CONFIG_NOSYSTEM": "1",
            **{f"GIT_{role}_NAME": "Test" for role in ("AUTHOR", "COMMITTER")},
            **{f"GIT_{role}_EMAIL": "test@example.org" for role in ("AUTHOR", "COMMITTER")},
            "HF_HUB_OFFLINE": "1",
            "NUMBA_DISABLE_JIT": "1",  # for a few images compiling UMAP takes longer than running it
            "OMP_NUM_THREADS": "1",  # threads that wait for each other are slow beside other work
            "LOKY_MAX_CPU_COUNT": "1",  # for a few places starting processes takes longer than the work
            "SIGNBRIDGE_DEVICE": "cpu",
            **SMALL_SHARDS,
            **self.settings,
        }

    def start(self, *arguments: str) -> subprocess.Popen:
        """Start `dvc` with its own process group; stdout and stderr come together."""
        return subprocess.Popen(
            [sys.executable, "-P", str(QUICK_DVC), *arguments],
            cwd=self.root,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, *arguments: str) -> Outcome:
        """Run `dvc` to its end."""
        server = _server(tuple(sorted(self.environment.items())))
        with tempfile.NamedTemporaryFile(dir=self.home) as output:
            print(json.dumps([str(self.root), arguments, output.name]), file=server.stdin, flush=True)
            returncode = int(server.stdout.readline())
            return Outcome(returncode, output.read().decode())

    def dvc_fails(self, *arguments: str) -> Outcome:
        """Run `dvc`, which must fail."""
        outcome = self.run(*arguments)
        assert outcome.returncode != 0, outcome.output
        return outcome

    def dvc(self, *arguments: str) -> Outcome:
        """Run `dvc`, which must succeed."""
        outcome = self.run(*arguments)
        assert outcome.returncode == 0, outcome.output
        return outcome

    def git(self, *arguments: str) -> str:
        """Run `git`, which must succeed."""
        run = subprocess.run(["git", *arguments], cwd=self.root, env=self.environment, capture_output=True, text=True)
        assert run.returncode == 0, run.stdout + run.stderr
        return run.stdout

    def commit(self, message: str) -> None:
        """Commit all that git does not ignore."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", message)

    def set_params(self, **changes: Any) -> None:
        """Change `params.yaml` and the catalogs: `set_params(seed=1, probe__layers=[0], models__mine={...})`.

        Two underscores stand for a dot.
        """
        for key, value in changes.items():
            first, _, rest = key.partition("__")
            if first in CATALOGS and rest:
                self.set_in(CATALOGS[first], **{rest: value})
            else:
                self.set_in("params.yaml", **{key: value})

    def set_in(self, file: str | Path, **changes: Any) -> None:
        """Change another params file: `set_in(params.CAUSAL, patching__small__pairs=3)`."""
        yaml = YAML()
        params = yaml.load(self.root / file)
        for key, value in changes.items():
            *sections, last = key.split("__")
            inner = params
            for section in sections:
                inner = inner[section]
            inner[last] = value
        yaml.dump(params, self.root / file)

    def append(self, file: str, text: str) -> None:
        """Append `text` to a file."""
        before = (self.root / file).read_text(encoding="utf-8")
        (self.root / file).write_text(before + text, encoding="utf-8")

    def copy(self, root: Path) -> "Clone":
        """A copy with its cache and its outputs. What git and DVC store by digest is linked, since it never changes."""
        stored = (f"{self.root}/.git/objects/", f"{self.root}/.dvc/cache/files/")

        def copy(source: str, target: str) -> None:
            (os.link if source.startswith(stored) else shutil.copy2)(source, target)

        shutil.copytree(self.root, root, symlinks=True, copy_function=copy)
        return Clone(root, self.home, self.settings)

    def clone(self, root: Path) -> "Clone":
        """What `git clone` gives: the commits, without cache and outputs."""
        self.git("clone", "--quiet", str(self.root), str(root))
        return Clone(root, self.home, self.settings)

    def outputs(self) -> dict[str, bytes]:
        """Every file below data, metrics, plots and report, by its path."""
        folders = [self.root / name for name in ("data", "metrics", "plots", "report")]
        files = [path for folder in folders for path in sorted(folder.rglob("*")) if path.is_file()]
        return {path.relative_to(self.root).as_posix(): path.read_bytes() for path in files}


@cache
def _server(environment: tuple[tuple[str, str], ...]) -> subprocess.Popen:
    """What runs `dvc` in that environment, until the tests end and close its input."""
    command = [sys.executable, "-P", str(QUICK_DVC), "--serve"]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, env=dict(environment), stdin=pipe, stdout=pipe, text=True)


def clone_of_the_working_tree(root: Path, home: Path, stubs: bool = False) -> Clone:
    """The project as it is now, committed or not, as the first commit of a new repository; no outputs.

    With `stubs` every stage is one of tests/stub_stage.py: for tests of what reruns.
    """
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=PROJECT,
        capture_output=True,
        check=True,
        text=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        made_by_dvc = name.endswith("dvc.lock") or name.startswith(("metrics/", "plots/", "data/", "report/"))
        unread = UNREAD.match(name) and not READ.fullmatch(name)
        if not (PROJECT / name).is_file() or made_by_dvc or (stubs and unread):
            continue
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(PROJECT / name, root / name)
        if stubs and name.startswith("stages/") and name.endswith(".py") and not name.endswith("__init__.py"):
            (root / name).write_text(STUB, encoding="utf-8")
    if stubs:
        (root / "models/miniature/model.safetensors").write_text("weights")
    home.mkdir(exist_ok=True)
    clone = Clone(root, home)
    clone.git("init", "--quiet", "--initial-branch", "main")
    return clone
