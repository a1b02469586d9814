"""Put together what a Space of Hugging Face needs to serve the demo of this folder's study.

    python -m signbridge.demo.space [build/space]

Then `hf upload OWNER/NAME build/space --repo-type space`. For a model that lies in a folder of the project, as the
miniature does, and a dataset whose images may be passed on.
"""

import logging
import shutil
from pathlib import Path

from signbridge.core import tables
from signbridge.core.command_line import run
from signbridge.core.errors import SignBridgeError
from signbridge.core.pipeline import ROOT
from signbridge.demo.__main__ import folder_to_write
from signbridge.report.shown_images import why_hidden

FILES = ("app.py", "requirements.txt", "README.md")  # of space/
CATALOGS = ("params.yaml", "models.yaml", "datasets.yaml", "dvc.yaml")
DATA = ("sample.parquet", "photos.parquet", "predictions.parquet", "choices.parquet", "activations", "probes")
IMAGES = Path("data/images.parquet")
log = logging.getLogger(__name__)


def main() -> None:
    """Write the folder, whole or not at all."""
    folder = folder_to_write("signbridge.demo.space", __doc__, "build/space", holds="signbridge/demo/space.py")
    write(folder)
    log.info("%s is ready: hf upload OWNER/NAME %s --repo-type space", folder, folder)


def write(folder: Path) -> None:
    """The Space of the study in the working folder.

    Raises `SignBridgeError` where its images may not be passed on, or its model lies outside the project.
    """
    if hidden := why_hidden(tables.made_by(IMAGES)):
        raise SignBridgeError(f"A Space would pass the sample's images on: {hidden}.")
    entry = tables.made_by("data/activations/pixels.parquet")["model"]
    model = Path(entry.get("path") or "")
    inside = model if not model.is_absolute() else Path("no such folder")
    if not (ROOT / inside / "config.json").is_file():
        raise SignBridgeError(
            f"{entry['name']}: a Space holds a model that lies in a folder of the project, as the miniature does."
        )
    ignored = shutil.ignore_patterns("__pycache__", "*.pyc")
    with tables.whole_folder(folder) as unfinished:
        for name in FILES:
            shutil.copy(ROOT / "space" / name, unfinished)
        for name in CATALOGS:
            shutil.copy(name if Path(name).is_file() else ROOT / name, unfinished)
        shutil.copytree(ROOT / "signbridge", unfinished / "signbridge", ignore=ignored)
        shutil.copytree(ROOT / inside, unfinished / inside, ignore=ignored)
        for name in DATA:
            source, target = Path("data") / name, unfinished / "data" / name
            target.parent.mkdir(exist_ok=True)
            shutil.copytree(source, target) if source.is_dir() else shutil.copy(source, target)


if __name__ == "__main__":
    run(main)
