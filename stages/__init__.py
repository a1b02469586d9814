"""The stages, one file each: `python -m stages.NAME`.

Threads that wait for work sleep. Spinning, their default, is no faster here, and on a machine that does anything else
beside it makes extraction many times slower. A GPU's memory grows in place: branches whose number grows from block to
block would otherwise leave it full of pieces, each too small for the next. The libraries read both as they load.

Python looks for garbage after every 10,000 new objects, not 700: as libraries are imported there is next to none, and
looking took a fifth of a stage's start.
"""

import gc
import os

gc.set_threshold(10_000)

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
if not {"PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF"} & os.environ.keys():  # the second is its old name
    os.environ["PYTORCH_ALLOC_CONF"] = "expandable_segments:True"
