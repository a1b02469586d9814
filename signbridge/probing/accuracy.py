"""The sweep as one table of accuracies by site, in order of depth."""

import pandas as pd

from signbridge.probing.curves import Curves

COLUMNS = ["protocol", "site", "depth", "position", "accuracy", "low", "high", "images_tested", "leaking"]


def accuracy_table(curves: Curves, copies_in_train: dict[str, float]) -> pd.DataFrame:
    """One row a protocol, site and position of the model itself, with the bootstrap interval over photos.

    The notebook's protocol comes first, and what the answers give away after the last site. `leaking` is true where
    `copies_in_train`, the share of tested images with a copy in training, is not zero.
    """
    table = curves.model.assign(leaking=curves.model["protocol"].map(copies_in_train) > 0)
    table = table.sort_values(["protocol", "depth"], ascending=[False, True], kind="stable", ignore_index=True)
    return table[COLUMNS]
