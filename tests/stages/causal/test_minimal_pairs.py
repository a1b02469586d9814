"""The stage `minimal_pairs`, with a small random model."""

from pathlib import Path

import pytest

from signbridge.core import params, tables
from signbridge.datasets.hands import FINGERS
from stages.causal.minimal_pairs import WRITTEN, main
from tests.stages.causal_study import MINIMAL_PAIRS, copy_to_run
from tests.stages.pretrained_study import CLASSES, made
from tests.stages.small_study import as_declared, declared, written_by

RENDERED = {"source": "rendered", "params": {"source": "rendered", "seed": 5, "size": 28, "photos": 2, "copies": 1}}


def read() -> dict:
    return {name: tables.read(WRITTEN / f"{name}.parquet") for name in ("said", "read", "patched", "steered")}


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> tuple[Path, dict[str, bytes]]:
    """The folder of a study of drawn hands whose stage has run, and what the stage wrote."""
    folder = tmp_path_factory.mktemp("minimal_pairs")
    with made(folder, "llava-next") as workspace, pytest.MonkeyPatch.context() as here:
        here.setenv("LOKY_MAX_CPU_COUNT", "1")  # processes take longer to begin than four photos to draw
        workspace.set_in(params.CAUSAL, minimal_pairs={"small": MINIMAL_PAIRS, "full": MINIMAL_PAIRS})
        sample, letters = Path("data/sample.parquet"), dict(zip(CLASSES, "ABC", strict=True))
        table = tables.read(sample)
        tables.write(table.assign(label=table["label"].map(letters)), sample, {"images": RENDERED})
        return folder, written_by(main)


@pytest.fixture
def study(workspace, finished, monkeypatch):
    return copy_to_run(workspace, finished[0], monkeypatch)


def test_photos_of_the_letters_that_can_be_bent_are_read_with_every_finger(study, finished):
    assert as_declared("causal.minimal_pairs", finished[1]) == declared("causal.minimal_pairs")
    found = read()
    assert list(found["said"]["finger"]) == list(FINGERS) * 4  # two photos of B and two of C; A is a fist
    assert set(found["said"]["letter"]) == {"B", "C"}
    places = set(found["read"][["site", "position"]].itertuples(index=False, name=None))
    assert {("pixels", "flat"), ("vision", "image_mean"), ("layer_02", "image_tokens")} <= places
    changed = found["said"][found["said"]["changed"]]
    assert set(found["patched"]["photo"]) == set(found["steered"]["photo"]) <= set(changed["photo"])
    assert len(found["patched"]), "the random model's texts differ"


def test_a_dataset_that_is_not_drawn_has_no_pairs_and_says_so(study, caplog):
    columns = {name: list(table.columns) for name, table in read().items()}
    sample = Path("data/sample.parquet")
    tables.write(tables.read(sample), sample, {"images": {"source": "image_folder"}})
    main()
    assert "there are no minimal pairs" in caplog.text
    assert all(table.empty for table in read().values())
    assert {name: list(table.columns) for name, table in read().items()} == columns


def test_a_single_photo_a_letter_is_refused_before_a_model_is_loaded(study):
    study.set_in(params.CAUSAL, minimal_pairs__small={**MINIMAL_PAIRS, "photos": 1})
    assert "minimal_pairs.<sweep>.photos is 1" in study.message_of_failure(main)
