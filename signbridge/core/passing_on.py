"""May the images of a dataset be pushed? What its licence forbids stays on this machine."""

from collections.abc import Mapping
from typing import Any

from signbridge.core.errors import SignBridgeError

DEFAULT_REMOTE = ""  # of `push_to`
FORBIDS = {False: "does not let its images be passed on", "unclear": "does not clearly let its images be passed on"}


def check_pushed_to(push_to: str, name: str, dataset: Mapping[str, Any]) -> None:
    """Raises `SignBridgeError` if `dvc push` would share images that the licence of `dataset` does not let be shared.

    A remote that is named is taken to be one that only those can read who may have the images.
    """
    pass_on = dataset.get("pass_on", True)
    if pass_on is not True and push_to == DEFAULT_REMOTE:
        raise SignBridgeError(
            f"params.yaml: push_to: the licence of {name} {FORBIDS.get(pass_on, FORBIDS['unclear'])} "
            f"(datasets.yaml: pass_on). Set push_to: nowhere, so that `dvc push` leaves out images and vectors."
        )
