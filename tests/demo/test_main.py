"""`python -m signbridge.demo`: what it needs, what it warns of, and that a mistake is one message."""

import argparse
import os
import re
import socket
import subprocess
import sys
import threading
import urllib.request

import pytest

from signbridge.core.errors import SignBridgeError
from signbridge.demo import __main__ as demo
from signbridge.demo.study import DemoStudy
from tests.conftest import ROOT
from tests.demo.browser import serving


def start(folder, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "SIGNBRIDGE_DEVICE": "cpu"}
    command = [sys.executable, "-m", "signbridge.demo", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)


def test_before_the_study_has_run_it_says_which_command_runs_it(workspace, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["signbridge.demo"])
    said = workspace.message_of_failure(demo.main)
    assert re.fullmatch(r"error: .*sample\.parquet: no such table\. Make it with `dvc repro`.*", said)


def test_in_another_folder_it_says_so_at_once_and_imports_nothing_dear(tmp_path):
    program = """
import sys
from signbridge.core.command_line import run
from signbridge.demo.__main__ import main
sys.argv = ["demo"]
try:
    run(main)
finally:
    print(sorted({"gradio", "torch", "pandas"} & set(sys.modules)))
"""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    assert re.fullmatch(
        r"error: \S+ is not the project's folder: no params\.yaml here\. Go there first: cd FOLDER\n", done.stderr
    )
    assert done.stdout == "[]\n"


def test_it_says_what_it_loads(in_study, reader, monkeypatch, caplog):
    import gradio

    caplog.set_level("INFO")
    monkeypatch.setattr(sys, "argv", ["signbridge.demo"])
    monkeypatch.setattr(demo.signal, "signal", lambda *_: None)
    monkeypatch.setattr(gradio.Blocks, "launch", lambda self, **options: (None, "http://here", None))
    loaded = threading.Event()
    open_reader = demo.open_reader
    monkeypatch.setattr(demo, "open_reader", lambda study: (open_reader(study), loaded.set())[0])
    monkeypatch.setattr(gradio.Blocks, "block_thread", lambda self: loaded.wait(60))
    demo.main()
    said = [line for line in caplog.messages if re.match(r"\d of 4", line)]
    assert [line[:6] for line in said] == ["1 of 4", "2 of 4", "3 of 4", "4 of 4"]
    assert "PyTorch" in said[0]
    assert "miniature" in said[3]


@pytest.mark.slow
def test_a_port_that_is_taken_is_one_message(finished):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = start(finished, "--port", str(port))
    assert done.returncode == 1
    assert re.search(rf"^error: port {port} is taken on 127\.0\.0\.1\. Name another", done.stderr, re.MULTILINE)
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("port", ["0", "65536", "x", "-1"])
def test_a_port_is_a_number(port):
    with pytest.raises(argparse.ArgumentTypeError, match="from 1 to 65535"):
        demo._port(port)


def test_it_listens_on_this_machine_and_shares_only_when_told_with_a_warning(in_study, reader, monkeypatch, caplog):
    import gradio

    asked = []
    monkeypatch.setattr(gradio.Blocks, "launch", lambda self, **options: asked.append(options) or (None, "", None))
    monkeypatch.setattr(gradio.Blocks, "block_thread", lambda self: None)
    monkeypatch.setattr(demo, "open_reader", lambda study: reader)
    demo.serve(DemoStudy(), 7999, share=False, where="")
    assert caplog.text.count("warning") == 0
    demo.serve(DemoStudy(), None, share=True, where="")
    assert "public link" in caplog.text
    assert [(options["server_name"], options["share"]) for options in asked] == [
        ("127.0.0.1", False),
        ("127.0.0.1", True),
    ]


@pytest.mark.slow
def test_the_page_comes_up_and_its_folder_goes_with_it(finished, tmp_path):
    with serving(finished, tmp_path) as server:
        page = urllib.request.urlopen(server.url, timeout=30).read().decode()
        assert "SignBridge" in page
        assert list(server.uploads.glob("signbridge-demo-*"))
    assert not list(server.uploads.glob("signbridge-demo-*"))
    assert "Traceback" not in server.log.read_text()


def test_a_model_for_a_gpu_is_not_loaded_on_a_cpu_that_nobody_asked_for(in_study, monkeypatch):
    study = DemoStudy()
    study.made_by["model"] = study.made_by["model"] | {"quantization": "nf4"}
    monkeypatch.setattr("signbridge.vlm.loading.load", lambda *_: pytest.fail("loaded"))
    monkeypatch.delenv("SIGNBRIDGE_DEVICE", raising=False)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(SignBridgeError, match="miniature would run on the CPU"):
        demo.open_reader(study)
