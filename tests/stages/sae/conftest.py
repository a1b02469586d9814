"""One small study, whose autoencoders are trained and read once for all tests behind `train`."""

from pathlib import Path

import pytest

from stages.sae import features
from tests.stages.causal_study import extracted
from tests.stages.sae_study import set_up
from tests.stages.small_study import written_by


@pytest.fixture(scope="session")
def of_features(tmp_path_factory) -> tuple[Path, dict[str, bytes]]:
    """The folder of a study whose stage `sae.features` has run, and what that wrote. Not to be changed."""
    folder = tmp_path_factory.mktemp("sae_features")
    with extracted(folder) as workspace:
        set_up(workspace)
        return folder, written_by(features.main)
