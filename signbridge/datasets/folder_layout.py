"""Where the classes lie in a folder of images, as people download, unpack and copy such folders.

Taken, and said: classes one or more folders deeper than named, if there is one place only; splits called train, valid
and test in any spelling; what systems and programs leave beside the images. Everything else is refused, naming the
folders in which classes were found.
"""

import logging
import os
from pathlib import Path
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
LAYOUT = "Expected one sub-folder a class, with its images, or train and test (and valid) above the classes."
NO_IMAGES_CALLED = {"readme", "license", "licence", "copying", "makefile", "checksums", "md5sums", "sha256sums"}
NAMED = 3  # folders in a message

log = logging.getLogger(__name__)


class ImageFile(NamedTuple):
    """An image of a class."""

    split: str  # `train`, `valid` or `test`; `all` where the folder has none
    label: str  # the class folder's name
    path: Path


def classes_of(folder: Path) -> tuple[Path, list[ImageFile]]:
    """The folder in which the splits or classes lie, and their images by split, class and name.

    Raises `SignBridgeError` naming the folder that is not as it should be, and `OSError` where the system says no.
    """
    if folder.is_file():
        raise SignBridgeError(f"image folder '{folder}': a file. Unpack it and name the folder in datasets.yaml.")
    if not folder.is_dir():
        raise SignBridgeError(f"image folder '{folder}': no such folder. Correct its `path` in datasets.yaml.")
    root, ignored = _root(folder), []
    splits = _splits(root)
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
    return root, files


def _root(folder: Path) -> Path:
    """The folder, or the only one in it, or the only one in that, down to where two classes or splits lie."""
    root = folder
    while True:
        inside = [entry for entry in _visible(root) if not _is_no_image(entry)]
        if len(inside) != 1 or not inside[0].is_dir():
            return root if sum(entry.is_dir() for entry in inside) > 1 else folder
        _check_is_folder(inside[0])
        root = inside[0]


def _splits(root: Path) -> list[tuple[str, Path]]:
    there = [entry for entry in _visible(root) if not _is_no_image(entry)]
    called = [SPLIT_CALLED.get(entry.name.strip().lower()) for entry in there]
    if {"train"} < set(called) <= set(SPLITS) and all(
        entry.is_dir() and any(inner.is_dir() for inner in _visible(entry)) for entry in there
    ):
        if len(set(called)) < len(called):
            names = ", ".join(entry.name for entry, split in zip(there, called, strict=True) if called.count(split) > 1)
            raise SignBridgeError(f"image folder '{root}': one split under two names ({names}). Merge or remove one.")
        return sorted(zip(called, (_root(entry) for entry in there), strict=True), key=lambda s: SPLITS.index(s[0]))
    return [("all", root)]


def _files_of_classes(root: Path, named: Path, ignored: list[str]) -> list[tuple[str, Path]]:
    """Label and path of each image of the classes in `root`; what is no image is added to `ignored`."""
    classes = _images_and_folders(root, ignored)
    if not classes:
        raise SignBridgeError(f"image folder '{root}': empty. {LAYOUT}")
    if loose := [entry for entry in classes if not entry.is_dir()]:
        problem = f"'{loose[0].name}' lies beside the class folders"
        if len(loose) == len(classes):
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


def _refused(at: Path, problem: str, named: Path) -> SignBridgeError:
    """What is wrong, and the folders that could be named instead."""
    found = [place for place in _places_with_classes(named) if place != named]
    instead = LAYOUT
    if found:
        more = f" and {len(found) - NAMED} more" if len(found) > NAMED else ""
        which = "that folder" if len(found) == 1 else "one of them, or put train and test above the classes"
        instead = f"Classes found in {', '.join(f'{place}/' for place in found[:NAMED])}{more}: name {which}."
    return SignBridgeError(f"image folder '{at}': {problem}. {instead}")


def _places_with_classes(folder: Path) -> list[Path]:
    """The folders below, in order, whose every entry is a folder of images alone."""
    places = []
    for parent, names, _ in os.walk(folder):
        names[:] = sorted(name for name in names if not _is_left_by_systems(name))
        inside = _images_and_folders(Path(parent), [])
        if inside and all(
            entry.is_dir() and (there := _images_and_folders(entry, [])) and not any(e.is_dir() for e in there)
            for entry in inside
        ):
            places.append(Path(parent))
    return places


def _images_and_folders(folder: Path, ignored: list[str]) -> list[Path]:
    there = _visible(folder)
    for entry in there:
        if not entry.is_file():
            _check_is_folder(entry)
    ignored += [readable_name(entry.name) for entry in there if _is_no_image(entry)]
    return [entry for entry in there if not _is_no_image(entry)]


def _check_is_folder(entry: Path) -> None:
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


def _is_no_image(entry: Path) -> bool:
    is_called_so = entry.suffix.lower() in NO_IMAGES or entry.name.lower() in NO_IMAGES_CALLED
    return is_called_so and not entry.is_dir()


def _is_left_by_systems(name: str) -> bool:
    return name.startswith(".") or name.lower() in LEFT_BY_SYSTEMS


def _visible(folder: Path) -> list[Path]:
    """What lies in the folder, by name, without what systems leave."""
    return sorted((e for e in folder.iterdir() if not _is_left_by_systems(e.name)), key=lambda entry: entry.name)
