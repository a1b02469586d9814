"""The stage `alignment`, on the image and text tokens of a small study."""

import json
from pathlib import Path

import numpy as np
import pytest

from signbridge.core import params, tables
from signbridge.statistics.alignment import (
    COSINES,
    HEADLINE,
    MEASURES,
    NEIGHBOURS,
    PROBES,
)
from stages.lenses import alignment, modalities
from tests.stages.causal_study import copy_to_run
from tests.stages.lens_study import IMAGES, relabel, with_modalities
from tests.stages.small_study import as_declared, declared, written_by

TABLE = "data/lenses/alignment/alignment.parquet"


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> tuple[Path, dict[str, bytes]]:
    """The folder of a study whose stage has run, and what it wrote."""
    folder = tmp_path_factory.mktemp("alignment")
    with with_modalities(folder):
        modalities.main()
        return folder, written_by(alignment.main)


@pytest.fixture
def study(workspace, finished, monkeypatch):
    return copy_to_run(workspace, finished[0], monkeypatch)


def found() -> dict[str, float | str]:
    return json.loads(Path("data/lenses/alignment/findings.json").read_text())


def test_what_is_declared_is_written_for_every_measure_and_layer(study, finished):
    assert as_declared("lenses.alignment", finished[1]) == declared("lenses.alignment")
    table = tables.read(TABLE)
    sites = tables.read(modalities.ITEMS)["site"].unique()
    assert list(table["measure"]) == list(np.repeat(MEASURES, len(sites)))
    assert list(table["site"]) == list(sites) * len(MEASURES)
    for measure, rows in table.groupby("measure"):
        assert rows["null"].notna().all() == (measure in {"cka", "text_probe_on_image"}), measure
        assert rows["beaten"].notna().all() == (measure in {"cka", "text_probe_on_image"}), measure


def test_the_metrics_are_the_ends_of_the_plot_and_what_lies_between(study):
    metrics, table = found(), tables.read(TABLE).set_index(["measure", "site"])["value"]
    sites = tables.read(modalities.ITEMS)["site"].unique()
    assert metrics["model"] == "tiny-random (it has learnt nothing)"
    assert metrics["images"] == IMAGES
    for measure in MEASURES:
        first, last = (metrics[f"{measure}_{end}"] for end in ("first", "last"))
        if measure not in NEIGHBOURS:  # of which some items have no token drawn
            assert first == pytest.approx(table[measure, sites[0]], abs=2e-6)
            assert last == pytest.approx(table[measure, sites[-1]], abs=2e-6)
        assert metrics[f"{measure}_last_minus_first"] == pytest.approx(last - first, abs=2e-6)
        assert (
            metrics[f"{measure}_last_minus_first_low"]
            <= metrics[f"{measure}_last_minus_first"]
            <= metrics[f"{measure}_last_minus_first_high"]
        )


def test_the_metrics_file_names_the_findings_for_a_stranger(study):
    metrics, findings = tables.read_findings("metrics/lenses/alignment.json"), found()
    assert list(metrics) == list(HEADLINE)
    assert len(metrics) <= 25
    assert metrics["image_caption_cka_last_layer"] == round(findings["cka_last"], 4)
    assert all(
        metrics[name] == pytest.approx(findings[key], abs=1e-4) for name, key in HEADLINE.items() if name != "model"
    )


def test_the_same_study_gives_the_same_bytes(study, finished):
    alignment.main()
    assert {path: Path(path).read_bytes() for path in finished[1]} == finished[1]


def test_classes_without_words_have_no_captions_of_them_and_no_probes_but_the_rest(study):
    relabel([f"thumb_{label}" for label in tables.read("data/sample.parquet")["label"]])
    modalities.main()
    alignment.main()
    assert set(tables.read(TABLE)["measure"]) == {*NEIGHBOURS, *COSINES}
    assert not any(key.startswith(("cka", *PROBES)) for key in found())
    study.set_in(params.LENSES, modalities__caption="This is {label}.")
    modalities.main()
    alignment.main()
    assert set(tables.read(TABLE)["measure"]) == {*NEIGHBOURS, "cka", *COSINES}


def test_a_caption_that_is_the_same_for_all_has_no_cka(study):
    study.set_in(params.LENSES, modalities__caption="This is a hand.")
    modalities.main()
    alignment.main()
    assert set(tables.read(TABLE)["measure"]) == {*NEIGHBOURS, *COSINES, *PROBES}
    assert not any(key.startswith("cka") for key in found())


def test_a_missing_table_is_named(study):
    modalities.NEIGHBOURS.unlink()
    assert "neighbours.parquet" in study.message_of_failure(alignment.main)
