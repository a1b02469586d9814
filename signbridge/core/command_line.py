"""How every command of the project starts and how it ends when the user has something to put right."""

import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from signbridge.core import progress
from signbridge.core.errors import PartDone, SignBridgeError, is_out_of_memory, refusal
from signbridge.core.pipeline import check_own_keys, stage_of

PEAK_MEMORY = Path(".scratch/peak_memory")  # bytes, a file a stage: what `make budgets` prints
EXPERIMENT = "DVC_EXP_BASELINE_REV"  # which `dvc exp run` sets for its stages
APART = Path(".dvc/tmp/exps")  # `dvc exp run --temp` and `--queue` run in a copy below it: the user's files stay
log = logging.getLogger(__name__)


def run(main: Callable[[], None]) -> None:
    """Run a command's `main`; a `SignBridgeError` becomes one message on stderr and exit status 1.

    So does what the operating system refuses about a file, and memory that ran out. A stage says first which one it is:
    `causal, 1 of 7 stages done, about 3 min left: steer`. One that fails in `dvc exp run` says how to undo what -S set.
    """
    try:
        logging.basicConfig(level=_log_level(), format="%(message)s", stream=sys.stderr)
        stage = stage_of(sys.argv[0])
        if stage:
            log.info("%s", progress.heading(stage))
            check_own_keys(stage)
            began = time.monotonic()
        # A process that a stage starts would compile every package that it imports anew.
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        main()
        if stage:
            note_peak_memory(f"stage-{stage.pipeline}-{stage.name}")
            progress.note(stage, time.monotonic() - began)
    except PartDone as done:
        log.info("%s No table is written: that does `dvc repro`, once all parts are there.", done)
    except SignBridgeError as error:
        _end(str(error))
    except OSError as error:
        said = refusal(error)
        if said is None:
            raise
        log.debug("where it was refused", exc_info=True)
        _end(str(said))
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        log.debug("where memory ran out", exc_info=True)
        first_line = (str(error).splitlines() or ["no more to be had"])[0][:200].rstrip(".")
        _end(f"out of memory: {first_line}.\nFree some. SIGNBRIDGE_LOG=DEBUG shows where it ran out.")


def _end(message: str) -> NoReturn:
    undo = how_to_undo()
    sys.exit("\n".join([f"error: {message}", *([undo] if undo else [])]))


def how_to_undo() -> str | None:
    """How to take back what `dvc exp run` set in params files: DVC leaves it there if a stage fails. None if nothing.

    git is asked which files differ from the last commit: there may be changes of the user's own among them.
    """
    if EXPERIMENT not in os.environ or APART.as_posix() in Path.cwd().as_posix():
        return None
    try:
        asked = subprocess.run(
            ["git", "diff", "--name-only", "--relative", "HEAD", "--", "*.yaml", ":(exclude)*dvc.yaml"],
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):  # no git here, or no commit
        return None
    changed = asked.stdout.split()
    if not changed:
        return None
    return (
        f"`dvc exp run` leaves what -S set in {', '.join(changed)}. To undo it: git checkout -- {' '.join(changed)} "
        "(edits of your own that are not committed go, too)."
    )


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
