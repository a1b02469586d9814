"""The tiny random model, which most of these stages read, is loaded once for each of its settings, not once a run."""

from collections.abc import Iterator
from functools import wraps

import pytest

from signbridge.vlm import model_run
from signbridge.vlm.loading import LoadedModel

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
