"""Clips with a known truth, and what a made-up model reads of them: layers from `TAUGHT` on hold the way of the hand.

A frame is a bright square; the shape is its size, the movement the way that it goes. Before `TAUGHT` every site holds
the mean over the frames, which no order changes.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from signbridge.clips.table import Clip, Frames, frames_of, read_clips, write_clips, write_truth
from signbridge.core import activations, params, tables
from signbridge.core.names import ALL_FRAMES, READINGS
from tests.conftest import Workspace

SIGNERS, FRAMES, SIDE = 6, 5, 20  # of fewer signers no exact p lies below 0.05
SHAPES = {"B": 4, "L": 8}
MOVEMENTS = ("right", "left")
LAYERS, TAUGHT = 3, 1  # the first block that holds order
SITES = ["vision", "projector", "embedding", *(f"layer_{block:02d}" for block in range(LAYERS))]
MODEL = {"name": "tiny", "planted": {"blocks": [TAUGHT]}}
CLIPS = Path("data/motion/clips.parquet")
ANSWERS = {"in_order": "{movement}", "shuffled": "right"}  # all others say nothing


def drawn_clips(signers: int = SIGNERS) -> list[Clip]:
    """Two takes of every shape and movement by every signer, and a sign of no pair."""
    random = np.random.default_rng(0)
    clips = []
    for signer in range(signers):
        for shape, size in SHAPES.items():
            for movement in MOVEMENTS:
                for take in range(2):
                    images = [_frame(size, _place(movement, frame, random), random) for frame in range(FRAMES)]
                    clips.append(
                        Clip(f"{shape}-{movement}-s{signer}-{take}", f"{shape} {movement}", f"s{signer}", "all",
                             Frames(images, [0.1 * frame for frame in range(FRAMES)]), shape, movement, "path")
                    )  # fmt: skip
    return clips


def _place(movement: str, frame: int, random: np.random.Generator) -> float:
    along = frame if movement == "right" else FRAMES - 1 - frame
    return along * 2 + random.uniform(0, 1)


def _frame(size: int, place: float, random: np.random.Generator) -> np.ndarray:
    pixels = random.integers(0, 40, (SIDE, SIDE, 3), dtype=np.uint8)
    left = int(place)
    pixels[4 : 4 + size, left : left + size] = 200
    return pixels


def shown(reading: str, frames: int, random: np.random.Generator) -> list[int]:
    """The order in which a reading shows the frames."""
    if reading == "reversed":
        return list(range(frames))[::-1]
    if reading in ("middle_frame",):
        return [frames // 2] * frames
    if reading.endswith("shuffled"):
        return list(random.permutation(frames))
    return list(range(frames))


def write_readings(readings: Sequence[str] = READINGS, width: int = 12) -> None:
    """What `extract` would leave of each reading."""
    clips = read_clips(CLIPS)
    names = clips["clip"].tolist()
    stacked = np.stack([[np.asarray(frame.convert("L"), dtype=np.float32) for frame in frames_of(CLIPS, name)]
                        for name in names]).reshape(len(names), FRAMES, -1) / 255  # fmt: skip
    mixing = np.random.default_rng(1).normal(0, 1 / SIDE, (SIDE * SIDE, width)).astype(np.float32)
    seen = stacked @ mixing
    for reading in readings:
        random = np.random.default_rng(2)
        order = np.array([shown(reading, FRAMES, random) for _ in names])
        moved = seen[np.arange(len(names))[:, None], order]
        mean = moved.mean(axis=1)
        way = (moved * np.linspace(-1, 1, FRAMES, dtype=np.float32)[:, None]).sum(axis=1)
        blind = reading == "single_frames" or reading.startswith("twin")
        made_by = {"sites": SITES, "model": MODEL, "reading": reading}
        folder = Path(f"data/motion/read/{reading}")
        for place, site in enumerate(SITES):
            holds = place - 3 >= TAUGHT and not blind
            vectors = (mean + 3 * way if holds else mean).astype(np.float32)
            if site in ("vision", "projector"):
                of_position = {"video_mean": mean.astype(np.float32)}
                of_position |= {f"frame_mean_{frame:02d}": moved[:, frame] for frame in range(FRAMES)}
            else:
                of_position = {"prompt_last": vectors, "video_mean": vectors}
            activations.write(folder / "activations", site, names, of_position, made_by)
        said = [ANSWERS.get(reading, "Yes").format(movement=movement) for movement in clips["movement"]]
        answers = clips[["clip", "label"]].assign(prompt="?", answer=said)
        tables.write(answers, folder / "answers.parquet", made_by)


def prepare(workspace: Workspace, readings: Sequence[str] = READINGS, signers: int = SIGNERS) -> None:
    """Params that make the stages quick, and what `fetch` and `extract` would leave."""
    workspace.set(
        probe__grouped={"by": "auto", "folds": 3, "repeats": 1, "inner_folds": 2, "C": [1.0]},
        statistics={"confidence": 0.95, "resamples": 200}, model_notes={"tiny": "a test bed"},
    )  # fmt: skip
    workspace.set_in(params.MOTION, model="tiny-random", readings=list(readings), C=[0.01], positions=["prompt_last"],
                     controls={"pixels": 8, "other_clip": 20})  # fmt: skip
    clips = drawn_clips(signers)
    write_clips(clips, CLIPS, {"dataset": "drawn", "source": "rendered_motion"})
    write_truth(clips, Path("data/motion/truth.parquet"), {})
    write_readings(readings)
    write_patched()


def write_patched() -> None:
    """What `patch` would leave: the last frame moves all of the gap, the first nothing, whatever the site."""
    clips = read_clips(CLIPS)
    right, left = (clips[clips["movement"] == movement]["clip"].tolist() for movement in MOVEMENTS)
    rows = [
        (pair, receiver, donor, site, frame, 2.0, 2.0 * moves, moves > 0.5, 0.0)
        for pair, both in enumerate(zip(right, left, strict=True))
        for receiver, donor in (both, both[::-1])
        for site in ("embedding", "layer_00")
        for frame, moves in ((0, 0.0), (FRAMES - 1, 1.0), (ALL_FRAMES, 1.0))
    ]
    columns = ["pair", "receiver", "donor", "site", "frame", "gap", "moved", "says_donor", "moved_by_itself"]
    tables.write(pd.DataFrame(rows, columns=columns), "data/motion/patched.parquet", {"pairs_tried": len(right)})
