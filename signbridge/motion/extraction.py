"""A model's vectors and answers for all clips in one reading, as tables: a folder a reading."""

from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd

from signbridge.core import activations, tables
from signbridge.core.shards import answers_of, names_of, vectors_of
from signbridge.motion.asking import check_clips, prompts_before_loading
from signbridge.motion.frames import ClipFrames, seen_in
from signbridge.motion.reading import ClipPrompts, clips_work, fit_batch
from signbridge.motion.settings import ReadAs, Reading
from signbridge.vlm.model_run import ModelRun

ACTIVATIONS, ANSWERS = "activations", "answers.parquet"


def extract_clips(
    run: ModelRun,
    table: pd.DataFrame,
    frames: ClipFrames,
    reading: Reading,
    how: ReadAs,
    seed: int,
    twin_seed: int | None,
    folder: Path,
) -> None:
    """Read all clips of `table`, a row a clip, into `folder`: a table a site below activations/, and answers.parquet.

    What does not fit the model is said before its weights are loaded. Clips of one size are read one after another, so
    that batches are full, and written in the order of the table. Of single frames the means are written, and the answer
    that most frames get, the earlier of two that are as frequent.
    """
    items = seen_in(reading, frames.clips, seed)
    by_size = sorted(range(len(items)), key=lambda row: items[row].size)
    items_by_size = [items[row] for row in by_size]
    at_once = len(items[0].frames)
    before = prompts_before_loading(run.model, how, at_once, frames.decoded)
    tokens = check_clips(run.made_by["model"]["name"], run.model, before, items, run.device)

    reader = run.reader if twin_seed is None else run.open(run.model, twin_seed)
    fit_batch(reader, tokens)
    loaded = reader.loaded
    prompts = ClipPrompts(loaded.processor, loaded.model.config, reader.prompt, how, at_once, frames.decoded)
    title = f"read clips, {reading}"
    shards = run.read_in_shards(items_by_size, clips_work(reader, prompts), title, "clip", reader=reader)

    row_of = np.argsort(by_size)  # of each item, among those by size
    each = len(items) // len(frames.clips)
    names = [clip.name for clip in frames.clips]
    sites: dict[str, list[str]] = {}
    for name in names_of(shards[0]):
        site, position = name.split(".")
        sites.setdefault(site, []).append(position)
    made_by = {**run.made_by, "sites": list(sites), "groups": prompts.groups, "prompt": prompts.prompt}
    for site, positions in sites.items():
        vectors = {position: _means(vectors_of(shards, f"{site}.{position}")[row_of], each) for position in positions}
        activations.write(folder / ACTIVATIONS, site, names, vectors, made_by)
    in_order = answers_of(shards)
    said = [in_order[row] for row in row_of]
    answers = [Counter(said[row : row + each]).most_common(1)[0][0] for row in range(0, len(said), each)]
    given = table.set_index("clip")["label"][names]
    tables.write(
        pd.DataFrame({"clip": names, "label": given.to_numpy(), "prompt": prompts.prompt, "answer": answers}),
        folder / ANSWERS,
        made_by,
    )


def _means(vectors: np.ndarray, each: int) -> np.ndarray:
    """The mean of every `each` rows that follow one another, in their dtype."""
    if each == 1:
        return vectors
    by_clip = vectors.reshape(-1, each, vectors.shape[-1]).astype(np.float64)
    return by_clip.mean(axis=1).astype(vectors.dtype)
