"""The layer that is called best, chosen inside the training images of every fold.

Quoting the highest of many accuracies is a winner's curse (Cawley and Talbot 2010, "On over-fitting in model
selection"). So each fold of `grouped` chooses its own best layer by the inner folds of `data/choices.parquet`, and the
headline is the accuracy of the chosen layers on the held-out images.
"""

import pandas as pd

from signbridge.core.activations import TEXT_SITE

HEADLINE_POSITION = "prompt_last"  # the last token of the prompt, before any answer


def headline_position(choices: pd.DataFrame) -> str | None:
    """Where the best layer is quoted: `prompt_last` if a layer was probed there, else the first that was; or None."""
    probed = list(choices.loc[choices["site"].str.startswith("layer_"), "position"].unique())
    if not probed:
        return None
    return HEADLINE_POSITION if HEADLINE_POSITION in probed else probed[0]


def layer_of_each_fold(choices: pd.DataFrame, position: str) -> pd.DataFrame:
    """The layer that read the inner folds best: repeat, fold, site, position. Of equals the first in depth.

    `choices` is the table `data/choices.parquet`, whose sites stand in order of depth.
    """
    layers = choices[choices["site"].str.startswith("layer_") & (choices["position"] == position)]
    best = layers.groupby(["repeat", "fold"], sort=True)["inner_accuracy"].idxmax()
    return layers.loc[best, ["repeat", "fold", "site", "position"]].reset_index(drop=True)


def chosen_layer(choices: pd.DataFrame, position: str) -> str | None:
    """The layer that most folds chose at `position`, the first of equals; None if no layer was probed there."""
    chosen = layer_of_each_fold(choices, position)["site"].value_counts()
    if chosen.empty:
        return None
    order = {site: depth for depth, site in enumerate(choices["site"].unique())}
    return min(chosen.index[chosen == chosen.max()], key=order.__getitem__)


def quoted_places(choices: pd.DataFrame) -> list[tuple[str, str]]:
    """The sites and positions whose test against shuffled labels is quoted: pixels, the tower and the best layer."""
    position = headline_position(choices)
    best = chosen_layer(choices, position) if position else None
    return [("pixels", "flat"), ("vision", "image_mean"), *([(best, position)] if best else [])]


def headline_predictions(predictions: pd.DataFrame, choices: pd.DataFrame, position: str) -> pd.DataFrame:
    """The rows of `data/predictions.parquet` that the chosen layers made: one a test image, repeat and fold."""
    grouped = predictions[predictions["protocol"] == "grouped"]
    keys = ["repeat", "fold", "site", "position"]
    return grouped.merge(layer_of_each_fold(choices, position), on=keys, how="inner")


def headline(predictions: pd.DataFrame, choices: pd.DataFrame) -> pd.DataFrame:
    """The predictions that are quoted: of the layers that each fold chose or, where no layer was probed, of one site.

    That is the site of highest inner accuracy or, without `grouped`, of highest accuracy, as the notebook has it.
    """
    position = headline_position(choices)
    if position:
        return headline_predictions(predictions, choices, position)
    if len(choices):
        score, protocol = choices["inner_accuracy"], "grouped"
        cells = [choices["site"], choices["position"]]
    else:
        probed = predictions[predictions["site"] != TEXT_SITE]
        protocol = probed["protocol"].iloc[0]
        score, cells = (probed["label"] == probed["predicted"]), [probed["site"], probed["position"]]
    site, position = score.groupby(cells, sort=False).mean().idxmax()
    rows = predictions["protocol"] == protocol
    return predictions[rows & (predictions["site"] == site) & (predictions["position"] == position)]
