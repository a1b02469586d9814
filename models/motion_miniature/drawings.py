"""Which clips does the motion miniature learn from? Those of `rendered_motion` under seeds that no study draws."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, get_args

import numpy as np
from jaxtyping import Int64, UInt8
from joblib import Parallel, delayed
from tqdm import tqdm

from signbridge.clips import movements
from signbridge.clips.movements import SIGNS, Kind, Sign
from signbridge.clips.rendered_motion import RenderedMotionParams, draw_clip, recordings
from signbridge.core.tables import whole_file

SIDE = 56  # pixels, what the tower takes in
FRAMES = 8
ALL: tuple[Kind, ...] = get_args(Kind)


class Drawings(NamedTuple):
    """Clips, with what is true of each frame."""

    images: UInt8[np.ndarray, "clip frame 56 56"]
    signs: Int64[np.ndarray, "clip"]  # index into SIGNS
    places: np.ndarray  # clip x frame x (right, down, weight of the second hand shape); float32

    def pick(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """`count` different clips at random."""
        return rng.choice(len(self.images), size=count, replace=False)


def signs_of(drawings: Drawings, clips: np.ndarray) -> list[Sign]:
    """What each of these clips shows."""
    every = list(SIGNS.values())
    return [every[index] for index in drawings.signs[clips]]


def draw(seed: int, signers: int, clips_per_sign: int, scratch: Path, kinds: Sequence[Kind] = ALL) -> Drawings:
    """The clips of `rendered_motion` under that seed, of signs of these kinds, drawn on two cores.

    What lies below `scratch` already is not drawn again.
    """
    params = RenderedMotionParams(
        source="rendered_motion",
        seed=seed,
        size=SIDE,
        frames=FRAMES,
        signers=signers,
        clips_per_sign=clips_per_sign,
        vocabulary=list(kinds),
    )
    wanted = recordings(params)
    path = scratch / f"clips-{seed}-{signers}-{clips_per_sign}-{_as_drawn(params)}.npz"
    if not path.exists():
        made = Parallel(min(2, 1 + len(wanted) // 100), return_as="generator")(
            delayed(draw_clip)(params, one) for one in wanted
        )
        clips = list(tqdm(made, "drawing clips", len(wanted), unit=" clips", disable=len(wanted) < 100))
        images = np.stack([np.stack(clip.read().images) for clip in clips])
        rows = [[[row["right"], row["down"], row["second_weight"]] for row in clip.truth or ()] for clip in clips]
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as unfinished, unfinished.open("wb") as file:
            np.savez_compressed(file, images=images, places=np.array(rows, np.float32))
    with np.load(path) as found:
        images, places = found["images"], found["places"]
    order = list(SIGNS)
    return Drawings(images, np.array([order.index(one.sign.label) for one in wanted]), places)


def _as_drawn(params: RenderedMotionParams) -> str:
    """A digest of two clips as they are drawn now, so that clips drawn by other code are not taken for these."""
    every = recordings(params)
    pixels = [np.stack(draw_clip(params, one).read().images).tobytes() for one in (every[0], every[len(every) // 2])]
    return hashlib.sha256(b"".join([*pixels, Path(movements.__file__).read_bytes()])).hexdigest()[:12]
