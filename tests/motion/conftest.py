"""Small models of every family's own class with random weights, and clips of four frames of 32 pixels.

`video_model` is a folder with such a model and its entry for models.yaml: what a test of a pipeline needs.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

from signbridge.clips.table import Clip, Frames, write_clips
from signbridge.motion.frames import Seen
from signbridge.motion.reading import ClipPrompts
from signbridge.vlm.catalog import FolderModel
from signbridge.vlm.extraction import Reader
from signbridge.vlm.loading import load
from tests.vlm import other_families
from tests.vlm.conftest import CPU

FRAMES, SIDE, SECONDS = 4, 32, 0.3
WITH_VIDEO = ("qwen2-vl", "qwen2-5-vl", "qwen3-vl", "internvl", "smolvlm", "llava-onevision", "llava-next-video")
SEVERAL_IMAGES = ("llava-gemma", "gemma3", "llava-next", "paligemma", "mistral3", "pixtral", "idefics3")
ONE_IMAGE = ("instructblip", "blip-2")


class ClipReader(NamedTuple):
    """A small model of one family, and how it takes in clips."""

    reader: Reader
    prompts: ClipPrompts

    def of_frames(self, frames: int, wanted: str = "auto") -> ClipPrompts:
        """As `prompts`, of clips of another number of frames, or read in another way."""
        loaded = self.reader.loaded
        return ClipPrompts(loaded.processor, loaded.model.config, self.reader.prompt, wanted, frames, pictures)


def pictures(seen: Seen) -> list[Image.Image]:
    """The frames of a clip whose name is a number, in the order in which they are seen: noise of its own each."""
    noise = np.random.default_rng(int(seen.clip)).integers(0, 256, (64, SIDE, SIDE, 3), dtype=np.uint8)
    return [Image.fromarray(noise[frame]) for frame in seen.frames]


def seen(clip: int, frames: tuple[int, ...] = (0, 1, 2, 3), seconds: float = SECONDS) -> Seen:
    """A clip as it is seen, its frames so many seconds apart."""
    return Seen(str(clip), frames, tuple(seconds * place for place in range(len(frames))), FRAMES, (SIDE, SIDE))


@pytest.fixture(scope="session")
def family_folders(tmp_path_factory) -> Path:
    """Where small models of families are written."""
    return tmp_path_factory.mktemp("families_of_clips")


@pytest.fixture(scope="session")
def entry_of_family(family_folders) -> Callable[[str], FolderModel]:
    """The entry of a family's small model for models.yaml; the model is written when it is first asked for."""

    def entry(family: str) -> FolderModel:
        if not (family_folders / family).exists():
            other_families.CLIP_WRITERS[family](family_folders / family)
        return FolderModel(
            source="folder", path=str(family_folders / family), dequantize="never", dtype="float32",
            prompt=other_families.PROMPTS[family], max_new_tokens=3,
        )  # fmt: skip

    return entry


@pytest.fixture(scope="session")
def clip_reader(entry_of_family) -> Callable[[str], ClipReader]:
    """A family's small model, which reads two clips of four frames at once; each is loaded once."""
    known: dict[str, ClipReader] = {}

    def reader_of(family: str) -> ClipReader:
        if family not in known:
            entry = entry_of_family(family)
            loaded = load(entry, Path(entry.path).parent, CPU)
            reader = Reader(loaded, entry.prompt, entry.max_new_tokens, 2)
            frames = 1 if family in ONE_IMAGE else FRAMES
            prompts = ClipPrompts(loaded.processor, loaded.model.config, entry.prompt, "auto", frames, pictures)
            known[family] = ClipReader(reader, prompts)
        return known[family]

    return reader_of


def write_random_clips(path: Path, clips: int = 2, frames: int = FRAMES, **columns: list[str]) -> None:
    """A table of clips of noise at `path`: clip-0, clip-1 ... of signs and signers by turns, or as `columns` say."""
    noise = np.random.default_rng(0).integers(0, 256, (clips, frames, SIDE, SIDE, 3), dtype=np.uint8)
    times = [SECONDS * frame for frame in range(frames)]
    told = [{name: values[number] for name, values in columns.items()} for number in range(clips)]
    by_turns = [{"label": f"sign-{n % 2}", "signer": f"signer-{n // 2}", "split": "all"} for n in range(clips)]
    write_clips(
        [Clip(f"clip-{n}", frames=Frames(list(noise[n]), times), **{**by_turns[n], **told[n]}) for n in range(clips)],
        path, {},
    )  # fmt: skip
