"""The deps of each stage in `dvc.yaml` are the project files that it imports.

With more of them a stage reruns for nothing; with fewer an edit leaves stale results.
"""

from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.project_imports import PACKAGES, imported_files, loaded_files

ROOT = Path(__file__).parents[1]
STAGES = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
OF_PACKAGES = tuple(f"{name}/" for name in PACKAGES)


@pytest.mark.parametrize("stage", STAGES)
def test_the_deps_of_a_stage_are_the_project_files_that_it_imports(stage):
    declared = {dep for dep in STAGES[stage]["deps"] if dep.startswith(OF_PACKAGES) and dep.endswith(".py")}
    imported = imported_files(ROOT, f"stages/{stage}.py")
    missing, superfluous = sorted(imported - declared), sorted(declared - imported)
    lines = [f"dvc.yaml, stage {stage}:"]
    lines += ["  add under deps:", *(f"      - {name}" for name in missing)] if missing else []
    lines += ["  take out of deps:", *(f"      - {name}" for name in superfluous)] if superfluous else []
    if missing or superfluous:
        pytest.fail("\n".join(lines), pytrace=False)


def test_the_report_depends_on_every_file_that_its_page_is_made_from():
    """Imports do not show these: a template, a style sheet and a script are read, not imported."""
    files = {path.relative_to(ROOT).as_posix() for path in (ROOT / "signbridge/report").rglob("*") if path.is_file()}
    read = {name for name in files if not name.endswith((".py", ".pyc"))}
    assert read, "a page without a template?"
    declared = {dep for dep in STAGES["report"]["deps"] if dep.startswith(OF_PACKAGES)}
    assert {dep for dep in declared if not dep.endswith(".py")} == read


@pytest.mark.parametrize("stage", STAGES)
def test_python_loads_no_project_file_that_was_not_found_in_the_source(stage):
    loaded = {name for name in loaded_files(ROOT, f"stages.{stage}") if (ROOT / name).read_text().strip()}
    assert f"stages/{stage}.py" in loaded
    assert loaded <= imported_files(ROOT, f"stages/{stage}.py")


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_is_one_command_of_one_file(stage):
    assert STAGES[stage]["cmd"] == f"python -m stages.{stage}"


def test_every_stage_file_is_a_stage():
    files = {path.stem for path in (ROOT / "stages").glob("*.py")} - {"__init__"}
    assert files == set(STAGES)


@pytest.fixture
def small_project(tmp_path) -> Path:
    """A stage that imports in every way there is; `unused.py` and `mentioned.py` are not imported."""
    sources = {
        "stages/__init__.py": "",
        "stages/one.py": (
            "import signbridge.plain\n"
            "from signbridge import by_name, numpy_like_name\n"
            "from signbridge.deep.module import name\n"
            "import json, numpy\n"
            "# import signbridge.mentioned\n"
            "def later():\n"
            "    from signbridge import in_function\n"
        ),
        "signbridge/__init__.py": "numpy_like_name = 1\n",
        "signbridge/plain.py": "from . import relative\nfrom .deep import sibling as other\n",
        "signbridge/by_name.py": "from signbridge import plain  # in a circle: one imports plain as well\n",
        "signbridge/in_function.py": "x = 1\n",
        "signbridge/relative.py": "x = 1\n",
        "signbridge/mentioned.py": "x = 1\n",
        "signbridge/unused.py": "x = 1\n",
        "signbridge/deep/__init__.py": "\n",
        "signbridge/deep/module.py": "from ..through import thing\nname = thing\n",
        "signbridge/deep/sibling.py": "x = 1\n",
        "signbridge/through.py": "thing = 1\n",
    }
    for name, source in sources.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(source)
    return tmp_path


def test_every_way_to_import_is_followed_and_nothing_else(small_project):
    assert imported_files(small_project, "stages/one.py") == {
        "stages/one.py",
        "signbridge/__init__.py",
        "signbridge/plain.py",
        "signbridge/by_name.py",
        "signbridge/in_function.py",
        "signbridge/relative.py",
        "signbridge/through.py",
        "signbridge/deep/module.py",
        "signbridge/deep/sibling.py",
    }


def test_what_python_loads_agrees_with_the_source(small_project):
    loaded = loaded_files(small_project, "stages.one")
    assert "signbridge/deep/module.py" in loaded
    found = imported_files(small_project, "stages/one.py") | {"stages/__init__.py", "signbridge/deep/__init__.py"}
    assert found - loaded == {"signbridge/in_function.py"}
    assert loaded <= found
