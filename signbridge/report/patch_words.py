"""The words of single patches, for a reader to point at: which images are shown, and how they are stored in few bytes.

Images are not chosen by what their words say: the first image of each class, classes evenly in the order of names.
"""

import json
import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from signbridge.core.activations import evenly_spread
from signbridge.core.names import DISPLAYED
from signbridge.report.inputs import Lenses
from signbridge.report.lens_words import excerpt, shown_words
from signbridge.report.page_parts import PatchWords, Table, Thumbnail, enlargeable
from signbridge.report.wording import (
    LENS_SCORES,
    count,
    plural,
    short,
)

NAME = "patch-words"
TITLE = "Point at a patch"
MOST_IMAGES = 12
BUDGET = 1_000_000  # bytes of words in the page
LONGEST_SENTENCE = 200  # characters; a longer one is cut around its word
HOLDS = "✓"


def patch_words(lenses: Lenses, budget: int = BUDGET) -> PatchWords | None:
    """What the page shows of single patches, in about `budget` bytes; None if no image token was read."""
    table, labels = lenses.words, dict(zip(lenses.sample["image_id"], lenses.sample["label"], strict=True))
    ids = [image for image in dict.fromkeys(table["image_id"]) if image in labels]
    if not ids:
        return None
    all_sites = list(dict.fromkeys(table["site"]))
    shown, sites, data = _within(budget, lenses, ids, labels, all_sites)
    png = lenses.png
    return PatchWords(
        name=NAME,
        title=TITLE,
        sees=_sees(lenses, ids, shown, all_sites, sites),
        images=tuple(Thumbnail(enlargeable(png[image]), f"{short(labels[image])}: {short(image)}") for image in shown),
        labels=tuple(short(labels[image]) for image in shown),
        lenses=tuple(DISPLAYED.values()),
        sites=tuple(sites),
        data=data,
        twin=_twin(lenses, shown, labels, sites),
    )


def chosen_images(ids: Sequence[str], labels: Mapping[str, str], most: int) -> list[str]:
    """At most `most` of `ids`, class by class: the first image of each class, then the second of each, and so on.

    Of more classes than that it takes as many, evenly, in the order of their names.
    """
    of_class: dict[str, list[str]] = {}
    for image in ids:
        of_class.setdefault(labels[image], []).append(image)
    names = sorted(of_class)
    if len(names) > most:
        return [of_class[name][0] for name in evenly_spread(most, names)]
    in_turn = [(turn, name) for name in names for turn in range(len(of_class[name]))]
    taken = sorted(in_turn)[:most]
    return [of_class[name][turn] for turn, name in sorted(taken, key=lambda one: (one[1], one[0]))]


def _within(
    budget: int, lenses: Lenses, ids: Sequence[str], labels: Mapping[str, str], sites: Sequence[str]
) -> tuple[list[str], list[str], dict[str, Any]]:
    """As many images as fit, with all layers; if not one fits, one with as many layers, evenly spread."""
    images, layers = min(MOST_IMAGES, len(ids)), len(sites)
    while True:
        shown, kept = chosen_images(ids, labels, images), evenly_spread(layers, sites)
        data = coded(lenses, shown, kept)
        size = len(json.dumps(data, separators=(",", ":")))
        if size <= budget or images == layers == 1:
            return shown, kept, data
        share = budget / size
        if images > 1:
            images = max(min(int(images * share), images - 1), 1)
        else:
            layers = max(min(int(layers * share), layers - 1), 1)


def coded(lenses: Lenses, ids: Sequence[str], sites: Sequence[str]) -> dict[str, Any]:
    """The words of these images at these layers as `patch_words.js` reads them.

    Texts stand once, in `words`, `sentences` and `contexts` (sentence, start and end of the word, in characters), and
    are named by their place. `said` has, for each image and lens, word and score (in hundredths), one after the other
    by layer, patch and rank; -1 is no word. LatentLens's have their context and text layer beside them.
    """
    table = lenses.words
    table = table[table["image_id"].isin(ids) & table["site"].isin(sites)]
    patches = sorted(lenses.words["patch"].unique().tolist())
    words, word = _dictionary(shown_words(table).map(short))
    sentences, contexts, context = _contexts(table)
    text_sites, text_site = _dictionary(table["text_site"])
    axes = {"image_id": list(ids), "lens": list(DISPLAYED), "site": list(sites), "patch": patches}
    places = tuple(pd.Index(values).get_indexer(table[name]) for name, values in axes.items())
    k = int(table["rank"].max())
    shape = (*(len(values) for values in axes.values()), k)

    def laid_out(values: np.ndarray) -> np.ndarray:
        out = np.full(shape, -1, dtype=int)
        out[(*places, table["rank"].to_numpy() - 1)] = values
        return out.reshape(len(ids), len(DISPLAYED), -1)

    columns = {"word": laid_out(word), "score": laid_out((table["score"].to_numpy() * 100).round().astype(int))}
    of_latent = {"context": laid_out(context), "text_site": laid_out(text_site)}
    said = [
        [
            {
                name: values[image, lens].tolist()
                for name, values in {**columns, **(of_latent if key == "latent" else {})}.items()
            }
            for lens, key in enumerate(DISPLAYED)
        ]
        for image in range(len(ids))
    ]
    return {
        "lenses": [{"name": name, "score": LENS_SCORES[lens]} for lens, name in DISPLAYED.items()],
        "sites": list(sites),
        "patches": patches,
        "grid": lenses.grid and list(lenses.grid),
        "cells": lenses.grid and [list(cell) for cell in cells_of(patches, lenses.grid)],
        "k": k,
        "words": words,
        "sentences": sentences,
        "contexts": contexts,
        "text_sites": text_sites,
        "holds": [_holding(lenses.true_words.get(image), words) for image in ids],
        "true_words": [sorted(lenses.true_words[image]) if image in lenses.true_words else None for image in ids],
        "hand": _on_the_hand(lenses.patches, ids, patches),
        "said": said,
    }


def _dictionary(values: pd.Series) -> tuple[list[str], np.ndarray]:
    """The texts, each once, in the order in which they occur, and which of them each value is."""
    codes, texts = pd.factorize(values)
    return list(texts), codes


def _contexts(table: pd.DataFrame) -> tuple[list[str], list[list[int]], np.ndarray]:
    """Sentences; contexts as places in them; and the context of each row, -1 where it has no sentence."""
    spans = list(zip(table["sentence"], table["start"].tolist(), table["end"].tolist(), strict=True))
    order = {span: place for place, span in enumerate(dict.fromkeys(span for span in spans if span[0]))}
    sentences: dict[str, int] = {}
    contexts = []
    for span in order:
        text, start, end = excerpt(*span, LONGEST_SENTENCE)
        contexts.append([sentences.setdefault(text, len(sentences)), start, end])
    return list(sentences), contexts, np.array([order.get(span, -1) for span in spans], dtype=int)


def _holding(true: frozenset[str] | None, words: Sequence[str]) -> list[int] | None:
    """The places in `words` of those that hold for a hand; None where it is not known."""
    return None if true is None else [place for place, word in enumerate(words) if word.lower() in true]


def _on_the_hand(table: pd.DataFrame, ids: Sequence[str], patches: Sequence[int]) -> list[list[int | None]]:
    """For each image, what share of each patch lies on the hand, in per cent; None where it is not known."""
    once = table.drop_duplicates(["image_id", "patch"])
    shares = dict(zip(zip(once["image_id"], once["patch"], strict=True), once["hand"], strict=True))
    found = [[shares.get((image, patch), float("nan")) for patch in patches] for image in ids]
    return [[None if np.isnan(share) else round(100 * share) for share in of_image] for of_image in found]


def _sees(
    lenses: Lenses, ids: Sequence[str], shown: Sequence[str], all_sites: Sequence[str], sites: Sequence[str]
) -> tuple[str, ...]:
    return (
        f"Point at a patch of the image, tap it, or go to it with the arrow keys to read its words. {HOLDS} stands by "
        "words that hold for the hand. A patch that was clicked, tapped or gone to stays chosen while the layer or "
        "the image changes.",
        f"Shown are {count(len(shown))} of the {plural(len(ids), 'image')} that were read, chosen by a fixed rule and "
        f"not by their words: the first of each {lenses.kind} (of few {lenses.kind}s also the next), {lenses.kind}s "
        "evenly in the order of their names.",
        *_left_out(ids, shown, all_sites, sites),
        *_places(lenses),
    )


def _left_out(ids: Sequence[str], shown: Sequence[str], all_sites: Sequence[str], sites: Sequence[str]) -> list[str]:
    """What the budget left no room for."""
    if len(shown) == min(MOST_IMAGES, len(ids)) and len(sites) == len(all_sites):
        return []
    layers = "" if len(sites) == len(all_sites) else f" and {count(len(sites))} of {count(len(all_sites))} layers"
    return [f"To keep the page small it carries no more than {plural(len(shown), 'image')}{layers}."]


def _places(lenses: Lenses) -> list[str]:
    """What must be known of where the patches lie."""
    if lenses.grid is None:
        return [
            "The image tokens of this model make no square grid, so their places in the image are not known: they "
            "are shown as a numbered line."
        ]
    looked_at, there = lenses.words["patch"].nunique(), math.prod(lenses.grid)
    if looked_at == there:
        return []
    return [
        f"Of the {count(there)} patches of an image {count(looked_at)} were read, those with a frame; a point between "
        "them selects the nearest."
    ]


def _twin(lenses: Lenses, shown: Sequence[str], labels: Mapping[str, str], sites: Sequence[str]) -> Table:
    """The middle patch of every image shown, at three layers."""
    patches = sorted(lenses.words["patch"].unique())
    patch, some = patches[len(patches) // 2], evenly_spread(3, sites)
    table = lenses.words
    table = table[table["image_id"].isin(shown) & table["site"].isin(some) & (table["patch"] == patch)]
    table = table.assign(word=shown_words(table).map(short)).sort_values("rank", kind="stable")
    here = dict(list(table.groupby(["image_id", "site", "lens"], sort=False)))

    def row(image: str, site: str) -> tuple[str, ...]:
        true = lenses.true_words.get(image, frozenset())
        of_lens = {lens: here.get((image, site, lens), table.iloc[:0]) for lens in DISPLAYED}
        words = [", ".join(_marked(word, true) for word in of_lens[lens]["word"]) or "–" for lens in DISPLAYED]
        return (f"{short(labels[image])}: {short(image)}", site, *words, _nearest_sentence(of_lens["latent"]))

    return Table(
        f"A sample: words of patch {patch}, in the middle, of each image shown ({HOLDS} holds for the hand)",
        ("image", "visual layer", *DISPLAYED.values(), "LatentLens's nearest sentence"),
        tuple(row(image, site) for image in shown for site in some),
    )


def _marked(word: str, true: frozenset[str]) -> str:
    return f"{HOLDS} {word}" if word.lower() in true else word


def _nearest_sentence(rows: pd.DataFrame) -> str:
    """The first sentence with its word between guillemets, and the text layer."""
    if rows.empty:
        return "–"
    first = rows.iloc[0]
    text, start, end = excerpt(first["sentence"], int(first["start"]), int(first["end"]), LONGEST_SENTENCE)
    return f"{text[:start]}«{text[start:end]}»{text[end:]} ({first['text_site']})"


# Where the patches lie -----------------------------------------------------------------------------------------------


class Cell(NamedTuple):
    """One patch over the picture; lengths are in per cent of the picture's width and height."""

    row: int  # of the grid of all image tokens, from 0
    column: int
    left: float  # of the target, which holds the patch: as large as its neighbours let it be
    top: float
    width: float
    height: float


def cells_of(patches: Sequence[int], grid: tuple[int, int]) -> list[Cell]:
    """The cell of each of `patches`, numbered row by row in a grid of that many rows and columns.

    Where only some patches were read, each target reaches half way to its neighbours, so that the targets fill the
    picture and none is smaller than it must be.
    """
    rows, columns = grid
    down = _reach([patch // columns for patch in patches], rows)
    across = _reach([patch % columns for patch in patches], columns)
    cells = []
    for row, column in (divmod(patch, columns) for patch in patches):
        (top, bottom), (left, right) = down[row], across[column]
        cells.append(Cell(row, column, left, top, round(right - left, 3), round(bottom - top, 3)))
    return cells


def _reach(lines: Sequence[int], count: int) -> dict[int, tuple[float, float]]:
    """From where to where each of these `lines` reaches, of `count` in all."""
    present = sorted(set(lines))
    between = [(before + after + 1) / 2 for before, after in pairwise(present)]
    edges = [round(100 * edge / count, 3) for edge in (0, *between, count)]
    return {line: (edges[place], edges[place + 1]) for place, line in enumerate(present)}
