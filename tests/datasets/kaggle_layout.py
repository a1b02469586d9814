"""Small archives in the layout of Kaggle's Sign Language MNIST, whole or spoilt."""

import zipfile
from pathlib import Path

import numpy as np

HEADER = "label," + ",".join(f"pixel{i}" for i in range(1, 785))
TRAIN, TEST = "sign_mnist_train.csv", "sign_mnist_test.csv"


def csv_text(labels: list[int], seed: int = 0) -> str:
    """A CSV with random pixels, one row a label."""
    pixels = np.random.default_rng(seed).integers(0, 256, (len(labels), 784))
    rows = [",".join(map(str, [label, *row])) for label, row in zip(labels, pixels.tolist(), strict=True)]
    return "\n".join([HEADER, *rows]) + "\n"


def with_cell(text: str, row: int, column: int, value: str) -> str:
    """The CSV with one cell replaced; row and column count from 0, the header not counted."""
    lines = text.splitlines()
    cells = lines[row + 1].split(",")
    cells[column] = value
    lines[row + 1] = ",".join(cells)
    return "\n".join(lines) + "\n"


def write_zip(path: Path, files: dict[str, str | bytes]) -> Path:
    """A compressed zip of `files`."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def whole() -> dict[str, str]:
    """A sound archive: six training rows, three test rows, and each CSV's decoy copy in its own folder."""
    train, test = csv_text([0, 1, 2, 8, 10, 24], seed=1), csv_text([0, 1, 24], seed=2)
    decoy = csv_text([3], seed=3)
    return {TRAIN: train, TEST: test, f"sign_mnist_train/{TRAIN}": decoy, f"sign_mnist_test/{TEST}": decoy}
