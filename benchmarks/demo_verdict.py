"""How often the demo says "do not believe the letter" of hands that the study has not seen, and of what is no hand.

    python -m benchmarks.demo_verdict [--keep]

Run it where `dvc repro` has been run. Hands: one image of each photo that is not in the sample, of the sample's
letters. No hands: `tests/demo/non_hands.py`. `--keep` appends the table to benchmarks/results/demo_verdict.md.
"""

import argparse
from collections import Counter
from collections.abc import Iterable

import pandas as pd

from benchmarks.machine import describe, keep
from signbridge.demo.__main__ import open_reader
from signbridge.demo.analysis import Analysis, Picture
from signbridge.demo.study import DemoStudy
from tests.demo.non_hands import KINDS

EACH = 12  # pictures of each kind
LEVELS = ("familiar", "careful", "unfamiliar")


def unseen_hands(study: DemoStudy) -> Iterable[Picture]:
    """One image of each photo that the sample has none of."""
    images = pd.read_parquet("data/images.parquet").merge(pd.read_parquet("data/photos.parquet"), on="image_id")
    unseen = images[~images["photo"].isin(study.sample["photo"]) & images["label"].isin(study.letters)]
    one_each = unseen.sample(frac=1, random_state=0).drop_duplicates("photo")
    return (Picture(study.image(png), [], of_sample=True) for png in one_each["image"])


def main() -> None:
    """Print the table; with --keep also keep it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--keep", action="store_true", help="append the table to benchmarks/results/demo_verdict.md")
    arguments = parser.parse_args()
    study = DemoStudy()
    analysis = Analysis(study, lambda: open_reader(study))
    pictures: dict[str, Iterable[Picture]] = {"hands of photos not seen": unseen_hands(study)}
    pictures |= {kind: [Picture(draw(seed), []) for seed in range(EACH)] for kind, draw in KINDS.items()}
    lines = [describe(), "", f"pictures | number | {' | '.join(LEVELS)}"]
    for name, shown in pictures.items():
        levels = Counter(analysis.familiarity(analysis.read(picture, like_dataset=True)).level for picture in shown)
        counted = " | ".join(str(levels[level]) for level in LEVELS)
        lines.append(f"{name} | {levels.total()} | {counted}")
    print("\n".join(lines))
    if arguments.keep:
        keep("demo_verdict", lines)


if __name__ == "__main__":
    main()
