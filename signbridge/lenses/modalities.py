"""Image tokens and text tokens side by side in one model: which lie near which, layer by layer.

"Line of Sight" (2025) asks whether a vision-language model represents images and text along shared directions or
along disjoint ones, and finds deeper layers to share more. Here the tokens of images and of phrases are read at the
same layers; this file finds their nearest neighbours, `statistics/alignment.py` measures the rest.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from signbridge.core.params import Section
from signbridge.datasets.hands import WORDS, caption, check_caption, words_in
from signbridge.vlm.text import Phrase

_ROWS = 4096  # of tokens compared with all others at once


class ModalitiesParams(Section):
    """The section `modalities`."""

    phrases: int = Field(ge=2)  # of the corpus, at most
    neighbours: int = Field(ge=1)  # of each token
    caption: str  # of an image, with {words} and {label} if it is to have them


class Tokens(NamedTuple):
    """The vectors of the tokens of several items: images, or phrases."""

    vectors: Float[np.ndarray, "tokens width"]
    item: Int[np.ndarray, "tokens"]  # which item each is part of, from 0, in order


class LayerTables(NamedTuple):
    """What is stored of one layer."""

    items: pd.DataFrame  # site, kind (image, text, caption), item, mean, unit_mean
    neighbours: pd.DataFrame  # measure, site, item, value: the share of neighbours that are of the other kind


def chosen_phrases(corpus: Sequence[str], most: int, generator: np.random.Generator) -> list[str]:
    """Up to `most` phrases of the corpus, in its order: in turn one with each of the `WORDS` for fingers, and any one.

    So each word has some phrases, however rare it is, and some phrases have none.
    """
    order = generator.permutation(len(corpus))
    shuffled = [corpus[place] for place in order]
    having = [[phrase for phrase in shuffled if word in words_in(phrase)] for word in WORDS]
    chosen: dict[str, None] = {}
    turns = [iter(phrases) for phrases in (*having, shuffled)]
    while turns and len(chosen) < most:
        for turn in list(turns):
            phrase = next((phrase for phrase in turn if phrase not in chosen), None)
            if phrase is None:
                turns.remove(turn)
            elif len(chosen) < most:
                chosen[phrase] = None
    return [phrase for phrase in corpus if phrase in chosen]


def captions(template: str, labels: Sequence[str], words: Sequence[frozenset[str] | None]) -> list[str] | None:
    """A text for each image: its label and how its fingers are held; None where the words are needed and not known.

    Raises `SignBridgeError` if the template has other braces than `{label}` and `{words}`.
    """
    check_caption(template, "stages/lenses/params.yaml: modalities.caption")
    found = [caption(template, label, of_image) for label, of_image in zip(labels, words, strict=True)]
    return None if None in found else found


def whole_phrases(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> list[Phrase]:
    """The texts in tokens, of which all but the special ones are kept."""
    encoded = tokenizer(list(texts), return_offsets_mapping=True)
    return [
        Phrase(ids, [place for place, (start, end) in enumerate(spans) if end > start])
        for ids, spans in zip(encoded["input_ids"], encoded["offset_mapping"], strict=True)
    ]


def neighbour_shares(
    image: Tokens, text: Tokens, neighbours: int, device: torch.device, generator: np.random.Generator
) -> dict[str, Float[np.ndarray, "items"]]:
    """Of the nearest neighbours of the tokens of each image the share that is text, and of each phrase that is image.

    Equal numbers of image and text tokens are drawn, so half of the neighbours would be of the other kind if the two
    were mixed. The neighbours of a token are the nearest by cosine that stand in other items. The keys are
    `text_near_image` and `image_near_text`, and the same with `_centred` where the mean of each kind is subtracted
    first, so that a constant offset no longer separates them. NaN for an item of which no token was drawn.
    """
    count = min(len(image.item), len(text.item))
    drawn = [np.sort(generator.permutation(len(tokens.item))[:count]) for tokens in (image, text)]
    kinds = [
        torch.from_numpy(np.asarray(tokens.vectors[rows], np.float32)).to(device)
        for tokens, rows in zip((image, text), drawn, strict=True)
    ]
    items = [tokens.item[rows] for tokens, rows in zip((image, text), drawn, strict=True)]
    found = {}
    for suffix, vectors in {"": kinds, "_centred": [kind - kind.mean(0) for kind in kinds]}.items():
        other = _share_of_other_kind(vectors, items, neighbours)
        for name, tokens, of_kind, item in zip(
            ("text_near_image", "image_near_text"), (image, text), other, items, strict=True
        ):
            counts = np.bincount(item, minlength=tokens.item.max() + 1)
            sums = np.bincount(item, of_kind, minlength=len(counts))
            found[name + suffix] = np.divide(sums, counts, out=np.full(len(counts), np.nan), where=counts > 0)
    return found


def _share_of_other_kind(
    kinds: Sequence[Float[Tensor, "tokens width"]], items: Sequence[Int[np.ndarray, "tokens"]], neighbours: int
) -> list[Float[np.ndarray, "tokens"]]:
    """For each token the share of its nearest neighbours that are of the other kind."""
    unit = torch.nn.functional.normalize(torch.cat(list(kinds)), dim=1)
    count = len(kinds[0])
    # Items of the two kinds have numbers of their own.
    item = torch.from_numpy(np.concatenate([items[0], items[1] + items[0].max() + 1])).to(unit.device)
    is_text = torch.arange(len(unit), device=unit.device) >= count
    shares = []
    for start in range(0, len(unit), _ROWS):
        rows = slice(start, start + _ROWS)
        scores = unit[rows] @ unit.T
        scores[item[rows, None] == item] = -torch.inf
        best = scores.topk(min(neighbours, len(unit)), dim=1)
        other = (is_text[best.indices] != is_text[rows, None]) & best.values.isfinite()
        shares.append(other.sum(1) / best.values.isfinite().sum(1).clamp(min=1))
    both = torch.cat(shares).cpu().numpy().astype(float)
    return [both[:count], both[count:]]


def item_rows(site: str, items: Mapping[str, tuple[Sequence[str], Tokens]]) -> pd.DataFrame:
    """A row an item: site, kind, item (its id), mean of its tokens' vectors and of their unit vectors."""
    parts = []
    for kind, (ids, tokens) in items.items():
        vectors = np.asarray(tokens.vectors, np.float64)
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        unit = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)
        counts = np.bincount(tokens.item, minlength=len(ids))[:, None]
        starts = np.concatenate([[0], np.cumsum(counts[:-1])])
        means = {name: np.add.reduceat(of, starts) / counts for name, of in (("mean", vectors), ("unit_mean", unit))}
        columns = {name: list(of.astype(np.float32)) for name, of in means.items()}
        parts.append(pd.DataFrame({"site": site, "kind": kind, "item": list(ids), **columns}))
    return pd.concat(parts, ignore_index=True)


def tokens_of(texts: Sequence[Float[np.ndarray, "_ width"]]) -> Tokens:
    """The vectors of several items as one array."""
    return Tokens(np.concatenate(texts), np.repeat(np.arange(len(texts)), [len(text) for text in texts]))


def layer_tables(
    site: str,
    images: Tokens,
    image_ids: Sequence[str],
    by_text: Mapping[str, Float[np.ndarray, "_ width"]],
    corpus: Sequence[str],
    said: Sequence[str] | None,
    neighbours: int,
    device: torch.device,
    generator: np.random.Generator,
) -> LayerTables:
    """Both tables of the layer `site`, whose image tokens are `images`.

    `by_text` has the vectors of the phrases of the `corpus`, and of what is `said` of each image: its caption (None: no
    captions).
    """
    texts = tokens_of([by_text[phrase] for phrase in corpus])
    kinds = {"image": (image_ids, images), "text": (corpus, texts)}
    shares = neighbour_shares(images, texts, neighbours, device, generator)
    near = [
        pd.DataFrame({
            "measure": measure, "site": site, "value": values,
            "item": list(image_ids if measure.startswith("text_near_image") else corpus),
        })
        for measure, values in shares.items()
    ]  # fmt: skip
    if said is not None:
        kinds["caption"] = (image_ids, tokens_of([by_text[caption] for caption in said]))
    columns = ["measure", "site", "item", "value"]
    return LayerTables(item_rows(site, kinds), pd.concat(near)[columns].dropna().reset_index(drop=True))


def by_text(
    vectors: Float[np.ndarray, "tokens width"], texts: Sequence[str], phrases: Sequence[Phrase], order: Sequence[int]
) -> dict[str, Float[np.ndarray, "_ width"]]:
    """The vectors of each text, of which `phrases` has the tokens, where the texts were read in that `order`."""
    ends = np.cumsum([len(phrases[place].positions) for place in order])
    return dict(zip((texts[place] for place in order), np.split(vectors, ends[:-1]), strict=True))
