"""Show the model a hand in the browser and see every layer's reading.

    python -m signbridge.demo [--port 7860] [--share]

Run it where `dvc repro` has been run. Environment: SIGNBRIDGE_DEVICE, as for `extract`.
"""

import argparse
import logging
import os
import signal
import sys
import tempfile
from pathlib import Path

from signbridge.command_line import run
from signbridge.demo.analysis import Analysis
from signbridge.demo.study import DemoStudy
from signbridge.errors import SignBridgeError
from signbridge.extraction import Reader
from signbridge.vlm.loading import device_from_environment, load

SCRATCH = Path(".scratch/models")
SHARED = (
    "warning: --share puts this page on the internet, under a public link of gradio.live for a week at most. Whoever "
    "has the link can use this machine's model, and their pictures pass through that service."
)
log = logging.getLogger(__name__)


def main() -> None:
    """Serve the page on 127.0.0.1 until Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m signbridge.demo", description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=_port, default=None, help="default: the first free one from 7860 on")
    parser.add_argument("--share", action="store_true", help="a public link through gradio.live; see the warning")
    arguments = parser.parse_args()
    study = DemoStudy()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # so that the folder below goes then too
    with tempfile.TemporaryDirectory(prefix="signbridge-demo-") as uploads:
        os.environ["GRADIO_TEMP_DIR"] = uploads  # this run's own folder, gone with it
        serve(study, arguments.port, arguments.share)


def _port(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"{text}: expected a number from 1 to 65535")
    return int(text)


def serve(study: DemoStudy, port: int | None, share: bool) -> None:
    """Open the page, and load the model while it already shows."""
    try:
        import gradio as gr
    except ImportError:
        raise SignBridgeError("the demo needs gradio: pip install -c requirements.lock -e '.[demo]'") from None

    from signbridge.demo.app import CSS, THEME_FONT, build  # after GRADIO_TEMP_DIR is set

    if share:
        log.warning(SHARED)
    logging.getLogger("httpx").setLevel(logging.WARNING)  # Gradio asks itself whether it is there
    analysis = Analysis(study, lambda: open_reader(study))
    try:
        build(analysis).launch(
            server_name="127.0.0.1",
            server_port=port,
            share=share,
            theme=gr.themes.Base(font=THEME_FONT, font_mono=["ui-monospace", "monospace"]),
            css=CSS,
            footer_links=[],
            run_history=False,
            ssr_mode=False,
            prevent_thread_lock=False,
        )
    except OSError as error:
        raise SignBridgeError(f"--port {port}: {error}. Name another, or none to have one found.") from None


def open_reader(study: DemoStudy) -> Reader:
    """Load the model of `study`, to be shown one picture at a time."""
    model = study.model()
    reader = Reader(load(model, SCRATCH, device_from_environment()), model.prompt, model.max_new_tokens, batch_size=1)
    log.info("The model is loaded.")
    return reader


if __name__ == "__main__":
    run(main)
