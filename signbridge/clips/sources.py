"""Where clips come from: the entries of datasets.yaml that stages/motion/params.yaml may choose."""

from pathlib import Path
from typing import Annotated, Any, get_args

from pydantic import Field

from signbridge.clips import asl_citizen, clip_folder, rendered_motion, wlasl
from signbridge.clips.recordings import Fetched
from signbridge.core import params
from signbridge.core.errors import SignBridgeError
from signbridge.datasets.entry import Entry

Dataset = Annotated[
    rendered_motion.RenderedMotionParams
    | asl_citizen.AslCitizenParams
    | wlasl.WlaslParams
    | clip_folder.ClipFolderParams,
    Field(discriminator="source"),
]
SOURCES = tuple(get_args(kind.model_fields["source"].annotation)[0] for kind in get_args(get_args(Dataset)[0]))
OF_IMAGES = ("rendered", "sign_mnist", "image_folder", "hub")


def chosen_dataset(path: Path = params.MOTION) -> tuple[str, Dataset]:
    """The name of the chosen entry, and the entry. Raises `SignBridgeError` if it is one of single images."""
    name, said = params.selected("dataset", params.DATASETS, dict[str, Any], path)
    if said.get("source") in OF_IMAGES:
        there = [key for key, entry in params.whole(dict, params.DATASETS).items() if entry.get("source") in SOURCES]
        raise SignBridgeError(
            f"{path}: dataset: {name} has single images, no clips of signs that move. Choose one of "
            f"{', '.join(there)}; single images are the study's: `dataset` in params.yaml."
        )
    return name, params.entry(name, params.DATASETS, Dataset)


def fetch(chosen: Dataset) -> Fetched:
    """The clips that the entry chooses, read as they are taken, and where they come from: no path of this machine."""
    match chosen:
        case asl_citizen.AslCitizenParams():
            return asl_citizen.fetch(chosen)
        case wlasl.WlaslParams():
            return wlasl.fetch(chosen)
        case clip_folder.ClipFolderParams():
            return clip_folder.fetch(chosen)
        case rendered_motion.RenderedMotionParams():
            own = chosen.model_dump(exclude=set(Entry.model_fields), exclude_defaults=True)
            return Fetched(rendered_motion.render_clips(chosen), {"params": own})
