"""How every command of the project starts and how it ends when the user has something to put right."""

import logging
import os
import sys
from collections.abc import Callable

from signbridge.errors import SignBridgeError


def run(main: Callable[[], None]) -> None:
    """Run a command's `main`; a `SignBridgeError` becomes one message on stderr and exit status 1."""
    logging.basicConfig(level=os.environ.get("SIGNBRIDGE_LOG", "INFO"), format="%(message)s", stream=sys.stderr)
    try:
        main()
    except SignBridgeError as error:
        sys.exit(f"error: {error}")
