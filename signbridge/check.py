"""Does this run reproduce the committed results? Metrics of the working tree beside those of the last commit.

    python -m signbridge.check

Floats differ between processors, in their last digits and, after training, in more. So each metric has a tolerance. The
exit status is 1 if a metric is outside it, is missing, or is new.
"""

import json
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from signbridge.core.command_line import run
from signbridge.core.errors import SignBridgeError

METRICS = Path("metrics")
Value = int | float | str | bool
Metrics = Mapping[tuple[str, str], Value]  # by file and key


class Tolerance(NamedTuple):
    """How far the metrics that it is for may lie from the committed ones: the larger of the two bounds."""

    files: str  # regular expression of the paths below metrics/
    keys: str  # and of the keys
    absolute: float
    relative: float
    why: str


# The first that fits a metric holds for it. Text and whole numbers must be equal, but where the table says otherwise.
TRAINED = Tolerance(
    r"(sae|pretrained)/|finetune\.json",
    r"(?!images|phrases|photos|letters|classes|tokens|pairs|in_train).*",
    0.1,
    0.25,
    "autoencoders or adapters are trained here: rounding grows over hundreds of steps, so that others arise",
)
MEASURED = Tolerance(
    ".*", r".*(damage|nats|bits|compression|norm|strength|logit|dose).*", 0.02, 0.1, "no share: a quantity with a unit"
)
SHARES = Tolerance(".*", ".*", 0.02, 0.0, "a share, an accuracy or a difference of two: a few images may turn over")
TOLERANCES = (TRAINED, MEASURED, SHARES)


class Difference(NamedTuple):
    """A metric that is not as committed; None where there is none."""

    file: str
    key: str
    committed: Value | None
    here: Value | None
    allowed: float  # how far it may lie off

    @property
    def within(self) -> bool:
        """Whether it is within its tolerance."""
        if not _is_number(self.committed) or not _is_number(self.here):
            return False
        return abs(self.committed - self.here) <= self.allowed + 1e-9

    def __str__(self) -> str:
        """One line of the listing."""
        there = ["none" if value is None else str(value) for value in (self.committed, self.here)]
        allowed = f"may differ by {self.allowed:.3g}" if self.allowed else "must be equal"
        return f"{self.file} {self.key}: {there[0]} committed, {there[1]} here ({allowed})"


def main() -> None:
    """Print the verdict and what is not as committed; exit with status 1 if a metric is outside its tolerance."""
    committed, here = committed_metrics(), metrics_here()
    if not committed:
        raise SignBridgeError("the last commit has no metrics/*.json to compare with.")
    found = differences(committed, here)
    print("\n".join(report(committed, here, found)))
    if not all(difference.within for difference in found):
        sys.exit(1)


def report(committed: Metrics, here: Metrics, found: list[Difference]) -> list[str]:
    """The verdict, then a line for each metric that differs, those outside their tolerance first."""
    outside = [difference for difference in found if not difference.within]
    keys = committed.keys() | here.keys()
    first = {next(key for key in committed if key[0] == file) for file in dict.fromkeys(file for file, _ in committed)}
    changed = {(difference.file, difference.key): difference for difference in found}
    if not first & changed.keys():
        headline = "headline identical"
    elif all(changed[key].within for key in first & changed.keys()):
        headline = "headline within tolerance"
    else:
        headline = "HEADLINE CHANGED"
    lines = [f"{headline}, {len(keys) - len(outside)} of {len(keys)} keys within tolerance"]
    if outside:
        lines += ["Outside their tolerance:", *(f"  {difference}" for difference in outside)]
    close = [difference for difference in found if difference.within]
    if close:
        lines += [f"Within it, {len(close)} not equal:", *(f"  {difference}" for difference in close)]
    return lines


def differences(committed: Metrics, here: Metrics) -> list[Difference]:
    """The metrics that are not equal, in the order of the committed ones; new ones last."""
    keys = [*committed, *(key for key in here if key not in committed)]
    return [
        Difference(*key, committed.get(key), here.get(key), allowed(*key, committed.get(key)))
        for key in keys
        if committed.get(key) != here.get(key) or (key in committed) != (key in here)
    ]


def tolerance_of(file: str, key: str) -> Tolerance:
    """The tolerance that holds for a metric that is a number."""
    below = file.removeprefix("metrics/")
    return next(line for line in TOLERANCES if re.match(line.files, below) and re.fullmatch(line.keys, key))


def allowed(file: str, key: str, committed: Value | None) -> float:
    """How far the metric may lie from the committed value; 0 for text, and for whole numbers that are no results."""
    tolerance = tolerance_of(file, key)
    if not _is_number(committed) or (isinstance(committed, int) and tolerance is not TRAINED):
        return 0.0
    return max(tolerance.absolute, tolerance.relative * abs(committed))


def committed_metrics(commit: str = "HEAD") -> Metrics:
    """All metrics of a commit. Raises `SignBridgeError` where git has none."""
    listed = _git("ls-tree", "-r", "--name-only", commit, METRICS.as_posix()).splitlines()
    texts = {file: _git("show", f"{commit}:{file}") for file in listed if file.endswith(".json")}
    return {(file, key): value for file, text in texts.items() for key, value in json.loads(text).items()}


def metrics_here() -> Metrics:
    """All metrics of the working tree. Raises `SignBridgeError` if a file is not readable."""
    metrics: dict[tuple[str, str], Value] = {}
    for file in sorted(METRICS.rglob("*.json")):
        try:
            metrics |= {(file.as_posix(), key): value for key, value in json.loads(file.read_text("utf-8")).items()}
        except ValueError as error:
            raise SignBridgeError(f"{file}: not readable as JSON ({error}). Delete it and `dvc repro`.") from None
    return metrics


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, encoding="utf-8", check=False)
    except FileNotFoundError:
        raise SignBridgeError("git is not installed: the committed results cannot be read.") from None
    if done.returncode:
        said = done.stderr.strip().partition("\n")[0]
        raise SignBridgeError(f"git {arguments[0]} failed: {said}. Run from the root of a git clone that is yours.")
    return done.stdout


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


if __name__ == "__main__":
    run(main)
