"""The stages of the question about clips, on drawings whose truth is known: order adds from a certain block on."""

import sys

import pytest

from signbridge.core import tables
from stages.motion import compare, controls, probe
from tests.conftest import Workspace
from tests.stages.motion import made_up_clips
from tests.stages.small_study import working_in


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Workspace:
    """A folder in which every stage but the report has run on the made-up clips."""
    with working_in(tmp_path_factory.mktemp("motion")) as workspace, pytest.MonkeyPatch.context() as patched:
        made_up_clips.prepare(workspace)
        for reading in made_up_clips.READINGS:
            patched.setattr(sys, "argv", ["probe", reading])
            probe.main()
        controls.main()
        compare.main()
        yield workspace


def test_try(finished):
    import pandas as pd

    pd.set_option("display.width", 250, "display.max_columns", 30, "display.max_rows", 200)
    for name in ("order", "controls", "other_clip", "reversed", "frames", "answers"):
        print(tables.read(f"data/motion/compared/{name}.parquet"))
    print(open("data/motion/compared/findings.json").read(), open("metrics/motion.json").read())
    print(open("plots/motion/order.csv").read()[:300])
    assert 0
