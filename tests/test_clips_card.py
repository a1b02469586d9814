"""The data card of a dataset of clips: counts by the source's tables, and a sheet with frames in a row."""

import sys

import pytest
from PIL import Image

from signbridge.clips import asl_citizen
from signbridge.clips.recordings import files_in
from signbridge.clips.table import Clip
from signbridge.clips_card import MOST_SIGNS, read_a_few
from signbridge.core.command_line import run
from signbridge.core.errors import SignBridgeError
from signbridge.data_card import SHEETS
from signbridge.datasets import contact_sheet
from signbridge.datasets.__main__ import main
from tests.clips import layouts


def test_the_card_counts_clips_by_sign_and_the_sheet_shows_frames_in_a_row(workspace, monkeypatch, capsys):
    layouts.asl_citizen(workspace.folder / "citizen")
    rows = "APPLE,A,tap\nYES|,S,nod\nHURDLE/TRIP1,A,over\n".replace("YES|", '"YES, OF COURSE"')
    (workspace.folder / "signs.csv").write_text(f"gloss,shape,movement\n{rows}")
    workspace.set(datasets__asl_citizen__path="citizen", datasets__asl_citizen__glosses="all")
    workspace.set(datasets__asl_citizen__attributes="signs.csv", datasets__asl_citizen__frames=5)
    monkeypatch.setattr(sys, "argv", ["datasets", "asl_citizen"])
    run(main)
    said = " ".join(capsys.readouterr().out.split())
    assert "asl_citizen: 11 clips of 3 signs, 5 signers" in said
    assert "signers, as its authors say: 52" in said
    assert "its clips must not be passed on" in said
    assert "APPLE 5 4 HURDLE/TRIP1 4 3 YES, OF COURSE 2 2" in said
    assert "signers in each split: test 1, train 3, valid 1" in said
    assert "minimal pairs of signs: 1 in movement, 0 in shape; known of 3 signs" in said
    assert "of the 3 clips on the sheet: 0." in said
    assert "the sign alone, frames of 48 x 64 contact sheet" in said
    with Image.open(SHEETS / "asl_citizen.png") as sheet:
        step = contact_sheet.CELL + contact_sheet.GAP
        assert 5 * step < sheet.width < 6 * step + 60
        assert 3 * step < sheet.height < 4 * step


def test_no_more_is_read_than_the_sheet_shows(tmp_path, monkeypatch):
    layouts.asl_citizen(tmp_path)
    read = []
    files = files_in(tmp_path)
    noted = files._replace(read=lambda name: read.append(name) or files.read(name))
    monkeypatch.setattr(asl_citizen, "files_in", lambda place: noted)
    entry = asl_citizen.AslCitizenParams(source="asl_citizen", path=str(tmp_path), frames=2)
    shown = read_a_few(asl_citizen.fetch(entry).clips)
    assert len([name for name in read if name.endswith(".mp4")]) == len(shown) == 3 <= MOST_SIGNS
    assert len({one.clip.signer for one in shown}) == 3, "a signer each, where there are as many"


def test_a_sheet_of_which_no_clip_can_be_read_is_said():
    with pytest.raises(SignBridgeError, match="none of the clips for the sheet can be read"):
        read_a_few([Clip("a", "A", "P1", "all", lambda: None)])
