"""Every params file has the form that DVC writes, so that one `-S` changes one line."""

from pathlib import Path

import pytest
from dvc.utils.hydra import apply_overrides
from ruamel.yaml import YAML

PROJECT = Path(__file__).parents[1]
FILES = [PROJECT / name for name in ("params.yaml", "models.yaml", "datasets.yaml")]
FILES += sorted(set((PROJECT / "stages").glob("*/*.yaml")) - set((PROJECT / "stages").glob("*/dvc.yaml")))


def numbers(params, keys=()):
    """Every number of `params`, by its keys with dots between; lists are left out."""
    for key, value in params.items():
        if isinstance(value, dict):
            yield from numbers(value, (*keys, key))
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield ".".join((*keys, key)), value


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(PROJECT).as_posix())
def test_one_param_that_an_experiment_sets_changes_one_line(tmp_path, file):
    before = file.read_text(encoding="utf-8")
    copy = tmp_path / file.name
    copy.write_text(before, encoding="utf-8")
    key, value = next(numbers(YAML(typ="safe").load(before)))
    apply_overrides(str(copy), [f"{key}={value + 1}"])  # what `dvc exp run -S` does
    pairs = zip(before.splitlines(), copy.read_text(encoding="utf-8").splitlines(), strict=True)
    [(old, new)] = [pair for pair in pairs if pair[0] != pair[1]]
    assert new == old.replace(str(value), str(value + 1), 1)


def test_a_choice_that_an_experiment_sets_changes_one_line(tmp_path):
    before = (PROJECT / "params.yaml").read_text(encoding="utf-8")
    copy = tmp_path / "params.yaml"
    copy.write_text(before, encoding="utf-8")
    apply_overrides(str(copy), ["model=tiny-random"])
    assert copy.read_text(encoding="utf-8") == before.replace("model: miniature\n", "model: tiny-random\n", 1)
