"""UMAP: the activations of one site as a picture of two dimensions.

McInnes, Healy, Melville: UMAP: Uniform Manifold Approximation and Projection, arXiv:1802.03426.
"""

import warnings

import numpy as np
import pandas as pd
from jaxtyping import Float32
from pydantic import Field

from signbridge.core.activations import TOKEN_POSITIONS, layer_site, positions_of
from signbridge.core.errors import SignBridgeError
from signbridge.core.params import Section
from signbridge.probing.peak import chosen_layer

BEST = "best"


class ProjectParams(Section):
    """The section `project` of `params.yaml`."""

    site: str  # a site, or `best`: the layer that most folds of the grouped protocol chose at `position`
    position: str
    neighbors: int = Field(ge=2)
    min_dist: float = Field(ge=0, le=1)


def choose_site(params: ProjectParams, sites: list[str], choices: pd.DataFrame) -> str:
    """The site to project: what `params` names, or the best by the table `data/choices.parquet`.

    `sites` are those that were read. Raises `SignBridgeError` if the named one is not among them, or if no
    layer was probed under the grouped protocol at the position.
    """
    there = TOKEN_POSITIONS if params.site == BEST else positions_of(params.site)
    if params.position not in there:
        raise SignBridgeError(
            f"params.yaml: project.position: no position '{params.position}'. There are: {', '.join(there)}."
        )
    if params.site != BEST:
        if params.site not in sites:
            there = ", ".join([BEST, *sites])
            raise SignBridgeError(f"params.yaml: project.site: no site '{params.site}'. There are: {there}.")
        return params.site
    layer = chosen_layer(choices, params.position)
    if layer is None:
        raise SignBridgeError(
            f"params.yaml: project.site: '{BEST}' needs a layer probed under 'grouped' at '{params.position}', "
            f"and section 'probe' asks for none. Name a site, such as {layer_site(0)}."
        )
    return layer


def project(
    vectors: Float32[np.ndarray, "images width"], params: ProjectParams, seed: int
) -> Float32[np.ndarray, "images 2"]:
    """Coordinates of the vectors, unscaled, in UMAP's plane; on one thread, so that a seed gives one picture.

    Raises `SignBridgeError` if there are too few images for the number of neighbours.
    """
    fewest = max(params.neighbors, 3) + 1  # the spectral start needs four points
    if len(vectors) < fewest:
        raise SignBridgeError(
            f"params.yaml: project.neighbors: {params.neighbors} neighbours need {fewest} images or more, "
            f"and the sample has {len(vectors)}. Lower it, or draw more images (section 'sample')."
        )
    with warnings.catch_warnings():  # about a part of the package that is not used here
        warnings.filterwarnings("ignore", "Tensorflow not installed", ImportWarning)
        from umap import UMAP  # here, because it takes seconds: nobody who reads the params waits for it
    reducer = UMAP(n_neighbors=params.neighbors, min_dist=params.min_dist, random_state=seed, n_jobs=1)
    return reducer.fit_transform(vectors)
