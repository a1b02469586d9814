r"""What the path of an image says of it, by a regular expression: `pattern` of an entry with `source: image_folder`.

`(?P<label>[A-Z])/(?P<signer>P\d+)_[^/]*\.jpg$` finds letter and signer in `A/P3_017.jpg`, wherever that folder lies.
"""

import re
from typing import NamedTuple

from signbridge.core.errors import SignBridgeError
from signbridge.datasets.folder_layout import SPLIT_CALLED

GROUPS = ("label", "signer", "clip", "photo", "split")


class Said(NamedTuple):
    """What a path says of its image."""

    image_id: str  # the path, from the first folder that says something
    label: str
    split: str
    signer: str | None = None
    clip: str | None = None
    photo: str | None = None


def compiled(pattern: str) -> re.Pattern[str]:
    """The pattern. Raises `SignBridgeError` if it is no regular expression, or has a group of another name."""
    try:
        found = re.compile(pattern)
    except re.error as error:
        raise SignBridgeError(
            f"datasets.yaml: `pattern` is no regular expression: {error}. Correct it, in single quotes: {pattern!r}."
        ) from None
    if unknown := [name for name in found.groupindex if name not in GROUPS]:
        raise SignBridgeError(
            f"datasets.yaml: `pattern` has a group '{unknown[0]}'. Its groups may be {', '.join(GROUPS)}."
        )
    return found


def said(pattern: re.Pattern[str], path: str, upper: bool) -> Said | None:
    """What `path`, with slashes, says of its image; None where the pattern is found nowhere in it.

    Without the group `label` the image's folder is its class; `upper` puts the label in capitals. A clip is called
    after its signer and label too, and a photo after these and its clip: no two signers have one of the same name.
    Raises `SignBridgeError` if no folder names the class, or a split is called neither train, valid nor test.
    """
    found = pattern.search(path)
    if found is None:
        return None
    groups = found.groupdict()
    above = path.rpartition("/")[0]
    start = found.start()
    label = groups.get("label")
    if "label" not in pattern.groupindex:
        label = above.rpartition("/")[2]
        start = min(start, len(above) - len(label))
    if not label:
        raise SignBridgeError(
            f"{path}: `pattern` in datasets.yaml finds no label in it. Give it a group (?P<label>...) that does."
        )
    label = label.upper() if upper else label
    signer, clip, photo = groups.get("signer"), groups.get("clip"), groups.get("photo")
    clip_name = None if clip is None else "/".join(filter(None, (signer, label, clip)))
    photo_name = None if photo is None else "/".join(filter(None, (signer, label, clip, photo)))
    return Said(path[start:].lstrip("/"), label, _split(groups.get("split"), path), signer, clip_name, photo_name)


def _split(name: str | None, path: str) -> str:
    if name is None:
        return "all"
    if name.lower() not in SPLIT_CALLED:
        raise SignBridgeError(
            f"{path}: '{name}' is no split. `split` of `pattern` in datasets.yaml may find train, valid or test."
        )
    return SPLIT_CALLED[name.lower()]
