"""The page: what a visitor shows on one side, what the model and the probes say on the other."""

import logging
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import gradio as gr

from signbridge.core.errors import SignBridgeError
from signbridge.demo import panels, text
from signbridge.demo.analysis import Analysis, Picture
from signbridge.demo.layout import (
    LIVE,
    NONE_PRESSED,
    OPENS_WITH,
    PICTURE,
    choice,
    examples,
    three_panels,
    what_is_shown,
)
from signbridge.demo.reading import Reading
from signbridge.demo.uploads import UploadError, bounded, description, open_upload

KEPT_SECONDS = 60  # how long an uploaded file lies in the app's own folder
LIVE_SECONDS = 3600  # of computing in one live session
MOST_WAITING = 40  # requests; more are turned away
TITLE = "SignBridge: every layer's reading of a hand"
HINT = "Show a hand: drop a picture, paste one, take one with the webcam, or choose a letter of the sample below."
LOADING = "The model is being loaded. The picture is read as soon as it is there."
BROKEN = "Something went wrong here. Whoever runs this page finds it in the console; another picture may do."
# On a phone the words stand below what was shown.
SCROLL_TO_WORDS = "() => document.getElementById('words').scrollIntoView({block: 'nearest', behavior: 'smooth'})"
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

    def on_open(self) -> Iterator[Answer]:
        """The page opens: an example, read, so that a visitor sees what there is to see."""
        yield from self._read_example(OPENS_WITH)

    def on_example(self, chosen: gr.EventData) -> Iterator[tuple[Any, ...]]:
        """An image of the sample, as `extract` showed it to the model. What was uploaded before goes."""
        for answer in self._read_example(int(chosen.index)):
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
            familiarity, blind = self.analysis.familiarity(reading), self.analysis.is_blind(place)
            near = self.analysis.nearest(reading, place)
        except SignBridgeError as error:
            return Panels(text.message(str(error), "problem"))
        confidence = panels.confidence_table(study, reading.probabilities, position)
        likeliest = panels.likeliest_table(study, reading.probabilities, place)
        heat_map = panels.heat_map_table(study, reading.probabilities, position)
        return Panels(
            text.verdict(study, reading, place, familiarity, blind),
            panels.confidence_chart(confidence, site, 1 / len(study.letters)),
            text.confidence(confidence),
            panels.likeliest_chart(likeliest),
            text.likeliest(likeliest, place),
            panels.heat_map_chart(heat_map, site),
            text.heat_map(heat_map),
            text.nearest(study, place, near),
        )

    def _read(self, picture: Picture, like_dataset: bool) -> Iterator[Answer]:
        return self._answers(picture, lambda: self.analysis.read(picture, like_dataset))

    def _read_example(self, index: int) -> Iterator[Answer]:
        return self._answers(self.analysis.example(index), lambda: self.analysis.read_example(index))

    def _answers(self, picture: Picture, read: Callable[[], Reading]) -> Iterator[Answer]:
        if self.analysis.is_loading:
            yield Answer(Session(picture), text.message(LOADING))
        try:
            reading = read()
        except SignBridgeError as error:
            yield Answer(Session(picture), text.message(str(error), "problem"))
        except Exception:  # out of memory, say: the visitor gets a sentence, the console all of it
            log.exception("A picture could not be read.")
            yield Answer(Session(picture), text.message(BROKEN, "problem"))
        else:
            yield Answer(Session(picture, reading), text.words(reading.answer, picture.notes), text.seen(reading.seen))


def build(analysis: Analysis, where: str = text.WHERE_PICTURES_GO) -> gr.Blocks:
    """The page over one study; `where` says where pictures go."""
    study, handlers = analysis.study, Handlers(analysis)
    # analytics: no word to anyone that the page was opened
    with gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=(KEPT_SECONDS // 4, KEPT_SECONDS // 2)) as page:
        session, tab = gr.State(Session()), gr.State(PICTURE)
        with gr.Row(elem_id="layout"):
            question = question_of(study.made_by["model"]["prompt"])
            gr.HTML(text.about(study.model_name, question, len(study.sample), study.letters), elem_id="about")
            with gr.Column(elem_id="answer"):
                with gr.Row(elem_id="said"):
                    words, verdict = gr.HTML(text.message(HINT), elem_id="words"), gr.HTML(elem_id="verdict")
                site, position = choice(study)
            with gr.Column(elem_id="show"):
                picture, live = what_is_shown(tab)
                chosen_example = examples(study)
                how = f"{description(study.format)}. The sample's own images are shown as they are."
                like_dataset = gr.Checkbox(True, label="Make it like the dataset", info=how, elem_id="like-dataset")
                seen = gr.HTML(elem_id="seen")
            with gr.Column(elem_id="panels"):
                panel_parts = [verdict, *three_panels(study), gr.HTML(elem_id="nearest")]
        gr.HTML(text.label(where))

        answer, chosen = [session, words, seen], [session, site, position]
        private, last = {"api_visibility": "private"}, {"trigger_mode": "always_last"}
        unseen = private | {"show_progress": "hidden"}
        after = unseen | last | {"concurrency_limit": None}  # of several choices the last one is shown
        in_line = (
            private
            | last
            | {
                "concurrency_id": "model",
                "concurrency_limit": 1,
                "show_progress_on": [words, seen, verdict],
            }
        )
        for event, react, given, filled in (
            (picture.change, handlers.on_picture, [picture, session, like_dataset], answer),
            (chosen_example.select, handlers.on_example, None, [*answer, picture]),
            (like_dataset.input, handlers.on_switch, [session, like_dataset], answer),
        ):
            # The panels after it, so that they are of the layer that is chosen then, not when the wait began.
            read = event(react, given, filled, **in_line)
            read.then(handlers.on_choice, chosen, panel_parts, **after)
            read.then(None, js=SCROLL_TO_WORDS, **private)
        read = page.load(handlers.on_open, None, answer, **in_line)
        read.then(handlers.on_choice, chosen, panel_parts, **after)
        picture.change(None, picture, js=NONE_PRESSED, **private)
        gr.on([site.input, position.input], handlers.on_choice, chosen, panel_parts, **after)
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


def _picture(shown: str | bytes) -> Picture:
    image, notes = open_upload(shown)
    return Picture(bounded(image), notes)


def _forgetting(page: gr.Blocks) -> Callable[[gr.Request], None]:
    """Drops what a visitor has shown; Gradio itself would hold it for an hour and more after the page is closed."""

    def forget(request: gr.Request) -> None:
        page.state_holder.session_data.pop(request.session_hash, None)

    return forget
