"""The frames of a sign in a recording, decoded by PyAV, whose wheels bring FFmpeg along.

A recording is gone through twice. First each frame is seen at a small size in grey, for the time at which it is shown
and for how much moves; then the frames that are kept are taken at full size. So memory holds those alone, however long
the recording. Frames are turned and stretched as the recording says (a phone held upright, pixels that are not square).
Times are those of the recording, so that a rate that varies does no harm.
"""

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int, UInt8

from signbridge.clips.entry import WHOLE_RECORDING, FilmedEntry, Span
from signbridge.clips.table import Frames
from signbridge.core.errors import SignBridgeError, refusal
from signbridge.datasets.images import LeftOut

SMALL = 32  # pixels a side at which motion is measured
SMOOTHED = 3  # frames whose motion is averaged: one that is coded badly is no movement
RISE = 0.2  # of the way from a recording's calmest moment to its liveliest twentieth: less is rest
LEAST_MOTION = 0.1  # grey levels of 255, in the mean over the picture: below lies what a codec adds to a still picture
LEAST_RATIO = 1.5  # of the liveliest to the calmest: what a noisy camera adds to a still picture varies less
MARGIN = 2  # frames that are left before and after the movement
TIE = 1e-6  # seconds: two frames are as near
WHOLE = 0.9  # of the frames that a recording says it has: with fewer it was cut short

UNREADABLE, EMPTY, ONE_FRAME = "cannot be decoded", "no frames", "one frame alone"
Source = Path | bytes


class UnfitClipError(ValueError):
    """A recording that gives no clip; `reason` is one of the three above, the message says more."""

    def __init__(self, reason: str, message: str):
        """Both are said: the reason is what such clips are counted by."""
        super().__init__(message)
        self.reason = reason


class Motion:
    """How much each frame differs from the one before: the mean absolute difference in grey levels; of the first 0."""

    def __init__(self) -> None:
        """No frame yet."""
        self.from_before: list[float] = []
        self._last: np.ndarray | None = None

    def add(self, grey: UInt8[np.ndarray, "small small"]) -> None:
        """The next frame, in grey at `SMALL` pixels a side."""
        grey = grey.astype(np.int16)
        self.from_before.append(0.0 if self._last is None else float(np.abs(grey - self._last).mean()))
        self._last = grey


def frames_of_sign(source: Source, frames: int, trim: bool, span: Span = WHOLE_RECORDING) -> Frames:
    """So many frames of the recording, at equal distances in time from the first to the last of the sign.

    Where the sign has fewer, some are there twice. A recording that ends before `span.end` was cut to the sign already,
    and is taken whole. `trim` cuts rest at both ends (`moving_part`). Raises `UnfitClipError`.
    """
    times, motion = _seen_small(source)
    kept = frames_kept(times, motion, frames, trim, span)
    there = _taken(source, kept, span.crop)
    return Frames([there[frame] for frame in kept], times[kept].tolist())


def frames_kept(
    times: Float[np.ndarray, " frames"], motion: Float[np.ndarray, " frames"], count: int, trim: bool, span: Span
) -> Int[np.ndarray, " count"]:
    """Which of the frames are kept, as `frames_of_sign` says; `motion` is to each frame from the one before."""
    first = span.start if span.end is None or span.end <= len(times) else 0
    times, motion = times[first : span.end], motion[first : span.end]
    if len(times) < 2:
        reason, found = (
            (EMPTY, "no frame") if not len(times) else (ONE_FRAME, "a single frame, which shows no movement")
        )
        raise UnfitClipError(reason, f"{found}{'' if first == 0 else f' from frame {first + 1} on'}")
    start, end = moving_part(motion[1:]) if trim else (0, len(times))
    return first + start + nearest(times[start:end], count)


def moving_part(motion: Float[np.ndarray, " steps"]) -> tuple[int, int]:
    """The frames from the first movement to the last, as a range; `motion` is from each frame to the next.

    Motion is the mean absolute difference of two frames in grey levels, averaged over `SMOOTHED` steps. Rest is what
    lies before and after all that exceeds the recording's calmest moment by `RISE` of the way to its liveliest (95th
    percentile). `MARGIN` frames of rest are left. A recording that hardly moves, or moves as much all
    along, is kept whole. Rest is stillness alone: raising and lowering the hands stays in.
    """
    frames = len(motion) + 1
    smooth = np.convolve(np.pad(motion, SMOOTHED // 2, mode="edge"), np.full(SMOOTHED, 1 / SMOOTHED), mode="valid")
    calm, lively = smooth.min(), np.quantile(smooth, 0.95)
    if lively < LEAST_MOTION or lively < LEAST_RATIO * calm:
        return 0, frames
    moving = np.flatnonzero(smooth > calm + RISE * (lively - calm))
    return max(0, int(moving[0]) - MARGIN), min(frames, int(moving[-1]) + 2 + MARGIN)


def nearest(times: Float[np.ndarray, " frames"], count: int) -> Int[np.ndarray, " count"]:
    """The frames that are shown nearest to `count` times from the first to the last, at equal distances."""
    wanted = np.linspace(times[0], times[-1], count)
    after = np.clip(np.searchsorted(times, wanted), 1, len(times) - 1)
    is_before = wanted - times[after - 1] <= times[after] - wanted + TIE
    return np.where(is_before, after - 1, after)


def _seen_small(source: Source) -> tuple[np.ndarray, np.ndarray]:
    """The time of each frame in seconds from the first, and how much it differs from the one before (first: 0)."""
    times: list[float] = []
    motion = Motion()
    with _opened(source) as (container, stream):
        said, rate = stream.frames, float(stream.average_rate or stream.guessed_rate or 25)
        for frame in container.decode(stream):
            motion.add(frame.reformat(width=SMALL, height=SMALL, format="gray").to_ndarray())
            times.append(float(frame.time) if frame.time is not None else len(times) / rate)
    if len(times) < WHOLE * said:
        raise UnfitClipError(UNREADABLE, f"cut short: {len(times)} of its {said} frames can be decoded")
    shown = np.maximum.accumulate(np.array(times)) if times else np.empty(0)
    return shown - (shown[0] if times else 0), np.array(motion.from_before)


def _taken(
    source: Source, wanted: Int[np.ndarray, " count"], crop: tuple[int, int, int, int] | None
) -> dict[int, UInt8[np.ndarray, "height width 3"]]:
    """Those frames at full size, upright, by number."""
    there, last = {}, int(wanted.max())
    numbers = set(wanted.tolist())
    with _opened(source) as (container, stream):
        for number, frame in enumerate(container.decode(stream)):
            if number in numbers:
                width = round(frame.width * float(stream.sample_aspect_ratio or 1))  # pixels need not be square
                pixels = frame.to_ndarray(format="rgb24", width=width)
                there[number] = _cropped(np.rot90(pixels, frame.rotation // 90), crop)
            if number == last:
                break
    return there


def _cropped(pixels: np.ndarray, crop: tuple[int, int, int, int] | None) -> np.ndarray:
    height, width = pixels.shape[:2]
    left, top, right, bottom = crop or (0, 0, width, height)
    inside = pixels[max(0, top) : min(height, bottom), max(0, left) : min(width, right)]
    return np.ascontiguousarray(inside if inside.size else pixels)  # a box of the recording at another size


@contextmanager
def _opened(source: Source) -> Iterator[tuple[Any, Any]]:
    """The container and its first video stream; what FFmpeg says of a broken one becomes `UnfitClipError`."""
    av = _pyav()
    try:
        with av.open(str(source) if isinstance(source, Path) else io.BytesIO(source)) as container:
            stream = next(iter(container.streams.video), None)
            if stream is None:
                raise UnfitClipError(UNREADABLE, "no picture in it: it was cut short, or is sound alone")
            stream.codec_context.thread_count = 1  # clips are decoded side by side
            yield container, stream
    except av.FFmpegError as error:
        if isinstance(source, Path) and (said := refusal(error, source)):
            raise said from None
        raise UnfitClipError(UNREADABLE, error.strerror or type(error).__name__) from None


def _pyav() -> Any:
    try:
        import av
        from av import logging
    except ModuleNotFoundError:
        raise SignBridgeError(
            "recordings are decoded by PyAV, which is not installed: pip install -c requirements.lock -e '.[video]'."
        ) from None
    logging.set_level(logging.PANIC)  # what is wrong is said once, as an error
    return av


def decoder_version() -> str:
    """PyAV's version. Raises `SignBridgeError` if it is not installed: to be said before anything is downloaded."""
    return _pyav().__version__


def or_left_out(
    read: Callable[[], Frames], name: str, entry: FilmedEntry, left_out: LeftOut
) -> Callable[[], Frames | None]:
    """What reads one clip as the entry says: one that `read` finds unfit stops it, or is counted and left out.

    `name` is what messages call it.
    """

    def frames() -> Frames | None:
        try:
            return read()
        except UnfitClipError as error:
            if entry.on_unreadable == "skip":
                left_out.add(error.reason, name)
                return None
            raise SignBridgeError(
                f"{name}: {error}. Get it again or remove it, or set `on_unreadable: skip` in datasets.yaml."
            ) from None

    return frames
