"""The stages, one file each: `python -m stages.NAME`.

Threads that wait for work sleep. Spinning, their default, is no faster here, and on a machine that does anything else
beside it makes extraction many times slower. The libraries read this as they load.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
