"""Fitted probes: how they are stored, and the notebook's own.

`data/probes/SITE.safetensors` holds `POSITION.FITTED_ON.{coef,intercept,mean,scale}` in float32, where FITTED_ON is
`signbridge` (the training images of the notebook's split) or `sample` (every image). The file metadata names the
letters of the rows of `coef`. Nothing in it can be executed.

`fit_notebook_probe` is scikit-learn's `StandardScaler` and `LogisticRegression(C=C)`, with its default tolerance. With
more features than rows it stops short of the optimum at a point that depends on the path, so protocol `signbridge`
needs scikit-learn itself to reproduce the notebook's predictions.
"""

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as serialise
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from signbridge.core.errors import SignBridgeError, check_readable
from signbridge.core.pipeline import how_to_get, repro
from signbridge.core.tables import whole_file

_KEY = "classes"
_TENSORS = ("coef", "intercept", "mean", "scale")


class Probe(NamedTuple):
    """A standardiser and a multinomial logistic regression: softmax(coef (x - mean) / scale + intercept)."""

    classes: list[str]  # the letters, sorted
    coef: Float[np.ndarray, "classes width"]  # on standardised features; of two classes the first row is zero
    intercept: Float[np.ndarray, "classes"]
    mean: Float[np.ndarray, "width"]  # of the training vectors
    scale: Float[np.ndarray, "width"]  # their standard deviation, 1 where constant

    def predict_probability(self, vectors: Float[np.ndarray, "rows width"]) -> Float[np.ndarray, "rows classes"]:
        """The probability of each letter for each row."""
        standardised = (vectors.astype(np.float64) - self.mean) / self.scale
        return softmax(standardised @ self.coef.T.astype(np.float64) + self.intercept, axis=1)

    def predict(self, vectors: Float[np.ndarray, "rows width"]) -> np.ndarray:
        """The likeliest letter of each row."""
        return np.array(self.classes)[self.predict_probability(vectors).argmax(axis=1)]


def save(path: Path | str, probes: dict[tuple[str, str], Probe]) -> None:
    """Write the probes of one site, keyed by position and what they were fitted on, whole or not at all."""
    tensors = {}
    classes = {}
    for (position, fitted_on), probe in probes.items():
        name = f"{position}.{fitted_on}"
        classes[name] = probe.classes
        for tensor in _TENSORS:
            tensors[f"{name}.{tensor}"] = np.ascontiguousarray(getattr(probe, tensor), dtype=np.float32)
    with whole_file(path) as unfinished:
        # One key only: safetensors writes several in no fixed order.
        unfinished.write_bytes(serialise(tensors, metadata={_KEY: json.dumps(classes, sort_keys=True)}))


def load(path: Path | str, position: str, fitted_on: str) -> Probe:
    """Read one probe of a site. Raises `SignBridgeError` saying which the file has."""
    try:
        check_readable(path)
        with safe_open(path, framework="numpy") as file:
            classes = json.loads(file.metadata()[_KEY])
            name = f"{position}.{fitted_on}"
            if name not in classes:
                raise SignBridgeError(f"{path}: no probe '{name}'. There are: {', '.join(classes)}.")
            return Probe(classes[name], *(file.get_tensor(f"{name}.{tensor}") for tensor in _TENSORS))
    except FileNotFoundError:
        raise SignBridgeError(f"{path}: no such file. {how_to_get(path)}") from None
    except SafetensorError as error:
        raise SignBridgeError(f"{path}: not readable as safetensors ({error}). Delete it and {repro(path)}.") from None


MAX_ITERATIONS = 1000  # the notebook's


def fit_notebook_probe(
    vectors: Float[np.ndarray, "images width"], labels: np.ndarray, train: Bool[np.ndarray, "images"], C: float
) -> Probe:
    """Fit the training images as the notebook does."""
    rows = vectors.astype(np.float64)
    scaler = StandardScaler().fit(rows[train])
    model = LogisticRegression(C=C, max_iter=MAX_ITERATIONS).fit(scaler.transform(rows[train]), labels[train])
    coef, intercept = model.coef_, model.intercept_
    if len(model.classes_) == 2:  # one row that speaks for the second class
        coef, intercept = np.vstack([0 * coef, coef]), np.append(0, intercept)
    return Probe(list(model.classes_), coef, intercept, scaler.mean_, scaler.scale_)
