"""What the report reads: CSV tables, column by column, and metrics.

Nothing is guessed. An answer `NA`, a class `null` or a letter `1` stays the text that it is, and a number that is not
there is NaN.
"""

import json
from pathlib import Path
from typing import Literal

import pandas as pd

from signbridge.core import tables
from signbridge.core.errors import SignBridgeError
from signbridge.core.tables import Metric

Kind = Literal["text", "number", "yes/no"]

# By the name that `Study` has for the table.
COLUMNS: dict[str, dict[str, Kind]] = {
    "accuracy": {
        "protocol": "text",
        "site": "text",
        "depth": "number",
        "position": "text",
        "accuracy": "number",
        "low": "number",
        "high": "number",
        "images_tested": "number",
        "leaking": "yes/no",
    },
    "controls": {
        "control": "text",
        "site": "text",
        "depth": "number",
        "position": "text",
        "accuracy": "number",
        "low": "number",
        "high": "number",
        "selectivity": "number",
        "selectivity_low": "number",
        "selectivity_high": "number",
        "p_value": "number",
    },
    "layer_comparison": {
        "position": "text",
        "site_a": "text",
        "site_b": "text",
        "difference": "number",
        "low": "number",
        "high": "number",
        "p_value": "number",
        "p_holm": "number",
    },
    "peak_probability": {
        "position": "text",
        "site": "text",
        "depth": "number",
        "accuracy": "number",
        "peak_probability": "number",
        "share_chosen": "number",
        "tied_with_best": "yes/no",
    },
    "description_length": {
        "site": "text",
        "depth": "number",
        "position": "text",
        "bits": "number",
        "uniform_bits": "number",
        "compression": "number",
    },
    "letter_accuracy": {
        "letter": "text",
        "images": "number",
        "accuracy": "number",
        "low": "number",
        "high": "number",
    },
    "confused_pairs": {"letter_a": "text", "letter_b": "text", "count": "number", "share": "number"},
    "confusion": {"actual": "text", "predicted": "text"},
    "within_word": {
        "word": "text",
        "letters": "text",
        "images": "number",
        "photos": "number",
        "chance": "number",
        "site": "text",
        "depth": "number",
        "position": "text",
        "accuracy": "number",
        "low": "number",
        "high": "number",
    },
    "published": {
        "site": "text",
        "published_accuracy": "number",
        "published_low": "number",
        "published_high": "number",
        "reproduced_accuracy": "number",
        "reproduced_low": "number",
        "reproduced_high": "number",
        "leaking": "yes/no",
        "comparable": "yes/no",
    },
    "patching": {
        "site": "text",
        "depth": "number",
        "position": "text",
        "effect": "number",
        "effect_low": "number",
        "effect_high": "number",
        "says_donor": "number",
    },
    "steering": {
        "site": "text",
        "depth": "number",
        "at": "text",
        "during": "text",
        "direction": "text",
        "strength": "number",
        "probability": "number",
        "probability_low": "number",
        "probability_high": "number",
        "says": "number",
        "damage": "number",
        "damage_low": "number",
        "damage_high": "number",
    },
    "steering_area": {
        "site": "text",
        "at": "text",
        "during": "text",
        "direction": "text",
        "area": "number",
        "area_low": "number",
        "area_high": "number",
        "damage_area": "number",
        "damage_area_low": "number",
        "damage_area_high": "number",
        "breakdown_strength": "number",
    },
    "erasure": {
        "at": "text",
        "site": "text",
        "eraser": "text",
        "read_site": "text",
        "read_position": "text",
        "accuracy": "number",
        "accuracy_low": "number",
        "accuracy_high": "number",
    },
    "erasure_answers": {
        "at": "text",
        "site": "text",
        "eraser": "text",
        "changed": "number",
        "changed_low": "number",
        "changed_high": "number",
        "damage": "number",
        "damage_low": "number",
        "damage_high": "number",
    },
    "lenses": {
        "lens": "text",
        "site": "text",
        "share": "number",
        "share_low": "number",
        "share_high": "number",
        "other_image": "number",
        "scrambled_corpus": "number",
        "over_other_image": "number",
        "over_other_image_low": "number",
        "over_other_image_high": "number",
    },
    "lenses_on_hand": {
        "lens": "text",
        "site": "text",
        **{
            f"{name}{end}": "number"
            for name in ("hand", "background", "hand_over_other_image", "background_over_other_image", "difference")
            for end in ("", "_low", "_high")
        },
    },
    "alignment": {
        "measure": "text",
        "site": "text",
        "value": "number",
        "low": "number",
        "high": "number",
        "null": "number",
        "beaten": "number",
    },
    "sae_measures": {
        "site": "text",
        "modality": "text",
        "measure": "text",
        "value": "number",
        "low": "number",
        "high": "number",
    },
    "sae_probes": {
        "protocol": "text",
        "site": "text",
        "position": "text",
        "reads": "text",
        "k": "text",
        "accuracy": "number",
        "low": "number",
        "high": "number",
        "untrained_twin": "number",
        "no_image": "number",
        "other_letter": "number",
    },
    "sae_concept": {
        "reads": "text",
        "site": "text",
        "position": "text",
        "feature": "number",
        "auc_fitted": "number",
        "auc": "number",
        "low": "number",
        "high": "number",
    },
    "sae_fingers": {
        "reads": "text",
        "site": "text",
        "feature": "number",
        "position": "text",
        "finger": "text",
        "joint": "text",
        "r": "number",
        "p": "number",
        "within_r": "number",
        "within_p": "number",
    },
    "pretrained_features": {
        "class": "text",
        "rank": "number",
        "feature": "number",
        "description": "text",
        "published": "text",
    },
    "lens_leap": {"site": "text", "text_site": "text", "share": "number"},
    "named_answers": {"image_id": "text", "label": "text", "answer": "text", "named": "text"},
    "answers_by_letter": {
        "letter": "text",
        "rank": "number",
        "answer": "text",
        "count": "number",
        "share": "number",
    },
}


COLUMNS["sae_steering"] = {"steered": "text", **COLUMNS["steering"]}
COLUMNS["sae_steering_area"] = {"steered": "text", **COLUMNS["steering_area"]}


def read_csv(path: Path | str, columns: dict[str, Kind]) -> pd.DataFrame:
    """The `columns` of the CSV at `path`, in that order; columns that are not asked for are left.

    A file with a header alone, or with nothing at all, is a table without rows. Raises `SignBridgeError` if the file
    is missing, is no CSV, lacks a column, or holds a word where a number belongs.
    """
    cells = tables.read_csv(path)
    if not len(cells.columns):
        cells = pd.DataFrame(columns=list(columns), dtype=object)
    absent = [name for name in columns if name not in cells]
    if absent:
        raise SignBridgeError(f"{path}: no column '{absent[0]}'. Another version wrote it; make it anew: `dvc repro`.")
    return pd.DataFrame({name: _as(kind, cells[name], path) for name, kind in columns.items()})


def read_metrics(path: Path | str) -> dict[str, Metric]:
    """The metrics at `path`. Raises `SignBridgeError` if the file is missing or no flat JSON object."""
    try:
        metrics = json.loads(read_text(path))
    except (UnicodeDecodeError, json.JSONDecodeError):
        raise SignBridgeError(f"{path}: not readable as JSON. Delete it and `dvc repro`.") from None
    if not isinstance(metrics, dict) or not all(isinstance(value, Metric) for value in metrics.values()):
        raise SignBridgeError(f"{path}: expected one flat JSON object. Delete it and `dvc repro`.")
    return metrics


def read_text(path: Path | str) -> str:
    """The text at `path`. Raises `SignBridgeError` if the file is missing."""
    return read_bytes(path).decode("utf-8")


def read_bytes(path: Path | str) -> bytes:
    """The bytes at `path`. Raises `SignBridgeError` if the file is missing."""
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        raise SignBridgeError(f"{path}: no such file. Make it with `dvc repro`, or get it with `dvc pull`.") from None


def _as(kind: Kind, cells: pd.Series, path: Path | str) -> pd.Series:
    if kind == "text":
        return cells
    try:
        if kind == "yes/no":
            return cells.map({"True": True, "False": False}.__getitem__).astype(bool)
        return cells.map(lambda cell: float(cell or "nan")).astype(float)
    except (KeyError, ValueError):
        expected = "True or False" if kind == "yes/no" else "a number"
        raise SignBridgeError(
            f"{path}: column '{cells.name}': expected {expected} in every row. Delete it and `dvc repro`."
        ) from None
