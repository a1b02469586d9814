"""What is in a dataset of clips, to be looked at before the question of motion: its data card and a contact sheet.

`python -m signbridge.datasets NAME` prints how many clips there are of each sign and signer by the source's own tables.
Of a set on a server it downloads no more than what the sheet shows: a clip of each of the first signs, its frames in a
row, each by another signer where there are others.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from PIL import Image
from tqdm import tqdm

from signbridge.clips import sources
from signbridge.clips.table import Clip, Frames
from signbridge.core import params
from signbridge.core.errors import SignBridgeError
from signbridge.data_card import SHEETS, aligned, said_by_entry
from signbridge.datasets import contact_sheet
from signbridge.datasets.entry import Entry
from signbridge.datasets.images import in_threads

MOST_SIGNS = 12  # rows of the table, and of the sheet


class Shown(NamedTuple):
    """A clip on the sheet."""

    clip: Clip
    frames: Frames


def is_of_clips(name: str) -> bool:
    """Whether that entry of datasets.yaml has clips."""
    return params.entry(name, params.DATASETS, dict[str, Any]).get("source") in sources.SOURCES


def show(name: str) -> None:
    """Print the card of that entry, and write its sheet."""
    entry = params.entry(name, params.DATASETS, sources.Dataset)
    clips, provenance = sources.fetch(entry)
    shown = read_a_few(clips)
    print("\n".join(card(name, entry, clips, shown, provenance.get("left_out", {}))))
    path = SHEETS / f"{name}.png"
    contact_sheet.save(sheet(shown), path)
    print(f"\ncontact sheet: {path}")


def read_a_few(clips: Sequence[Clip]) -> list[Shown]:
    """A clip of each of the first signs by name: the signer who is on the sheet least. Those left out are not there."""
    of_sign: dict[str, list[Clip]] = {}
    for clip in clips:
        of_sign.setdefault(clip.label, []).append(clip)
    used: Counter[str] = Counter()
    wanted = []
    for label in sorted(of_sign)[:MOST_SIGNS]:
        wanted.append(min(of_sign[label], key=lambda clip: (used[clip.signer], clip.clip)))
        used[wanted[-1].signer] += 1
    made = in_threads(lambda clip: (clip, clip.read()), wanted)
    read = tqdm(made, "reading clips", len(wanted), unit=" clips", disable=None)
    shown = [Shown(clip, frames) for clip, frames in read if frames is not None]
    if not shown:
        raise SignBridgeError("none of the clips for the sheet can be read. Set `on_unreadable: stop` to see why.")
    return shown


def sheet(shown: Sequence[Shown]) -> Image.Image:
    """A row a clip, named after its sign; its frames side by side, under their numbers."""
    most = max(len(one.frames.images) for one in shown)
    images = {
        (str(number), one.clip.label): contact_sheet.small(pixels)
        for one in shown
        for number, pixels in enumerate(one.frames.images)
    }
    return contact_sheet.contact_sheet(
        [str(number) for number in range(most)], [one.clip.label for one in shown], images
    )


def card(
    name: str, entry: Entry, clips: Sequence[Clip], shown: Sequence[Shown], left_out: dict[str, dict[str, Any]]
) -> Iterator[str]:
    """The lines of the card."""
    signs, signers = (Counter(getattr(clip, key) for clip in clips) for key in ("label", "signer"))
    yield f"{name}: {len(clips):,} clips of {len(signs):,} signs, {len(signers):,} signers"
    yield from said_by_entry(entry, "clips")
    for reason, what in left_out.items():
        yield f"left out: {what['images']:,} clips ({reason}), first {what['first']}"
    yield ""
    yield from aligned(_counts(clips, signs))
    yield ""
    splits = {split: {clip.signer for clip in clips if clip.split == split} for split in {c.split for c in clips}}
    yield "signers in each split: " + ", ".join(f"{split} {len(splits[split])}" for split in sorted(splits))
    yield _pairs(clips)
    seconds = [one.frames.times[-1] - one.frames.times[0] for one in shown]
    sizes = sorted({one.frames.images[0].shape[:2] for one in shown})
    size = " to ".join(dict.fromkeys(" x ".join(map(str, size)) for size in (sizes[0], sizes[-1])))
    yield (
        f"of the {len(shown)} clips on the sheet: {min(seconds):.1f} to {max(seconds):.1f} seconds, the sign alone, "
        f"frames of {size}"
    )


def _counts(clips: Sequence[Clip], signs: Counter[str]) -> Iterator[Sequence[str]]:
    yield "sign", "clips", "signers"
    for sign in sorted(signs)[:MOST_SIGNS]:
        signers = {clip.signer for clip in clips if clip.label == sign}
        yield sign, f"{signs[sign]:,}", f"{len(signers):,}"
    if len(signs) > MOST_SIGNS:
        others = [signs[sign] for sign in sorted(signs)[MOST_SIGNS:]]
        yield f"{len(others):,} more, each", f"{min(others):,} to {max(others):,}", ""


def _pairs(clips: Sequence[Clip]) -> str:
    known = {clip.label: (clip.shape, clip.movement) for clip in clips if clip.shape and clip.movement}
    if not known:
        return "hand shape and movement: not known, so no minimal pairs. Name a table of them as `attributes`."
    said = np.array(list(known.values()))
    same = said[:, None] == said[None]
    in_movement, in_shape = (np.triu(same[..., one] & ~same[..., other], 1).sum() for one, other in ((0, 1), (1, 0)))
    return f"minimal pairs of signs: {in_movement:,} in movement, {in_shape:,} in shape; known of {len(known):,} signs"
