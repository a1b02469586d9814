"""Fetch an autoencoder that others trained, and store it as SAELens stores them.

    python -m stages.pretrained.fetch

It lies in a folder named after its site. `pretrained.json` beside it says what it is, how images are read with it and,
if it is of the hub, of which commit it is: an entry without a revision is pinned here.
"""

import json
from pathlib import Path

from signbridge.core.activations import layer_site
from signbridge.core.command_line import run
from signbridge.core.tables import whole_folder
from signbridge.pretrained.settings import chosen_pretrained
from signbridge.sae.settings import require_sae_lens

FOLDER = Path("data/pretrained/autoencoder")
READ_WITH = {"model", "layer", "prompt", "position", "published", "dropped"}  # of the entry: how images are read


def main() -> None:
    """Read the params and the entry that they choose, write `data/pretrained/autoencoder/`."""
    name, entry = chosen_pretrained()
    require_sae_lens()
    from signbridge.pretrained.files import fetched, read_pretrained, write_pretrained  # imports SAELens: slow

    site = layer_site(entry.layer)
    found = fetched(name, entry)
    autoencoder = read_pretrained(found, site)
    about = {
        "pretrained": name, "site": site, "revision": found.revision, "architecture": autoencoder.cfg.architecture(),
        "width": autoencoder.cfg.d_in, "features": autoencoder.cfg.d_sae, **entry.model_dump(include=READ_WITH),
        "source": entry.model_dump(exclude=READ_WITH - {"layer"} | {"neuronpedia"}),
    }  # fmt: skip
    with whole_folder(FOLDER) as unfinished:
        write_pretrained(unfinished / site, autoencoder)
        described = json.dumps(about, indent=2, sort_keys=True) + "\n"
        (unfinished / "pretrained.json").write_text(described, encoding="utf-8")


if __name__ == "__main__":
    run(main)
