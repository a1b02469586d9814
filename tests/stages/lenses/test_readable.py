"""The stage `readable`, on the lenses of a small study."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from signbridge.core import tables
from signbridge.datasets.hands import read_hands, words_by_image, words_of_letters
from signbridge.datasets.images import encode_png
from signbridge.rendered.dataset import RenderedParams, hand_in
from signbridge.rendered.hand_masks import share_by_patch
from signbridge.statistics.readable import HEADLINE
from stages.lenses import lens, readable, text_index
from tests.conftest import ROOT
from tests.stages.causal_study import copy_to_run
from tests.stages.lens_study import HANDS, LABELS, LENSES, SAMPLE, WORDS, relabel, sampled
from tests.stages.small_study import as_declared, declared, written_by

WRITTEN = Path("data/lenses/readable")


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> tuple[Path, dict[str, bytes]]:
    """The folder of a study whose stage has run, and what it wrote."""
    folder = tmp_path_factory.mktemp("readable")
    with sampled(folder):
        text_index.main()
        lens.main()
        return folder, written_by(readable.main)


@pytest.fixture
def study(workspace, finished, monkeypatch):
    return copy_to_run(workspace, finished[0], monkeypatch)


def table(name: str):
    return tables.read(WRITTEN / f"{name}.parquet")


def findings() -> dict:
    return json.loads((WRITTEN / "findings.json").read_text())


def test_what_is_declared_is_written_for_every_lens_and_layer(study, finished):
    assert as_declared("lenses.readable", finished[1]) == declared("lenses.readable")
    assert set(table("shares")["lens"]) == {"embedding", "logit", "latent"}
    assert table("shares").groupby(["lens", "guesses"]).size().unique().tolist() == [3]
    assert set(table("shares")["guesses"]) == {1, LENSES["k"]}
    assert table("leads").groupby("guesses").size().tolist() == [3, 3]
    found = findings()
    assert found["model"] == "tiny-random (it has learnt nothing)"
    assert 0 <= found["latent_text_words_right"] <= 1
    assert not any(key.startswith("leap") and not 0 <= found[key] <= 1 for key in found)


def test_the_metrics_file_names_the_findings_for_a_stranger(study):
    metrics, found = tables.read_findings("metrics/lenses/readable.json"), findings()
    assert len(metrics) <= 25
    assert list(metrics) == [name for name, key in HEADLINE.items() if key in found]
    assert metrics["logit_lens_over_null"] == round(found["logit_over_null"], 4)
    assert metrics["latent_lens_k_words_over_null"] == round(found["latent_k_words_over_null"], 4)
    assert metrics["logit_lens_best_layer"] == found["logit_best_layer"]
    assert list(metrics)[:3] == [f"latent_lens_first_layer{end}" for end in ("", "_low", "_high")]
    assert len(HEADLINE) <= 25, "an approximate search's recall is one more"


def test_the_plot_has_the_share_of_every_lens_and_layer_beside_its_harder_null(study):
    plot, shares = tables.read_csv("plots/lenses/readable.csv"), table("shares")
    shares = shares[shares["guesses"] == 1]
    template = json.loads(Path(ROOT / ".dvc/plots/lenses.json").read_text())
    domain = template["spec"]["layer"][0]["encoding"]["color"]["scale"]["domain"]
    assert list(dict.fromkeys(plot["words"])) == domain
    assert len(plot) == 2 * len(shares)
    passed = [0 if site == "embedding" else int(site.removeprefix("layer_")) + 1 for site in shares["site"]]
    assert plot["blocks"].astype(int).tolist() == 2 * passed
    null = plot.loc[plot["words"] == domain[1], "share"].astype(float)
    np.testing.assert_allclose(null, shares[["other_image", "shuffled_words"]].max(axis=1), atol=1e-6)


def test_every_patch_is_there_with_its_hand(study):
    patches, words = table("patches"), tables.read(WORDS)
    keys = ["image_id", "site", "lens", "patch"]
    assert len(patches) == 2 * len(words[keys].drop_duplicates())
    assert len(patches.merge(words[keys].drop_duplicates(), on=keys)) == len(patches)
    assert set(patches["interpretable"]) <= {0.0, 1.0}
    assert all(patches[name].between(0, 1).all() for name in ("other_image", "shuffled_words", "hand"))
    made_by = tables.made_by(WRITTEN / "patches.parquet")
    assert {"model", "packages", "lenses", "statistics", "seed"} <= made_by.keys()


def test_the_words_that_hold_are_those_of_the_letter(study):
    sample = tables.read(SAMPLE)
    words = words_by_image(read_hands(HANDS, sample["image_id"].tolist()))
    labels = sample.set_index("image_id")["label"]
    assert words.keys() == set(labels.index)
    assert all(words[image] == words_of_letters()[labels[image]] for image in words)
    said, patches = tables.read(WORDS), table("patches").set_index(["guesses", "image_id", "site", "lens", "patch"])
    for keys, here in said.groupby(["image_id", "site", "lens", "patch"]):
        for guesses in (1, LENSES["k"]):
            expected = any(word.lower() in words[keys[0]] for word in here.loc[here["rank"] <= guesses, "word"])
            assert patches.loc[(guesses, *keys), "interpretable"] == expected


def test_of_drawn_hands_the_renderer_says_where_they_are(study):
    drawn = {"source": "rendered", "seed": 7, "size": 28, "photos": 2, "copies": 2}
    study.set(dataset="drawn", datasets__drawn=drawn)
    ids = {old: f"B-{number // 2:03d}-{number % 2}" for number, old in enumerate(tables.read(SAMPLE)["image_id"])}
    for path in (SAMPLE, HANDS, WORDS):
        tables.write(tables.read(path).replace({"image_id": ids}), path, tables.made_by(path))
    readable.main()
    patches = table("patches")
    rows, columns = tables.read(WORDS)[["rows", "columns"]].iloc[0]
    for image, here in patches.groupby("image_id"):
        expected = share_by_patch(hand_in(RenderedParams(**drawn), image), rows, columns)
        np.testing.assert_allclose(here["hand"], expected[here["patch"]])


def show(square: np.ndarray) -> None:
    """The same pixels for every image of the sample, after the lenses have looked at it."""
    sample = tables.read(SAMPLE)
    tables.write(sample.assign(image=[encode_png(square)] * len(sample)), SAMPLE, {})


def test_the_hand_is_on_the_patches_that_show_it(study):
    picture = np.full((56, 56), 100, np.uint8)
    picture[24:56, 8:24] = 240  # below, left of the middle: neither turned nor mirrored it would be the same patches
    show(picture)
    readable.main()
    patches = table("patches")
    rows, columns = tables.read(WORDS)[["rows", "columns"]].iloc[0]
    down, right = (np.array(patches["patch"]) // columns + 0.5) / rows, (patches["patch"] % columns + 0.5) / columns
    on_it = (down > 24 / 56) & (right > 8 / 56) & (right < 24 / 56)
    hand = patches["hand"]
    assert 0 < on_it.mean() < 1
    assert hand[on_it].min() > 0.5 > hand[~on_it].max()
    on_hand = table("on_hand")
    assert set(on_hand["lens"]) == {"embedding", "logit", "latent"}
    assert "latent_hand_minus_background" in findings()


@pytest.mark.parametrize("why", ["image", "tokens"])
def test_where_image_or_tokens_are_no_square_nothing_is_said_of_the_hand_but_all_else(study, why):
    before = (WRITTEN / "shares.parquet").read_bytes()
    if why == "image":
        show(np.zeros((28, 40), np.uint8))
    else:
        no_grid = pd.array([None] * len(tables.read(WORDS)), dtype="Int64")
        tables.write(tables.read(WORDS).assign(rows=no_grid, columns=no_grid), WORDS, tables.made_by(WORDS))
    readable.main()
    assert table("patches")["hand"].isna().all()
    assert table("on_hand").empty
    assert not any("hand_minus" in key for key in findings())
    assert (WRITTEN / "shares.parquet").read_bytes() == before


def test_the_same_study_gives_the_same_bytes(study, finished):
    readable.main()
    assert {path: Path(path).read_bytes() for path in finished[1]} == finished[1]


def test_classes_that_are_no_letters_have_no_shares_but_text_layers(study):
    relabel([f"thumb_{label}" for label in LABELS])
    readable.main()
    assert table("shares").empty
    assert table("on_hand").empty
    assert table("patches").empty
    assert table("leads").empty
    assert not table("leap").empty
    assert "latent_share" not in findings()
