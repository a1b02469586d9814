"""How long `find_photos` takes at the size of Sign Language MNIST, against the time of its matrix products alone.

    python -m benchmarks.near_duplicates [--keep]

The floor is one product for every pair of images, at the rate of large products in the same run.
"""

import argparse
import resource
import time

import numpy as np

from benchmarks.machine import describe, keep
from signbridge.datasets.images import GREY_SIZE
from signbridge.datasets.near_duplicates import find_photos

IMAGES, LETTERS, COPIES, THRESHOLD = 34_627, 24, 21, 0.98


def smooth_photos(rng: np.random.Generator, photos: int) -> np.ndarray:
    """Pictures whose neighbouring pixels go together, as those of hands do."""
    coarse = rng.uniform(40, 215, (photos, 7, 7)).repeat(4, axis=1).repeat(4, axis=2)
    return (coarse + np.roll(coarse, 2, axis=1) + np.roll(coarse, 2, axis=2)) / 3


def dataset(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pixels, labels and the true photo of each image, in random order."""
    photo = rng.permutation(np.arange(IMAGES) // COPIES)
    originals = smooth_photos(rng, photo.max() + 1)
    pixels = np.empty((IMAGES, GREY_SIZE, GREY_SIZE), np.uint8)
    for start in range(0, IMAGES, 1000):
        part = originals[photo[start : start + 1000]]
        contrast = rng.uniform(0.85, 1.15, (len(part), 1, 1))
        pixels[start : start + 1000] = (part * contrast + rng.normal(0, 4, part.shape)).clip(0, 255)
    return pixels, photo % LETTERS, photo


def seconds(call) -> float:
    """The best of three."""
    times = []
    for _ in range(3):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


def main() -> None:
    """Measure and print; with --keep also append to the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--keep", action="store_true", help="append to benchmarks/results/near_duplicates.md")
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    pixels, labels, truth = dataset(rng)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    width = GREY_SIZE**2
    a, b = rng.normal(size=(2, 1024, width)).astype(np.float32)
    rate = 10 * 2 * 1024 * 1024 * width / seconds(lambda: [a @ b.T for _ in range(10)])
    operations = IMAGES * (IMAGES + 1) / 2 * 2 * width
    floor = operations / rate

    photos = find_photos(pixels, labels, THRESHOLD).of_image
    found = seconds(lambda: find_photos(pixels, labels, THRESHOLD))
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    right = len(np.unique(photos)) == len(np.unique(truth)) == len(np.unique(np.stack([photos, truth]), axis=1).T)

    lines = [
        describe(),
        f"images {IMAGES}, letters {LETTERS}, photos {len(np.unique(photos))}, all found: {right}",
        f"find_photos       {found:7.2f} s",
        f"floor             {floor:7.2f} s   {operations / 1e9:.0f} Gop at {rate / 1e9:.0f} Gop/s",
        f"share of floor    {floor / found:7.2f}",
        f"memory above data {(after - before) / 1024:7.0f} MiB (data {pixels.nbytes / 2**20:.0f} MiB)",
    ]
    print("\n".join(lines))
    if arguments.keep:
        keep("near_duplicates", lines)


if __name__ == "__main__":
    main()
