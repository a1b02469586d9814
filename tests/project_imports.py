"""Which files of the project a file imports, read from its source.

The rule: every import statement counts, at the top or inside a function, of a module, of a name in it, or of a package;
and so do the imports of what is imported. A package brings its `__init__.py`, unless that is empty.
"""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

PACKAGES = ("signbridge", "stages")

_LIST_LOADED_FILES = """
import importlib, sys
importlib.import_module(sys.argv[1])
for module in list(sys.modules.values()):
    if getattr(module, "__file__", None):
        print(module.__file__)
"""


def imported_files(root: Path, file: str) -> set[str]:
    """`file` and all project files that it imports, directly or through others, relative to `root`."""
    found: set[str] = set()
    waiting = list(_files_of(root, file.removesuffix(".py").replace("/", ".")))  # running it loads its packages first
    while waiting:
        current = waiting.pop()
        if current not in found:
            found.add(current)
            waiting += _direct_imports(root, current)
    return {name for name in found if (root / name).read_text(encoding="utf-8").strip()}


def loaded_files(root: Path, module: str) -> set[str]:
    """The project files that Python itself has loaded once `module` is imported, relative to `root`."""
    run = subprocess.run(
        [sys.executable, "-c", _LIST_LOADED_FILES, module], cwd=root, capture_output=True, text=True, check=True
    )
    paths = [Path(line) for line in run.stdout.splitlines()]
    names = {path.relative_to(root).as_posix() for path in paths if path.is_relative_to(root)}
    return {name for name in names if name.startswith(tuple(f"{package}/" for package in PACKAGES))}


def _direct_imports(root: Path, file: str) -> Iterator[str]:
    tree = ast.parse((root / file).read_text(encoding="utf-8"), file)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _files_of(root, alias.name)
        elif isinstance(node, ast.ImportFrom):
            module = _absolute(file, node)
            yield from _files_of(root, module)
            for alias in node.names:
                yield from _files_of(root, f"{module}.{alias.name}")


def _absolute(file: str, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    package = Path(file).parts[: -node.level]
    return ".".join([*package, *([node.module] if node.module else [])])


def _files_of(root: Path, module: str) -> Iterator[str]:
    """The files that importing `module` runs: its packages' `__init__.py`, then its own. None if it is no module."""
    parts = module.split(".")
    if parts[0] not in PACKAGES:
        return
    for length in range(1, len(parts) + 1):
        path = Path(*parts[:length])
        for candidate in (path / "__init__.py", path.with_suffix(".py")):
            if (root / candidate).is_file():
                yield candidate.as_posix()
