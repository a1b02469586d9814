"""Single features of the autoencoders, for a reader to search and open: which ones, how written, in how few bytes.

Every image and sentence is stored once. As many features as fit are taken, in an order that does not depend on what
they show: the first of every letter's list at each layer, then the second, and so on, then the most active.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float

from signbridge.core.names import MODEL
from signbridge.report.inputs import Sae
from signbridge.report.page_parts import FeatureBrowser, Table, enlargeable
from signbridge.report.wording import (
    count,
    number,
    plural,
    short,
)

NAME = "features-browser"
TITLE = "Open a feature"
BUDGET = 1_500_000  # bytes in the page, images included
SIDE = 112  # pixels of an image, at most
LEVELS = 9  # of an activation, in equal steps up to the strongest; 0 is no activation
MOST_CLASSES = 40  # bars of a feature, the strongest
LONGEST_PHRASE = 300  # characters; a longer one is cut around its strongest token
IN_TWIN = 3  # features of a letter and layer
_TRACKS = 0.05  # the family-wise p below which a feature is said to track a joint


def feature_browser(sae: Sae, budget: int = BUDGET) -> FeatureBrowser | None:
    """What the page shows of single features, in about `budget` bytes; None if there are none."""
    every = in_turn(sae.features)
    if every.empty:
        return None
    data = coded(sae, every, budget)
    shown = len(data["features"])
    return FeatureBrowser(
        name=NAME,
        title=TITLE,
        sees=_sees(sae, shown, len(every)),
        sites=tuple(data["sites"]),
        data=data,
        twin=_twin(sae, every.iloc[:shown]),
    )


def in_turn(features: pd.DataFrame) -> pd.DataFrame:
    """The features of all sites, the first of each site before the second of any."""
    place = features.groupby("site", sort=False).cumcount()
    return features.iloc[np.argsort(place.to_numpy(), kind="stable")]


class _Once:
    """Things that stand once and are named by their place."""

    def __init__(self) -> None:
        self.places: dict[Any, int] = {}
        self.written: list[Any] = []

    def place(self, key: Any, written: Any) -> int:
        """The place of what goes by `key`, which is written now unless it was."""
        if key not in self.places:
            self.places[key] = len(self.written)
            self.written.append(written)
        return self.places[key]


def coded(sae: Sae, features: pd.DataFrame, budget: int) -> dict[str, Any]:
    """The features as `feature_browser.js` reads them, as many of the first as fit, one at least.

    Images and sentences stand once and are named by their place. Of each feature: `site`, `number`, `kind`,
    `modality`, shares of tokens on which it `fires` (image, text), `images` as (image, strongest, activations, see
    `written_activations`), `phrases` as (sentence, strongest, marks: start, end, level), `means` on the classes and
    `lists`: in which classes' it stands as (class, rank, AUC on other photos), and the `joints` that it tracks.
    """
    sites = list(dict.fromkeys(features["site"]))
    letters = sae.letter_names
    ids, labels, pngs = (sae.sample[column] for column in ("image_id", "label", "image"))
    sample = dict(zip(ids, zip(labels, pngs, strict=True), strict=True))
    images, sentences = _Once(), _Once()
    of_images = dict(list(sae.images.groupby(["site", "feature"], sort=False)))
    of_phrases = dict(list(sae.phrases.groupby(["site", "feature"], sort=False)))
    lists = sae.letters[sae.letters["reads"] == "sae"]
    of_lists = dict(list(lists.groupby(["site", "feature"], sort=False)))
    of_joints = dict(list(tracked(sae.fingers).groupby(["site", "feature"], sort=False)))
    found, size = [], 0
    for row in features.itertuples(index=False):
        key, before = (row.site, row.feature), (len(images.written), len(sentences.written))
        one = {
            "site": sites.index(row.site), "number": int(row.feature), "kind": row.kind,
            "modality": None if math.isnan(row.modality) else round(float(row.modality), 3),
            "fires": [round(float(share), 5) for share in (row.image_fires, row.text_fires)],
            "images": _images(of_images.get(key), images, sample), "phrases": _phrases(of_phrases.get(key), sentences),
            "means": _means(np.asarray(row.letters, dtype=float)), "lists": _lists(of_lists.get(key), letters),
            "joints": _joints(of_joints.get(key)),
        }  # fmt: skip
        new = [one, *images.written[before[0] :], *sentences.written[before[1] :]]
        size += sum(len(json.dumps(part, separators=(",", ":"))) + 1 for part in new)
        if found and size > budget:
            del images.written[before[0] :], sentences.written[before[1] :]
            break
        found.append(one)
    return {
        "sites": sites, "letters": [short(letter) for letter in letters], "kind": sae.kind, "groups": sae.group.many,
        "levels": LEVELS, "most_classes": MOST_CLASSES, "images": images.written, "sentences": sentences.written,
        "features": found,
    }  # fmt: skip


def written_activations(activations: Float[np.ndarray, "tokens"], strongest: float) -> str:
    """A character a token: a digit is its level, a letter stands for 1 (`a`) to 26 (`z`) tokens that do not fire."""
    written, silent = [], 0
    for level in (*levels_of(activations, strongest), None):
        if level == 0:
            silent += 1
            continue
        while silent:
            run = min(silent, 26)
            written.append(chr(ord("a") + run - 1))
            silent -= run
        written.append("" if level is None else str(level))
    return "".join(written)


def levels_of(activations: Float[np.ndarray, "tokens"], strongest: float) -> list[int]:
    """0 for what does not fire, else which of `LEVELS` equal steps up to the `strongest` it is on, from 1."""
    steps = np.ceil(np.asarray(activations, dtype=float) / strongest * LEVELS - 1e-6)
    return np.where(np.asarray(activations) > 0, np.clip(steps, 1, LEVELS), 0).astype(int).tolist()


def tracked(fingers: pd.DataFrame) -> pd.DataFrame:
    """The joints that features of the model track, the surest of each position first, a row a feature and joint."""
    rows = fingers[(fingers["p"] < _TRACKS) & (fingers["reads"] == MODEL)]
    order = rows["r"].abs().sort_values(ascending=False, kind="stable").index
    return rows.loc[order].drop_duplicates(["site", "feature", "finger", "joint"])


def joint_name(row: Any) -> str:
    """How a joint is called on the page; `joint` may begin with its finger."""
    return str(row.joint) if str(row.joint).startswith(str(row.finger)) else f"{row.finger} {row.joint}"


def _images(rows: pd.DataFrame | None, images: _Once, sample: Mapping[str, tuple[str, bytes]]) -> list[list[Any]]:
    if rows is None:
        return []
    rows = rows[rows["image_id"].isin(sample)]
    strongest = rows["strongest"].max()
    found = []
    for row in rows.sort_values("rank").itertuples(index=False):
        label, png = sample[row.image_id]
        written = (
            [enlargeable(png, SIDE), short(label), short(row.image_id)] if row.image_id not in images.places else None
        )
        activations = written_activations(np.asarray(row.activations), strongest)
        found.append([images.place(row.image_id, written), _rounded(row.strongest), activations])
    return found


def _phrases(rows: pd.DataFrame | None, sentences: _Once) -> list[list[Any]]:
    if rows is None:
        return []
    strongest = rows["strongest"].max()
    found = []
    for row in rows.sort_values("rank").itertuples(index=False):
        text, marks = marked_phrase(
            row.phrase, list(row.start), list(row.end), levels_of(np.asarray(row.activations), strongest)
        )
        found.append([sentences.place(text, text), _rounded(row.strongest), marks])
    return found


def marked_phrase(
    phrase: str, starts: Sequence[int], ends: Sequence[int], levels: Sequence[int]
) -> tuple[str, list[list[int]]]:
    """The phrase, cut where it is long, and its marks: start, end and level of every stretch on which it fires.

    Bytes of one character are tokens of their own in some models: a character has the highest of their levels.
    """
    of_character = np.zeros(len(phrase), dtype=int)
    for start, end, level in zip(starts, ends, levels, strict=True):
        blank = len(phrase[start:end]) - len(phrase[start:end].lstrip())
        of_character[start + blank : end] = np.maximum(of_character[start + blank : end], level)
    before, after, first, last = "", "", 0, len(phrase)
    if len(phrase) > LONGEST_PHRASE:
        peak = int(of_character.argmax())
        first = max(0, min(peak - LONGEST_PHRASE // 2, len(phrase) - LONGEST_PHRASE))
        last = first + LONGEST_PHRASE
        before, after = "…" if first else "", "…" if last < len(phrase) else ""
    edges = {start for span in zip(starts, ends, strict=True) for start in span}
    marks: list[list[int]] = []
    for place in range(first, last):
        level, shifted = int(of_character[place]), place - first + len(before)
        if level and marks and marks[-1][1:] == [shifted, level] and place not in edges:
            marks[-1][1] += 1
        elif level:
            marks.append([shifted, shifted + 1, level])
    return f"{before}{phrase[first:last]}{after}", marks


def _means(means: Float[np.ndarray, "letters"]) -> list[Any]:
    """The largest mean on a class, and each as thousandths of it."""
    most = float(means.max(initial=0.0))
    return [_rounded(most), (means / most * 1000).round().astype(int).tolist() if most > 0 else [0] * len(means)]


def _lists(rows: pd.DataFrame | None, letters: Sequence[str]) -> list[list[Any]]:
    if rows is None:
        return []
    return [
        [letters.index(row.letter), int(row.rank), round(float(row.auc_held_out), 3)]
        for row in rows.sort_values(["rank", "letter"]).itertuples(index=False)
    ]


def _joints(rows: pd.DataFrame | None) -> list[list[Any]]:
    """Name, position, r over all photos, and r and p within letters; None where it was not computed."""
    if rows is None:
        return []
    found = []
    for row in rows.itertuples(index=False):
        values = (row.r, row.p, row.within_r, row.within_p)
        found.append([
            joint_name(row), row.position, *(None if math.isnan(value) else round(float(value), 4) for value in values)
        ])  # fmt: skip
    return found


def _rounded(value: float) -> float:
    """To four digits that count."""
    return float(f"{float(value):.4g}")


def _sees(sae: Sae, shown: int, every: int) -> tuple[str, ...]:
    left_out = []
    if shown < every:
        left_out = [
            f"To keep the page small it carries {count(shown)} of {plural(every, 'feature')}: the first of every "
            "list first, then the most active."
        ]
    return (
        f"Search, or go through the {sae.kind}s with the arrow keys; each number is a feature. Patches and words are "
        "lit by how strongly it fires there.",
        *left_out,
    )


class _Row(NamedTuple):
    site: str
    letter: str
    rank: int
    feature: int
    auc_held_out: float


def _twin(sae: Sae, shown: pd.DataFrame) -> Table:
    """The first features of every letter's list, each with its strongest phrase."""
    there = set(zip(shown["site"], shown["feature"], strict=True))
    first = sae.phrases[sae.phrases["rank"] == 1]
    phrases = {(row.site, row.feature): row for row in first.itertuples(index=False)}
    modality = {(row.site, row.feature): row.kind for row in shown.itertuples(index=False)}
    rows = []
    for row in _listed(sae):
        if row.rank <= IN_TWIN and (row.site, row.feature) in there:
            key = row.site, row.feature
            rows.append((
                f"{short(row.letter)}, {row.site}", str(row.feature), number(row.auc_held_out, 3),
                modality[key] or "–", _with_guillemets(phrases[key]) if key in phrases else "none",
            ))  # fmt: skip
    return Table(
        f"The first {IN_TWIN} features of each {sae.kind}, with the strongest token of the strongest phrase marked",
        (sae.kind, "feature", f"AUC, other {sae.group.many}", "fires for", "strongest phrase"),
        tuple(rows),
    )


def _listed(sae: Sae) -> Iterator[_Row]:
    rows = sae.letters[sae.letters["reads"] == "sae"]
    sites = list(dict.fromkeys(rows["site"]))
    for letter in sae.letter_names:
        for site in sites:
            of_both = rows[(rows["letter"] == letter) & (rows["site"] == site)].sort_values("rank")
            yield from of_both[list(_Row._fields)].itertuples(index=False)


def _with_guillemets(row: Any) -> str:
    peak = int(np.argmax(row.activations))
    start, end = int(row.start[peak]), int(row.end[peak])
    start += len(row.phrase[start:end]) - len(row.phrase[start:end].lstrip())
    return short(f"{row.phrase[:start]}«{row.phrase[start:end]}»{row.phrase[end:]}")
