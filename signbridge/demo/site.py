"""A public, static version of what the study found: pages, figures, and the demo's examples read in advance.

    python -m signbridge.demo.site [site]

Any static host can serve the folder; no script and no server is needed. Readings come from the stored activations and
answers, so no model is loaded.
"""

import logging
import shutil
from pathlib import Path
from typing import Any

import vl_convert
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from signbridge.core import tables
from signbridge.core.command_line import run
from signbridge.core.errors import SignBridgeError
from signbridge.demo import panels, text
from signbridge.demo.__main__ import folder_to_write
from signbridge.demo.familiarity import Comparison
from signbridge.demo.neighbours import Neighbourhood
from signbridge.demo.reading import Reading
from signbridge.demo.study import DemoStudy, Place
from signbridge.report import questions
from signbridge.report.page import INDEX, PAGES
from signbridge.report.shown_images import why_hidden

REPORT, PLOTS = Path("report"), Path("plots")
IMAGES, ANSWERS = Path("data/images.parquet"), Path("data/answers.parquet")
CHART_WIDTH = 340  # pixels
STYLE = Path(__file__).parent / "page.css"
log = logging.getLogger(__name__)


def main() -> None:
    """Write the site, whole or not at all."""
    folder = folder_to_write("signbridge.demo.site", __doc__, "site", holds="report/questions.html")
    if not (REPORT / "index.html").is_file():
        raise SignBridgeError(f"{REPORT}/index.html: no page here yet. Make it with `dvc repro`.")
    log.info("Reading the study and its examples.")
    write(folder, DemoStudy())
    log.info("%s/index.html is ready. Copy %s to any static host.", folder, folder)


def write(folder: Path, study: DemoStudy) -> None:
    """`index.html`, `report/`, `figures/` and, where the dataset's images may be passed on, `gallery/`."""
    hidden = why_hidden(tables.made_by(IMAGES))
    with tables.whole_folder(folder) as unfinished:
        (unfinished / ".nojekyll").touch()  # GitHub's pages would leave out files of some names
        shutil.copy(STYLE, unfinished / "style.css")
        pages = _write_report(unfinished / "report")
        figures = _copied(sorted(PLOTS.rglob("*.png")), PLOTS, unfinished / "figures")
        letters = [] if hidden else study.examples()["label"].tolist()
        if letters:
            _write_gallery(unfinished / "gallery", study, letters)
        shown = {"pages": pages, "figures": figures, "letters": letters, "hidden": hidden}
        _write_page("site_index", unfinished / "index.html", "", model=study.model_name, **shown)


def _write_report(folder: Path) -> list[tuple[str, str]]:
    """The pages that were made, and the index of them, to which links to the others lead; their files and questions."""
    made = [file for file in PAGES if (REPORT / file).is_file()]
    folder.mkdir()
    for file in made:
        text = (REPORT / file).read_text(encoding="utf-8")
        for other in PAGES.keys() - set(made):
            text = text.replace(f'href="{other}"', f'href="{INDEX}"')
        (folder / file).write_text(text, encoding="utf-8", newline="\n")
        shutil.copystat(REPORT / file, folder / file)  # the index says when each was made
    questions.write(folder)
    return [
        *((file, PAGES[file].asks) for file in made),
        (INDEX, "Which questions were run, for which model, and when"),
    ]


def _copied(files: list[Path], of: Path, to: Path) -> list[str]:
    names = [file.relative_to(of).as_posix() for file in files]
    for name in names:
        (to / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(of / name, to / name)
    return names


def _write_gallery(folder: Path, study: DemoStudy, letters: list[str]) -> None:
    photos, place = study.sample["photo"].to_numpy(), study.best
    comparison = Comparison(study.vectors, study.probes, photos)
    neighbourhood = Neighbourhood(study.vectors(place), photos, study.probes[place])
    answers = tables.read(ANSWERS).set_index("image_id")["answer"]
    examples = study.examples()
    vectors = {at: study.vectors(at, examples.index.to_numpy()) for at in study.places}
    folder.mkdir()
    for number, (row, image) in enumerate(examples.iterrows()):
        own = {at: rows[number] for at, rows in vectors.items()}
        probabilities = {at: study.probes[at].predict_probability(vector[None])[0] for at, vector in own.items()}
        picture = study.image(image["image"])
        reading = Reading(answers[image["image_id"]], picture, own, probabilities, photos[row])
        parts = {
            "words": text.words(reading.answer, []),
            "verdict": text.verdict(study, reading, place, comparison.familiarity(own, reading.photo)),
            "seen": text.seen(picture, "The image"),
            "nearest": text.nearest(study, place, neighbourhood.nearest(own[place], reading.photo)),
        }
        others = {"letter": letters[number], "letters": letters, "model": study.model_name}
        charts = _charts(study, reading, place)
        _write_page("site_example", folder / f"{letters[number]}.html", "../", charts=charts, **others, **parts)


def _charts(study: DemoStudy, reading: Reading, place: Place) -> list[tuple[str, Markup, Markup]]:
    """The three panels: what each shows, the chart as SVG, the table."""
    site, position = place
    confidence = panels.confidence_table(study, reading.probabilities, position)
    likeliest = panels.likeliest_table(study, reading.probabilities, place)
    heat_map = panels.heat_map_table(study, reading.probabilities, position)
    chance = 1 / len(study.letters)
    return [
        (
            f"Each site's top letter; dashed: chance, {panels.percent(chance)}",
            _svg(panels.confidence_chart(confidence, site, chance)),
            Markup(text.confidence(confidence)),
        ),
        (
            f"The likeliest letters at {text.named(place)}",
            _svg(panels.likeliest_chart(likeliest)),
            Markup(text.likeliest(likeliest, place)),
        ),
        ("Every letter at every site", _svg(panels.heat_map_chart(heat_map, site)), Markup(text.heat_map(heat_map))),
    ]


def _svg(chart: Any) -> Markup:
    drawn = vl_convert.vegalite_to_svg(chart.properties(width=CHART_WIDTH).to_dict())
    return Markup(drawn[drawn.index("<svg") :])


def _write_page(template: str, path: Path, root: str, **values: Any) -> None:
    loader = FileSystemLoader(Path(__file__).parent)
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    values = {
        name: Markup(value) if name in {"words", "verdict", "seen", "nearest"} else value
        for name, value in values.items()
    }
    path.write_text(environment.get_template(f"{template}.html.j2").render(root=root, **values), encoding="utf-8")


if __name__ == "__main__":
    run(main)
