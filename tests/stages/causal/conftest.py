"""One small study, patched, steered and erased once for the tests of these stages and of `effects`."""

from pathlib import Path

import pytest

from stages.causal import erase, patch, steer
from tests.stages.causal_study import extracted
from tests.stages.small_study import written_by

FINISHED: list[tuple[Path, dict[str, dict[str, bytes]]]] = []


@pytest.fixture(scope="module")
def edited(tmp_path_factory, loaded_once) -> tuple[Path, dict[str, dict[str, bytes]]]:
    """The folder of the study, and what each stage wrote. Not to be changed."""
    if not FINISHED:
        folder = tmp_path_factory.mktemp("causal")
        with extracted(folder):
            FINISHED.append((folder, {stage.__name__: written_by(stage.main) for stage in (patch, steer, erase)}))
    return FINISHED[0]
