"""Time and memory of `find_photos` by number of images, and what follows for a million.

    python -m benchmarks.near_duplicates [--images 10000 34627 100000] [--keep]

The time for a product of every pair is that at the rate of large products in the same run.
"""

import argparse
import time
import tracemalloc

import numpy as np

from benchmarks.machine import describe, keep
from signbridge.datasets.images import GREY_SIZE
from signbridge.datasets.near_duplicates import find_photos

LETTERS, COPIES, THRESHOLD = 24, 21, 0.98
MILLION = 10**6


def smooth_photos(rng: np.random.Generator, photos: int) -> np.ndarray:
    """Pictures whose neighbouring pixels go together, as those of hands do."""
    coarse = rng.uniform(40, 215, (photos, 7, 7)).repeat(4, axis=1).repeat(4, axis=2)
    return (coarse + np.roll(coarse, 2, axis=1) + np.roll(coarse, 2, axis=2)) / 3


def dataset(rng: np.random.Generator, images: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pixels, labels and the true photo of each image, in random order."""
    photo = rng.permutation(np.arange(images) // COPIES)
    originals = smooth_photos(rng, photo.max() + 1)
    pixels = np.empty((images, GREY_SIZE, GREY_SIZE), np.uint8)
    for start in range(0, images, 1000):
        part = originals[photo[start : start + 1000]]
        contrast = rng.uniform(0.85, 1.15, (len(part), 1, 1))
        pixels[start : start + 1000] = (part * contrast + rng.normal(0, 2, part.shape)).clip(0, 255)
    return pixels, photo % LETTERS, photo


def operations_a_second(rng: np.random.Generator, width: int) -> float:
    """Of large products of vectors of `width` numbers; the best of three."""
    a, b = rng.normal(size=(2, 1024, width)).astype(np.float32)
    times = []
    for _ in range(3):
        start = time.perf_counter()
        for _ in range(10):
            a @ b.T
        times.append(time.perf_counter() - start)
    return 10 * 2 * 1024 * 1024 * width / min(times)


def main() -> None:
    """Measure and print; with --keep also append to the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, nargs="+", default=[10_000, 34_627, 100_000])
    parser.add_argument("--keep", action="store_true", help="append to benchmarks/results/near_duplicates.md")
    arguments = parser.parse_args()
    rng, width = np.random.default_rng(0), GREY_SIZE**2
    lines = [describe(), f"letters {LETTERS}, copies a photo {COPIES}, threshold {THRESHOLD}"]
    rate = operations_a_second(rng, width)
    for images in arguments.images:
        pixels, labels, truth = dataset(rng, images)
        tracemalloc.start()
        start, processor = time.perf_counter(), time.process_time()
        photos = find_photos(pixels, labels, THRESHOLD).of_image
        taken, processor = time.perf_counter() - start, time.process_time() - processor
        beside = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        right = len(np.unique(photos)) == len(np.unique(truth)) == len(np.unique(np.stack([photos, truth]), axis=1).T)
        every_pair = images * (images + 1) / 2 * 2 * width / rate
        lines.append(
            f"images {images:9,}  {taken:8.1f} s ({processor:.1f} s of processors)  every pair {every_pair:8.1f} s  "
            f"beside the pixels {beside / 2**20:6.0f} MiB (pixels {pixels.nbytes / 2**20:.0f} MiB)  all found: {right}"
        )
    times = (MILLION / images) ** 2
    lines.append(
        f"images {MILLION:9,}  {taken * times:8.0f} s ({processor * times:.0f} s of processors)  "
        f"every pair {every_pair * times:8.0f} s  beside the pixels {beside * times**0.5 / 2**20:6.0f} MiB at most "
        f"(pixels {MILLION * width / 2**20:.0f} MiB): extrapolated from the line above"
    )
    print("\n".join(lines))
    if arguments.keep:
        keep("near_duplicates", lines)


if __name__ == "__main__":
    main()
