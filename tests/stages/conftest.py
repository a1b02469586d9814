"""What holds for all tests of stages: the tiny random model is loaded once for each of its settings, not once a run.

And a stage that opens a file which its pipeline file does not declare fails the test in which it does.
"""

from collections.abc import Iterator
from functools import wraps

import pytest

from signbridge.vlm import model_run
from signbridge.vlm.loading import LoadedModel
from tests.stages.reads import Reads

READS = Reads()
LOADED: dict[tuple, LoadedModel] = {}


@pytest.fixture(autouse=True, scope="module")
def loaded_once(tmp_path_factory) -> Iterator[None]:
    """A model is only read, so what one run leaves is what the next would load; `load.__wrapped__` loads anew."""
    load, files = model_run.load, tmp_path_factory.mktemp("models")

    @wraps(load)
    def once(entry, scratch, device, twin_seed=None):
        if entry.source != "tiny_random" or device.type != "cpu":
            return load(entry, scratch, device, twin_seed)
        key = (entry.model_dump_json(), twin_seed)
        if key not in LOADED:
            LOADED[key] = load(entry, files, device, twin_seed)
        return LOADED[key]

    with pytest.MonkeyPatch.context() as here:
        here.setattr(model_run, "load", once)
        yield


@pytest.fixture(autouse=True, scope="session")
def reads_noted() -> Iterator[None]:
    """From before the first set-up on."""
    READS.is_on = True
    yield
    READS.is_on = False


@pytest.fixture(autouse=True)
def reads_declared_files_alone() -> Iterator[None]:
    """What a stage opened in this test, or in a set-up for it, is declared."""
    yield
    found, READS.found = READS.found, set()
    assert found == set()
