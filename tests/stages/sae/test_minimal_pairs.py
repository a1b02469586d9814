"""The stage `sae.minimal_pairs`, with autoencoders of a small random model."""

from pathlib import Path

import pytest

from signbridge.core import params, tables
from signbridge.datasets.hands import FINGERS
from stages.sae.minimal_pairs import WRITTEN, main
from tests.stages.causal_study import continued
from tests.stages.sae_study import SITES
from tests.stages.small_study import as_declared, copy_into, declared, written_by

RENDERED = {"source": "rendered", "params": {"source": "rendered", "seed": 5, "size": 28, "photos": 2, "copies": 1}}
SAMPLE = Path("data/sample.parquet")


@pytest.fixture(scope="module")
def finished(tmp_path_factory, of_features) -> tuple[Path, dict[str, bytes]]:
    """The folder of a study of drawn hands whose stage has run, and what the stage wrote."""
    folder = tmp_path_factory.mktemp("sae_minimal_pairs")
    with continued(of_features[0], folder), pytest.MonkeyPatch.context() as here:
        here.setenv("LOKY_MAX_CPU_COUNT", "1")  # processes take longer to begin than a few photos to draw
        tables.write(tables.read(SAMPLE), SAMPLE, {"images": RENDERED})
        return folder, written_by(main)


@pytest.fixture
def study(workspace, finished, monkeypatch):
    monkeypatch.setenv("SIGNBRIDGE_DEVICE", "cpu")
    return copy_into(workspace, finished[0])


def read() -> dict:
    return {name: tables.read(WRITTEN / f"{name}.parquet") for name in ("told", "changed")}


def test_features_stream_tower_and_pixels_are_read_of_every_finger(study, finished):
    assert as_declared("sae.minimal_pairs", finished[1]) == declared("sae.minimal_pairs")
    told, changed = read()["told"], read()["changed"]
    places = set(told[["reads", "site"]].itertuples(index=False, name=None))
    assert {("probe", "pixels"), ("probe", "vision")} <= places
    assert {(reads, site) for reads in ("features", "stream", "probe") for site in SITES} <= places
    assert set(told["finger"]) == set(FINGERS)
    assert len(set(told["photo"])) == 2 * len(set(told["letter"]))
    assert (changed["features"] > 0).any()


def test_a_dataset_that_is_not_drawn_has_no_pairs_and_says_so(study, caplog):
    columns = {name: list(table.columns) for name, table in read().items()}
    tables.write(tables.read(SAMPLE), SAMPLE, {"images": {"source": "image_folder"}})
    main()
    assert "there are no minimal pairs" in caplog.text
    assert all(table.empty for table in read().values())
    assert {name: list(table.columns) for name, table in read().items()} == columns


def test_a_single_photo_a_letter_is_refused_before_anything_is_read(study):
    study.set_in(params.SAE, minimal_pairs__photos=1)
    assert "stages/sae/params.yaml: minimal_pairs.photos" in study.message_of_failure(main)
