"""The stage `project`, run on a few vectors."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from signbridge.core import activations, tables
from signbridge.core.errors import SignBridgeError
from stages.project import main

IDS = [f"image-{index}" for index in range(24)]
SITES = ["pixels", "layer_00", "layer_01"]
MADE_BY = {"sites": SITES, "model": {"name": "tiny"}}


@pytest.fixture
def project_root(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    labels = ["A", "B"] * 12
    photos = [f"photo-{index // 2}" for index in range(24)]
    sample = pd.DataFrame({"image_id": IDS, "label": labels, "photo": photos, "image": [b""] * 24})
    tables.write(sample, "data/sample.parquet", {})
    generator = np.random.default_rng(0)
    for site in SITES:
        vectors = {
            position: generator.normal(size=(24, 6)).astype(np.float32) for position in activations.positions_of(site)
        }
        # The folder may hold the images in another order than the sample does.
        activations.write(Path("data/activations"), site, IDS[::-1], vectors, MADE_BY)
    folds = {"protocol": "grouped", "position": "prompt_last", "repeat": 0, "fold": [0, 1, 2], "C": 1.0}
    read = {"layer_00": [0.5, 0.6, 0.7], "layer_01": [0.9, 0.8, 0.4]}  # inside the folds: two for layer_01, one against
    rows = [pd.DataFrame({**folds, "site": site, "inner_accuracy": accuracy}) for site, accuracy in read.items()]
    tables.write(pd.concat(rows), "data/choices.parquet", {})
    write_params()
    return tmp_path


def write_params(**changes) -> None:
    chosen = {"site": "best", "position": "prompt_last", "neighbors": 5, "min_dist": 0.1, **changes}
    lines = "".join(f"  {key}: {value}\n" for key, value in chosen.items())
    Path("params.yaml").write_text(f"seed: 42\nmodel_notes: {{}}\nproject:\n{lines}")


def test_every_image_of_the_sample_gets_a_place_and_keeps_its_letter_and_photo(project_root):
    main()
    table = tables.read("data/umap.parquet")
    assert list(table.columns) == ["image_id", "label", "photo", "x", "y"]
    assert table["image_id"].tolist() == IDS
    assert table["label"].tolist() == ["A", "B"] * 12
    assert np.isfinite(table[["x", "y"]].to_numpy()).all()


def test_the_table_says_which_site_most_folds_chose(project_root):
    main()
    made_by = tables.made_by("data/umap.parquet")
    assert made_by == {
        "site": "layer_01",
        "position": "prompt_last",
        "neighbors": 5,
        "min_dist": 0.1,
        "seed": 42,
    }


def test_a_named_site_is_projected_at_its_own_position(project_root):
    write_params(site="pixels", position="flat")
    main()
    assert tables.made_by("data/umap.parquet")["site"] == "pixels"


def test_a_second_run_writes_the_same_bytes(project_root):
    written = ["data/umap.parquet"]
    main()
    first = [Path(path).read_bytes() for path in written]
    main()
    assert [Path(path).read_bytes() for path in written] == first


def test_the_best_of_a_study_without_folds_is_refused_by_asking_for_a_name(project_root):
    choices = tables.read("data/choices.parquet")
    tables.write(choices.iloc[:0], "data/choices.parquet", {})
    with pytest.raises(SignBridgeError, match=r"'best' needs a layer probed under 'grouped' at 'prompt_last'"):
        main()
    write_params(site="layer_00")
    main()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"site": "layer_7"},
            r"project\.site: no site 'layer_7'\. There are: best, pixels, layer_00, layer_01",
        ),
        ({"site": "pixels"}, r"project\.position: no position 'prompt_last'\. There are: flat"),
        ({"position": "prompt_lst"}, r"project\.position: no position 'prompt_lst'\. There are: prompt_last"),
        ({"neighbors": 1}, r"project\.neighbors: .* greater than or equal to 2"),
        (
            {"neighbors": 24},
            r"project\.neighbors: 24 neighbours need 25 images or more, and the sample has 24",
        ),
        ({"min_dist": 2.0}, r"project\.min_dist: .* less than or equal to 1"),
        ({"neighbours": 5}, r"project\.neighbours: unknown key\. Did you mean 'neighbors'"),
    ],
)
def test_a_wrong_param_is_refused_by_name(project_root, changes, message):
    write_params(**changes)
    with pytest.raises(SignBridgeError, match=message):
        main()
    assert not Path("data/umap.parquet").exists()
