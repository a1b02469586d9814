import time
from http.server import HTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import stages.fetch
from signbridge.core import tables
from signbridge.datasets.images import decode_png
from tests.datasets import layouts
from tests.datasets.kaggle_layout import (
    TEST,
    TRAIN,
    csv_text,
    whole,
    with_cell,
    write_zip,
)
from tests.local_server import Quiet, answering

OUTPUT = Path("data/images.parquet")
CLOSED = "http://ann:s3cret@127.0.0.1:9"  # nothing listens on the discard port
HANDLE = "datamunge/sign-language-mnist/versions/1"


@pytest.fixture
def earlier_output(workspace):
    """An output of an earlier run, which no failure may take away."""
    OUTPUT.parent.mkdir()
    OUTPUT.write_bytes(b"earlier")
    yield workspace
    assert OUTPUT.read_bytes() == b"earlier"
    assert [path.name for path in OUTPUT.parent.iterdir()] == [OUTPUT.name]


@pytest.fixture
def local_archive(earlier_output):
    """A workspace whose dataset is the local archive `signs.zip`."""
    earlier_output.set(dataset="sign_mnist", datasets__sign_mnist__archive="signs.zip")
    return earlier_output


def spoilt(**files):
    """A sound archive's files with some replaced, or left out where None."""
    names = {"train": TRAIN, "test": TEST}
    replaced = {names[key]: content for key, content in files.items()}
    return {name: content for name, content in (whole() | replaced).items() if content is not None}


TRAIN_CSV = whole()[TRAIN]
BAD_CSVS = {
    "an HTML page": (spoilt(train="<!DOCTYPE html><html>Sign in</html>"), (TRAIN, "HTML page", "login page")),
    "a wrong header": (spoilt(test=csv_text([0]).replace("pixel2,", "pix2,")), (TEST, "header", "'pix2'")),
    "a pixel of 256": (spoilt(train=with_cell(TRAIN_CSV, 3, 5, "256")), (TRAIN, "row 3", "pixel5", "'256'")),
    "a pixel of -1": (spoilt(train=with_cell(TRAIN_CSV, 3, 5, "-1")), (TRAIN, "row 3", "pixel5", "'-1'")),
    "a pixel of abc": (spoilt(test=with_cell(csv_text([1]), 0, 784, "abc")), (TEST, "row 0", "pixel784", "'abc'")),
    "a blank cell": (spoilt(train=with_cell(TRAIN_CSV, 3, 5, "")), (TRAIN, "row 3", "pixel5", "blank")),
    "a ragged row": (spoilt(train=TRAIN_CSV + "1,2\n"), (TRAIN, "row 6", "2 cells")),
    "a label of 9": (spoilt(train=with_cell(TRAIN_CSV, 4, 0, "9")), (TRAIN, "row 4", "label: 9")),
    "a label of 25": (spoilt(test=csv_text([0, 25])), (TEST, "row 1", "label: 25")),
    "an empty CSV": (spoilt(train=""), (TRAIN, "empty")),
    "a missing CSV": ({TRAIN: TRAIN_CSV}, ("signs.zip", TEST)),
}


@pytest.mark.parametrize("bad", BAD_CSVS)
def test_a_bad_csv_is_named_and_the_earlier_output_kept(local_archive, bad):
    files, said = BAD_CSVS[bad]
    write_zip(Path("signs.zip"), files)
    message = local_archive.message_of_failure(stages.fetch.main)
    for words in said:
        assert words in message


def test_a_missing_archive_names_path_and_key(local_archive):
    message = local_archive.message_of_failure(stages.fetch.main)
    assert "signs.zip" in message
    assert "datasets.yaml: sign_mnist.archive" in message


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (write_zip, "cut short"),
        (b"label,pixel1\n", "not a zip archive"),
        (b"", "not a zip archive"),
        (b"<html><body>Sign in</body></html>", "HTML page"),
    ],
)
def test_an_archive_that_is_none_says_what_it_is(local_archive, content, said):
    if content is write_zip:
        content = write_zip(Path("signs.zip"), whole()).read_bytes()[:-2000]
    Path("signs.zip").write_bytes(content)
    message = local_archive.message_of_failure(stages.fetch.main)
    assert message.startswith("error: signs.zip: ")
    assert said in message


def test_a_row_count_other_than_declared_is_refused(local_archive):
    write_zip(Path("signs.zip"), whole())
    local_archive.set(datasets__sign_mnist__archive_rows={"train": 7, "test": 3})
    message = local_archive.message_of_failure(stages.fetch.main)
    assert f"{TRAIN}: 6 rows, but datasets.yaml declares 7" in message


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"dataset": "sign_minst"},
            "dataset: no 'sign_minst' in datasets.yaml. There are: asl_alphabet, asl_citizen, asl_hg, ",
        ),
        ({"datasets__sign_mnist__archve": None}, "sign_mnist.archve: unknown key. Did you mean 'archive'?"),
        ({"datasets__sign_mnist__archive": 3}, "sign_mnist.archive: expected a string (got 3)"),
        ({"datasets__sign_mnist__archive_rows": {"train": "6"}}, "archive_rows.train: expected an integer (got '6')"),
        ({"datasets__sign_mnist__kaggle": "datamunge/sign-language-mnist"}, "kaggle: expected text of the form"),
        (
            {"datasets__sign_mnist__source": "kaggle"},
            "expected 'rendered', 'sign_mnist', 'image_folder' or 'hub'",
        ),
    ],
)
def test_a_mistake_in_the_params_is_named_by_key(local_archive, changes, said):
    local_archive.set(**changes)
    message = local_archive.message_of_failure(stages.fetch.main)
    assert message.startswith("error: params.yaml: " if "dataset" in changes else "error: datasets.yaml: ")
    assert said in message


def test_the_command_itself_ends_with_two_lines_and_no_traceback(local_archive):
    write_zip(Path("signs.zip"), spoilt(train=with_cell(TRAIN_CSV, 3, 5, "256")))
    done = local_archive.run("fetch")
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) <= 2
    assert f"error: {TRAIN}, row 3 (line 5), pixel5: '256' is not an integer from 0 to 255." in done.stderr


def test_an_unreachable_kaggle_fails_at_once_and_names_the_way_out(earlier_output, tmp_path):
    earlier_output.set(dataset="sign_mnist")
    secret = {"KAGGLE_USERNAME": "ann", "KAGGLE_KEY": "s3cret", "HTTPS_PROXY": CLOSED, "https_proxy": CLOSED}
    start = time.perf_counter()
    done = earlier_output.run("fetch", KAGGLEHUB_CACHE=str(tmp_path / "cache"), NO_PROXY="", no_proxy="", **secret)
    assert time.perf_counter() - start < 30
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) <= 2
    assert f"cannot fetch '{HANDLE}' from Kaggle" in done.stderr
    assert "Check the network" in done.stderr
    assert "`sign_mnist.archive` in datasets.yaml" in done.stderr
    assert "s3cret" not in done.stdout + done.stderr


@pytest.fixture
def kaggle():
    """Stands in for Kaggle's server: answers what is asked with `status` and `body`."""

    class Answer(Quiet):
        def do_HEAD(self):
            self.send_response(200)
            self.end_headers()

        def do_POST(self):
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(self.server.status)
            self.send_header("Content-Length", str(len(self.server.body)))
            self.end_headers()
            self.wfile.write(self.server.body)

    server = HTTPServer(("127.0.0.1", 0), Answer)
    server.status, server.body = 200, b""
    with answering(server):
        yield server


def kaggle_environment(server, cache):
    return {
        "KAGGLE_API_ENVIRONMENT": "LOCALHOST",  # http://localhost, no port to choose: hence by way of a proxy
        "KAGGLEHUB_CACHE": str(cache),
        "HTTP_PROXY": f"http://127.0.0.1:{server.server_port}",
        "http_proxy": f"http://127.0.0.1:{server.server_port}",
        "NO_PROXY": "",
        "no_proxy": "",
    }


def test_the_images_come_through_kagglehub_and_then_from_its_cache(workspace, kaggle, tmp_path):
    kaggle.body = write_zip(tmp_path / "served.zip", whole()).read_bytes()
    workspace.set(dataset="sign_mnist", datasets__sign_mnist__rows={"train": 6, "test": 3})
    environment = kaggle_environment(kaggle, tmp_path / "cache")
    done = workspace.run("fetch", **environment)
    assert done.returncode == 0, done.stderr
    first = OUTPUT.read_bytes()
    assert tables.made_by(OUTPUT)["from"] == HANDLE
    kaggle.status = 500
    OUTPUT.unlink()
    assert workspace.run("fetch", **environment, KAGGLE_API_TOKEN="x").returncode == 0
    assert OUTPUT.read_bytes() == first


@pytest.mark.parametrize("status", [404, 500])
def test_a_refusal_by_kaggle_is_named(earlier_output, kaggle, tmp_path, status):
    kaggle.status = status
    earlier_output.set(dataset="sign_mnist")
    done = earlier_output.run("fetch", **kaggle_environment(kaggle, tmp_path / "cache"))
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert f"(it answered {status})" in done.stderr


@pytest.fixture
def folder(earlier_output):
    """A workspace whose dataset is the image folder `signs`, which is still to be filled."""
    earlier_output.set(dataset="mine", datasets__mine={"source": "image_folder", "path": "signs"})
    for label in "AB":
        Path("signs", label).mkdir(parents=True)
        Image.fromarray(np.zeros((9, 9), np.uint8)).save(f"signs/{label}/1.png")
    return earlier_output


def test_an_unreadable_image_is_named(folder):
    Path("signs/B/2.jpg").write_bytes(b"\xff\xd8\xff and no more")
    assert "signs/B/2.jpg" in folder.message_of_failure(stages.fetch.main)


def test_a_decompression_bomb_is_named(folder):
    Image.new("1", (20_000, 20_000)).save("signs/B/bomb.png")  # 50 kB
    message = folder.message_of_failure(stages.fetch.main)
    assert "signs/B/bomb.png" in message
    assert "million pixels" in message


def test_a_folder_that_is_not_there_is_named(folder):
    folder.set(datasets__mine__path="sings")
    message = folder.message_of_failure(stages.fetch.main)
    assert "'sings'" in message
    assert "`path`" in message


def test_an_image_folder_becomes_the_same_table(workspace):
    workspace.set(dataset="mine", datasets__mine={"source": "image_folder", "path": "signs"})
    Path("signs/A").mkdir(parents=True)
    Image.fromarray(np.full((9, 9), 3, np.uint8)).save("signs/A/1.png")
    stages.fetch.main()
    images = tables.read(OUTPUT)
    assert images.columns.tolist() == ["image_id", "label", "split", "sha256", "image"]
    assert images[["image_id", "label", "split"]].to_numpy().tolist() == [["A/1.png", "A", "all"]]
    assert (decode_png(images["image"][0]) == 3).all()


def test_a_zip_of_photos_becomes_a_table_that_says_who_signs_what_was_left_out_and_the_licence(workspace, tmp_path):
    folder = layouts.dataset5(tmp_path / "elsewhere")
    layouts.write(folder, "dataset5/A/a/color_0_0009.png", b"no picture")
    archive = layouts.zipped(folder, tmp_path / "signs.zip")
    changed = {"datasets__dataset5__path": str(archive), "datasets__dataset5__on_unreadable": "skip"}
    workspace.set(dataset="dataset5", datasets__dataset5__size=50, **changed)
    stages.fetch.main()
    images = tables.read(OUTPUT)
    assert images.columns.tolist() == ["image_id", "label", "split", "sha256", "signer", "clip", "image"]
    assert len(images) == 18
    assert max(decode_png(images["image"][0]).shape) == 50
    made_by = tables.made_by(OUTPUT)
    assert (made_by["licence"], made_by["pass_on"]) == ("none stated", "unclear")
    assert made_by["left_out"] == {
        "cannot be read": {"images": 1, "first": "A/a/color_0_0009.png"},
        "no image of a class, by its path": {"images": 18, "first": "dataset5/A/a/depth_0_0002.png"},
    }
    assert made_by["from"] == "signs.zip"
    assert "elsewhere" not in str(made_by)
    assert tables.read("data/hands.parquet")["image_id"].tolist() == images["image_id"].tolist()


def test_the_table_depends_on_what_the_archive_holds_and_not_on_where_it_lies(workspace, tmp_path):
    tables_written = []
    for place in ("here", "there/deep"):
        (tmp_path / place).mkdir(parents=True)
        write_zip(tmp_path / place / "signs.zip", whole())
        workspace.set(dataset="sign_mnist", datasets__sign_mnist__archive=str(tmp_path / place / "signs.zip"))
        stages.fetch.main()
        tables_written.append(OUTPUT.read_bytes())
    assert tables_written[0] == tables_written[1]
    assert set(tables.made_by(OUTPUT)["sha256"]) == {TRAIN, TEST}


def test_rendered_hands_become_the_same_table(workspace):
    workspace.set(dataset="rendered", datasets__rendered__photos=1, datasets__rendered__copies=2)
    stages.fetch.main()
    images = tables.read(OUTPUT)
    assert images.columns.tolist() == ["image_id", "label", "split", "sha256", "image"]
    assert len(images) == 24 * 2
    made_by = tables.made_by(OUTPUT)
    assert made_by["params"] == {"source": "rendered", "seed": 7, "size": 28, "photos": 1, "copies": 2}
    assert (made_by["licence"], made_by["pass_on"]) == ("MIT", True)


def test_a_dataset_of_clips_is_refused_with_the_sources_of_images(workspace):
    workspace.set(dataset="wlasl")
    message = workspace.message_of_failure(stages.fetch.main)
    assert "datasets.yaml: wlasl.source: expected" in message
    assert "'image_folder'" in message
