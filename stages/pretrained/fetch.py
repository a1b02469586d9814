"""pretrained_sae: an autoencoder that others trained, fetched and stored as SAELens stores them; none by default.

    python -m stages.pretrained.fetch

It lies in a folder named after its site. `pretrained.json` beside it says what it is and, of one of the hub, of which
commit: an entry without a revision is pinned here.
"""

import json
from pathlib import Path
from typing import Any

from signbridge.core.activations import layer_site
from signbridge.core.command_line import run
from signbridge.core.tables import whole_folder
from signbridge.pretrained.settings import NONE, chosen_pretrained
from signbridge.sae.settings import require_sae_lens

FOLDER = Path("data/pretrained_sae")


def main() -> None:
    """Read `sae.pretrained` and its entry, write `data/pretrained_sae/`."""
    chosen = chosen_pretrained()
    if chosen is None:
        with whole_folder(FOLDER) as unfinished:
            write_about(unfinished, {"pretrained": NONE})
        return
    require_sae_lens()
    from signbridge.pretrained.files import fetched, read_pretrained, write_pretrained  # imports SAELens: slow

    name, entry = chosen
    site = layer_site(entry.layer)
    found = fetched(name, entry)
    autoencoder = read_pretrained(found, site)
    about = {
        "pretrained": name, "site": site, "revision": found.revision, "architecture": autoencoder.cfg.architecture(),
        "width": autoencoder.cfg.d_in, "features": autoencoder.cfg.d_sae,
        "source": entry.model_dump(exclude={"model", "prompt", "position", "neuronpedia", "published"}),
    }  # fmt: skip
    with whole_folder(FOLDER) as unfinished:
        write_pretrained(unfinished / site, autoencoder)
        write_about(unfinished, about)


def write_about(folder: Path, about: dict[str, Any]) -> None:
    """Say in `folder` what lies there."""
    (folder / "pretrained.json").write_text(json.dumps(about, indent=2, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    run(main)
