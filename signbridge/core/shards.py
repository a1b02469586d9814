"""Shards of interrupted work: each written whole, and checked by its digest when read back."""

import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from signbridge.core.errors import check_readable
from signbridge.core.tables import whole_file


class Shard(NamedTuple):
    """The vectors and answers of some items, in order."""

    vectors: dict[str, np.ndarray]  # by `site.position`, in order of depth, each items x width
    answers: list[str]
    made_with: str = ""  # what else its bytes depend on: the shape of the batches, the kind of the weights


def shard_path(folder: Path, index: int) -> Path:
    """Where shard `index` lies in `folder`."""
    return folder / f"shard-{index:04d}.safetensors"


def write_shard(path: Path, shard: Shard) -> None:
    """Write the shard to `path`, whole or not at all."""
    vectors = {name: np.ascontiguousarray(array) for name, array in shard.vectors.items()}
    contents = {"names": list(vectors), "answers": shard.answers, "made_with": shard.made_with}
    contents["digest"] = _digest(vectors, contents)
    with whole_file(path) as unfinished:
        # One key only: safetensors writes several in no fixed order.
        save_file(vectors, unfinished, metadata={"contents": json.dumps(contents)})


def is_whole(path: Path) -> bool:
    """Whether the shard at `path` is there and holds the very bytes that were written."""
    try:
        contents = _contents(path)
        digest = contents.pop("digest")
        vectors = {name: _tensor(path, name) for name in contents["names"]}
    except (FileNotFoundError, SafetensorError, KeyError, TypeError, ValueError):
        return False
    return digest == _digest(vectors, contents)


def made_with(path: Path) -> str:
    """What the shard at `path` was made with."""
    return _contents(path)["made_with"]


def names_of(path: Path) -> list[str]:
    """The names (`site.position`) of a shard's vectors, in order of depth."""
    return _contents(path)["names"]


def vectors_of(paths: list[Path], name: str) -> np.ndarray:
    """The vectors called `name` of all shards, images x width, in order."""
    return np.concatenate([_tensor(path, name) for path in paths])


class Shards:
    """Many shards in order, of which a few rows are wanted at a time."""

    def __init__(self, paths: list[Path]):
        self.paths = paths
        self._ends = np.cumsum([0, *(len(_contents(path)["answers"]) for path in paths)])

    def rows(self, name: str, rows: Int[np.ndarray, " rows"]) -> np.ndarray:
        """These rows of the vectors called `name`, rows x width, in this order; one shard at a time is opened."""
        wanted, place = np.unique(rows, return_inverse=True)
        first, last = np.searchsorted(self._ends, [wanted[0], wanted[-1]], side="right") - 1
        found = []
        for number in range(first, last + 1):
            start, end = self._ends[number : number + 2]
            here = wanted[(wanted >= start) & (wanted < end)] - start
            if len(here):
                found.append(_tensor(self.paths[number], name)[here])
        found = np.concatenate(found)
        return found if np.array_equal(wanted, rows) else found[place]


def answers_of(paths: list[Path]) -> list[str]:
    """The answers of all shards, in order."""
    return [answer for path in paths for answer in _contents(path)["answers"]]


def _contents(path: Path) -> dict[str, Any]:
    check_readable(path)
    with safe_open(path, framework="numpy") as file:
        return json.loads(file.metadata()["contents"])


def _tensor(path: Path, name: str) -> np.ndarray:
    with safe_open(path, framework="numpy") as file:
        return file.get_tensor(name)


def _digest(vectors: dict[str, np.ndarray], contents: dict[str, Any]) -> str:
    digest = hashlib.sha256(json.dumps(contents).encode())
    for name in sorted(vectors):
        digest.update(f"{name} {vectors[name].dtype} {vectors[name].shape}".encode())
        digest.update(vectors[name].data)
    return digest.hexdigest()
