"""What the project may cost the people who carry it, and what it does cost: `make budgets`.

    python -m benchmarks.budgets

Times and memory are those of the last run on this machine: `make repro` and `make test` note theirs, every stage and
every process of the tests its peak, below .scratch/. Only `dvc repro` with nothing to do is timed here.
"""

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from ruamel.yaml import YAML

QUESTIONS = ("causal", "lenses", "judge", "sae", "planted", "pretrained", "models", "resolution", "finetune", "motion")
PIPELINES = ("dvc.yaml", *(f"stages/{name}/dvc.yaml" for name in QUESTIONS))
README = Path("README.md")
NOTED = Path(".scratch")
GIB = 2**30


class Budget(NamedTuple):
    """One line: `measured` is None where there is no measurement, and `why` then says how to get one."""

    what: str
    at_most: float
    unit: str
    measured: float | None
    why: str = ""

    @property
    def is_kept(self) -> bool:
        """Whether what was measured is within the budget; so it is where nothing was."""
        return self.measured is None or self.measured <= self.at_most

    def __str__(self) -> str:
        """One line of the table."""
        measured = "not measured" if self.measured is None else f"{self.measured:,.10g} {self.unit}"
        verdict = "" if self.is_kept else "OVER"
        note = f"  {self.why}" if self.why else ""
        return f"{self.what:<58} {f'{self.at_most:,.10g} {self.unit}':>14} {measured:>16} {verdict:<4}{note}".rstrip()


def main() -> None:
    """Print every budget beside what was measured; exit with status 1 if one is exceeded."""
    lines = [*counted(), *noted(), nothing_to_do()]
    print(f"{'what':<58} {'at most':>14} {'measured':>16}")
    print("\n".join(map(str, lines)))
    if not all(line.is_kept for line in lines):
        sys.exit(1)


def counted(root: Path = Path()) -> list[Budget]:
    """The budgets that need no run: lines, words, deps, metric keys."""
    readme = (root / README).read_text(encoding="utf-8")
    lines = [
        Budget(f"{file}, lines", 300 if file == "dvc.yaml" else 250, "", _lines(root / file))
        for file in PIPELINES
        if (root / file).exists()
    ]
    lines += [_most(root, "deps", 10), _largest_metrics(root)]
    lines += [Budget("params.yaml, lines", 120, "", _lines(root / "params.yaml"))]
    lines += [Budget("README.md, lines", 250, "", len(readme.splitlines()))]
    return [*lines, Budget("README.md, words", 1500, "", words(readme))]


def noted() -> list[Budget]:
    """Times and memory that runs on this machine have noted."""
    repro = _noted("make repro, set-up included if there was none", 5 * 60, "s", "times/repro", "make repro")
    test = _noted("make test, set-up included if there was none", 10 * 60, "s", "times/test", "make test")
    return [repro, test, _memory("stage", "make repro"), _memory("tests", "make test")]


def nothing_to_do() -> Budget:
    """How long `dvc repro` takes where there is nothing to do."""
    what = "dvc repro with nothing to do"
    if "Running stage" in _dvc("repro", "--dry"):
        return Budget(what, 3, "s", None, "there is something to do: make repro")
    start = time.perf_counter()
    _dvc("repro")
    return Budget(what, 3, "s", round(time.perf_counter() - start, 1))


def words(markdown: str) -> int:
    """Words as `wc -w` counts them, without the comments that name the metric behind a figure."""
    return len(re.sub(r"<!--.*?-->", "", markdown, flags=re.DOTALL).split())


def stages(root: Path = Path()) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Pipeline file, name and entry of every stage."""
    for file in PIPELINES:
        if (root / file).exists():
            entries = YAML(typ="safe").load((root / file).read_text(encoding="utf-8"))["stages"]
            yield from ((file, name, entry) for name, entry in entries.items())


def _most(root: Path, key: str, at_most: int) -> Budget:
    number, name = max((len(entry.get(key, [])), f"{file}, {name}") for file, name, entry in stages(root))
    return Budget(f"{key} of a stage", at_most, "", number, f"most: {name}")


def _largest_metrics(root: Path) -> Budget:
    files = {
        file.relative_to(root).as_posix(): len(json.loads(file.read_text(encoding="utf-8")))
        for file in (root / "metrics").rglob("*.json")
    }
    if not files:
        return Budget("keys of a metrics file", 25, "", None, "make repro")
    largest = max(files, key=files.__getitem__)
    return Budget("keys of a metrics file", 25, "", files[largest], f"most: {largest}")


def _noted(what: str, at_most: float, unit: str, file: str, how: str) -> Budget:
    path = NOTED / file
    return Budget(what, at_most, unit, float(path.read_text()) if path.exists() else None, "" if path.exists() else how)


def _memory(kind: str, how: str) -> Budget:
    what = "memory of a stage" if kind == "stage" else "memory of a process of the tests"
    peaks = {path.name: int(path.read_text()) / GIB for path in (NOTED / "peak_memory").glob(f"{kind}-*")}
    if not peaks:
        return Budget(what, 3, "GiB", None, how)
    largest = max(peaks, key=peaks.__getitem__)
    return Budget(what, 3, "GiB", round(peaks[largest], 2), f"most: {largest.removeprefix(f'{kind}-')}")


def _lines(file: Path) -> int:
    return len(file.read_text(encoding="utf-8").splitlines())


def _dvc(*arguments: str) -> str:
    return subprocess.run([sys.executable, "-m", "dvc", *arguments], capture_output=True, text=True, check=False).stdout


if __name__ == "__main__":
    main()
