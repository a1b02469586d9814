"""Which frame matters? One frame of a clip put into the run on another that differs in movement alone.

With `patching.pairs: 0`, or where no two clips of one signer differ in movement alone, no model is loaded.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from signbridge.clips.table import read_clips, with_known
from signbridge.core import params, tables
from signbridge.core.command_line import run
from signbridge.core.names import ALL_FRAMES, IN_ORDER
from signbridge.motion.settings import MotionParams

CLIPS, MODEL, PATCHED = (Path("data/motion") / name for name in ("clips.parquet", "model.json", "patched.parquet"))


def main() -> None:
    """Read the clips and what the model is; write data/motion/patched.parquet."""
    from signbridge.motion.frame_patching import COLUMNS, clip_pairs  # imports PyTorch, as below: seconds
    from signbridge.motion.frames import ClipFrames, seen_in

    seed, wanted = params.seed(), params.whole(MotionParams, params.MOTION).patching
    frames = ClipFrames(CLIPS)
    clips = with_known(read_clips(CLIPS)).assign(size=[clip.size for clip in frames.clips])
    pairs = clip_pairs(clips, wanted.pairs, np.random.default_rng(seed))
    if not pairs:
        tables.write(pd.DataFrame(columns=COLUMNS), PATCHED, {"pairs_tried": 0})
        return

    from signbridge.causal.patching import as_table
    from signbridge.core.activations import evenly_spread
    from signbridge.motion.frame_patching import ClipPair, frames_work
    from signbridge.motion.reading import ClipPrompts, fit_batch
    from signbridge.vlm.chosen import read_model
    from signbridge.vlm.model_run import model_run
    from signbridge.vlm.residual import decoder_sites

    how, drawn = read_model(MODEL)["read_as"], [list(pair) for pair in pairs]
    seen = seen_in(IN_ORDER, frames.clips, seed)
    made_by = {"read_as": how, "pairs": drawn, "sites": wanted.sites}
    with model_run(__file__, of=MODEL, sample=CLIPS, **made_by) as reading:
        reader = reading.reader
        loaded = reader.loaded
        prompts = ClipPrompts(loaded.processor, loaded.model.config, reader.prompt, how, frames.count, frames.decoded)
        fit_batch(reader, prompts.tokens(max(seen, key=lambda clip: clip.size[0] * clip.size[1])))
        sites = evenly_spread(wanted.sites, decoder_sites(loaded.parts)[:-1])  # behind the last no token sees a frame
        todo = [ClipPair(seen[pair.a], seen[pair.b]) for pair in pairs]
        work = frames_work(reader, prompts, sites)
        shards = reading.read_in_shards(todo, work, "patch frames", "pair")
        cells = {"site": sites, "frame": [*range(prompts.groups), ALL_FRAMES]}
        table = as_table(clips.rename(columns={"clip": "image_id"}), pairs, shards, cells)
        tables.write(table, PATCHED, {**reading.made_by, "pairs_tried": len(pairs)})


if __name__ == "__main__":
    run(main)
