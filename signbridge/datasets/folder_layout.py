"""Where the classes lie in a folder or an archive of images, as people download, unpack and copy such folders.

Taken, and said: classes one or more folders deeper than named, if there is one place only; splits called train, valid
and test in any spelling; what systems and programs leave beside the images. Everything else is refused, naming the
folders in which classes were found.
"""

import logging
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from signbridge.core.errors import SignBridgeError
from signbridge.datasets.images import readable_name

SPLIT_CALLED = {"train": "train", "training": "train", "valid": "valid", "validation": "valid", "val": "valid"}
SPLIT_CALLED |= {"dev": "valid", "test": "test", "testing": "test"}
SPLITS = ("train", "valid", "test")  # in the order of the pool
# Hidden files are ignored too. `Icon\\r` is macOS's, `@eaDir` and `#recycle` are a Synology NAS's.
LEFT_BY_SYSTEMS = {"thumbs.db", "desktop.ini", "icon\r", "__macosx", "@eadir", "#recycle", "$recycle.bin"}
LEFT_BY_SYSTEMS |= {"@recycle", "@recently-snapshot", "#snapshot", "lost.dir", "temporary items"}  # QNAP's, and others'
LEFT_BY_SYSTEMS |= {"system volume information", "lost+found", "__pycache__", "ehthumbs.db"}
NO_IMAGES = {".txt", ".md", ".rst", ".csv", ".tsv", ".json", ".xml", ".yaml", ".yml", ".html", ".htm", ".pdf", ".log"}
NO_IMAGES |= {".ini", ".py", ".ipynb", ".doc", ".docx", ".rtf", ".mat", ".npy", ".pkl", ".cache", ".db", ".url"}
ARCHIVES = {".zip", ".tar", ".gz", ".tgz", ".bz2", ".tbz2", ".xz", ".7z", ".rar"}
LAYOUT = "Expected one sub-folder a class, with its images, or train and test (and valid) above the classes."
NO_IMAGES_CALLED = {"readme", "license", "licence", "copying", "makefile", "checksums", "md5sums", "sha256sums"}
NAMED = 3  # folders in a message

log = logging.getLogger(__name__)


class Inside:
    """A file or folder of an archive, with what is asked of a `Path` here."""

    def __init__(self, path: PurePosixPath, archive: str, inside: dict[str, "Inside"] | None):
        """`inside` is None for a file."""
        self.path, self.shown, self.inside = path, f"{archive}/{path}" if path.parts else archive, inside
        self.name, self.suffix = path.name or archive, path.suffix

    def __str__(self) -> str:
        return self.shown

    def is_dir(self) -> bool:
        return self.inside is not None

    def is_file(self) -> bool:
        return self.inside is None

    def is_symlink(self) -> bool:
        return False

    def iterdir(self) -> Iterator["Inside"]:
        yield from self.inside.values()

    def relative_to(self, other: "Inside") -> PurePosixPath:
        return self.path.relative_to(other.path)


Place = Path | Inside


def tree(paths: list[str], archive: str) -> Inside:
    """The archive of that name with those files, as a folder."""
    root = Inside(PurePosixPath(), archive, {})
    for path in paths:
        folder, parts = root, path.split("/")
        for depth, part in enumerate(parts, start=1):
            if folder.inside is None:
                break  # a file and a folder of one name
            inside = {} if depth < len(parts) else None
            folder = folder.inside.setdefault(part, Inside(PurePosixPath(*parts[:depth]), archive, inside))
    return root


class ImageFile(NamedTuple):
    """An image of a class."""

    split: str  # `train`, `valid` or `test`; `all` where the folder has none
    label: str  # the class folder's name
    path: Place


class Classes(NamedTuple):
    """What was found in a folder."""

    root: Place  # in which the splits or classes lie
    files: list[ImageFile]  # by split, class and name
    left_out: list[str]  # names of files that are no images


def classes_of(folder: Place) -> Classes:
    """The classes of the folder and their images.

    Raises `SignBridgeError` naming the folder that is not as it should be, and `OSError` where the system says no.
    """
    ignored: list[str] = []
    root = _root(folder, ignored)
    splits = _splits(root, ignored)
    files = [
        ImageFile(split, label, path)
        for split, inside in splits
        for label, path in _files_of_classes(inside, folder, ignored)
    ]
    if root != folder:
        log.info("%s: classes found in %s", folder, root)
    if splits[0][0] != "all":
        log.info("%s: taken as splits: %s", folder, ", ".join(f"{place.name} ({split})" for split, place in splits))
    if ignored:
        log.info("%s: %d files that are no images were left out, first '%s'", folder, len(ignored), ignored[0])
    return Classes(root, files, ignored)


def _root(folder: Place, ignored: list[str]) -> Place:
    """The folder, or the only one in it, or the only one in that, down to where two classes or splits lie."""
    root, beside = folder, []
    while True:
        there = _visible(root)
        inside = [entry for entry in there if not _is_no_image(entry)]
        if len(inside) != 1 or not inside[0].is_dir():
            if sum(entry.is_dir() for entry in inside) <= 1:
                return folder
            ignored += beside
            return root
        beside += [readable_name(entry.name) for entry in there if _is_no_image(entry)]
        _check_is_folder(inside[0])
        root = inside[0]


def _splits(root: Place, ignored: list[str]) -> list[tuple[str, Place]]:
    visible = _visible(root)
    there = [entry for entry in visible if not _is_no_image(entry)]
    called = [SPLIT_CALLED.get(entry.name.strip().lower()) for entry in there]
    if {"train"} < set(called) <= set(SPLITS) and all(
        entry.is_dir() and any(inner.is_dir() for inner in _visible(entry)) for entry in there
    ):
        if len(set(called)) < len(called):
            names = ", ".join(entry.name for entry, split in zip(there, called, strict=True) if called.count(split) > 1)
            raise SignBridgeError(f"image folder '{root}': one split under two names ({names}). Merge or remove one.")
        ignored += [readable_name(entry.name) for entry in visible if _is_no_image(entry)]
        inside = [_root(entry, ignored) for entry in there]
        return sorted(zip(called, inside, strict=True), key=lambda split: SPLITS.index(split[0]))
    return [("all", root)]


def _files_of_classes(root: Place, named: Place, ignored: list[str]) -> list[tuple[str, Place]]:
    """Label and path of each image of the classes in `root`; what is no image is added to `ignored`."""
    classes = _images_and_folders(root, ignored)
    if not classes:
        raise SignBridgeError(f"image folder '{root}': empty. {LAYOUT}")
    if loose := [entry for entry in classes if not entry.is_dir()]:
        problem = f"'{loose[0].name}' lies beside the class folders"
        if loose[0].suffix.lower() in ARCHIVES:
            problem += ", an archive. Name it if it holds the images, or remove it"
        elif len(loose) == len(classes) and isinstance(root, Path):
            above = root.resolve().parent
            problem += f", of which there are none. If '{root.name}' is one class, name the folder above it, '{above}'"
        raise _refused(root, problem, named)
    files = []
    for folder in classes:
        inside = _images_and_folders(folder, ignored)
        if not inside:
            raise SignBridgeError(f"image folder '{folder}': a class with no images. Fill or remove it.")
        if deeper := [entry for entry in inside if entry.is_dir()]:
            raise _refused(deeper[0], "a folder within a class", named)
        files += [(folder.name, file) for file in inside]
    return files


def _refused(at: Place, problem: str, named: Place) -> SignBridgeError:
    """What is wrong, and the folders that could be named instead."""
    found = [place for place in _places_with_classes(named) if place != named]
    instead = LAYOUT
    if found:
        more = f" and {len(found) - NAMED} more" if len(found) > NAMED else ""
        which = "that folder" if len(found) == 1 else "one of them, or put train and test above the classes"
        instead = f"Classes found in {', '.join(f'{place}/' for place in found[:NAMED])}{more}: name {which}."
    return SignBridgeError(f"image folder '{at}': {problem}. {instead}")


def _places_with_classes(folder: Place) -> list[Place]:
    """The folder and those below, in order, whose every entry is a folder of images alone."""
    inside = _images_and_folders(folder, [])
    has_classes = bool(inside) and all(
        entry.is_dir() and (there := _images_and_folders(entry, [])) and not any(e.is_dir() for e in there)
        for entry in inside
    )
    below = [entry for entry in inside if entry.is_dir() and not entry.is_symlink()]
    return [folder] * has_classes + [place for entry in below for place in _places_with_classes(entry)]


def _images_and_folders(folder: Place, ignored: list[str]) -> list[Place]:
    there = _visible(folder)
    for entry in there:
        if not entry.is_file():
            _check_is_folder(entry)
    ignored += [readable_name(entry.name) for entry in there if _is_no_image(entry)]
    return [entry for entry in there if not _is_no_image(entry)]


def _check_is_folder(entry: Place) -> None:
    """Raise `SignBridgeError` for a link to nowhere or to a folder that it lies in, and for what would never end."""
    if entry.is_symlink():
        if not os.path.exists(entry):
            raise SignBridgeError(
                f"image folder: '{entry}' is a link to {os.readlink(entry)}, which is not there. Mend or remove it."
            )
        if entry.resolve() in entry.parent.resolve().joinpath("it").parents:
            raise SignBridgeError(f"image folder: '{entry}' is a link to a folder that it lies in. Remove it.")
    if not entry.is_dir():
        raise SignBridgeError(f"image folder: '{entry}' is a pipe or a device, not a file. Remove it.")


def _is_no_image(entry: Place) -> bool:
    is_called_so = entry.suffix.lower() in NO_IMAGES or entry.name.lower() in NO_IMAGES_CALLED
    return is_called_so and not entry.is_dir()


def is_left_by_systems(name: str) -> bool:
    return name.startswith(".") or name.lower() in LEFT_BY_SYSTEMS


def _visible(folder: Place) -> list[Place]:
    """What lies in the folder, by name, without what systems leave."""
    return sorted((e for e in folder.iterdir() if not is_left_by_systems(e.name)), key=lambda entry: entry.name)
