"""What a made-up study has more where the dataset knows its signers: colour images of three people, in two sizes."""

from typing import Any

import numpy as np
import pandas as pd

from signbridge.core.activations import positions_of
from signbridge.report.columns import COLUMNS
from signbridge.report.inputs import Study
from tests.report import made_up

SIGNERS = ("P1", "P2", "P3")
SHADES = {"P1": (200, 40, 40), "P2": (40, 200, 40), "P3": (40, 40, 200)}  # of their images: each is easy to tell


def study(people: tuple[str, ...] = SIGNERS, **changes: Any) -> Study:
    """A run of the study with two images of each letter and signer, the signers held out."""
    letters = made_up.LETTERS
    sample = _sample(letters, people)
    usual = made_up.study(letters, images_a_letter=2 * len(people))
    renamed = dict(zip(usual.sample["image_id"], sample["image_id"], strict=True))
    made = {
        "found": {**usual.found, "photos": sample["photo"].nunique()},
        "leakage": {**usual.leakage, **_leakage(people)},
        "sample": sample,
        "signers": _seen_and_unseen(usual.sites),
        "umap": usual.umap.assign(image_id=usual.umap["image_id"].map(renamed), photo=sample["photo"]),
        "named_answers": usual.named_answers.assign(image_id=usual.named_answers["image_id"].map(renamed)),
    }
    return made_up.study(letters, images_a_letter=2 * len(people), **{**made, **changes})


def _sample(letters: tuple[str, ...], signers: tuple[str, ...]) -> pd.DataFrame:
    rows = []
    for place, letter in enumerate(letters):
        for signer in signers:
            for take in range(2):
                pixels = np.zeros((30 + 10 * take, 40, 3), np.uint8)
                pixels[:] = SHADES.get(signer, (90, 90, 90))
                pixels[5 : 10 + 4 * place, 5:25] = 255
                name = f"{signer}/{letter}/{take}"
                clip = f"{signer}/{letter}"
                image = made_up.png(pixels)
                rows.append(
                    {"image_id": name, "label": letter, "signer": signer, "clip": clip, "photo": name, "image": image}
                )
    return pd.DataFrame(rows)


def _leakage(people: tuple[str, ...]) -> dict[str, Any]:
    return {
        "dataset_signers": 10, "sample_signers": len(people), "dataset_photos_under_two_signers": 2,
        "signbridge_copies_in_train": 0.25, "grouped_copies_in_train": 0.0,
        "signbridge_clip_in_train": 0.75, "grouped_clip_in_train": 0.0,
        "signbridge_signer_in_train": 1.0, "grouped_signer_in_train": 0.0,
    }  # fmt: skip


def _seen_and_unseen(sites: list[str]) -> pd.DataFrame:
    rows = []
    for depth, site in enumerate(sites):
        for position in positions_of(site):
            gap = 0.3 if site == "pixels" else 0.12
            rows.append({
                "site": site, "position": position, "depth": depth,
                "seen": 0.9, "seen_low": 0.8, "seen_high": 0.95,
                "unseen": 0.9 - gap, "unseen_low": 0.8 - gap, "unseen_high": 0.95 - gap,
                "difference": gap, "low": gap - 0.1, "high": gap + 0.1, "p_value": 0.03,
            })  # fmt: skip
    return pd.DataFrame(rows)[COLUMNS["signers"]]
