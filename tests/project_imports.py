"""Which files of the project a file imports, read from its source.

The rule: every import statement counts, at the top or inside a function, of a module, of a name in it, or of a package;
and so do the imports of what is imported. A package brings its `__init__.py`, unless that holds a docstring at most.
"""

import ast
import json
import subprocess
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

PACKAGES = ("signbridge", "stages")

_LIST_IMPORTS = """
import builtins, importlib, json, sys
imports, plain = {}, builtins.__import__
def ours(name):
    return name.partition(".")[0] in PACKAGES
def noted(name, globals=None, locals=None, fromlist=(), level=0):
    found = plain(name, globals, locals, fromlist, level)
    importer = (globals or {}).get("__name__") or ""
    if ours(importer):
        base = found.__name__ if fromlist else importlib.util.resolve_name("." * level + name, globals["__package__"])
        named = [base, *(f"{base}.{of}" for of in fromlist or ())]
        imports.setdefault(importer, set()).update(of for of in named if ours(of) and of in sys.modules)
    return found
builtins.__import__ = noted
for name in sys.argv[1:]:
    importlib.import_module(name)
builtins.__import__ = plain
files = {name: getattr(module, "__file__", None) for name, module in sys.modules.items() if ours(name)}
print(json.dumps([{name: sorted(found) for name, found in imports.items()}, files]))
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
    return {name for name in found if not runs_nothing(root / name)}


@cache
def runs_nothing(path: Path) -> bool:
    """Whether a Python file holds nothing but a docstring."""
    body = ast.parse(path.read_text(encoding="utf-8")).body
    return all(isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) for node in body)


def loaded_files(root: Path, modules: Iterable[str]) -> dict[str, set[str]]:
    """By module, the project files that Python itself loads where it is imported, relative to `root`.

    All are imported in one process, each file once: what a module loads is what it was seen to import, and so on.
    """
    program = f"PACKAGES = {PACKAGES}\n{_LIST_IMPORTS}"
    run = subprocess.run(
        [sys.executable, "-c", program, *modules], cwd=root, capture_output=True, text=True, check=True
    )
    imports, files = json.loads(run.stdout.splitlines()[-1])
    loaded = {}
    for module in modules:
        names, waiting = set(), [module]
        while waiting:
            name = waiting.pop()
            if name not in names:
                names.add(name)
                waiting += [*imports.get(name, []), *filter(None, [name.rpartition(".")[0]])]
        loaded[module] = {Path(files[name]).relative_to(root).as_posix() for name in names if files[name]}
    return loaded


def imports_between_folders(root: Path) -> Iterator[tuple[str, str, str]]:
    """Each import of one folder of `signbridge/` by another: the file, its folder, the folder that it imports."""
    for path in sorted((root / "signbridge").rglob("*.py")):
        file = path.relative_to(root).as_posix()
        targets = {folder_of(target) for target in _direct_imports(root, file)} - {None}
        folder = folder_of(file)
        yield from ((file, folder, target) for target in sorted(targets) if folder and target != folder)


def folder_of(file: str) -> str | None:
    """The folder of `signbridge/` that the file lies in: `probing` of `signbridge/probing/sweep.py`, or None."""
    parts = Path(file).parts
    return parts[1] if parts[0] == "signbridge" and len(parts) > 2 else None


@cache
def _direct_imports(root: Path, file: str) -> tuple[str, ...]:
    return tuple(_found_imports(root, file))


def _found_imports(root: Path, file: str) -> Iterator[str]:
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
