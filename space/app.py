"""The demo as a Space of Hugging Face: a public page over the study that lies in this folder."""

import os
import tempfile
from pathlib import Path

os.chdir(Path(__file__).parent)
os.environ.setdefault("SIGNBRIDGE_DEVICE", "cpu")  # a Space without a GPU; set it to cuda where there is one

from signbridge.core.command_line import run  # noqa: E402
from signbridge.demo.__main__ import check_there_is_a_study, import_all, read_study, serve  # noqa: E402


def main() -> None:
    """Serve the page where the Space expects it."""
    check_there_is_a_study()
    import_all()
    from signbridge.demo import text

    host = os.environ.get("GRADIO_SERVER_NAME", "0.0.0.0")
    port = int(os.environ.get("GRADIO_SERVER_PORT", "7860"))
    with tempfile.TemporaryDirectory(prefix="signbridge-demo-") as uploads:
        os.environ["GRADIO_TEMP_DIR"] = uploads
        serve(read_study(), port, share=False, where=text.ON_A_SPACE, host=host)


if __name__ == "__main__":
    run(main)
