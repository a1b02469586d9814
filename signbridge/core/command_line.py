"""How every command of the project starts and how it ends when the user has something to put right."""

import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path

from signbridge.core.errors import PartDone, SignBridgeError, is_out_of_memory, refusal
from signbridge.core.pipeline import stage_of

PEAK_MEMORY = Path(".scratch/peak_memory")  # bytes, a file a stage: what `make budgets` prints
log = logging.getLogger(__name__)


def run(main: Callable[[], None]) -> None:
    """Run a command's `main`; a `SignBridgeError` becomes one message on stderr and exit status 1.

    So does what the operating system refuses about a file, and memory that ran out. A stage says first which one it is:
    `causal, stage 2 of 5: steer`.
    """
    try:
        logging.basicConfig(level=_log_level(), format="%(message)s", stream=sys.stderr)
        stage = stage_of(sys.argv[0])
        if stage:
            log.info("%s, stage %d of %d: %s", stage.pipeline, stage.number, stage.of, stage.name)
        # A process that a stage starts would compile every package that it imports anew.
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        main()
        if stage:
            note_peak_memory(f"stage-{stage.pipeline}-{stage.name}")
    except PartDone as done:
        log.info("%s No table is written: that does `dvc repro`, once all parts are there.", done)
    except SignBridgeError as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        said = refusal(error)
        if said is None:
            raise
        log.debug("where it was refused", exc_info=True)
        sys.exit(f"error: {said}")
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        log.debug("where memory ran out", exc_info=True)
        first_line = (str(error).splitlines() or ["no more to be had"])[0][:200].rstrip(".")
        sys.exit(f"error: out of memory: {first_line}.\nFree some. SIGNBRIDGE_LOG=DEBUG shows where it ran out.")


def note_peak_memory(name: str, root: Path = Path()) -> None:
    """Write the most memory that this process or one that it started has taken, for `make budgets`.

    Nothing is written where the system does not tell.
    """
    try:
        import resource
    except ModuleNotFoundError:  # Windows
        return
    unit = 1 if sys.platform == "darwin" else 1024  # what ru_maxrss is counted in
    most = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    from signbridge.core.tables import whole_file  # here, because it imports pandas: commands without tables are quick

    with whole_file(root / PEAK_MEMORY / name) as unfinished:
        unfinished.write_text(str(most * unit))


def _log_level() -> str:
    level = os.environ.get("SIGNBRIDGE_LOG", "INFO").upper()
    if level not in logging.getLevelNamesMapping():
        raise SignBridgeError(f"SIGNBRIDGE_LOG={level}: expected DEBUG, INFO, WARNING or ERROR.")
    return level
