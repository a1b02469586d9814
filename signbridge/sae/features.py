"""Read the features of images at chosen positions, and write what was read of autoencoders as tables.

Nothing here imports SAELens: an autoencoder is a module with `encode`.
"""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from transformers import BatchFeature, PreTrainedTokenizerBase

from signbridge.core import activations, tables
from signbridge.core.errors import SignBridgeError
from signbridge.core.names import KINDS, POSITIONS, STREAM
from signbridge.core.params import AUTOENCODERS
from signbridge.core.shards import Shard, answers_of, names_of, vectors_of
from signbridge.vlm.extraction import Reader, Work, in_batches
from signbridge.vlm.residual import reading, reading_up_to

AT_POSITION = "features"  # the one array of a shard of `features_at`, images x features
_LIKELIHOODS = ("nll", "nll_sae", "nll_zero", "nll_sae_all", "nll_zero_all")
_LISTS = ("mass", "explained")
_AS_READ = ("tokens", "error", "active", *_LIKELIHOODS, "off_centre")


def features_of_images(reader: Reader, autoencoders: Mapping[str, nn.Module], answers: bool = True) -> Work:
    """Of images: features by `site.position`, images x features, for each of `POSITIONS`.

    `prompt_last` has the features of the last token of the prompt. `image_mean` has the mean over image tokens of the
    features of each token: an encoder is not linear, so these are not the features of the mean. The stream itself at
    the last token, and its mean, are `site.position.stream`, images x width. The answers are the token that follows
    the prompt; without `answers` they are empty, and no block behind the last site is run. `autoencoders` are by site
    in order of depth, on the reader's device.
    """
    loaded = reader.loaded

    @torch.inference_mode()
    def read(inputs: BatchFeature, keep: int) -> Shard:
        inputs = reader.to_device(inputs)
        is_image = inputs["input_ids"] == loaded.parts.image_token_id
        features = {}

        def keep_features(site: str, stream: Tensor) -> None:
            if site in autoencoders:
                encode = autoencoders[site].encode
                at_image = [stream[row, is_image[row]].float() for row in range(keep)]
                last = stream[:keep, -1].float()
                means = [encode(vectors).mean(0) for vectors in at_image]
                read = (encode(last), last), (torch.stack(means), torch.stack([v.mean(0) for v in at_image]))
                for position, (rows, vectors) in zip(POSITIONS, read, strict=True):
                    features[f"{site}.{position}"] = rows.cpu().numpy()
                    features[f"{site}.{position}.{STREAM}"] = vectors.cpu().numpy()

        said = [""] * keep
        parts = loaded.parts
        with reading(parts, keep_features) if answers else reading_up_to(parts, autoencoders, keep_features):
            logits = loaded.model(**inputs, use_cache=False, logits_to_keep=1).logits[:keep, -1]
            said = loaded.processor.tokenizer.batch_decode(logits.argmax(-1)[:, None], skip_special_tokens=True)
        return Shard(features, [text.strip() for text in said])

    return Work(read, reader.prepare, in_batches, fills=True)


def features_at(reader: Reader, site: str, autoencoder: nn.Module, position: int | str) -> Work:
    """Of images: their features at one site and position (`AT_POSITION`); the answers are the tokens there, as text.

    A number is a token of the prompt, 0-based; `prompt_last` is the last one; `after TOKEN` is the one behind the last
    TOKEN; `image_mean` is the mean of the features of all image tokens, and its text is empty. `autoencoder` lies on
    the reader's device. Raises `SignBridgeError` if the tokenizer has no such TOKEN; reading does if a prompt does not
    have the position.
    """
    loaded = reader.loaded
    behind = _marker(loaded.processor.tokenizer, position)

    @torch.inference_mode()
    def read(inputs: BatchFeature, keep: int) -> Shard:
        inputs = reader.to_device(inputs)
        token_ids = inputs["input_ids"]
        is_image = token_ids == loaded.parts.image_token_id
        mask = inputs.get("attention_mask")
        places = None if position == "image_mean" else _places(token_ids, mask, position, behind)
        found: list[Tensor] = []

        def keep_features(here: str, stream: Tensor) -> None:
            found.append(_features(stream, autoencoder, is_image, places)[:keep])

        with reading_up_to(loaded.parts, [site], keep_features):
            loaded.model(**inputs, use_cache=False, logits_to_keep=1)
        tokens = [] if places is None else token_ids.gather(1, places[:, None])[:keep, 0].tolist()
        texts = [loaded.processor.tokenizer.decode([token]) for token in tokens] or [""] * keep
        return Shard({AT_POSITION: found[0].float().cpu().numpy()}, texts)

    return Work(read, reader.prepare, in_batches, fills=True)


def _features(
    stream: Float[Tensor, "images tokens width"],
    autoencoder: nn.Module,
    is_image: Bool[Tensor, "images tokens"],
    places: Int[Tensor, "images"] | None,
) -> Float[Tensor, "images features"]:
    """The features at one token of each image; without `places` their mean over image tokens."""
    if places is None:
        rows = zip(stream, is_image, strict=True)
        return torch.stack([autoencoder.encode(row[chosen].float()).mean(0) for row, chosen in rows])
    return autoencoder.encode(stream[torch.arange(len(stream), device=stream.device), places].float())


def _marker(tokenizer: PreTrainedTokenizerBase, position: int | str) -> int | None:
    """The token that `after TOKEN` names; None for another position."""
    if isinstance(position, int) or not position.startswith("after "):
        return None
    name = position.removeprefix("after ")
    if name not in tokenizer.get_vocab():
        raise SignBridgeError(f"{AUTOENCODERS}: position '{position}': the model's tokenizer has no token '{name}'.")
    return tokenizer.convert_tokens_to_ids(name)


def _places(
    token_ids: Int[Tensor, "images tokens"],
    mask: Int[Tensor, "images tokens"] | None,
    position: int | str,
    behind: int | None,
) -> Int[Tensor, "images"]:
    """Which token of each row, filled up on the left, is read: that behind the last token `behind`, if given."""
    tokens = token_ids.shape[1]
    if behind is not None:
        is_marker = token_ids == behind
        last = tokens - 1 - is_marker.flip(1).int().argmax(1)
        if not is_marker[:, :-1].any(1).all() or (last == tokens - 1).any():
            raise SignBridgeError(f"{AUTOENCODERS}: position '{position}': the prompt has no token behind such a one.")
        return last + 1
    lengths = token_ids.new_full((len(token_ids),), tokens) if mask is None else mask.sum(1)
    if position == "prompt_last":
        return torch.full_like(lengths, tokens - 1)
    shortest = int(lengths.min())
    if position >= shortest:
        raise SignBridgeError(
            f"{AUTOENCODERS}: position {position}: the prompt has {shortest} tokens with its "
            f"image, 0 to {shortest - 1}. Correct the entry's position or prompt."
        )
    return tokens - lengths + position


def deviations(
    tokens: Int[np.ndarray, "items"], squares: Float[np.ndarray, "items"], totals: Float[np.ndarray, "items width"]
) -> Float[np.ndarray, "items"]:
    """The squared distance of each item's vectors from the mean vector of all items, summed over its tokens.

    From each item's number of vectors, the sum of their squared entries, and their sum.
    """
    mean = totals.sum(0) / tokens.sum()
    return squares - 2 * totals @ mean + tokens * (mean @ mean)


def item_table(site: str, items: dict[str, tuple[Sequence[str], list[Path]]]) -> pa.Table:
    """A row an item of either kind, in order; `items` has the ids and the shards (`splicing.py`) of each kind.

    Columns: kind, item, tokens, error, active, deviation (see `deviations`), and two lists: mass, by feature the sum of
    its activations over the item's tokens, and explained, by component (`pca.py`). Likelihoods, `off_centre` and
    `explained` are there if they were read.
    """
    parts = []
    for kind, (ids, shards) in items.items():
        there = names_of(shards[0])
        read = {name: vectors_of(shards, f"{site}.{name}") for name in (*_AS_READ, "squares", "total", *_LISTS)
                if f"{site}.{name}" in there}  # fmt: skip
        columns = {
            "kind": [kind] * len(ids),
            "item": list(ids),
            **{name: read[name] for name in _AS_READ if name in read},
            "deviation": deviations(read["tokens"], read["squares"], read["total"]),
            **{name: _lists(read[name]) for name in _LISTS if name in read},
        }
        parts.append(pa.table(columns))
    return pa.concat_tables(parts)


def _lists(rows: Float[np.ndarray, "items numbers"]) -> pa.FixedSizeListArray:
    return pa.FixedSizeListArray.from_arrays(pa.array(rows.reshape(-1)), rows.shape[1])


def write_items(
    folder: Path, sites: Collection[str], items: dict[str, tuple[Sequence[str], list[Path]]], made_by: dict[str, Any]
) -> None:
    """Write `items/SITE.parquet` (`item_table`) and `features.parquet` (`feature_rows` of all sites) to `folder`."""
    for site in sites:
        tables.write(item_table(site, items), folder / "items" / f"{site}.parquet", made_by)
    shards = {kind: of_kind for kind, (_, of_kind) in items.items()}
    rows = pd.concat([feature_rows(site, shards) for site in sites], ignore_index=True)
    tables.write(rows, folder / "features.parquet", made_by)


def feature_rows(site: str, shards: dict[str, list[Path]]) -> pd.DataFrame:
    """A row a feature: site, feature, and by kind of token its mean activation and the share of tokens it fires on.

    `modality` is the mean on image tokens over the sum of both means, so both kinds count alike however many tokens
    they have. It is NaN for a dead feature, which fires on neither.
    """
    columns: dict[str, Any] = {}
    for kind in KINDS:
        tokens = vectors_of(shards[kind], f"{site}.tokens").sum()
        for name, read in (("mean", "mass"), ("fires", "fires")):
            columns[f"{kind}_{name}"] = vectors_of(shards[kind], f"{site}.{read}").sum(0, dtype=np.float64) / tokens
    modality = modality_scores(columns["image_mean"], columns["text_mean"])
    features = len(modality)
    return pd.DataFrame({"site": [site] * features, "feature": np.arange(features), **columns, "modality": modality})


def write_features(
    folder: Path,
    sites: Collection[str],
    shards: list[Path],
    image_ids: list[str],
    made_by: dict[str, Any],
    rows: Int[np.ndarray, "images"] | None = None,
) -> None:
    """Write `SITE.parquet` to `folder`: features of images by position, from the shards of `features_of_images`.

    `rows` says which image of the shards belongs to each of `image_ids`; without it they are the same, in order.
    """
    for site in sites:
        vectors = {position: vectors_of(shards, f"{site}.{position}") for position in POSITIONS}
        if rows is not None:
            vectors = {position: read[rows] for position, read in vectors.items()}
        activations.write(folder, site, image_ids, vectors, made_by)


def write_concept(
    folder: Path, sites: Collection[str], shards: list[Path], known: pd.DataFrame, made_by: dict[str, Any]
) -> None:
    """Write `features/SITE.parquet` and `stream/SITE.parquet` by position, and `answers.parquet`.

    `known` has image_id and what is known of each image; the answers are put beside it.
    """
    image_ids = known["image_id"].tolist()
    for site in sites:
        for kind, end in (("features", ""), (STREAM, f".{STREAM}")):
            vectors = {position: vectors_of(shards, f"{site}.{position}{end}") for position in POSITIONS}
            activations.write(folder / kind, site, image_ids, vectors, made_by)
    tables.write(known.assign(answer=answers_of(shards)), folder / "answers.parquet", made_by)


def modality_scores(image: Float[np.ndarray, "..."], text: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    """Mean activation on image tokens over that on both kinds; NaN without any."""
    both = image + text
    return np.divide(image, both, out=np.full(np.shape(both), np.nan), where=both > 0)
