"""The stage `fetch` of signs that move: every source of recordings becomes one table of frames."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest

from signbridge.clips import rendered_motion
from signbridge.clips.table import frames_of, read_clips
from signbridge.core import params, tables
from stages.motion.fetch import CLIPS, TRUTH, main
from tests.clips import layouts
from tests.datasets.layouts import write

FOLDER = {
    "source": "clip_folder",
    "path": "filmed",
    "pattern": r"(?P<label>\w+)/(?P<signer>P\d+)_\d+\.mp4$",
    "frames": 4,
}


def choose(workspace, **entry) -> None:
    workspace.set(datasets__filmed=entry)
    workspace.set_in(params.MOTION, dataset="filmed")


def test_clips_are_one_table_that_says_what_made_it_and_nothing_is_known_of_their_frames(workspace):
    layouts.clip_folder(workspace.folder / "filmed")
    choose(workspace, **FOLDER, licence="CC0-1.0", pass_on=False)
    main()
    clips = read_clips(CLIPS)
    assert clips["frames"].tolist() == [4] * 4
    assert sorted(set(clips["label"])) == ["hello", "thanks"]
    made_by = tables.made_by(CLIPS)
    assert {key: made_by[key] for key in ("dataset", "source", "from", "licence", "pass_on", "left_out")} == {
        "dataset": "filmed", "source": "clip_folder", "from": "filmed", "licence": "CC0-1.0", "pass_on": False,
        "left_out": {},
    }  # fmt: skip
    assert {"pyav", "pillow"} < set(made_by)
    assert str(workspace.folder) not in str(made_by)
    assert not len(tables.read(TRUTH))


def test_of_drawn_clips_it_is_known_what_each_frame_shows(workspace, monkeypatch):
    in_this_process = partial(rendered_motion.render_clips, workers=1)  # others take seconds to start
    monkeypatch.setattr(rendered_motion, "render_clips", in_this_process)
    workspace.set(datasets__rendered_motion__vocabulary=["letter"], datasets__rendered_motion__clips_per_sign=2)
    workspace.set(datasets__rendered_motion__signers=2, datasets__rendered_motion__size=16)
    workspace.set_in(params.MOTION, dataset="rendered_motion")
    main()
    clips, truth = read_clips(CLIPS), tables.read(TRUTH)
    assert clips["signer"].nunique() == 2
    assert {"shape", "movement", "kind"} < set(clips)
    frames = tables.read(CLIPS, ["clip", "frame"])
    assert truth[["clip", "frame"]].equals(frames)
    assert tables.made_by(CLIPS)["source"] == "rendered_motion"


def test_equal_recordings_give_equal_bytes(workspace):
    layouts.clip_folder(workspace.folder / "filmed")
    choose(workspace, **FOLDER)
    main()
    first = CLIPS.read_bytes()
    main()
    assert CLIPS.read_bytes() == first


def test_wlasl_and_asl_citizen_are_read_as_their_entries_say(workspace, tmp_path_factory):
    wlasl, citizen = (str(tmp_path_factory.mktemp(name)) for name in ("wlasl", "citizen"))
    layouts.wlasl(Path(wlasl))
    layouts.asl_citizen(Path(citizen))
    workspace.set(datasets__wlasl__path=wlasl, datasets__wlasl__glosses=3)
    workspace.set(datasets__asl_citizen__path=citizen, datasets__asl_citizen__glosses=["APPLE", "HURDLE/TRIP1"])
    for name, signs in (("wlasl", 3), ("asl_citizen", 2)):
        workspace.set_in(params.MOTION, dataset=name)
        main()
        clips = read_clips(CLIPS)
        assert clips["label"].nunique() == signs
        assert set(clips["split"]) == {"train", "valid", "test"}
        assert (clips["frames"] == 16).all()
        assert np.asarray(frames_of(CLIPS, clips["clip"][0])[0]).shape == (48, 64, 3)


def test_a_clip_that_cannot_be_decoded_stops_it_by_name_or_is_left_out_and_said(workspace, caplog):
    layouts.clip_folder(workspace.folder / "filmed")
    write(workspace.folder, "filmed/mine/hello/P3_001.mp4", b"no video")
    choose(workspace, **FOLDER)
    message = workspace.message_of_failure(main)
    assert "mine/hello/P3_001.mp4: Invalid data" in message
    assert not CLIPS.exists()
    choose(workspace, **FOLDER, on_unreadable="skip")
    main()
    assert len(read_clips(CLIPS)) == 4
    assert "left out: 1 clips (cannot be decoded), first 'mine/hello/P3_001.mp4'" in caplog.text


def test_a_dataset_of_images_is_refused_by_the_question_of_motion(workspace):
    workspace.set_in(params.MOTION, dataset="sign_mnist")
    message = workspace.message_of_failure(main)
    assert "stages/motion/params.yaml: dataset: sign_mnist has single images, no clips of signs that move" in message
    assert "rendered_motion, asl_citizen, wlasl; single images" in message


@pytest.mark.parametrize(("chosen", "what"), [({"glosses": ["hello"]}, "label"), ({"signers": ["P1"]}, "signer")])
def test_one_sign_or_one_signer_is_refused_before_anything_is_decoded(workspace, chosen, what):
    layouts.clip_folder(workspace.folder / "filmed")
    choose(workspace, **FOLDER, **chosen)
    assert f"the chosen clips have one {what} alone" in workspace.message_of_failure(main)
