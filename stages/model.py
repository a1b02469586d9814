"""What the chosen model consists of, so that `extract` reruns when the files of a local model change, and only then.

A model of the hub is pinned by its commit in params.yaml, a random one by its seed: nothing is looked at for those.
"""

import json
from pathlib import Path
from typing import Any

from signbridge.core import params
from signbridge.core.command_line import run
from signbridge.core.model_folder import folder_sha256

MODEL = Path("data/model.json")


def main() -> None:
    """Read the params `model` and `models`; write the digest of a local model's files."""
    _, entry = params.selected("model", params.MODELS, dict[str, Any])
    is_local = entry.get("source") == "folder"
    digest = folder_sha256(Path(str(entry.get("path"))).expanduser()) if is_local else None
    MODEL.parent.mkdir(exist_ok=True)
    MODEL.write_text(json.dumps({"folder_sha256": digest}) + "\n", encoding="utf-8")


if __name__ == "__main__":
    run(main)
