"""Metric files that `dvc metrics diff` can compare: one flat JSON object, numbers and words only."""

import json
from pathlib import Path

from signbridge.whole_file import whole_file

Metric = int | float | str | bool


def write(path: Path | str, metrics: dict[str, Metric]) -> None:
    """Write `metrics` to `path` whole or not at all: keys sorted, floats to six digits.

    Raises `TypeError` on None, lists and nested dictionaries: DVC would drop the first two without a word, and the
    last reads badly in a diff.
    """
    for name, value in metrics.items():
        if not isinstance(value, Metric):
            raise TypeError(f"metric '{name}' is {type(value).__name__}, not a number or a string")
        if isinstance(value, float) and not -float("inf") < value < float("inf"):
            raise TypeError(f"metric '{name}' is {value}, which JSON cannot hold")
    rounded = {name: round(value, 6) if isinstance(value, float) else value for name, value in metrics.items()}
    with whole_file(path) as unfinished:
        unfinished.write_text(json.dumps(rounded, indent=2, sort_keys=True) + "\n", encoding="utf-8", newline="\n")
