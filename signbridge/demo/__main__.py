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
import time
from pathlib import Path
from typing import TYPE_CHECKING

from signbridge.core.command_line import run
from signbridge.core.errors import SignBridgeError, refusal

if TYPE_CHECKING:  # what takes long to import waits until it is known that there is a study, and is announced
    from signbridge.demo.study import DemoStudy
    from signbridge.vlm.extraction import Reader

LARGEST_UPLOAD = "64mb"
SHARED = (
    "warning: --share puts this page on the internet, under a public link of gradio.live for a week at most. Whoever "
    "has the link can use this machine's model, and their pictures pass through that service."
)
PARAMS, SAMPLE = Path("params.yaml"), Path("data/sample.parquet")
log = logging.getLogger(__name__)


def main() -> None:
    """Serve the page on 127.0.0.1 until Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m signbridge.demo", description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=_port, default=None, help="default: the first free one from 7860 on")
    parser.add_argument("--share", action="store_true", help="a public link through gradio.live; see the warning")
    arguments = parser.parse_args()
    check_there_is_a_study()
    import_all()
    from signbridge.demo import text

    where = text.WHERE_PICTURES_GO + (text.SHARED if arguments.share else "")
    for end in (signal.SIGTERM, signal.SIGHUP):  # so that the folder below goes then too
        signal.signal(end, lambda *_: sys.exit(0))
    with tempfile.TemporaryDirectory(prefix="signbridge-demo-") as uploads:
        os.environ["GRADIO_TEMP_DIR"] = uploads  # this run's own folder, gone with it
        serve(read_study(), arguments.port, arguments.share, where)


def check_there_is_a_study() -> None:
    """Raise `SignBridgeError` at once, before anything is imported, where this folder has none."""
    if not PARAMS.is_file():
        raise SignBridgeError(f"{Path.cwd()} is not the project's folder: no {PARAMS} here. Go there first: cd FOLDER")
    if not SAMPLE.is_file():
        raise SignBridgeError(f"{SAMPLE}: no such table. Make it with `dvc repro`, or get it with `dvc pull dvc.yaml`.")


def folder_to_write(command: str, doc: str, default: str, holds: str) -> Path:
    """The folder that the first argument names, or the default: it is written anew.

    Raises `SignBridgeError` if something is there that no earlier run wrote, which always `holds` a file of that name,
    if nothing can be written there, and as `check_there_is_a_study` does.
    """
    parser = argparse.ArgumentParser(prog=f"python -m {command}", description=doc.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=Path(default), help=f"default: {default}")
    folder = parser.parse_args().folder
    if folder.exists() and not (folder / holds).is_file() and not (folder.is_dir() and not any(folder.iterdir())):
        raise SignBridgeError(f"{folder}: something else is there, and would be lost. Name an empty or a new folder.")
    check_there_is_a_study()
    there = next(one for one in folder.absolute().parents if one.exists())
    if not os.access(there, os.W_OK):
        raise SignBridgeError(
            f"{folder}: nothing can be written in {there}. Name a folder elsewhere: python -m {command} FOLDER"
        )
    return folder


def import_all() -> None:
    """Import what the page and the model need, and say so: from a cold disk this takes most of a minute."""
    log.info("1 of 4: loading Gradio, PyTorch and Transformers. From a cold disk this takes up to a minute.")
    start = time.perf_counter()
    try:
        import gradio  # noqa: F401
        import torch  # noqa: F401
    except ImportError as error:
        raise SignBridgeError(
            f"the demo needs {error.name}: pip install -c requirements.lock -e '.[vlm,gpu,demo]'"
        ) from None
    import signbridge.demo.app
    import signbridge.vlm.extraction  # noqa: F401

    log.info("   took %.0f s", time.perf_counter() - start)


def read_study() -> "DemoStudy":
    """What `dvc repro` left behind in the working folder."""
    from signbridge.demo.study import DemoStudy

    log.info("2 of 4: reading the study: its sample and its probes.")
    study = DemoStudy()
    log.info("   %d images, %d letters, %d sites", len(study.sample), len(study.letters), len(study.sites))
    return study


def serve(study: "DemoStudy", port: int | None, share: bool, where: str, host: str = "127.0.0.1") -> None:
    """Open the page, and load the model while it already shows. Returns when the server is stopped.

    `where` tells visitors where their pictures go.
    """
    from signbridge.demo.analysis import Analysis
    from signbridge.demo.app import build
    from signbridge.demo.layout import launch_options

    if share:
        log.warning(SHARED)
    logging.getLogger("httpx").setLevel(logging.WARNING)  # Gradio asks itself whether it is there,
    os.environ["NO_PROXY"] = ",".join(filter(None, [os.environ.get("NO_PROXY"), "127.0.0.1"]))  # and not by a proxy
    opened = threading.Event()  # before it there is no use for the model, nor for its progress bar over an error
    analysis = Analysis(study, lambda: opened.wait() and open_reader(study))
    page = build(analysis, where)
    log.info("3 of 4: opening the page.")
    try:
        _, url, shared_url = page.launch(
            server_name=host,
            server_port=port,
            share=share,
            max_file_size=LARGEST_UPLOAD,
            **launch_options(),
        )
    except OSError as error:
        if refusal(error):
            raise
        taken = f"port {port} is taken" if port else "no port from 7860 on is free"
        raise SignBridgeError(f"{taken} on {host}. Name another: --port 7999") from None
    try:
        opened.set()
        log.info("Open %s (Ctrl-C ends it)%s", url, f"; shared as {shared_url}" if shared_url else "")
        page.block_thread()
    finally:
        analysis.end()


def open_reader(study: "DemoStudy") -> "Reader":
    """Load the model of `study`, to be shown one picture at a time.

    Raises `SignBridgeError` if this machine cannot run it, or it cannot be had.
    """
    from signbridge.vlm import preflight
    from signbridge.vlm.chosen import SCRATCH, SCRATCH_MODELS
    from signbridge.vlm.extraction import Reader
    from signbridge.vlm.loading import device_from_environment, load

    log.info("4 of 4: loading the model, %s. The page says so until it is there.", study.model_name)
    model, device = study.model(), device_from_environment()
    preflight.check(study.made_by["model"]["name"], model, device, __file__, SCRATCH)
    return Reader(load(model, SCRATCH_MODELS, device), model.prompt, model.max_new_tokens, batch_size=1)


def _port(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"{text}: expected a number from 1 to 65535")
    return int(text)


if __name__ == "__main__":
    run(main)
