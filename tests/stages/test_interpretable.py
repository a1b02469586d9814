"""The stage `interpretable`, on the lenses of a small study."""

import json
from pathlib import Path

import pytest

from signbridge import tables
from stages import interpretable, lens, text_index
from tests.stages.causal_study import copy_to_run, extracted
from tests.stages.small_study import as_declared, declared, written_by

CORPUS = Path("corpus.txt")


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> tuple[Path, dict[str, bytes]]:
    """The folder of a study whose stage has run, and what it wrote."""
    folder = tmp_path_factory.mktemp("interpretable")
    with extracted(folder) as workspace:
        CORPUS.write_text(
            "The finger is up.\nThe finger is bent.\nThe hand is up.\nThe hand is bent.", encoding="utf-8"
        )
        workspace.set(
            text_index={"corpus": str(CORPUS), "templates": [], "contexts": 4, "layers": [0, 1], "storage": "float8"},
            lenses={"images": 8, "patches": 9, "layers": 3, "k": 3, "memory_gib": 0.1},
            interpretable={"draws": 3, "text_words": 20},
            model_notes={"tiny-random": "it has learnt nothing"},
        )
        sample = tables.read("data/sample.parquet")
        tables.write(sample, "data/sample.parquet", {"images": {"source": "image_folder"}})
        text_index.main()
        lens.main()
        return folder, written_by(interpretable.main)


@pytest.fixture
def study(workspace, finished, monkeypatch):
    return copy_to_run(workspace, finished[0], monkeypatch)


def test_what_is_declared_is_written_for_every_lens_and_layer(study, finished):
    assert as_declared("interpretable", finished[1]) == declared("interpretable")
    table = tables.read_csv("plots/lenses.csv")
    assert set(table["lens"]) == {"embedding", "logit", "latent"}
    assert table.groupby("lens").size().unique().tolist() == [3]
    found = json.loads(Path("metrics/lenses.json").read_text())
    assert found["model"] == "tiny-random (it has learnt nothing)"
    assert 0 <= found["latent_text_words_right"] <= 1
    assert not any(key.startswith("leap") and not 0 <= found[key] <= 1 for key in found)


def test_the_same_study_gives_the_same_bytes(study, finished):
    interpretable.main()
    assert {path: Path(path).read_bytes() for path in finished[1]} == finished[1]


def test_classes_that_are_no_letters_have_no_shares_but_text_layers(study):
    sample = tables.read("data/sample.parquet")
    made_by = tables.made_by("data/sample.parquet")
    tables.write(sample.assign(label=sample["label"].map("thumb_{}".format)), "data/sample.parquet", made_by)
    interpretable.main()
    assert tables.read_csv("plots/lenses.csv").empty
    assert not tables.read_csv("plots/lens_leap.csv").empty
    assert "latent_share" not in json.loads(Path("metrics/lenses.json").read_text())
