"""How the tests hold annotated functions to their types: by beartype, to which NumPy's integers are integers too."""

import numpy as np
from beartype import BeartypeConf, FrozenDict, beartype

check = beartype(
    conf=BeartypeConf(
        hint_overrides=FrozenDict({int: int | np.integer, float: float | int | np.number}),
    )
)
