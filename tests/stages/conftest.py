"""The tiny random model, which most of these stages read, is loaded once for each of its settings, not once a run."""

from collections.abc import Iterator
from functools import wraps

import pytest

from signbridge.vlm import model_run


@pytest.fixture(autouse=True, scope="session")
def loaded_once(tmp_path_factory) -> Iterator[None]:
    """A model is only read, so what one run leaves is what the next would load; `load.__wrapped__` loads anew."""
    load, loaded, files = model_run.load, {}, tmp_path_factory.mktemp("models")

    @wraps(load)
    def once(entry, scratch, device, twin_seed=None):
        if entry.source != "tiny_random":
            return load(entry, scratch, device, twin_seed)
        key = (entry.model_dump_json(), device, twin_seed)
        if key not in loaded:
            loaded[key] = load(entry, files, device, twin_seed)
        return loaded[key]

    with pytest.MonkeyPatch.context() as here:
        here.setattr(model_run, "load", once)
        yield
