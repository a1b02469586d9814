"""Which images a model is tuned on, which choose when to stop, and which are probed: whole groups each.

A model that is probed on what it was tuned on would show what it remembers. So no photo, clip or signer is on two
sides, and `audit` counts what is.
"""

from collections import Counter

import numpy as np
import pandas as pd

from signbridge.core.errors import SignBridgeError
from signbridge.core.groups import KINDS, Groups
from signbridge.finetune.settings import PROBE, STOP, TRAIN, SplitParams
from signbridge.probing.control_sweep import shuffle_over_photos


def split(images: pd.DataFrame, groups: Groups, in_sample: np.ndarray, params: SplitParams, seed: int) -> pd.DataFrame:
    """image_id, label, group, part and shuffled (a letter, one a photo, of another photo) of the images that are used.

    `images` has image_id, label, photo, and clip and signer where they are known; `in_sample` marks those of the
    study's sample, which alone are probed. Groups that the sample lacks are trained on first. Raises `SignBridgeError`
    if a letter has too few groups.
    """
    generator = np.random.default_rng(seed)
    part = _parts(images["label"].to_numpy(), groups.of_image, in_sample, params, generator)
    probed = part == PROBE
    for kind in (kind for kind in KINDS if kind in images):  # coarser than the groups, or across them
        seen = images[kind].isin(images.loc[probed, kind]) if kind != "signer" or groups.kind == "signer" else probed
        part[seen & ~probed] = ""
    part[probed & ~in_sample] = ""
    chosen = images[["image_id", "label", "photo"]].assign(group=groups.of_image, part=part)[part != ""]
    chosen = pd.concat(
        [
            _taken(chosen[chosen["part"] == TRAIN], params.per_letter, generator),
            _taken(chosen[chosen["part"] == STOP], params.stop_per_letter, generator),
            chosen[chosen["part"] == PROBE],
        ]
    )
    _check(chosen, set(images["label"]), groups.kind)
    shuffled = [_shuffled(of_part, generator) for _, of_part in chosen.groupby("part", sort=False)]
    chosen = chosen.assign(shuffled=pd.concat(shuffled))
    return chosen.drop(columns="photo").reset_index(drop=True)


def _shuffled(images: pd.DataFrame, generator: np.random.Generator) -> pd.Series:
    """A letter of another photo for each photo."""
    letters, targets = np.unique(images["label"].to_numpy(), return_inverse=True)
    return pd.Series(letters[shuffle_over_photos(targets, images["photo"].to_numpy(), generator)], images.index)


def _parts(
    labels: np.ndarray, groups: np.ndarray, in_sample: np.ndarray, params: SplitParams, generator: np.random.Generator
) -> np.ndarray:
    """The part of every image, by whole groups: each letter gets its share of them, whatever letters a group holds."""
    table = pd.DataFrame({"label": labels, "group": groups, "in_sample": in_sample})
    letters_of = table.groupby("group")["label"].unique()
    order = sorted(generator.permutation(np.array(letters_of.index)), key=set(groups[in_sample]).__contains__)
    there = table.drop_duplicates(["label", "group"])["label"].value_counts()
    wanted = {
        (of, letter): max(1, round(share * count))
        for of, share in ((TRAIN, params.train), (STOP, params.stop))
        for letter, count in there.items()
    }
    have: Counter[tuple[str, str]] = Counter()
    part_of = {}
    for group in order:
        lacks = {
            of: float(np.mean([1 - have[of, letter] / wanted[of, letter] for letter in letters_of[group]]))
            for of in (TRAIN, STOP)
        }
        most = max(lacks, key=lambda of: lacks[of])
        part_of[group] = most if lacks[most] > 0 else PROBE
        have.update((part_of[group], letter) for letter in letters_of[group])
    return np.array([part_of[group] for group in groups], dtype=object)


def _taken(images: pd.DataFrame, per_letter: int | str, generator: np.random.Generator) -> pd.DataFrame:
    """So many images of each letter, drawn, from its groups in turn; in the order of the table."""
    if per_letter == "all" or not len(images):
        return images
    drawn = images.iloc[generator.permutation(len(images))]
    turn = drawn.groupby(["label", "group"]).cumcount()
    first = drawn.assign(turn=turn).sort_values("turn", kind="stable").groupby("label").head(per_letter)
    return images[images.index.isin(first.index)]


def _check(chosen: pd.DataFrame, letters: set[str], kind: str) -> None:
    for part in (TRAIN, STOP, PROBE):
        missing = sorted(letters - set(chosen.loc[chosen["part"] == part, "label"]))
        if missing:
            raise SignBridgeError(
                f"fine-tuning: no {kind} of letter '{missing[0]}' is left for the part '{part}': each letter takes 3 "
                "or more. Draw more images in `sample`, leave the letter out, or change `split` of "
                "stages/finetune/params.yaml."
            )


def audit(chosen: pd.DataFrame, images: pd.DataFrame) -> dict[str, float]:
    """The share of probed images whose photo, clip or signer is trained on or chooses when to stop, where it is known.

    `photo`: by near-duplicates. By construction 0, but for signers where the groups are finer.
    """
    known = images.set_index("image_id")
    probed = known.loc[chosen.loc[chosen["part"] == PROBE, "image_id"]]
    others = known.loc[chosen.loc[chosen["part"] != PROBE, "image_id"]]
    return {f"{kind}_in_train": float(probed[kind].isin(others[kind]).mean()) for kind in KINDS if kind in images}
