"""Recordings of a few kilobytes, encoded by PyAV: a bright square that moves on a dark ground."""

import io
import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

TURNED_RIGHT = (0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30)  # the display matrix of a phone held upright


def moving(frames: int = 20, still: tuple[int, int] = (0, 0), height: int = 48, width: int = 64) -> list[np.ndarray]:
    """A square goes from left to right; it rests for so many frames before and after."""
    before, after = still
    pictures = []
    for step in [0] * before + list(range(frames)) + [frames - 1] * after:
        picture = np.full((height, width, 3), 40, np.uint8)
        left = round((width - 16) * step / max(1, frames - 1))
        picture[16:32, left : left + 16] = 230, 200, 180
        pictures.append(picture)
    return pictures


def video(
    pictures: Sequence[np.ndarray],
    milliseconds: Sequence[int] | None = None,
    place: Path | None = None,
    rate: int = 25,
    stretched: Fraction = Fraction(1),
    **options: str,
) -> bytes:
    """The pictures as MP4 with H.264, shown at those times, or `rate` a second. Each pixel is shown `stretched`
    times as wide as it is high. `faststart` needs a `place`.
    """
    base = Fraction(1, rate) if milliseconds is None else Fraction(1, 1000)
    buffer = io.BytesIO()
    with av.open(str(place) if place else buffer, "w", format="mp4", options=options) as container:
        stream = container.add_stream("libx264", rate=rate, options={"preset": "ultrafast"})
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.sample_aspect_ratio = stretched
        stream.codec_context.time_base = base
        stream.codec_context.thread_count = 1
        for number, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = number if milliseconds is None else milliseconds[number], base
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return place.read_bytes() if place else buffer.getvalue()


def turned(content: bytes, matrix: tuple[int, ...] = TURNED_RIGHT) -> bytes:
    """The same MP4 with that display matrix."""
    place = content.index(b"tkhd") + 44
    return content[:place] + struct.pack(">9i", *matrix) + content[place + 36 :]


def sound() -> bytes:
    """An MP4 with no picture."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=16000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate, frame.pts = 16000, 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return buffer.getvalue()


def square_at(picture: np.ndarray) -> tuple[float, float]:
    """Where the square is: right and down, in pixels from the upper left corner to its middle."""
    down, right = np.nonzero(picture.mean(axis=2) > 120)
    return float(right.mean()), float(down.mean())
