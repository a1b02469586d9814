"""Small copies of published sets, as they are laid out: names, nesting, sizes and defects included.

None of the real files has been seen here. Each function takes a new folder and fills it as the set unpacks.
"""

import io
import shutil
import tarfile
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

MENDELEY = "ASL-HG American Sign Language Hand Gesture Image D/ASL_HG_36000"


def photo(seed: int, width: int, height: int, ending: str = "jpg") -> bytes:
    """A smooth colour picture with some noise, as a file of that kind."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(30, 226, (4, 4, 3), dtype=np.uint8)).resize((width, height))
    pixels = np.clip(np.asarray(coarse) + rng.normal(0, 3, (height, width, 1)), 0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG" if ending == "jpg" else "PNG")
    return buffer.getvalue()


def write(folder: Path, name: str, content: bytes) -> None:
    """A file of that name in the folder, and the folders between."""
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)


def asl_hg(folder: Path) -> Path:
    """`ASL_Raw_Images.zip`, unpacked: three classes, three signers, one exact copy under another name."""
    for place, label in enumerate("0AZ"):
        for signer in (1, 2, 10):
            for number in (1, 2):
                name = f"asl_dataset/{label}/P{signer}_{label}_{number}.jpg"
                write(folder, name, photo(100 * place + 10 * signer + number, 64, 48))
    shutil.copy(folder / "asl_dataset/A/P1_A_1.jpg", folder / "asl_dataset/A/P1_A_3.jpg")
    return folder


def asl_hg_of_mendeley(folder: Path) -> Path:
    """The same as Mendeley gives it: a zip each of raw and of processed images, in a folder of a long name."""
    raw, processed = folder / "raw", folder / "processed"
    asl_hg(raw)
    for split in ("train", "test"):
        write(processed, f"asl_processed/{split}/A/P1_A_1.jpg", photo(7, 32, 32))
    inside = folder / "mendeley" / MENDELEY
    inside.mkdir(parents=True)
    zipped(raw, inside / "ASL_Raw_Images.zip")
    zipped(processed, inside / "ASL_Processed_Images.zip")
    return folder / "mendeley"


def dataset5(folder: Path) -> Path:
    """Colour and 16-bit depth frames of two signers; k is the letter's place in the alphabet, numbers begin at 2."""
    for signer in "AE":
        for k, letter in ((0, "a"), (8, "i"), (24, "y")):
            for number in (2, 3, 4):
                name = f"dataset5/{signer}/{letter}/color_{k}_{number:04d}.png"
                write(folder, name, photo(k + number, 60 + k, 70 + number, "png"))
                depth = io.BytesIO()
                Image.fromarray(np.full((70 + number, 60 + k), 900, np.uint16)).save(depth, "PNG")
                write(folder, name.replace("color", "depth"), depth.getvalue())
    return folder


def asl_alphabet(folder: Path) -> Path:
    """Each folder within one of its own name; the test images lie side by side, and there is none for `del`."""
    for place, label in enumerate(("A", "Z", "del", "nothing", "space")):
        for number in (1, 2, 3000):
            name = f"asl_alphabet_train/asl_alphabet_train/{label}/{label}{number}.jpg"
            write(folder, name, photo(10 * place + number, 200, 200))
        if label != "del":
            write(folder, f"asl_alphabet_test/asl_alphabet_test/{label}_test.jpg", photo(place, 200, 200))
    return folder


def synthetic_asl_alphabet(folder: Path) -> Path:
    """Renderings under long names, and a class without a hand."""
    for split in ("Train", "Test"):
        for place, label in enumerate(("A", "B", "Blank")):
            name = f"{split}_Alphabet/{label}/0042513a-63c0-499f-a7f7-e6ee1266cb9{place}.rgb_0000.png"
            write(folder, name, photo(place, 128, 128, "png"))
    return folder


def zipped(folder: Path, to: Path) -> Path:
    """A zip of what the folder holds, photos as they are: they are compressed."""
    with zipfile.ZipFile(to, "w") as archive:
        for file in sorted(folder.rglob("*"), reverse=True):  # the order in a zip is anyone's
            archive.write(file, file.relative_to(folder).as_posix())
    return to


def tarred(folder: Path, to: Path) -> Path:
    """A tar of what the folder holds, compressed as its name says."""
    with tarfile.open(to, f"w:{to.suffix[1:] if to.suffix != '.tar' else ''}") as archive:
        for file in sorted(folder.iterdir()):
            archive.add(file, f"./{file.name}")
    return to
