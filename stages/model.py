"""What the chosen model consists of, so that `extract` reruns when the files of a local model change, and only then.

A model of the hub is pinned by its commit in models.yaml, a random one by its seed: nothing is looked at for those.
"""

import json
from pathlib import Path
from typing import Any

from signbridge.core import params
from signbridge.core.command_line import run
from signbridge.core.model_folder import check_model_folder, folder_sha256
from signbridge.core.tables import whole_file

MODEL = Path("data/model.json")


def main() -> None:
    """Read the params `model` and `models`; check a local model's files and write their digest."""
    _, entry = params.selected("model", params.MODELS, dict[str, Any])
    digest = None
    if entry.get("source") == "folder":
        folder = Path(str(entry.get("path"))).expanduser()
        check_model_folder(folder, entry.get("quantization", "none"))
        digest = folder_sha256(folder)
    with whole_file(MODEL) as unfinished:
        unfinished.write_text(json.dumps({"folder_sha256": digest}) + "\n", encoding="utf-8", newline="\n")


if __name__ == "__main__":
    run(main)
