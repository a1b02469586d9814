"""report: what image tokens say in words, as one page that opens with no network, and a strip of words for print."""

from pathlib import Path

from signbridge.core import params, tables
from signbridge.core.command_line import run
from signbridge.datasets.hands import read_hands, words_by_image
from signbridge.report.columns import COLUMNS
from signbridge.report.figures.lens_strip import example_patch, lens_strip
from signbridge.report.figures.saving import save_figure
from signbridge.report.inputs import Findings, Lenses
from signbridge.report.page import write
from signbridge.report.pages import lenses_page
from signbridge.report.settings import read_settings
from signbridge.report.shown_images import as_shown

REPORT = Path("report/lenses.html")
FIGURE = Path("plots/lenses/lens_strip.png")
SAMPLE, HANDS = Path("data/sample.parquet"), Path("data/hands.parquet")
DATA = Path("data/lenses")
WORDS, READABLE, ALIGNMENT = DATA / "words.parquet", DATA / "readable", DATA / "alignment"
MADE = (SAMPLE, WORDS, DATA / "modalities.parquet")
TABLES = ("patches", "shares", "leads", "on_hand", "leap")


def main() -> None:
    """Read data/lenses/, the sample and what is known of its hands; write the strip and the page."""
    words = tables.read(WORDS)
    hands = read_hands(HANDS, list(dict.fromkeys(words["image_id"])))
    settings = read_settings(MADE, [params.LENSES])
    lenses = Lenses(
        found=Findings(tables.read_findings(READABLE / "findings.json")),
        sample=as_shown(tables.read(SAMPLE), settings.hidden),
        settings=settings,
        words=words,
        true_words=words_by_image(hands),
        **{name: tables.read(READABLE / f"{name}.parquet", COLUMNS.get(name)) for name in TABLES},
        aligned=Findings(tables.read_findings(ALIGNMENT / "findings.json")),
        alignment=tables.read(ALIGNMENT / "alignment.parquet", COLUMNS["alignment"]),
    )
    save_strip(lenses)
    write(lenses_page(lenses), REPORT)


def save_strip(lenses: Lenses) -> None:
    """Write the words of one patch of one hand to plots/lenses/."""
    image, patch = example_patch(lenses.patches, lenses.grid)
    shown = lenses.words[(lenses.words["image_id"] == image) & (lenses.words["patch"] == patch)]
    label = lenses.sample.set_index("image_id")["label"][image]
    true_words = lenses.true_words.get(image, frozenset())
    title = f"{label} ({image}), {lenses.found['model']}"
    save_figure(lens_strip(shown, lenses.png[image], lenses.grid, true_words, title), FIGURE, columns=False)


if __name__ == "__main__":
    run(main)
