"""The deps of each stage are the folders of the project that it imports; folders import downwards only.

With more of them a stage reruns for nothing; with fewer an edit leaves stale results.
"""

from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.project_imports import (
    PACKAGES,
    folder_of,
    imported_files,
    imports_between_folders,
    loaded_files,
    runs_nothing,
)

ROOT = Path(__file__).parents[1]
QUESTIONS = ("causal", "lenses", "judge", "sae", "planted", "pretrained", "models", "resolution", "finetune", "motion")
PIPELINES = {"study": "stages"} | {name: f"stages/{name}" for name in QUESTIONS}
FILES = {
    pipeline: "dvc.yaml" if pipeline == "study" else f"{folder}/dvc.yaml" for pipeline, folder in PIPELINES.items()
}
STAGES = {
    (pipeline, name): entry
    for pipeline, file in FILES.items()
    if (ROOT / file).exists()
    for name, entry in YAML(typ="safe").load((ROOT / file).read_text(encoding="utf-8"))["stages"].items()
}
# Data flows down this list. What is in the innermost lists lies side by side, and imports one another only as SIDEWAYS.
ORDER = ["core", "datasets", "rendered", "clips", "vlm", "probing", "statistics"]
ORDER += [["causal", "lenses", "sae", "planted", "pretrained", "finetune", "motion"], "report", "demo"]
LEVEL = {
    folder: level
    for level, folders in enumerate(ORDER)
    for folder in (folders if isinstance(folders, list) else [folders])
}
NO_DEP = "stages/__init__.py"  # says how threads wait and when garbage is looked for, which changes no result
SIDEWAYS = {
    ("planted", "causal"),
    ("sae", "causal"),
    ("pretrained", "sae"),
    ("pretrained", "causal"),
    ("motion", "causal"),
}

of_every_stage = pytest.mark.parametrize(
    ("pipeline", "stage"), STAGES, ids=[f"{pipeline}-{stage}" for pipeline, stage in STAGES]
)


def file_of(pipeline: str, stage: str) -> str:
    """The file of a stage, relative to the root."""
    return f"{PIPELINES[pipeline]}/{stage}.py"


def test_every_pipeline_has_stages():
    assert {pipeline for pipeline, _ in STAGES} == set(PIPELINES)
    assert {path.parent.name for path in (ROOT / "stages").glob("*/params.yaml")} == set(PIPELINES) - {"study"}


@of_every_stage
def test_the_deps_of_a_stage_are_its_file_and_the_folders_that_it_imports(pipeline, stage):
    deps = STAGES[pipeline, stage]["deps"]
    declared = {dep for dep in deps if dep.startswith(tuple(f"{name}/" for name in PACKAGES))}
    imported = {
        file if folder_of(file) is None else f"signbridge/{folder_of(file)}"
        for file in imported_files(ROOT, file_of(pipeline, stage)) - {NO_DEP}
    }
    missing, superfluous = sorted(imported - declared), sorted(declared - imported)
    lines = [f"{FILES[pipeline]}, stage {stage}:"]
    lines += ["  add under deps:", *(f"      - {name}" for name in missing)] if missing else []
    lines += ["  take out of deps:", *(f"      - {name}" for name in superfluous)] if superfluous else []
    if missing or superfluous:
        pytest.fail("\n".join(lines), pytrace=False)


@of_every_stage
def test_a_stage_imports_no_other_stage(pipeline, stage):
    file = file_of(pipeline, stage)
    assert {name for name in imported_files(ROOT, file) if name.startswith("stages/")} == {file, NO_DEP}


@of_every_stage
def test_a_stage_has_at_most_ten_deps(pipeline, stage):
    assert len(STAGES[pipeline, stage]["deps"]) <= 10


@of_every_stage
def test_a_stage_is_one_command_of_one_file_run_from_the_root(pipeline, stage):
    entry = STAGES[pipeline, stage]
    module = file_of(pipeline, stage).removesuffix(".py").replace("/", ".")
    of_each = "".join(f" ${{item.{name}}}" for name in entry.get("matrix", {}))
    assert entry["cmd"] == f"python -m {module}{of_each}"
    assert (ROOT / FILES[pipeline]).parent.joinpath(entry.get("wdir", ".")).resolve() == ROOT.resolve()


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_every_stage_file_is_a_stage_of_its_pipeline(pipeline):
    files = {path.stem for path in (ROOT / PIPELINES[pipeline]).glob("*.py")} - {"__init__"}
    assert files == {name for of, name in STAGES if of == pipeline}


def test_folders_import_downwards_only():
    wrong = [
        f"{file} imports {target}"
        for file, folder, target in imports_between_folders(ROOT)
        if LEVEL[target] > LEVEL[folder] or (LEVEL[target] == LEVEL[folder] and (folder, target) not in SIDEWAYS)
    ]
    assert wrong == []


def test_every_folder_has_its_place_in_the_order():
    folders = {path.parent.name for path in (ROOT / "signbridge").glob("*/__init__.py")}
    assert folders == set(LEVEL)


def test_a_folder_that_is_a_dep_holds_no_pipeline_file():
    """DVC would run its stages for ever: the lock file that a run writes would change the dep."""
    assert [path for name in ("dvc.yaml", "dvc.lock") for path in (ROOT / "signbridge").rglob(name)] == []


def test_python_loads_no_project_file_that_was_not_found_in_the_source():
    modules = {file_of(*key).removesuffix(".py").replace("/", "."): file_of(*key) for key in STAGES}
    for module, loaded in loaded_files(ROOT, modules).items():
        loaded = {name for name in loaded if not runs_nothing(ROOT / name)}
        assert modules[module] in loaded
        assert loaded <= imported_files(ROOT, modules[module]), module


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
    loaded = loaded_files(small_project, ["stages.one"])["stages.one"]
    assert "signbridge/deep/module.py" in loaded
    found = imported_files(small_project, "stages/one.py") | {"stages/__init__.py", "signbridge/deep/__init__.py"}
    assert found - loaded == {"signbridge/in_function.py"}
    assert loaded <= found
