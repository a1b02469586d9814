"""The page: what a visitor shows on one side, what the model and the probes say on the other."""

import base64
import functools
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr
from gradio.data_classes import ImageData

from signbridge.core.errors import SignBridgeError
from signbridge.demo import panels, text
from signbridge.demo.analysis import Analysis, Picture
from signbridge.demo.reading import Reading
from signbridge.demo.study import DemoStudy
from signbridge.demo.uploads import UploadError, bounded, description, open_upload

KEPT_SECONDS = 60  # how long an uploaded file lies in the app's own folder
LIVE_SECONDS = 3600  # of computing in one live session
MOST_WAITING = 40  # requests; more are turned away
TITLE = "SignBridge: every layer's reading of a hand"
HINT = "Show a hand: drop a picture, paste one, take one with the webcam, or choose a letter of the sample below."
LOADING = "The model is being loaded. Your picture is read as soon as it is there."
BROKEN = "Something went wrong here. Whoever runs this page finds it in the console; another picture may do."
# On a phone the words stand below what was shown.
SCROLL_TO_WORDS = "() => document.getElementById('words').scrollIntoView({block: 'nearest', behavior: 'smooth'})"
CSS = (Path(__file__).parent / "page.css").read_text(encoding="utf-8")
FONT = ["system-ui", "sans-serif"]  # nothing from the network
PICTURE, LIVE = "picture", "live"
log = logging.getLogger(__name__)


class Session(NamedTuple):
    """What one visitor has shown, and what came of it."""

    picture: Picture | None = None
    reading: Reading | None = None


class Answer(NamedTuple):
    """What a picture fills in on the page, in this order."""

    session: Any
    words: Any
    seen: Any = ""


class Panels(NamedTuple):
    """What a picture, a layer and a position fill in, in this order."""

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

    def on_picture(self, shown: str | bytes | None, session: Session, like_dataset: bool) -> Iterator[Answer]:
        """A file, a pasted picture or one webcam frame; None when it is taken away, or gave way to an example."""
        if shown is None:
            of_sample = session.picture is not None and session.picture.of_sample
            yield Answer(*(gr.skip() for _ in Answer._fields)) if of_sample else Answer(Session(), text.message(HINT))
            return
        try:
            picture = _picture(shown)
        except UploadError as error:
            yield Answer(Session(), text.message(str(error), "problem"))
            return
        yield from self._read(picture, like_dataset)

    def on_example(self, like_dataset: bool, chosen: gr.SelectData) -> Iterator[tuple[Any, ...]]:
        """An image of the sample, as `extract` showed it to the model. What was uploaded before goes."""
        for answer in self._read(self.analysis.example(int(chosen.index)), like_dataset):
            yield *answer, None

    def on_switch(self, session: Session, like_dataset: bool) -> Iterator[Answer]:
        """The same picture once more, made like the dataset's or not."""
        if session.picture is None:
            yield Answer(Session(), text.message(HINT))
            return
        yield from self._read(session.picture, like_dataset)

    def on_live(
        self, frame: str | bytes | None, tab: str, like_dataset: bool, site: str, position: str | None
    ) -> tuple[Any, ...]:
        """One frame of the live webcam, while its tab is in front and the model is there."""
        if frame is None or tab != LIVE or self.analysis.is_loading:
            return (gr.skip(),) * (len(Answer._fields) + len(Panels._fields))
        try:
            answer = list(self._read(_picture(frame), like_dataset))[-1]
        except UploadError as error:
            answer = Answer(Session(), text.message(str(error), "problem"))
        return *answer, *self.on_choice(answer.session, site, position)

    def on_choice(self, session: Session, site: str, position: str | None) -> Panels:
        """The panels of what was read last, at a layer and a position: without the model."""
        reading = session.reading
        if reading is None:
            return Panels()
        study, place = self.study, self.study.place(site, position)
        try:
            familiarity = self.analysis.familiarity(reading, place)
        except SignBridgeError as error:
            return Panels(text.message(str(error), "problem"))
        confidence = panels.confidence_table(study, reading.probabilities, position)
        likeliest = panels.likeliest_table(study, reading.probabilities, place)
        heat_map = panels.heat_map_table(study, reading.probabilities, position)
        return Panels(
            text.verdict(study, reading, place, familiarity),
            panels.confidence_chart(confidence, site, 1 / len(study.letters)),
            text.confidence(confidence),
            panels.likeliest_chart(likeliest),
            text.likeliest(likeliest, place),
            panels.heat_map_chart(heat_map, site),
            text.heat_map(heat_map),
            text.nearest(study, place, familiarity),
        )

    def _read(self, picture: Picture, like_dataset: bool) -> Iterator[Answer]:
        if self.analysis.is_loading:
            yield Answer(Session(picture), text.message(LOADING))
        try:
            reading = self.analysis.read(picture, like_dataset)
        except SignBridgeError as error:
            yield Answer(Session(picture), text.message(str(error), "problem"))
        except Exception:  # out of memory, say: the visitor gets a sentence, the console all of it
            log.exception("A picture could not be read.")
            yield Answer(Session(picture), text.message(BROKEN, "problem"))
        else:
            yield Answer(Session(picture, reading), text.words(reading.answer, picture.notes), text.seen(reading.seen))


def build(analysis: Analysis, shared: bool = False) -> gr.Blocks:
    """The page over one study; `shared` if it is to be reached through gradio.live."""
    study, handlers = analysis.study, Handlers(analysis)
    # analytics: no word to anyone that the page was opened
    with gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=(KEPT_SECONDS // 4, KEPT_SECONDS // 2)) as page:
        gr.Markdown(
            f"# Show the model a hand, see every layer's reading\n"
            f"Model: **{study.model_name}**. It is asked: *{question_of(study.made_by['model']['prompt'])}* "
            f"Probes of {len(study.letters)} letters were trained on its layers' vectors of {len(study.sample)} images."
        )
        gr.HTML(text.message(text.NOT_A_TRANSLATOR), elem_id="disclaimer")
        session, tab = gr.State(Session()), gr.State(PICTURE)
        with gr.Row():
            with gr.Column(scale=2, min_width=300):
                picture, live = _what_is_shown(tab)
                how = f"{description(study.format)}. The sample's own images are shown as they are."
                like_dataset = gr.Checkbox(True, label="Make it like the dataset", info=how, elem_id="like-dataset")
                seen = gr.HTML(elem_id="seen")
                examples = _examples(study)
            with gr.Column(scale=3, min_width=300):
                words, verdict = gr.HTML(text.message(HINT), elem_id="words"), gr.HTML(elem_id="verdict")
                site, position = _choice(study)
                panel_parts = [verdict, *_panels(study), gr.HTML(elem_id="nearest")]
        gr.HTML(text.label(text.WHERE_PICTURES_GO + (text.SHARED if shared else "")))

        answer, choice = [session, words, seen], [session, site, position]
        private, unseen = {"api_visibility": "private"}, {"api_visibility": "private", "show_progress": "hidden"}
        in_line = private | {
            "concurrency_id": "model",
            "concurrency_limit": 1,
            "show_progress_on": [words, seen, verdict],
        }
        for event, react, given, filled in (
            (picture.change, handlers.on_picture, [picture, session, like_dataset], answer),
            (examples.select, handlers.on_example, [like_dataset], [*answer, picture]),
            (like_dataset.input, handlers.on_switch, [session, like_dataset], answer),
        ):
            # The panels after it, so that they are of the layer that is chosen then, not when the wait began.
            read = event(react, given, filled, **in_line)
            read.then(handlers.on_choice, choice, panel_parts, concurrency_limit=None, **unseen)
            read.then(None, js=SCROLL_TO_WORDS, **private)
        gr.on([site.input, position.input], handlers.on_choice, choice, panel_parts, concurrency_limit=None, **unseen)
        # A live session holds its place for as long as it lasts, so it is not in the line of the others; at the model
        # one picture waits for the other all the same.
        given = [live, tab, like_dataset, site, position]
        often = {"stream_every": 1.0, "time_limit": LIVE_SECONDS, "concurrency_limit": None}
        live.stream(handlers.on_live, given, [*answer, *panel_parts], **often, **unseen)
        page.unload(_forgetting(page))
    return page.queue(max_size=MOST_WAITING)


def question_of(prompt: str) -> str:
    """What the model is asked, without the template around it."""
    return " ".join(prompt.replace("<image>", " ").split("USER:")[-1].split("ASSISTANT:")[0].split())


def as_it_came(image: gr.Image) -> gr.Image:
    """The same component, which hands on what came unopened: the path of a file, or the bytes of a webcam's frame."""

    def unopened(payload: ImageData | None) -> str | bytes | None:
        if payload is not None and payload.url and payload.url.startswith("data:"):
            return base64.b64decode(payload.url.partition(",")[2])
        return None if payload is None else payload.path

    image.preprocess = unopened  # on the one component: Gradio writes a file beside the source of each subclass
    return image


def _picture(shown: str | bytes) -> Picture:
    image, notes = open_upload(shown)
    return Picture(bounded(image), notes)


def _forgetting(page: gr.Blocks) -> Callable[[gr.Request], None]:
    """Drops what a visitor has shown; Gradio itself would hold it for an hour and more after the page is closed."""

    def forget(request: gr.Request) -> None:
        page.state_holder.session_data.pop(request.session_hash, None)

    return forget


def _what_is_shown(tab: gr.State) -> tuple[gr.Image, gr.Image]:
    camera = {"image_mode": None, "webcam_options": gr.WebcamOptions(mirror=False), "height": 320}
    components = []
    for name, title, options in (
        (PICTURE, "Picture", {"label": "A hand", "sources": ["upload", "clipboard", "webcam"]}),
        (LIVE, "Live webcam", {"label": "A hand, a frame a second", "sources": ["webcam"], "streaming": True}),
    ):
        with gr.Tab(title) as in_front:
            components.append(as_it_came(gr.Image(elem_id=name, **options, **camera)))
        told: Callable[[], str] = functools.partial(str, name)
        in_front.select(told, None, tab, show_progress="hidden", api_visibility="private")
    return components[0], components[1]


def _examples(study: DemoStudy) -> gr.Gallery:
    gr.HTML(text.label("Or an image of the sample, one a letter. The probes were trained on these."))
    return gr.Gallery(
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
        components.append(gr.Plot(label=title, show_label=False, elem_id=f"{name}-chart"))
        components.append(gr.HTML(elem_id=f"{name}-table"))
    return components
