"""The chosen clips, whatever their source, as one table of frames, and what is true of each where they are drawn.

    python -m stages.motion.fetch

Recordings are decoded here and nowhere else.
"""

import logging
from pathlib import Path

import PIL

from signbridge.clips.sources import chosen_dataset, fetch
from signbridge.clips.table import read_clips, write_clips, write_truth
from signbridge.core.command_line import run
from signbridge.core.errors import SignBridgeError

CLIPS = Path("data/motion/clips.parquet")
TRUTH = Path("data/motion/truth.parquet")

log = logging.getLogger(__name__)


def main() -> None:
    """Read the dataset that the params choose; write its clips, and what is true of each frame."""
    name, chosen = chosen_dataset()
    clips, provenance = fetch(chosen)
    for what in ("label", "signer"):
        if len({getattr(clip, what) for clip in clips}) < 2:
            raise SignBridgeError(
                f"datasets.yaml: {name}: the chosen clips have one {what} alone. Two are needed at least: choose more."
            )
    made_by = {"dataset": name, "source": chosen.source, "frames": chosen.frames, "pillow": PIL.__version__}
    made_by |= {"image_format": chosen.image_format, **chosen.terms()}
    write_clips(clips, CLIPS, lambda: made_by | provenance, chosen.image_format)
    for reason, left_out in provenance.get("left_out", {}).items():
        log.warning("left out: %d clips (%s), first '%s'", left_out["images"], reason, left_out["first"])
    written = set(read_clips(CLIPS)["clip"])
    write_truth([clip for clip in clips if clip.clip in written], TRUTH, {"dataset": name})


if __name__ == "__main__":
    run(main)
