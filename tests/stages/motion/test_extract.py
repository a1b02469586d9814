"""The stages `model` and `extract` of motion: small models of random weights read clips of noise into tables."""

import json
import logging
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from signbridge.core import activations, params, tables
from signbridge.core.errors import SignBridgeError
from signbridge.core.names import READINGS
from signbridge.motion import asking, extraction
from signbridge.motion.frames import ClipFrames, middle_of, order_of
from signbridge.vlm import shard_runs
from signbridge.vlm.catalog import FolderModel
from stages.motion import extract, model
from tests.conftest import Workspace
from tests.motion.conftest import FRAMES, WITH_VIDEO, write_random_clips

READ, CLIPS = Path("data/motion/read"), Path("data/motion/clips.parquet")
ASKED = "USER: <image>\nWhat sign is being made in this image? Answer with one word.\nASSISTANT:"


@pytest.fixture
def clips(workspace, monkeypatch, entry_of_family) -> Workspace:
    """The committed params, a small LLaVA of random weights, and two clips of four frames."""
    monkeypatch.setenv("SIGNBRIDGE_DEVICE", "cpu")
    monkeypatch.setenv("SIGNBRIDGE_BATCH_SIZE", "2")
    choose(workspace, entry_of_family("llava-gemma"))
    write_random_clips(CLIPS)
    return workspace


def choose(workspace: Workspace, entry: FolderModel, **changes: str) -> None:
    said = {key: value for key, value in entry.model_dump().items() if value is not None}
    workspace.set(models__mine={**said, **changes})
    workspace.set_in(params.MOTION, model="mine")


def read(reading: str, monkeypatch) -> Path:
    monkeypatch.setattr(sys, "argv", ["extract", reading])
    extract.main()
    return READ / reading


def vectors_of(folder: Path, site: str, position: str, clips=("clip-0", "clip-1")) -> np.ndarray:
    return activations.read(folder / "activations", site, position, list(clips))


def test_every_reading_is_written_with_what_made_it(clips, monkeypatch):
    model.main()
    folders = {reading: read(reading, monkeypatch) for reading in READINGS}
    sites = ["vision", "projector", "embedding", *(f"layer_{block:02d}" for block in range(3))]
    for reading, folder in folders.items():
        made_by = tables.made_by(folder / "activations/layer_01.parquet")
        assert (made_by["reading"], made_by["read_as"], made_by["sites"]) == (reading, "images", sites)
        assert made_by["twin_seed"] == (0 if reading.startswith("twin") else None)
        alone = reading in ("middle_frame", "single_frames")
        assert made_by["groups"] == (1 if alone else FRAMES)
        table = tables.read(folder / "activations/layer_01.parquet", ["image_id", "position"])
        frames = [] if alone else [f"frame_mean_{frame:02d}" for frame in range(FRAMES)]
        positions = {"prompt_last", "answer_last", "video_mean", *frames}
        assert set(zip(table["image_id"], table["position"], strict=True)) == {
            (clip, position) for clip in ("clip-0", "clip-1") for position in positions
        }
        answers = tables.read(folder / "answers.parquet")
        assert list(answers.columns) == ["clip", "label", "prompt", "answer"]
        assert answers["label"].tolist() == ["sign-0", "sign-1"]
        assert answers["prompt"].str.count("<image>").tolist() == [1 if alone else FRAMES] * 2
    assert not list(Path(".scratch").glob("motion_extract*"))

    # Order is no more than that of the tokens at the embedding; a frame alone is what it is in the clip.
    straight, shuffled = folders["in_order"], folders["shuffled"]
    order = order_of("shuffled", FRAMES, "clip-0", params.seed())
    for place, frame in enumerate(order):
        moved = vectors_of(shuffled, "embedding", f"frame_mean_{place:02d}", ["clip-0"])
        np.testing.assert_allclose(moved, vectors_of(straight, "embedding", f"frame_mean_{frame:02d}", ["clip-0"]))
    mean = vectors_of(straight, "embedding", "video_mean")
    np.testing.assert_allclose(vectors_of(folders["single_frames"], "embedding", "video_mean"), mean, atol=1e-6)
    for clip in ("clip-0", "clip-1"):
        middle = f"frame_mean_{middle_of(FRAMES, clip, params.seed()):02d}"
        alone = vectors_of(folders["middle_frame"], "projector", "video_mean", [clip])
        np.testing.assert_allclose(alone, vectors_of(straight, "projector", middle, [clip]), atol=1e-6)
    last = [vectors_of(folders[name], "layer_02", "prompt_last") for name in READINGS]
    assert all(np.abs(one - other).max() > 1e-3 for row, one in enumerate(last) for other in last[:row])


@pytest.mark.parametrize(
    "family", ["qwen3-vl", *(pytest.param(name, marks=pytest.mark.slow) for name in WITH_VIDEO if name != "qwen3-vl")]
)
def test_a_model_of_each_family_with_video_is_read_through_the_stages(
    family, clips, entry_of_family, monkeypatch, caplog
):
    caplog.set_level(logging.INFO)
    choose(clips, entry_of_family(family))
    model.main()
    described = json.loads(Path("data/motion/model.json").read_text())
    assert described["read_as"] == "video"
    assert described["folder_sha256"]
    folder = read("in_order", monkeypatch)
    said = [record.message for record in caplog.records if record.name == asking.log.name]
    assert re.fullmatch(r"2 times 4 frames, read as video: \d+ tokens a prompt, at least \d+\.\d\d hours", *said)
    groups = tables.made_by(folder / "answers.parquet")["groups"]
    assert groups == (FRAMES // 2 if family.startswith("qwen") else FRAMES)
    assert np.isfinite(vectors_of(folder, "layer_02", f"frame_mean_{groups - 1:02d}")).all()
    assert vectors_of(folder, "vision", "video_mean").shape[0] == 2


def test_a_killed_run_goes_on_where_it_was(clips, monkeypatch):
    monkeypatch.setenv("SIGNBRIDGE_SHARD_IMAGES", "1")
    monkeypatch.setenv("SIGNBRIDGE_BATCH_SIZE", "1")
    model.main()
    write, written = shard_runs.write_shard, []

    def killed(path, shard):
        write(path, shard)
        written.append(path.name)
        if len(written) == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(shard_runs, "write_shard", killed)
    with pytest.raises(KeyboardInterrupt):
        read("in_order", monkeypatch)
    assert not (READ / "in_order").exists()
    read("middle_frame", monkeypatch)  # another item of the matrix leaves its shards alone
    interrupted = vectors_of(read("in_order", monkeypatch), "layer_02", "prompt_last")
    assert written == [f"shard-000{shard}.safetensors" for shard in (0, 0, 1, 1)]
    written.append("not killed again")
    read("in_order", monkeypatch)
    assert np.array_equal(interrupted, vectors_of(READ / "in_order", "layer_02", "prompt_last"))


def test_clips_of_different_sizes_are_read_by_size_and_written_in_the_order_of_the_table(clips, monkeypatch):
    from signbridge.clips.table import Clip, Frames, write_clips

    noise = np.random.default_rng(1).integers(0, 256, (3, FRAMES, 40, 40, 3), dtype=np.uint8)
    wide = [0, 1, 0]  # the second is cut to another size
    recorded = [
        Clip(f"c{n}", f"sign-{n}", "s", "all", Frames([f[: 40 - 8 * wide[n]] for f in noise[n]], list(range(FRAMES))))
        for n in range(3)
    ]
    write_clips(recorded, CLIPS, {})
    model.main()
    folder = read("in_order", monkeypatch)
    together = vectors_of(folder, "layer_02", "prompt_last", ["c0", "c1", "c2"])
    assert tables.read(folder / "answers.parquet")["label"].tolist() == ["sign-0", "sign-1", "sign-2"]
    for number, clip in enumerate(recorded):
        write_clips([clip], CLIPS, {})
        alone = vectors_of(read("in_order", monkeypatch), "layer_02", "prompt_last", [clip.clip])
        np.testing.assert_allclose(alone[0], together[number], atol=1e-4)


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        (ASKED, "USER: <image>\nWhich way does the hand move? Answer with one word.\nASSISTANT:"),
        ("USER: <image>\nWhich way? ASSISTANT:", "USER: <image>\nWhich way? ASSISTANT:"),
    ],
)
def test_the_question_about_a_clip_takes_the_place_of_the_studys_alone(clips, entry_of_family, prompt, expected):
    choose(clips, entry_of_family("llava-gemma"), prompt=prompt)
    clips.set_in(params.MOTION, question="Which way does the hand move? Answer with one word.")
    model.main()
    assert json.loads(Path("data/motion/model.json").read_text())["entry"]["prompt"] == expected


def test_with_prompt_auto_the_question_about_a_clip_stands_in_the_chat_template(clips):
    clips.set_in(params.MOTION, model="tiny-gemma3", question="Which way?")
    model.main()
    prompt = json.loads(Path("data/motion/model.json").read_text())["entry"]["prompt"]
    assert "<start_of_image>Which way?" in prompt


def test_what_does_not_fit_is_said_before_weights_are_loaded(clips, monkeypatch):
    model.main()
    monkeypatch.setattr(sys, "argv", ["extract", "in_order"])
    monkeypatch.setattr(extraction, "prompts_before_loading", asking.prompts_before_loading)
    monkeypatch.setattr("signbridge.vlm.model_run.load", None)  # nothing is loaded
    monkeypatch.setattr(asking, "all_bytes", lambda device: 1000)
    assert "GiB with one clip of 4 frames at a time" in clips.message_of_failure(extract.main)
    write_random_clips(CLIPS, frames=40)
    message = clips.message_of_failure(extract.main)
    assert "a clip of 40 frames takes" in message
    assert "Set fewer `frames`" in message


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"prompt": "Which way?"}, "models.yaml: mine.prompt must hold <image> exactly once, not 0 times"),
        ({"read_as": "video"}, "a model of family 'llava' takes no video here"),
    ],
)
def test_what_makes_no_sense_of_a_model_is_said_by_the_stage_model(clips, entry_of_family, changes, message):
    changes = dict(changes)
    clips.set_in(params.MOTION, read_as=changes.pop("read_as", "auto"))
    choose(clips, entry_of_family("llava-gemma"), **changes)
    assert message in clips.message_of_failure(model.main)


def test_a_reading_that_is_not_there_is_refused(clips, monkeypatch):
    model.main()
    with pytest.raises(SignBridgeError, match=r"no reading 'backwards'\. There are: in_order, shuffled"):
        read("backwards", monkeypatch)


def test_no_more_than_one_row_group_is_held(clips):
    frames = ClipFrames(CLIPS)
    assert frames.count == FRAMES
    assert frames._held == {}
