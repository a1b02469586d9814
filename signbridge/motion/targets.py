"""What a probe is to tell of a clip: its sign; its movement, among signs of one shape; its shape, of one movement.

Signs of one shape that differ in movement are minimal pairs: no single frame, and no bag of frames in any order, tells
`right` from `left`, or B before S from S before B. So a probe of movement is trained and tested within each shape (and
kind of movement), one of shape within each movement. Signers are never on both sides; the folds are the study's.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Bool, Int

from signbridge.clips.table import with_known
from signbridge.core import tables
from signbridge.core.errors import SignBridgeError
from signbridge.core.names import MOVEMENT, SHAPE, SIGN
from signbridge.probing.predictions import choices_table, predictions_table
from signbridge.probing.protocols import FEW_SIGNERS, Split, grouped, inner_folds_of
from signbridge.probing.settings import GroupedProtocol
from signbridge.probing.sweep import Scored

EVERY = "all clips"  # the one group of `sign`
COLUMNS = ["target", "group", "site", "position", "fold", "clip", "label", "predicted", "probability"]
CHOICES = ["target", "group", "site", "position", "fold", "clips", "C", "inner_accuracy", "at_edge"]


class Target(NamedTuple):
    """What is told, and among which clips."""

    name: str
    labels: np.ndarray  # one a clip; empty where it is unknown
    groups: list[str]  # within each of which a probe is trained and tested; `Split.repeat` counts them
    splits: list[Split]  # masks over all clips


BEFORE_THE_LAYERS = ("vision", "projector", "embedding")  # where a token of the prompt holds nothing of the clip
VIDEO_MEAN = "video_mean"


def places_of(folder: Path, positions: Sequence[str]) -> list[tuple[str, str]]:
    """Every site and position of the vectors in `folder` that is probed, in order of depth."""
    sites = [site for site in tables.made_by(folder / "embedding.parquet")["sites"] if site != "pixels"]
    of_site = {site: [VIDEO_MEAN] if site in BEFORE_THE_LAYERS else list(positions) for site in sites}
    return [(site, position) for site, there in of_site.items() for position in there]


def targets_of(clips: pd.DataFrame, protocol: GroupedProtocol, seed: int) -> list[Target]:
    """The targets that `clips` (clip, label, signer; shape, movement and kind where they are known) allow, in order.

    Signs of fewer signers than there are folds are left out. Raises `SignBridgeError` if fewer than two are left.
    """
    clips = with_known(clips)
    signers, signs = clips["signer"].to_numpy(), clips["label"].to_numpy()
    everyone = len(np.unique(signers))
    needed = 2 if everyone <= FEW_SIGNERS else protocol.folds
    signers_of = clips.groupby("label")["signer"].transform("nunique").to_numpy()
    kept = signers_of >= needed
    if everyone < 2 or len(np.unique(signs[kept])) < 2:
        raise SignBridgeError(
            f"data/motion/clips.parquet: {len(np.unique(signs[kept]))} signs have clips of {needed} signers or more; "
            "probes need two. Choose more signers or other signs: `signers`, `glosses` of the entry in datasets.yaml."
        )
    inner = min(protocol.inner_folds, max(2, everyone - 1))
    outer = _outer(kept, grouped(signs[kept], signers[kept], protocol.folds, 1, inner, seed, "signer"))
    sign = Target(SIGN, np.where(kept, signs, ""), [EVERY], outer)
    found = [sign]
    for name, within in ((SHAPE, ["movement"]), (MOVEMENT, ["shape", "kind"])):
        labels = clips[name].to_numpy()
        groups = clips[within].agg(" ".join, axis=1).str.strip().to_numpy()
        allowed = kept & (labels != "") & (clips[within[0]] != "").to_numpy()
        found.insert(0, _within(name, labels, groups, allowed, signers, outer, inner, seed))
    return [target for target in found if target.splits]


def _outer(kept: Bool[np.ndarray, "clips"], splits: Sequence[Split]) -> list[Split]:
    """Splits of the clips that are `kept`, as masks over all."""

    def spread(mask: np.ndarray) -> np.ndarray:
        whole = np.zeros(len(kept), dtype=bool)
        whole[kept] = mask
        return whole

    return [
        split._replace(
            protocol=SIGN, train=spread(split.train), test=spread(split.test),
            inner=tuple(fold._replace(train=spread(fold.train), test=spread(fold.test)) for fold in split.inner),
        )
        for split in splits
    ]  # fmt: skip


def _within(
    name: str,
    labels: np.ndarray,
    groups: np.ndarray,
    allowed: Bool[np.ndarray, "clips"],
    signers: np.ndarray,
    outer: Sequence[Split],
    inner_folds: int,
    seed: int,
) -> Target:
    """The target `name` within each of `groups` that has two labels or more, on the same signers as `outer`.

    A fold whose training clips show no two labels, or too few of each to choose a penalty by, is left out.
    """
    several = [group for group in np.unique(groups[allowed]) if len(np.unique(labels[allowed & (groups == group)])) > 1]
    splits = []
    for number, group in enumerate(several):
        members = allowed & (groups == group)
        for split in outer:
            train, test = split.train & members, split.test & members
            shown, counts = np.unique(labels[train], return_counts=True)
            test &= np.isin(labels, shown)
            if len(shown) < 2 or counts.max() < inner_folds or not test.any():
                continue
            inner = inner_folds_of(train, labels, signers, inner_folds, seed)
            inner = tuple(fold for fold in inner if len(np.unique(labels[fold.train])) > 1 and fold.test.any())
            if inner:
                splits.append(Split(name, number, split.fold, train, test, inner))
    return Target(name, np.where(allowed, labels, ""), several, splits)


def predictions_of(target: Target, scored: Sequence[Scored], clips: Sequence[str]) -> pd.DataFrame:
    """One row a prediction: the columns `COLUMNS`."""
    table = predictions_table(scored, target.splits, np.asarray(clips), target.labels)
    named = table.rename(columns={"protocol": "target", "image_id": "clip"})
    return named.assign(group=_names(target, table["repeat"]))[COLUMNS]


def choices_of(target: Target, scored: Sequence[Scored]) -> pd.DataFrame:
    """One row a choice of a penalty: the columns `CHOICES`; `clips` counts those that it was chosen on."""
    table = choices_table(scored, target.splits).rename(columns={"protocol": "target"})
    trained = [int(split.train.sum()) for split in target.splits] * len(scored)
    return table.assign(group=_names(target, table["repeat"]), clips=trained)[CHOICES]


def _names(target: Target, numbers: pd.Series) -> Int[np.ndarray, "rows"] | np.ndarray:
    return np.array(target.groups, dtype=object)[numbers.to_numpy(dtype=int)]


def of_other_clips(
    target: Target, signers: np.ndarray, draws: int, generator: np.random.Generator
) -> list[Int[np.ndarray, "clips"]]:
    """Labels, as numbers, each clip's of another clip of the same signer in the same group: `draws` of them.

    A clip may draw its own back; within a signer and a group each label is as common as it was.
    """
    numbers = np.unique(target.labels, return_inverse=True)[1]
    group = np.full(len(signers), -1)
    for split in target.splits:
        group[split.train | split.test] = split.repeat
    cells = [
        np.flatnonzero((group == one) & (signers == signer)) for one in np.unique(group[group >= 0]) for signer in
        np.unique(signers)
    ]  # fmt: skip
    drawn = []
    for _ in range(draws):
        labels = numbers.copy()
        for rows in cells:
            labels[rows] = numbers[generator.permutation(rows)]
        drawn.append(labels)
    return drawn
