"""Ray's actors make the bytes of one process, also when one of them is killed half way."""

import importlib.util
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from signbridge.core.errors import SignBridgeError
from signbridge.vlm import ray_pool
from tests.conftest import ROOT

STAGE = [sys.executable, "-m", "stages.extract"]


def test_an_engine_that_is_not_known_is_refused(monkeypatch):
    monkeypatch.setenv(ray_pool.WORKERS, "spark")
    with pytest.raises(SignBridgeError, match="SIGNBRIDGE_WORKERS=spark: expected ray, or ray://address:port"):
        ray_pool.is_asked_for()
    for said, asked in (("", False), ("local", False), ("ray", True), ("ray://head:10001", True)):
        monkeypatch.setenv(ray_pool.WORKERS, said)
        assert ray_pool.is_asked_for() == asked


def test_a_number_of_actors_that_is_none_is_refused(monkeypatch):
    monkeypatch.setenv(ray_pool.ACTORS, "two")
    with pytest.raises(SignBridgeError, match="SIGNBRIDGE_ACTORS=two: expected a number from 1 on"):
        ray_pool._count(4)
    monkeypatch.setenv(ray_pool.ACTORS, "3")
    assert ray_pool._count(4) == 3


@pytest.mark.skipif(importlib.util.find_spec("ray") is not None, reason="Ray is here")
def test_ray_that_is_not_here_is_named_with_its_extra(monkeypatch):
    monkeypatch.setenv(ray_pool.WORKERS, "ray")
    with pytest.raises(SignBridgeError, match=r"asks for Ray, which is not here: pip install '\.\[ray\]'"):
        ray_pool._started()


@pytest.mark.slow
def test_two_actors_of_which_one_is_killed_make_the_bytes_of_one_process(workspace):
    """Where Ray is not installed this fails: `make test-slow` installs it."""
    workspace.set(model="tiny-random", sample__classes=6, sample__per_class=10)
    workspace.set(datasets__rendered__photos=10, datasets__rendered__copies=1)
    for stage in ("choice", "fetch", "photos", "sample", "model"):
        assert workspace.run(stage).returncode == 0
    few = {"SIGNBRIDGE_BATCH_SIZE": "2", "SIGNBRIDGE_SHARD_IMAGES": "2", "SIGNBRIDGE_DEVICE": "cpu"}
    done = workspace.run("extract", **few)
    assert done.returncode == 0, done.stderr
    alone = outputs()
    environment = {**os.environ, **few, ray_pool.WORKERS: "ray", "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    started = subprocess.Popen(
        [sys.executable, "-m", "stages.extract"], env=environment, stderr=subprocess.PIPE, text=True
    )
    killed = kill_an_actor(after=4)
    _, said = started.communicate(timeout=300)
    assert started.returncode == 0, said
    assert killed, "no actor was there to be killed"
    assert "2 actors of Ray" in said
    assert outputs() == alone


def outputs() -> dict[str, bytes]:
    """What `extract` writes, which is taken away."""
    files = [*sorted(Path("data/activations").iterdir()), Path("data/answers.parquet")]
    found = {file.name: file.read_bytes() for file in files}
    for file in files:
        file.unlink()
    return found


def kill_an_actor(after: int) -> bool:
    """Kill one of the two with SIGKILL once so many shards are there."""
    end = time.monotonic() + 200
    while time.monotonic() < end:
        if len(list(Path(".scratch/extract").glob("*/*.safetensors"))) >= after:
            actors = [process for process in psutil.process_iter(["cmdline"]) if is_actor(process)]
            if actors:
                os.kill(actors[0].pid, signal.SIGKILL)
                return True
        time.sleep(0.05)
    return False


def is_actor(process: psutil.Process) -> bool:
    """Ray names a process after what it does."""
    return "ray::_Maker" in " ".join(process.info["cmdline"] or [])
