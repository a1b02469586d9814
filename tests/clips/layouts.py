"""Small copies of published sets of clips, as they are laid out: names, tables, nesting and defects included.

None of the real files has been seen here. Each function takes a new folder and fills it as the set unpacks.
"""

import io
import json
import zipfile
from pathlib import Path

from PIL import Image

from tests.clips.videos import moving, video
from tests.datasets.layouts import write

HEADER = "Participant ID,Video file,Gloss,ASL-LEX Code\r\n"
# A name of a file that tells another gloss, blanks at a gloss's end, a slash and a quoted comma in one, a repetition.
CITIZEN = {
    "train": [
        ("P1", "15890366051589533-APPLE.mp4", "APPLE", "A_01_001"),
        ("P1", "4.7299129501965353e-7-seedSOUR.mp4", "APPLE", "A_01_001"),
        ("P2", "0042-seedAPPLE.mp4", "APPLE ", "A_01_001"),
        ("P2", "0043-HURDLE TRIP.mp4", "HURDLE/TRIP1", "B_02_002"),
        ("P1", "0044-YES.mp4", '"YES, OF COURSE"', "C_03_003"),
        ("P46", "0045-HURDLE.mp4", "HURDLE/TRIP1", "B_02_002"),
        ("P46", "0046-HURDLE.mp4", "HURDLE/TRIP1", "B_02_002"),
    ],
    "val": [("P5", "0051-HURDLE.mp4", "HURDLE/TRIP1  ", "B_02_002"), ("P5", "0052-APPLE.mp4", "APPLE", "A_01_001")],
    "test": [("P9", "0091-APPLE.mp4", "APPLE", "A_01_001"), ("P9", "0092-YES.mp4", '"YES, OF COURSE"', "C_03_003")],
}


def asl_citizen(folder: Path) -> Path:
    """ASL Citizen 1.0: three tables, eleven videos, the terms of use."""
    for split, rows in CITIZEN.items():
        lines = "".join(f"{','.join(row)}\r\n" for row in rows)
        write(folder, f"ASL_Citizen/splits/{split}.csv", (HEADER + lines).encode())
        for number, (_, name, *_) in enumerate(rows):
            write(folder, f"ASL_Citizen/videos/{name}", video(moving(8 + number, still=(4, 4))))
    write(folder, "ASL_Citizen/use.txt", b"For non-commercial research alone.")
    return folder


def instance(number: int, signer: int, start: int = 1, end: int = -1, split: str = "train") -> dict:
    """One recording as WLASL 0.3 describes it."""
    return {
        "bbox": [8, 4, 56, 44], "fps": 25, "frame_end": end, "frame_start": start, "instance_id": number,
        "signer_id": signer, "source": "a-site", "split": split, "url": "https://gone.invalid/1.mp4", "variation_id": 0,
        "video_id": f"{number:05d}",
    }  # fmt: skip


# A signer in two splits, as in the official ones; 70349 is not on Kaggle; 00003 was not cut to its sign, 00004 was.
WLASL = [
    {"gloss": "book", "instances": [
        instance(1, 118, split="train"), instance(2, 118, split="test"), instance(3, 7, 6, 10), instance(70349, 90),
    ]},
    {"gloss": "thank you", "instances": [instance(4, 7, 31, 42), instance(5, 118), instance(6, 90)]},
    {"gloss": "who", "instances": [instance(7, 7), instance(8, 118), instance(9, 118), instance(10, 2)]},
]  # fmt: skip


def wlasl(folder: Path) -> Path:
    """The Kaggle copy: the labels, their subsets, and the videos that were still to be had."""
    write(folder, "WLASL_v0.3.json", json.dumps(WLASL).encode())
    write(folder, "nslt_100.json", b"{}")
    write(folder, "missing.txt", b"70349\n")
    for sign in WLASL:
        for one in sign["instances"]:
            if one["video_id"] != "70349":
                write(folder, f"videos/{one['video_id']}.mp4", video(moving(12)))
    return folder


def clip_folder(folder: Path) -> Path:
    """Videos of two signs by two signers, in folders by sign."""
    for sign in ("hello", "thanks"):
        for signer in ("P1", "P2"):
            write(folder, f"mine/{sign}/{signer}_001.mp4", video(moving(10)))
    write(folder, "mine/notes.txt", b"filmed at home")
    return folder


def frame_folders(folder: Path) -> Path:
    """The same as folders of frames, whose numbers have no zeros before them."""
    for sign in ("hello", "thanks"):
        for signer in ("P1", "P2"):
            for number, picture in enumerate(moving(12)):
                buffer = io.BytesIO()
                Image.fromarray(picture).save(buffer, "PNG")
                write(folder, f"frames/{signer}/{sign}/frame{number}.png", buffer.getvalue())
    return folder


def zipped(folder: Path, place: Path) -> Path:
    """The folder as a zip."""
    with zipfile.ZipFile(place, "w") as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, file.relative_to(folder))
    return place
