"""What an entry of datasets.yaml may say of clips, whatever its source, and which clips it chooses."""

import difflib
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Annotated, Literal, NamedTuple

from pydantic import Field

from signbridge.core.errors import SignBridgeError
from signbridge.datasets.entry import Entry

NAMED = 5  # in a message
Number = Annotated[int, Field(ge=1)]
Chosen = Literal["all"] | Number | Annotated[list[str], Field(min_length=1)]
ImageFormat = Literal["png", "jpeg"]


class ClipEntry(Entry):
    """Base of every entry of clips."""

    frames: int = Field(default=16, ge=2)  # of each clip, at equal distances over the sign
    trim: bool = True  # cut the rest at both ends of a recording
    image_format: ImageFormat = "png"  # of a frame in the table; jpeg loses a little and takes a tenth
    glosses: Chosen = "all"  # a list, or so many: the most frequent, or those that come first in the source's own order
    signers: Chosen = "all"  # a list, or so many: those with the most clips of the chosen glosses
    clips_per_sign: Literal["all"] | Number = "all"  # spread over the signers


class FilmedEntry(ClipEntry):
    """Base of the entries whose clips are recordings of people."""

    on_unreadable: Literal["stop", "skip"] = "stop"  # what to do at a clip that cannot be decoded
    attributes: Annotated[str, Field(min_length=1)] | None = None  # a CSV with gloss, shape, movement (attributes.py)


class Span(NamedTuple):
    """Which part of a recording is the sign's."""

    start: int = 0  # its first frame, from 0
    end: int | None = None  # the frame after its last; None: to the end
    crop: tuple[int, int, int, int] | None = None  # left, top, right, bottom in pixels, as the frame is shown


WHOLE_RECORDING = Span()


class Recording(NamedTuple):
    """What a source says of a clip before anything of it is read."""

    clip: str  # unique in its dataset and readable
    label: str  # the gloss
    signer: str  # the person
    split: str  # the dataset's own: `train`, `valid` or `test`; `all` where it has none
    place: str  # where the source finds it: a file's name, or a folder's
    span: Span = WHOLE_RECORDING


def chosen(
    clips: Sequence[Recording], entry: ClipEntry, glosses_in_order: Sequence[str] | None = None
) -> list[Recording]:
    """Those that the entry's `glosses`, `signers` and `clips_per_sign` leave, in the order that they came in.

    `glosses_in_order` is the source's own order, of which a number takes the first; without it the most frequent are
    taken, those of one frequency by name. Raises `SignBridgeError` if a gloss or signer that is listed has no clip, or
    there are fewer than the number.
    """
    by_count = _by_count(clip.label for clip in clips)
    glosses = _named("glosses", entry.glosses, by_count if glosses_in_order is None else list(glosses_in_order))
    kept = [clip for clip in clips if clip.label in glosses]
    everyone = _by_count(clip.signer for clip in (clips if isinstance(entry.signers, list) else kept))
    signers = _named("signers", entry.signers, everyone)
    kept = [clip for clip in kept if clip.signer in signers]
    if not kept:
        raise SignBridgeError("datasets.yaml: no clip is of one of `glosses` and by one of `signers`. Choose others.")
    return kept if entry.clips_per_sign == "all" else _spread(kept, entry.clips_per_sign)


def _by_count(names: Iterable[str]) -> list[str]:
    counts = Counter(names)
    return sorted(counts, key=lambda name: (-counts[name], name))


def _named(key: str, wanted: str | int | list[str], there: list[str]) -> set[str]:
    if wanted == "all":
        return set(there)
    if isinstance(wanted, int):
        if wanted > len(there):
            raise SignBridgeError(f"datasets.yaml: {key}: {wanted}, but there are {len(there)}. Ask for fewer.")
        return set(there[:wanted])
    if missing := [name for name in wanted if name not in set(there)]:
        close = difflib.get_close_matches(missing[0], there, n=1)
        hint = (
            f"Did you mean '{close[0]}'?"
            if close
            else f"There are: {', '.join(there[:NAMED])}{' ...' * (len(there) > NAMED)}."
        )
        raise SignBridgeError(f"datasets.yaml: {key}: no clip of '{missing[0]}'. {hint}")
    return set(wanted)


def _spread(clips: list[Recording], most: int) -> list[Recording]:
    """At most so many of each label: the first of each signer, then the second of each, ..."""
    before: Counter[tuple[str, str]] = Counter()
    of_label: dict[str, list[tuple[int, str, int]]] = {}
    for place, clip in enumerate(clips):
        which = clip.label, clip.signer
        of_label.setdefault(clip.label, []).append((before[which], clip.signer, place))
        before[which] += 1
    kept = sorted(place for ranked in of_label.values() for _, _, place in sorted(ranked)[:most])
    return [clips[place] for place in kept]
