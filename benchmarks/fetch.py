"""How long `fetch` takes on generated folders of pictures, and the most memory it and the stages after it take.

    python -m benchmarks.fetch [--pictures 87000] [--photos 200] [--large 50] [--within zip] [--keep]

The pictures are hard links to a few files, so that the disk holds little; every one is decoded and encoded anew. In an
archive (`--within zip`, `zips` for a zip in a zip, `tar.bz2`) each lies as a whole, and only `fetch` is measured.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image
from ruamel.yaml import YAML

from benchmarks.machine import describe, keep

CLASSES, FILES = 29, 20  # as Kaggle's ASL Alphabet has; distinct pictures a class
FULL_SAMPLE = 1000  # pictures, up to which the sample is all of them
ROOT = Path(__file__).resolve().parents[1]
STAGES = ("fetch", "photos", "sample", "leakage")
PHOTO, LARGE = (4000, 3000), (4000, 4000)  # 12 and 16 megapixels
PEAK = "import resource, runpy, sys; sys.argv = sys.argv[1:]; runpy.run_module(sys.argv[0], run_name='__main__'); "
PEAK += "used = resource.getrusage(resource.RUSAGE_SELF); "
# VmHWM and not ru_maxrss, which begins with what this process, its parent, has taken.
PEAK += (
    "peak = open('/proc/self/status').read().split('VmHWM:')[1].split()[0]; print(used.ru_utime + used.ru_stime, peak)"
)


def make_folder(folder: Path, pictures: int, size: tuple[int, int]) -> None:
    """Smooth pictures with a little noise, as photos are, in classes of equal size."""
    rng = np.random.default_rng(0)
    for number in range(pictures):
        classes = min(CLASSES, max(2, pictures // 6))
        letter, file = number % classes, number // classes
        path = folder / f"{letter:02d}" / f"{file:06d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        if file >= FILES:
            path.hardlink_to(path.with_name(f"{file % FILES:06d}.jpg"))
            continue
        coarse = Image.fromarray(rng.integers(30, 226, (6, 6, 3), dtype=np.uint8)).resize(
            size, Image.Resampling.BICUBIC
        )
        noise = rng.normal(0, 3, (size[1], size[0], 1))
        Image.fromarray((np.asarray(coarse) + noise).clip(0, 255).astype(np.uint8)).save(path, quality=90)


def packed(folder: Path, within: str) -> Path:
    """The archive of the folder, which is removed; with `zips` the zip lies in another, compressed."""
    if within == "folder":
        return folder
    archive = folder.with_name(f"signs.{'zip' if within == 'zips' else within}")
    if within == "tar.bz2":
        with tarfile.open(archive, "w:bz2") as opened:
            for file in sorted(folder.rglob("*.jpg")):  # not the folders: links would be links
                info = opened.gettarinfo(file, file.relative_to(folder).as_posix())
                info.type, info.size = tarfile.REGTYPE, file.stat().st_size
                with file.open("rb") as content:
                    opened.addfile(info, content)
    else:
        with zipfile.ZipFile(archive, "w") as opened:
            for file in sorted(folder.rglob("*.jpg")):
                opened.write(file, file.relative_to(folder).as_posix())
    if within == "zips":
        inner, archive = archive, archive.with_name("outer.zip")
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as opened:
            opened.write(inner, "deep/signs.zip")
    shutil.rmtree(folder)
    return archive


def measured(pictures: int, size: tuple[int, int], within: str) -> list[str]:
    """A line a stage: seconds, cores used and the most memory, each a process of its own in a folder thrown away."""
    lines = []
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as scratch:
        here = Path(scratch)
        make_folder(here / "signs", pictures, size)
        entry = {"source": "image_folder", "path": packed(here / "signs", within).name}
        entry |= {} if within == "folder" else {"pattern": r"(?P<label>\d\d)/\d+\.jpg$"}
        yaml = YAML()
        params = yaml.load(ROOT / "params.yaml")
        params["dataset"] = "mine"
        params["sample"] |= {"classes": "all", "per_class": "all" if pictures <= FULL_SAMPLE else 20}
        params["probe"]["grouped"]["folds"] = params["probe"]["grouped"]["inner_folds"] = 2
        yaml.dump(params, here / "params.yaml")
        yaml.dump({"mine": entry}, here / "datasets.yaml")
        for stage in STAGES if within == "folder" else STAGES[:1]:
            start = time.perf_counter()
            done = subprocess.run(
                [sys.executable, "-c", PEAK, f"stages.{stage}"], cwd=here, env=os.environ | {"PYTHONPATH": str(ROOT)},
                check=True, stdout=subprocess.PIPE, text=True,
            )  # fmt: skip
            took = time.perf_counter() - start
            cpu, peak = (float(part) for part in done.stdout.split()[-2:])
            lines.append(
                f"{pictures} of {size[0]} x {size[1]} in a {within}, {stage:7} {took:8.1f} s {cpu / took:5.1f} cores "
                f"{peak / 1024:7.0f} MiB"
            )
            print(lines[-1], flush=True)
        lines.append(f"data/images.parquet {(here / 'data/images.parquet').stat().st_size / 2**20:.0f} MiB")
    return lines


def main() -> None:
    """Measure and print; with --keep also append to the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, default=87_000, help="of 200 x 200")
    parser.add_argument("--photos", type=int, default=200, help="of 12 megapixels")
    parser.add_argument("--large", type=int, default=50, help="of 16 megapixels")
    parser.add_argument("--within", choices=["folder", "zip", "zips", "tar.bz2"], default="folder")
    parser.add_argument("--keep", action="store_true", help="append to benchmarks/results/fetch.md")
    arguments = parser.parse_args()
    lines = [describe(), f"beside other work: load {os.getloadavg()[0]:.0f} at the start"]
    for pictures, size in (
        (arguments.pictures, (200, 200)), (arguments.photos, PHOTO), (arguments.large, LARGE),
    ):  # fmt: skip
        if pictures:
            lines += measured(pictures, size, arguments.within)
    print("\n".join(lines))
    if arguments.keep:
        keep("fetch", lines)


if __name__ == "__main__":
    main()
