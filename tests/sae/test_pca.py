"""Principal components of the stream, against what is planted and against scikit-learn."""

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from signbridge.core.errors import SignBridgeError
from signbridge.sae import pca


def vectors() -> torch.Tensor:
    """Of another variance along every axis, far from the origin."""
    return 10 + torch.randn(400, 6, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 9, 3, 5, 7, 2])


def test_components_are_those_of_scikit_learn_and_explain_as_much():
    given = vectors()
    reference = PCA().fit(given.double().numpy())
    found = pca.fit_pca(given)
    cosines = np.abs((found.components.numpy() * reference.components_).sum(1))
    np.testing.assert_allclose(cosines, 1, rtol=1e-4)
    sums = found.sums(given)
    np.testing.assert_allclose(sums["explained"] / sums["off_centre"], reference.explained_variance_ratio_, rtol=1e-4)


def test_what_is_stored_is_read_and_what_is_missing_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(pca, "MOST", 2)
    fitted = pca.fit_pca(vectors())
    assert fitted.components.shape == (2, 6)
    pca.write_pca(tmp_path, fitted)
    for stored, mine in zip(pca.open_pca(tmp_path, torch.device("cpu")), fitted, strict=True):
        torch.testing.assert_close(stored, mine)
    with pytest.raises(SignBridgeError, match=pca.PCA):
        pca.open_pca(tmp_path / "elsewhere", torch.device("cpu"))
