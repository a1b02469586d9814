"""The page and the picture on a planted variable: every method with its verdict, and the truth beside it."""

import numpy as np
import pandas as pd
import pytest

from signbridge.report.figures.planted_curve import planted_curve
from signbridge.report.inputs import COLUMNS, Findings, Planted
from signbridge.report.page import html
from signbridge.report.pages import planted_page
from signbridge.report.sections import planted as section
from signbridge.statistics import planted as scoring
from tests.report import made_up

SITES = ["vision", "projector", "embedding", *(f"layer_{block:02d}" for block in range(12))]
BLOCKS = [6, 7, 8]


@pytest.fixture(scope="module")
def run() -> Planted:
    """Probe, patching and knockout find it; a lens sees nothing."""
    sample = made_up.study().sample
    late = [0.5 if place < 9 else 0.97 for place in range(len(SITES))]
    places = [(site, "image_mean", 0.5) for site in SITES[:3]]
    places += [(site, "prompt_last", value) for site, value in zip(SITES[2:], late[2:], strict=True)]
    rows = [
        (reader, site, position, SITES.index(site), value if reader == "model" else 0.5)
        for reader in ("model", "untrained_twin")
        for site, position, value in places
    ]
    accuracy = pd.DataFrame(rows, columns=["reader", "site", "position", "depth", "value"])
    accuracy = accuracy.assign(low=accuracy["value"] - 0.02, high=accuracy["value"] + 0.02)
    of_model = accuracy[(accuracy["reader"] == "model") & (accuracy["position"] == "prompt_last")]
    lenses = of_model.assign(lens="embedding", value=0.5)
    cut = of_model.assign(edit="question", value=[1.0 if site <= "layer_07" else 0.0 for site in of_model["site"]])
    patched = of_model.assign(edit="patching", value=2 * (of_model["value"] - 0.5))
    edited = pd.concat([patched, cut.iloc[1:], cut.iloc[1:].assign(edit="image", value=0.0)])
    curves = scoring.curves(accuracy, lenses, edited.rename(columns={"site": "place"}))
    scored = scoring.verdicts(curves, BLOCKS, 0.2, 1)
    asked = pd.DataFrame({"right": [True] * 9 + [False], "photo": np.arange(10)})
    found = scoring.findings(accuracy, asked, pd.DataFrame({"pair": [0, 1]}), scored, BLOCKS)
    verdicts = pd.DataFrame(
        [(method, *one[:3], ", ".join(map(str, one.marked)), one.false_marks) for method, one in scored.items()],
        columns=COLUMNS["planted_verdicts"],
    ).astype({"located": "Int64"})
    letter = pd.DataFrame({"site": SITES, "depth": range(len(SITES)), "accuracy": 0.97, "low": 0.95, "high": 0.99})
    found |= {"model": "miniature (a note)", "confidence": 0.95, "least_step": 0.2, "within": 1}
    return Planted(Findings(found), sample, made_up.SETTINGS, letter, accuracy, curves, verdicts, tuple(BLOCKS))


def test_the_answer_counts_the_methods_and_names_those_that_miss_it(run):
    below, scores = section.answer(run)
    assert "at most 50.0" in below.replace("\u2009", " ")
    assert scores.startswith("3 of 5 methods find it within 1 block of blocks 6, 7 and 8")
    assert "missed by EmbeddingLens at the last token and attention knockout, last token to the image" in scores


def test_every_method_is_in_the_table_with_its_block(run):
    [verdicts, _] = section.section(run).tables
    by_method = {row[0]: row[1:3] for row in verdicts.rows}
    assert by_method["a linear probe of the last token"] == ("found", "layer_06")
    assert by_method["attention knockout, last token to the question"] == ("found", "layer_07")
    assert by_method["EmbeddingLens at the last token"] == ("missed", "–")
    assert by_method["a linear probe of the untrained twin (control)"] == ("nothing to find", "–")


def test_the_page_holds_both_curves_and_the_tables(run):
    page = html(planted_page(run))
    for text in ("planted-accuracy", "planted-curves", "Every method against the truth", "chance by construction"):
        assert text in page


def test_the_figure_shades_the_planted_blocks_beside_the_letter(run):
    figure = planted_curve(run.letter, 0.05, run.accuracy, run.curves, run.blocks, 0.95, "miniature (a note)")
    left, right = figure.axes
    assert len(left.lines) == 2  # the letter, and chance
    [shade] = [patch for patch in right.patches if patch.get_width() == pytest.approx(3)]
    probe = next(line for line in right.lines if line.get_label() == "a probe reads it, last token of the prompt")
    inside = [x for x in probe.get_xdata() if shade.get_x() < x < shade.get_x() + shade.get_width()]
    assert len(inside) == len(BLOCKS)
