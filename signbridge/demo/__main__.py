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
import threading

from signbridge.core.command_line import run
from signbridge.core.errors import SignBridgeError, refusal

try:
    import gradio as gr
    import torch  # noqa: F401
except ImportError as error:
    sys.exit(f"error: the demo needs {error.name}: pip install -c requirements.lock -e '.[vlm,gpu,demo]'")

from signbridge.demo.analysis import Analysis
from signbridge.demo.app import CSS, FONT, build
from signbridge.demo.study import DemoStudy
from signbridge.vlm import preflight
from signbridge.vlm.chosen import SCRATCH, SCRATCH_MODELS
from signbridge.vlm.extraction import Reader
from signbridge.vlm.loading import device_from_environment, load

LARGEST_UPLOAD = "64mb"
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
    for end in (signal.SIGTERM, signal.SIGHUP):  # so that the folder below goes then too
        signal.signal(end, lambda *_: sys.exit(0))
    with tempfile.TemporaryDirectory(prefix="signbridge-demo-") as uploads:
        os.environ["GRADIO_TEMP_DIR"] = uploads  # this run's own folder, gone with it
        serve(study, arguments.port, arguments.share)


def serve(study: DemoStudy, port: int | None, share: bool) -> None:
    """Open the page, and load the model while it already shows. Returns when the server is stopped."""
    if share:
        log.warning(SHARED)
    logging.getLogger("httpx").setLevel(logging.WARNING)  # Gradio asks itself whether it is there,
    os.environ["NO_PROXY"] = ",".join(filter(None, [os.environ.get("NO_PROXY"), "127.0.0.1"]))  # and not by a proxy
    opened = threading.Event()  # before it there is no use for the model, nor for its progress bar over an error
    analysis = Analysis(study, lambda: opened.wait() and open_reader(study))
    page = build(analysis, share)
    try:
        _, url, shared_url = page.launch(
            server_name="127.0.0.1",
            server_port=port,
            share=share,
            max_file_size=LARGEST_UPLOAD,
            theme=gr.themes.Base(font=FONT, font_mono=["ui-monospace", "monospace"]),
            css=CSS,
            footer_links=[],
            run_history=False,
            ssr_mode=False,
            prevent_thread_lock=True,
            quiet=True,
        )
    except OSError as error:
        if refusal(error):
            raise
        where = f"port {port} is taken" if port else "no port from 7860 on is free"
        raise SignBridgeError(f"{where} on 127.0.0.1. Name another: --port 7999") from None
    try:
        opened.set()
        log.info("Open %s (Ctrl-C ends it)%s", url, f"; shared as {shared_url}" if shared_url else "")
        page.block_thread()
    finally:
        analysis.end()


def open_reader(study: DemoStudy) -> Reader:
    """Load the model of `study`, to be shown one picture at a time.

    Raises `SignBridgeError` if this machine cannot run it, or it cannot be had.
    """
    model, device = study.model(), device_from_environment()
    preflight.check(study.made_by["model"]["name"], model, device, __file__, SCRATCH)
    reader = Reader(load(model, SCRATCH_MODELS, device), model.prompt, model.max_new_tokens, batch_size=1)
    log.info("The model is loaded.")
    return reader


def _port(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"{text}: expected a number from 1 to 65535")
    return int(text)


if __name__ == "__main__":
    run(main)
