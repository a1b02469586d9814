"""A figure is kept as PNG, and as PDF and SVG for one column and for two, to the byte the same whenever it is drawn."""

import re

import pytest
from matplotlib.figure import Figure

from signbridge.report.figures.saving import save_figure


def drawn() -> Figure:
    """Two panels and a legend, for the width of a page."""
    figure = Figure(figsize=(7.0, 3.0), layout="constrained")
    for axes in figure.subplots(1, 2, sharey=True):
        axes.plot([0, 1], [0, 1], marker="o", label="a line of the legend")
    figure.legend(["a line of the legend", "another line of it"], loc="outside lower center", ncols=3)
    return figure


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> dict[str, bytes]:
    folders = [tmp_path_factory.mktemp(name) for name in ("one", "two")]
    for folder in folders:
        save_figure(drawn(), folder / "curve.png")
    one, two = (
        {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.*")} for folder in folders
    )
    assert one == two, "equal figures give equal bytes"
    return one


def test_each_figure_is_there_as_pdf_and_svg_for_one_column_and_for_two(saved):
    vectors = {f"print/curve-{columns}.{kind}" for columns in ("one-column", "two-columns") for kind in ("pdf", "svg")}
    assert set(saved) == {"curve.png", *vectors}
    widths = {
        name: float(re.search(rb'width="([\d.]+)pt"', content)[1])
        for name, content in saved.items()
        if name.endswith("svg")
    }
    assert widths == {
        "print/curve-one-column.svg": pytest.approx(3.4 * 72),
        "print/curve-two-columns.svg": pytest.approx(7 * 72),
    }
    assert not [name for name, content in saved.items() if b"CreationDate" in content or b"dc:date" in content]


def test_a_grid_of_images_keeps_its_own_size_and_nothing_is_said_of_its_glyphs(tmp_path, caplog):
    caplog.set_level("INFO")
    save_figure(drawn(), tmp_path / "grid.png", columns=False)
    assert sorted(path.name for path in (tmp_path / "print").iterdir()) == ["grid.pdf", "grid.svg"]
    assert not caplog.records
