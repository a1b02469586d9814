"""How every command of the project starts and how it ends when the user has something to put right."""

import logging
import os
import sys
from collections.abc import Callable

from signbridge.core.errors import SignBridgeError
from signbridge.core.pipeline import stage_of

log = logging.getLogger(__name__)


def run(main: Callable[[], None]) -> None:
    """Run a command's `main`; a `SignBridgeError` becomes one message on stderr and exit status 1.

    A stage says first which one it is: `causal, stage 2 of 5: steer`.
    """
    try:
        logging.basicConfig(level=_log_level(), format="%(message)s", stream=sys.stderr)
        stage = stage_of(sys.argv[0])
        if stage:
            log.info("%s, stage %d of %d: %s", stage.pipeline, stage.number, stage.of, stage.name)
        main()
    except SignBridgeError as error:
        sys.exit(f"error: {error}")


def _log_level() -> str:
    level = os.environ.get("SIGNBRIDGE_LOG", "INFO").upper()
    if level not in logging.getLevelNamesMapping():
        raise SignBridgeError(f"SIGNBRIDGE_LOG={level}: expected DEBUG, INFO, WARNING or ERROR.")
    return level
