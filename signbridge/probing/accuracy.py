"""The sweep as one table of accuracies by site, in order of depth."""

import pandas as pd

from signbridge.probing.curves import BEST, Curves

COLUMNS = ["protocol", "site", "depth", "position", "accuracy", "low", "high", "images_tested", "leaking"]


def accuracy_table(curves: Curves, copies_in_train: dict[str, float]) -> pd.DataFrame:
    """One row a protocol, site and position of the model itself, with the bootstrap interval over photos.

    The notebook's protocol comes first. `depth` counts the sites; what the answers give away comes after the last of
    them. `leaking` is true where `copies_in_train`, the share of tested images with a copy in training, is not zero.
    """
    table = curves.table
    table = table[(table["series"] == "model") & (table["site"] != BEST)].reset_index(drop=True)
    table["depth"] = pd.factorize(table["site"])[0]
    table["leaking"] = table["protocol"].map(copies_in_train) > 0
    table = table.sort_values(["protocol", "depth"], ascending=[False, True], kind="stable", ignore_index=True)
    return table[COLUMNS]
