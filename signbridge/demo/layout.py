"""The parts of the page: what is shown, the examples, the choice of a layer, the three panels."""

import base64
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.data_classes import ImageData

from signbridge.demo import panels, text
from signbridge.demo.study import DemoStudy

PICTURE, LIVE = "picture", "live"
CSS = (Path(__file__).parent / "page.css").read_text(encoding="utf-8")
FONT = ["system-ui", "sans-serif"]  # nothing from the network
OPENS_WITH = 0  # the example that is read when the page opens
# A click on an example marks it and tells the page its number; `NONE_PRESSED` takes the mark away when something else
# is shown. The buttons stay, so that whoever goes by keyboard keeps the place.
PRESSED = """
element.addEventListener("click", event => {
    const chosen = event.target.closest("button[data-index]");
    if (!chosen) return;
    for (const button of element.querySelectorAll("button")) button.setAttribute("aria-pressed", button === chosen);
    trigger("select", {index: Number(chosen.dataset.index)});
});
"""
NONE_PRESSED = """shown => {
    if (shown) for (const button of document.querySelectorAll("#examples button")) button.ariaPressed = "false";
}"""

# Gradio's own words beside fields are too pale to read.
SUBDUED = ("block_info_text_color", "body_text_color_subdued", "input_placeholder_color", "block_label_text_color")


def launch_options() -> dict[str, Any]:
    """How the page looks and is served, as arguments of `launch`."""
    theme = gr.themes.Base(font=FONT, font_mono=["ui-monospace", "monospace"])
    readable = dict.fromkeys(SUBDUED, "*neutral_600") | {f"{name}_dark": "*neutral_300" for name in SUBDUED}
    return {
        "theme": theme.set(**readable),
        "css": CSS,
        "footer_links": [],
        "run_history": False,
        "ssr_mode": False,
        "prevent_thread_lock": True,
        "quiet": True,
    }


def as_it_came(image: gr.Image) -> gr.Image:
    """The same component, which hands on what came unopened: the path of a file, or the bytes of a webcam's frame."""

    def unopened(payload: ImageData | None) -> str | bytes | None:
        if payload is not None and payload.url and payload.url.startswith("data:"):
            return base64.b64decode(payload.url.partition(",")[2])
        return None if payload is None else payload.path

    image.preprocess = unopened  # on the one component: Gradio writes a file beside the source of each subclass
    return image


def what_is_shown(tab: gr.State) -> tuple[gr.Image, gr.Image]:
    """The picture and the live webcam, a tab each; `tab` is told which is in front."""
    camera = {"image_mode": None, "webcam_options": gr.WebcamOptions(mirror=False), "height": 230}
    components = []
    for name, title, options in (
        (PICTURE, "Picture", {"label": "A hand", "sources": ["upload", "clipboard", "webcam"]}),
        (LIVE, "Live webcam", {"label": "A hand, a frame a second", "sources": ["webcam"], "streaming": True}),
    ):
        with gr.Tab(title) as in_front:
            components.append(as_it_came(gr.Image(elem_id=name, **options, **camera)))
        told: Callable[[], str] = functools.partial(str, name)
        in_front.select(told, None, tab, show_progress="hidden", api_visibility="private")
        if name == LIVE:
            in_front.select(None, js=f"() => ({NONE_PRESSED})(true)", api_visibility="private")
    return components[0], components[1]


def examples(study: DemoStudy) -> gr.HTML:
    """A button for an image of each letter; its event `select` has the `index`."""
    gr.HTML(text.label("Or an image of the sample, one a letter. The probes were trained on these."))
    return gr.HTML(text.examples(study, OPENS_WITH), js_on_load=PRESSED, elem_id="examples")


def choice(study: DemoStudy) -> tuple[gr.Dropdown, gr.Radio]:
    """The layer and the position."""
    best_site, best_position = study.best
    positions = [(text.POSITIONS[name], name) for name in study.positions]
    with gr.Row():
        site = gr.Dropdown(
            study.sites,
            value=best_site,
            label=f"Layer (chosen: {best_site})",
            elem_id="site",
            scale=1,
            min_width=200,
        )
        value = best_position if best_position in study.positions else None
        position = gr.Radio(positions, value=value, label="Position", elem_id="position", scale=3, min_width=260)
    return site, position


def three_panels(study: DemoStudy) -> list[gr.Plot | gr.HTML]:
    """Three charts side by side, each followed by its table."""
    by_depth = "By depth; numbers: decoder blocks."
    chance = f"Dashed: chance, {panels.percent(1 / len(study.letters))}."
    components = []
    with gr.Row(elem_id="three"):
        for name, title, how_to_read in (
            ("confidence", "Each site's top letter", f"By depth. {chance}"),
            ("likeliest", "The likeliest letters here", "At the layer and position above."),
            ("heat-map", "Every letter at every site", by_depth),
        ):
            with gr.Column():
                gr.HTML(text.heading(title, how_to_read))
                components.append(gr.Plot(label=title, show_label=False, elem_id=f"{name}-chart"))
                components.append(gr.HTML(elem_id=f"{name}-table"))
    return components
