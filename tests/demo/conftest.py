"""A small study of the miniature, run once, with what the demo needs of it."""

import importlib
import os
from pathlib import Path

import pytest

from tests.conftest import ROOT, Workspace

STAGES = ("choice", "fetch", "photos", "sample", "model", "extract", "probe")


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Path:
    """The folder of a finished study: five letters, six images each."""
    workspace = Workspace(tmp_path_factory.mktemp("finished"))
    workspace.set(
        datasets__rendered__photos=5,
        datasets__rendered__copies=4,
        sample__classes=5,
        sample__per_class=6,
        probe__grouped__folds=2,
        probe__grouped__repeats=1,
        probe__grouped__inner_folds=2,
        probe__grouped__C=[0.01],
        probe__description_length__orders=1,
        models__miniature__path=str(ROOT / "models/miniature"),
    )
    with pytest.MonkeyPatch.context() as here:
        here.chdir(workspace.folder)
        here.setenv("SIGNBRIDGE_DEVICE", "cpu")
        here.setenv("LOKY_MAX_CPU_COUNT", "1")
        for stage in STAGES:
            importlib.import_module(f"stages.{stage}").main()
    return workspace.folder


@pytest.fixture
def in_study(finished, monkeypatch) -> Path:
    """The working folder is the finished study."""
    monkeypatch.chdir(finished)
    return finished


@pytest.fixture(scope="session")
def reader(finished):
    """The study's model, as the demo loads it."""
    from signbridge.demo.__main__ import open_reader
    from signbridge.demo.study import DemoStudy

    before = Path.cwd()
    os.chdir(finished)
    try:
        return open_reader(DemoStudy())
    finally:
        os.chdir(before)
