"""Probes go to a file and come back as they were."""

import stat

import numpy as np
import pytest

from signbridge.core.errors import SignBridgeError
from signbridge.probing import probes

GENERATOR = np.random.default_rng(0)


def probe(letters: str) -> probes.Probe:
    n = len(letters)
    coef, intercept, mean, scale = (GENERATOR.normal(size=shape) for shape in ((n, 8), n, 8, 8))
    return probes.Probe(list(letters), coef, intercept, mean, np.abs(scale) + 0.1)


def test_a_probe_read_back_gives_the_same_probabilities(tmp_path):
    written = {("prompt_last", "sample"): probe("ABC"), ("image_mean", "signbridge"): probe("AC")}
    probes.save(tmp_path / "layer_00.safetensors", written)
    rows = GENERATOR.normal(size=(5, 8))
    for key, expected in written.items():
        read = probes.load(tmp_path / "layer_00.safetensors", *key)
        assert read.classes == expected.classes
        assert read.coef.dtype == np.float32
        np.testing.assert_allclose(read.predict_probability(rows), expected.predict_probability(rows), atol=1e-5)
        np.testing.assert_allclose(read.predict_probability(rows).sum(axis=1), 1)
        assert set(read.predict(rows)) <= set(expected.classes)


def test_equal_probes_are_equal_bytes_that_everyone_may_read(tmp_path):
    written = {(position, "sample"): probe("ABC") for position in ("prompt_last", "answer_last", "image_mean")}
    contents = set()
    for attempt in range(5):
        path = tmp_path / f"{attempt}.safetensors"
        probes.save(path, written)
        contents.add(path.read_bytes())
    assert len(contents) == 1
    assert path.stat().st_mode & stat.S_IRGRP


def test_a_probe_that_is_not_there_is_refused_naming_those_that_are(tmp_path):
    probes.save(tmp_path / "x.safetensors", {("prompt_last", "sample"): probe("AB")})
    with pytest.raises(SignBridgeError, match=r"no probe 'flat\.sample'\. There are: prompt_last\.sample"):
        probes.load(tmp_path / "x.safetensors", "flat", "sample")
    with pytest.raises(SignBridgeError, match="no such file"):
        probes.load(tmp_path / "y.safetensors", "flat", "sample")
    (tmp_path / "z.safetensors").write_bytes(b"no tensors here")
    with pytest.raises(SignBridgeError, match="not readable as safetensors"):
        probes.load(tmp_path / "z.safetensors", "flat", "sample")
