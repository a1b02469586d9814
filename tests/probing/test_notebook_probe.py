"""Protocol `signbridge` fits what the notebook fits: scikit-learn's pipeline as it comes."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from signbridge.probing.probes import fit_notebook_probe


@pytest.mark.parametrize("letters", [2, 6])
@pytest.mark.parametrize("features", [20, 400])
def test_predictions_and_probabilities_are_those_of_the_pipeline(letters, features):
    generator = np.random.default_rng(0)
    labels = np.array(list("ABCDEF"))[np.arange(90) % letters]
    vectors = generator.normal(size=(90, features)).astype(np.float32)
    vectors[:, :letters] += np.eye(letters)[np.arange(90) % letters]
    vectors[:, -1] = 0.1  # a dead pixel
    train = generator.permutation(90) < 70
    probe = fit_notebook_probe(vectors, labels, train, C=1.0)

    pipeline = make_pipeline(StandardScaler(), LogisticRegression(C=1.0, max_iter=1000))
    pipeline.fit(vectors[train].astype(np.float64), labels[train])
    tested = vectors[~train].astype(np.float64)
    assert probe.classes == pipeline.classes_.tolist()
    assert probe.predict(vectors[~train]).tolist() == pipeline.predict(tested).tolist()
    np.testing.assert_allclose(probe.predict_probability(vectors[~train]), pipeline.predict_proba(tested), atol=1e-12)
