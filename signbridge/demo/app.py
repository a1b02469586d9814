"""The page: what a visitor shows on one side, what the model and the probes say on the other."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr
from gradio.data_classes import ImageData
from gradio.image_utils import decode_base64_to_file

from signbridge.demo import panels, text
from signbridge.demo.analysis import Analysis, Picture
from signbridge.demo.preparing import description
from signbridge.demo.reading import Reading
from signbridge.demo.study import DemoStudy
from signbridge.demo.uploads import UploadError, open_upload
from signbridge.errors import SignBridgeError

KEPT_SECONDS = 60  # how long an uploaded file lies in the app's own folder
HELD_SECONDS = 600  # how long its pixels and vectors stay in memory
LIVE_SECONDS, LIVE_VISITORS = 300, 4  # of one live session, and how many at once
MOST_WAITING = 40  # requests; more are turned away with a sentence
CSS = (Path(__file__).parent / "page.css").read_text(encoding="utf-8")
THEME_FONT = ["system-ui", "sans-serif"]  # nothing from the network


def as_it_came(image: gr.Image) -> gr.Image:
    """The same component, which hands on the path of a file as it came, whatever it is: `uploads.py` opens it."""

    def path_of(payload: ImageData | None) -> str | None:
        if payload is not None and payload.url and payload.url.startswith("data:"):
            return decode_base64_to_file(payload.url, image.GRADIO_CACHE, "png")
        return None if payload is None else payload.path

    image.preprocess = path_of  # on the one component: Gradio writes a file beside the source of each subclass
    return image


class Session(NamedTuple):
    """What one visitor sees."""

    picture: Picture | None = None
    reading: Reading | None = None


class Shown(NamedTuple):
    """What every event on the page fills in, in this order."""

    session: Any
    words: Any = ""
    seen: Any = ""
    verdict: Any = ""
    confidence: Any = None
    confidence_table: Any = ""
    likeliest: Any = None
    likeliest_table: Any = ""
    heat_map: Any = None
    heat_map_table: Any = ""
    nearest: Any = ""


class Handlers:
    """What happens on each event. A generator's first yield is shown while the rest is being computed."""

    def __init__(self, analysis: Analysis):
        """Over one study and its model."""
        self.analysis = analysis
        self.study = analysis.study

    def on_picture(self, path: str | None, like_dataset: bool, site: str, position: str | None) -> Iterator[Shown]:
        """A file, a pasted picture or one webcam frame."""
        if path is None:
            yield Shown(Session(), text.message(HINT))
            return
        try:
            upload = open_upload(path)
        except UploadError as error:
            yield Shown(Session(), text.message(str(error), "problem"))
            return
        yield from self._read(Picture(upload.image, upload.notes), like_dataset, site, position)

    def on_example(self, like_dataset: bool, site: str, position: str | None, chosen: gr.SelectData) -> Iterator[Shown]:
        """An image of the sample, as `extract` showed it to the model."""
        yield from self._read(self.analysis.example(int(chosen.index)), like_dataset, site, position)

    def on_switch(self, session: Session, like_dataset: bool, site: str, position: str | None) -> Iterator[Shown]:
        """The same picture once more, made like the dataset's or not."""
        if session.picture is None:
            yield Shown(Session(), text.message(HINT))
            return
        yield from self._read(session.picture, like_dataset, site, position)

    def on_live(self, path: str | None, like_dataset: bool, site: str, position: str | None) -> Shown:
        """One frame of the live webcam. A frame that cannot be read is passed over."""
        if path is None or self.analysis.is_loading:
            return Shown(Session(), text.message(HINT if path is None else LOADING))
        try:
            upload = open_upload(path)
        except UploadError as error:
            return Shown(Session(), text.message(str(error), "problem"))
        finally:
            Path(path).unlink(missing_ok=True)
        return list(self._read(Picture(upload.image, upload.notes), like_dataset, site, position))[-1]

    def on_choice(self, session: Session, site: str, position: str | None) -> Shown:
        """Another layer or position: the panels anew, without the model."""
        if session.reading is None:
            return Shown(Session(), text.message(HINT))
        return self._panels(session, site, position)._replace(session=gr.skip(), words=gr.skip(), seen=gr.skip())

    def _read(self, picture: Picture, like_dataset: bool, site: str, position: str | None) -> Iterator[Shown]:
        if self.analysis.is_loading:
            yield Shown(Session(picture), text.message(LOADING))
        try:
            session = Session(picture, self.analysis.read(picture, like_dataset))
        except SignBridgeError as error:
            yield Shown(Session(picture), text.message(str(error), "problem"))
            return
        yield self._panels(session, site, position)

    def _panels(self, session: Session, site: str, position: str | None) -> Shown:
        study, (picture, reading) = self.study, session
        place = study.place(site, position)
        familiarity = self.analysis.familiarity(reading, place, picture.photo)
        confidence = panels.confidence_table(study, reading.probabilities, position)
        likeliest = panels.likeliest_table(study, reading.probabilities, place)
        heat_map = panels.heat_map_table(study, reading.probabilities, position)
        return Shown(
            session,
            text.words(reading.answer, picture.notes),
            text.seen(reading.seen),
            text.verdict(study, reading, place, familiarity, picture.photo is not None),
            panels.confidence_chart(confidence, site, 1 / len(study.letters)),
            text.confidence(confidence),
            panels.likeliest_chart(likeliest),
            text.likeliest(likeliest, place),
            panels.heat_map_chart(heat_map, site),
            text.heat_map(heat_map),
            text.nearest(study, place, familiarity),
        )


TITLE = "SignBridge: every layer's reading of a hand"
HINT = "Show a hand: drop a picture, paste one, take one with the webcam, or choose a letter of the sample below."
LOADING = "The model is being loaded. Your picture is read as soon as it is there."
# On a phone the words stand below what was shown.
SCROLL_TO_WORDS = "() => document.getElementById('words').scrollIntoView({block: 'nearest', behavior: 'smooth'})"


def build(analysis: Analysis) -> gr.Blocks:
    """The page over one study."""
    study, handlers = analysis.study, Handlers(analysis)
    # analytics: no word to anyone that the page was opened
    with gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=(KEPT_SECONDS // 4, KEPT_SECONDS // 2)) as page:
        gr.Markdown(
            f"# Show the model a hand, see every layer's reading\n"
            f"Model: **{study.model_name}**. It is asked: *{question_of(study.made_by['model']['prompt'])}* "
            f"Probes of {len(study.letters)} letters were trained on its layers' vectors of {len(study.sample)} images."
        )
        gr.HTML(text.message(text.NOT_A_TRANSLATOR), elem_id="disclaimer")
        session = gr.State(Session(), time_to_live=HELD_SECONDS)
        with gr.Row():
            with gr.Column(scale=2, min_width=300):
                picture, live, like_dataset, seen, examples = _what_is_shown(study)
            with gr.Column(scale=3, min_width=300):
                words, verdict = gr.HTML(text.message(HINT), elem_id="words"), gr.HTML(elem_id="verdict")
                site, position = _choice(study)
                charts_and_tables = _panels(study)
                nearest = gr.HTML(elem_id="nearest")
        gr.HTML(text.label(text.WHERE_PICTURES_GO))

        shown = [session, words, seen, verdict, *charts_and_tables, nearest]
        choice = [like_dataset, site, position]
        private = {"outputs": shown, "api_visibility": "private"}
        queued = private | {"concurrency_id": "model", "concurrency_limit": 1, "show_progress_on": [words]}
        for event, react, given in (
            (picture.input, handlers.on_picture, [picture, *choice]),
            (picture.clear, handlers.on_picture, [picture, *choice]),
            (examples.select, handlers.on_example, choice),
            (like_dataset.input, handlers.on_switch, [session, *choice]),
        ):
            event(react, given, **queued).then(None, js=SCROLL_TO_WORDS, api_visibility="private")
        # A live session holds its place in the queue for as long as it lasts, so it has a queue of its own; the model
        # is one at a time all the same.
        unseen = private | {"show_progress": "hidden"}
        of_live = {"stream_every": 1.0, "time_limit": LIVE_SECONDS, "concurrency_limit": LIVE_VISITORS}
        live.stream(handlers.on_live, [live, *choice], **of_live, **unseen)
        changes = [site.input, position.input]
        gr.on(changes, handlers.on_choice, [session, site, position], concurrency_limit=None, **unseen)
    return page.queue(max_size=MOST_WAITING)


def question_of(prompt: str) -> str:
    """What the model is asked, without the template around it."""
    return " ".join(prompt.replace("<image>", " ").split("USER:")[-1].split("ASSISTANT:")[0].split())


def _what_is_shown(study: DemoStudy) -> tuple[gr.Image, gr.Image, gr.Checkbox, gr.HTML, gr.Gallery]:
    camera = {"image_mode": None, "webcam_options": gr.WebcamOptions(mirror=False), "height": 320}
    with gr.Tabs():
        with gr.Tab("Picture"):
            sources = ["upload", "clipboard", "webcam"]
            picture = as_it_came(gr.Image(label="A hand", sources=sources, elem_id="picture", **camera))
        with gr.Tab("Live webcam"):
            every_second = "A hand, a frame a second"
            live = as_it_came(
                gr.Image(label=every_second, sources=["webcam"], streaming=True, elem_id="live", **camera)
            )
    how = f"{description(study.format)}."
    like_dataset = gr.Checkbox(True, label="Make it like the dataset", info=how, elem_id="like-dataset")
    seen = gr.HTML(elem_id="seen")
    gr.HTML(text.label("Or an image of the sample, one a letter. The probes were trained on these."))
    examples = gr.Gallery(
        [(study.image(row.image), row.label) for row in study.examples().itertuples()],
        label="Images of the sample",
        show_label=False,
        columns=5,
        height="auto",
        allow_preview=False,
        buttons=[],
        format="png",
        elem_id="examples",
    )
    return picture, live, like_dataset, seen, examples


def _choice(study: DemoStudy) -> tuple[gr.Dropdown, gr.Radio]:
    best_site, best_position = study.best
    positions = [(text.POSITIONS[name], name) for name in study.positions]
    with gr.Row():
        chosen = f"The study chose {best_site}"
        site = gr.Dropdown(study.sites, value=best_site, label="Layer", info=chosen, elem_id="site")
        value = best_position if best_position in study.positions else None
        position = gr.Radio(positions, value=value, label="Position", elem_id="position")
    return site, position


def _panels(study: DemoStudy) -> list[gr.Plot | gr.HTML]:
    """Three charts, each followed by its table."""
    by_depth = "Sites by depth; numbers are decoder blocks."
    chance = f"Dashed: chance, {panels.percent(1 / len(study.letters))}."
    components = []
    for name, title, how_to_read in (
        ("confidence", "How sure each site is of its top letter", f"{by_depth} {chance}"),
        ("likeliest", "The likeliest letters at the chosen layer", ""),
        ("heat-map", "Every letter at every site", by_depth),
    ):
        gr.HTML(text.heading(title, how_to_read))
        components += [
            gr.Plot(label=title, show_label=False, elem_id=f"{name}-chart"),
            gr.HTML(elem_id=f"{name}-table"),
        ]
    return components
