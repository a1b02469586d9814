"""What is in a dataset, to be looked at before a study: its data card and a contact sheet.

    python -m signbridge.datasets            # the dataset of params.yaml
    python -m signbridge.datasets NAME       # another of datasets.yaml

Reads the source itself, an image at a time, and changes nothing of a study. Prints how many images there are of each
letter and signer, which are copies, how large, bright and colourful they are, and what the licence allows. The sheet
shows letters as columns and signers as rows, or the first few images of each letter where signers are not known. For
clips of signs that move see `clips_card.py`.
"""

import argparse
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from signbridge.core import params
from signbridge.core.appearance import Look, look_of, summed_up
from signbridge.core.errors import SignBridgeError
from signbridge.datasets import contact_sheet
from signbridge.datasets.entry import Entry
from signbridge.datasets.images import LabelledImage, grey_of, in_threads, sha256_of_pixels
from signbridge.datasets.near_duplicates import Photos, PhotosParams, find_photos, unit_rows
from stages.fetch import Dataset, fetch

SHEETS = Path(".scratch/data_cards")  # git does not see it
OF_EACH_LETTER = 4  # images on the sheet where signers are not known
MOST_SIGNERS = 12  # columns of the table of counts
NAMED = 5  # pairs of images
SAID = {"content": "content", "signers_said": "signers, as its authors say", "citation": "citation"}  # by the entry
PASS_ON = {True: "may be passed on", False: "must not be passed on"}
UNCLEAR = "may perhaps not be passed on: that is unclear"


@dataclass
class Seen:
    """What is kept of the images, which are never in memory together."""

    ids: list[str] = field(default_factory=list)
    letters: list[str] = field(default_factory=list)
    signers: list[str | None] = field(default_factory=list)
    photos: list[str | None] = field(default_factory=list)  # of which the dataset says that they are copies
    clips: set[str] = field(default_factory=set)
    digests: list[str] = field(default_factory=list)
    looks: list[Look] = field(default_factory=list)
    greys: list[np.ndarray] = field(default_factory=list)  # 28 x 28, in which copies are sought
    shown: dict[tuple[str, str], Image.Image] = field(default_factory=dict)  # on the sheet, by letter and row

    @property
    def known_signers(self) -> list[str] | None:
        """The signer of each image, or None where they are not known."""
        return None if None in self.signers else [str(signer) for signer in self.signers]

    def found_photos(self, threshold: float) -> Photos:
        """Which images are of one photo, as the stage `photos` finds them."""
        known = (None if None in names else np.array(names) for names in (self.signers, self.photos))
        return find_photos(np.stack(self.greys), np.array(self.letters), threshold, *known)


def show(name: str) -> None:
    """Print the card of that entry of datasets.yaml, and write its sheet."""
    dataset = params.entry(name, params.DATASETS, Dataset)
    images, provenance = fetch(dataset)
    threshold = params.section("photos", PhotosParams).threshold
    seen = look_at(images, threshold)
    if not seen.ids:
        raise SignBridgeError(f"datasets.yaml: {name}: no images.")
    signers = seen.known_signers
    photos = seen.found_photos(threshold)
    print("\n".join(card(name, dataset, seen, photos, provenance.get("left_out", {}))))
    path = SHEETS / f"{name}.png"
    rows = [str(row) for row in range(1, OF_EACH_LETTER + 1)] if signers is None else sorted(set(signers))
    contact_sheet.save(contact_sheet.contact_sheet(sorted(set(seen.letters)), rows, seen.shown), path)
    print(f"\ncontact sheet: {path}")


def named_dataset() -> str:
    """The dataset that the first argument or params.yaml names."""
    parser = argparse.ArgumentParser(prog="python -m signbridge.datasets", description=__doc__.splitlines()[0])
    parser.add_argument(
        "name", nargs="?", metavar="NAME", help="a key of datasets.yaml; the one of params.yaml if absent"
    )
    name = parser.parse_args().name
    return params.selected("dataset", params.DATASETS, dict[str, Any])[0] if name is None else name


def look_at(images: Iterable[LabelledImage], threshold: float) -> Seen:
    """Go through the images once, on all cores.

    Of a letter the sheet shows the first image of each signer, or, where signers are not known, the first few of which
    no two correlate above `threshold`, as copies do.
    """
    seen = Seen()
    of_letter: dict[str, list[np.ndarray]] = {}  # the greys that are shown of a letter
    total = len(images) if isinstance(images, Sequence) else None
    for read in tqdm(in_threads(_read, images), "reading images", total, unit=" images", disable=None):
        if read is None:
            continue
        image, pixels, grey, digest = read
        seen.ids.append(image.image_id)
        seen.letters.append(image.label)
        seen.signers.append(image.signer)
        seen.photos.append(image.photo)
        seen.clips |= {image.clip} if image.clip is not None else set()
        seen.digests.append(digest)
        seen.looks.append(look_of(pixels))
        seen.greys.append(grey)
        shown = of_letter.setdefault(image.label, [])
        row = str(len(shown) + 1) if image.signer is None else image.signer
        if (image.label, row) in seen.shown:
            continue
        if image.signer is not None or (len(shown) < OF_EACH_LETTER and _is_new(grey, shown, threshold)):
            seen.shown[image.label, row] = contact_sheet.small(pixels)
            shown.append(grey)
    return seen


def _is_new(grey: np.ndarray, shown: list[np.ndarray], threshold: float) -> bool:
    units = unit_rows(np.stack([grey, *shown]).reshape(len(shown) + 1, -1))
    return bool((units[1:] @ units[0] < threshold).all())


def _read(image: LabelledImage) -> tuple[LabelledImage, np.ndarray, np.ndarray, str] | None:
    pixels = image.read()
    if pixels is None:  # it is to be left out
        return None
    return image, pixels, grey_of(Image.fromarray(pixels)), sha256_of_pixels(pixels)


def card(name: str, entry: Entry, seen: Seen, photos: Photos, left_out: dict[str, dict[str, Any]]) -> Iterator[str]:
    """The lines of the card."""
    signers = seen.known_signers
    people = "signers not known" if signers is None else f"{len(set(signers))} signers"
    clips = f", {len(seen.clips):,} clips" if seen.clips else ""
    yield f"{name}: {len(seen.ids):,} images of {len(set(seen.letters))} letters, {people}{clips}"
    yield from said_by_entry(entry, "images")
    for reason, what in left_out.items():
        yield f"left out: {what['images']:,} files ({reason}), first {what['first']}"
    yield ""
    yield from aligned(_counts(seen, photos))
    yield ""
    yield from _copies(seen, photos)
    yield ""
    yield from aligned(_looks(seen))


def said_by_entry(entry: Entry, what: str) -> Iterator[str]:
    """What its authors say of it, and whether its images or clips may be passed on."""
    yield from (f"{heading}: {said}" for key, heading in SAID.items() if (said := getattr(entry, key)))
    yield f"licence: {entry.licence or 'not said'}; its {what} {PASS_ON.get(entry.pass_on, UNCLEAR)}"


def _counts(seen: Seen, photos: Photos) -> Iterator[Sequence[str]]:
    """A row a letter: images, photos, and images of each signer, where there are not too many."""
    signers = seen.known_signers
    letters, photo = np.array(seen.letters), photos.of_image
    who = [] if signers is None else sorted(set(signers))
    listed = who if len(who) <= MOST_SIGNERS else []
    yield "letter", "images", "photos", *(["signers"] if who else []), *listed
    for letter in [*sorted(set(seen.letters)), "all"]:
        here = np.ones(len(letters), bool) if letter == "all" else letters == letter
        row = [letter, f"{here.sum():,}", f"{len(np.unique(photo[here])):,}"]
        if signers is not None:
            of_letter = np.array(signers)[here]
            row += [str(len(np.unique(of_letter))), *(f"{(of_letter == signer).sum():,}" for signer in listed)]
        yield row


def _copies(seen: Seen, photos: Photos) -> Iterator[str]:
    sizes = np.bincount(photos.of_image)
    yield f"images equal to another, pixel by pixel: {len(seen.digests) - len(set(seen.digests)):,}"
    yield f"photos that the images are near-duplicates of: {(sizes > 0).sum():,}, the largest of {sizes.max():,} images"
    yield from _pairs("one picture under two letters", photos.under_two_letters, seen.ids, seen.letters)
    if seen.known_signers is not None:
        yield from _pairs("one picture under two signers", photos.under_two_signers, seen.ids, seen.known_signers)


def _pairs(what: str, pairs: list[tuple[int, int]], ids: list[str], names: list[str]) -> Iterator[str]:
    yield f"{what}: {len(pairs):,}"
    yield from (f"  {ids[a]} ({names[a]}) = {ids[b]} ({names[b]})" for a, b in pairs[:NAMED])
    if len(pairs) > NAMED:
        yield f"  and {len(pairs) - NAMED:,} more"


def _looks(seen: Seen) -> Iterator[Sequence[str]]:
    heading = "whose" if seen.known_signers is None else "signer"
    yield heading, "images", "of all", "in colour", "smallest", "median", "largest", "brightness (5, 50, 95 %)"
    for row in summed_up(seen.looks, seen.known_signers).itertuples(index=False):
        brightness = ", ".join(f"{share:.0%}" for share in (row.dark, row.middle, row.bright))
        sizes = row.smallest, row.median, row.largest
        yield row.who, f"{row.images:,}", f"{row.share:.1%}", f"{row.in_colour:.1%}", *sizes, brightness


def aligned(rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """The cells of each column below one another: the first to the left, the others to the right."""
    rows = list(rows)
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for first, *others in rows:
        cells = [first.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True))]
        yield "  ".join(cells).rstrip()
