"""Whether SAELens is there: an extra, as it brings much along and is needed by sparse autoencoders alone."""

import importlib.util
import os

from signbridge.errors import SignBridgeError


def require_sae_lens() -> None:
    """To be called before `sae_lens` is imported, which takes seconds. Raises `SignBridgeError` if it is missing.

    What it brings along to log runs on a server is switched off.
    """
    os.environ.update(WANDB_MODE="disabled", WANDB_ERROR_REPORTING="false")
    if importlib.util.find_spec("sae_lens") is None:
        raise SignBridgeError("sparse autoencoders need SAELens: pip install -c requirements.lock -e '.[sae]'.")
