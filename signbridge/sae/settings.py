"""What sparse autoencoders are trained on and how: the sections `sae` of stages/sae/params.yaml, and the presets.

Nothing here imports SAELens, so that stages check all of it first.
"""

import importlib.util
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from signbridge.core import params, tables
from signbridge.core.activations import Layers, evenly_spread, layer_site
from signbridge.core.errors import SignBridgeError
from signbridge.core.params import Section
from signbridge.datasets.hands import caption, check_caption
from signbridge.vlm.prompts import prompt_for


def require_sae_lens() -> None:
    """Raises `SignBridgeError` if SAELens is missing. Call this before `sae_lens` is imported, which takes seconds.

    SAELens is an extra: it brings many packages, and only sparse autoencoders need it. Its logging to a server is
    switched off.
    """
    os.environ.update(WANDB_MODE="disabled", WANDB_ERROR_REPORTING="false")
    if importlib.util.find_spec("sae_lens") is None:
        raise SignBridgeError("sparse autoencoders need SAELens: pip install -c requirements.lock -e '.[sae]'.")


Share = Annotated[float, Field(ge=0, le=1)]


class SaeParams(Section):
    """The section `sae`."""

    preset: str  # an entry of presets.yaml
    layers: Annotated[list[int], Field(min_length=1)] | Layers  # decoder blocks, 0-based; or how many, or all
    prompts: list[str] = Field(min_length=1)  # under which images are read: `own` is the model's; {label}, {words}
    text_share: Share  # of all tokens: those of the corpus, read without an image


class _Preset(Section):
    """What every entry of presets.yaml says."""

    width: Annotated[int, Field(ge=1)] | Annotated[str, Field(pattern=r"^[1-9][0-9]*x$")]  # 16x that of the stream
    tokens: int = Field(ge=1)
    batch: int = Field(ge=1)  # tokens a step
    buffer: int = Field(ge=1)  # tokens that are shuffled, of which half are drawn before it is filled up again
    lr: float = Field(gt=0)  # of Adam
    warm_up: Share  # of the steps, in which the learning rate rises to `lr`
    decay: Share  # of the steps, the last, in which it falls to nothing
    mean_norm: Annotated[float, Field(gt=0)] | Literal["sqrt_width"]  # of the vectors as they are trained on
    dead_after: int = Field(ge=1)  # steps in which a feature did not fire
    matmul: Literal["float32", "tf32"] = "float32"  # how a GPU multiplies in training
    folder: str | None = None  # of autoencoders that were trained so already, which are then taken
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None  # of their weights: `shipped.weights_digest`


class TopKPreset(_Preset):
    """The k strongest features of each token (Gao et al. 2024), or k a token over a batch (Bussmann et al. 2024)."""

    architecture: Literal["batchtopk", "topk"]
    k: int = Field(ge=1)


class StandardPreset(_Preset):
    """ReLU, with an L1 penalty on the features times the lengths of their decoder rows (Anthropic, April 2024)."""

    architecture: Literal["standard"]
    l1: float = Field(ge=0)
    l1_ramp: Share  # of the steps, in which the penalty rises to `l1`


AnyPreset = TopKPreset | StandardPreset
Preset = Annotated[AnyPreset, Field(discriminator="architecture")]


def chosen_preset(path: Path = params.SAE, catalog: Path = params.SAE_PRESETS) -> tuple[str, AnyPreset]:
    """The name and values of the chosen preset. Raises `SignBridgeError` if its values contradict each other."""
    name, preset = params.selected("sae.preset", catalog, Preset, path)
    where = f"{catalog}: {name}"
    if preset.warm_up + preset.decay > 1:
        raise SignBridgeError(
            f"{where}: warm_up and decay are {preset.warm_up + preset.decay:g} of the steps together. At most 1."
        )
    if preset.tokens < preset.batch:
        raise SignBridgeError(f"{where}: {preset.tokens} tokens make no batch of {preset.batch}. Raise tokens.")
    if (preset.folder is None) != (preset.sha256 is None):
        raise SignBridgeError(f"{where}: folder and sha256 belong together: give both, or neither.")
    if preset.buffer < preset.batch:
        raise SignBridgeError(f"{where}: a buffer of {preset.buffer} holds no batch of {preset.batch}. Raise buffer.")
    return name, preset


def features_of(preset: AnyPreset, stream_width: int) -> int:
    """How many features an autoencoder of `stream_width` has. Raises `SignBridgeError` if they are fewer than k."""
    width = preset.width
    features = width if isinstance(width, int) else int(width[:-1]) * stream_width
    if isinstance(preset, TopKPreset) and features < preset.k:
        raise SignBridgeError(
            f"{params.SAE_PRESETS}: {features} features are fewer than k = {preset.k}. Raise width, or lower k."
        )
    return features


# What a preset must give the model that it is used with. A feature learns its decoder row, `width` numbers, from the
# tokens that it fires for: with fewer examples than numbers the row is underdetermined, whatever the optimiser does.
# Features fire equally often at best, so each has tokens x L0 / features examples. At width 4096 the preset `default`
# (80,000 tokens, 312 steps, L0 of 32, 16,384 features) gives 156 examples for 4,096 numbers. At the miniature's width
# of 192 it gives 3,333. The published recipes give 488,000 and more: "Line of Sight" (2025) and multimodal-sae (2024)
# both train on some 15,000 tokens for each feature.
L0_OF_STANDARD = 32  # an L1 penalty sets no L0; published autoencoders have tens to hundreds


def examples_of_a_feature(preset: AnyPreset, stream_width: int) -> int:
    """How many tokens a feature fires for in training, in the mean over features."""
    l0 = preset.k if isinstance(preset, TopKPreset) else L0_OF_STANDARD
    return preset.tokens * l0 // features_of(preset, stream_width)


def check_preset_fits(name: str, preset: AnyPreset, model: str, stream_width: int) -> None:
    """Raises `SignBridgeError` if the preset `name` gives a feature fewer examples than its decoder row has numbers.

    `model` is the model's name, `stream_width` the width of its residual stream.
    """
    features, examples = features_of(preset, stream_width), examples_of_a_feature(preset, stream_width)
    if examples >= stream_width:
        return
    steps, needed = preset.tokens // preset.batch, -(-stream_width * preset.tokens // max(examples, 1))
    raise SignBridgeError(
        f"{params.SAE}: sae.preset: '{name}' does not fit the model {model}: {preset.tokens:,} tokens ({steps:,} steps)"
        f" give each of its {features:,} features {examples:,} examples to learn {stream_width:,} numbers from.\n"
        f"Choose a larger preset of {params.SAE_PRESETS}, or give this one {needed:,} tokens or fewer features there."
    )


def training_bytes(preset: AnyPreset, sites: int, stream_width: int) -> int:
    """What training takes of the disk at most: two checkpoints, while one takes the other's place.

    Each holds, for every site, weights of encoder and decoder, Adam's two moments of them, and the buffer.
    """
    weights = 2 * features_of(preset, stream_width) * stream_width
    return 2 * sites * 4 * (3 * weights + preset.buffer * stream_width)


def check_room(settings: SaeParams, preset: AnyPreset, blocks: int, stream_width: int, scratch: Path) -> None:
    """Raises `SignBridgeError` if the disk of `scratch` has no room to train in, for a decoder of so many `blocks`."""
    from signbridge.vlm.machine import free_disk  # imports PyTorch: slow

    sites = len(sae_sites(settings.layers, blocks))
    needed, free = training_bytes(preset, sites, stream_width), free_disk(scratch)
    if free < needed:
        raise SignBridgeError(
            f"{scratch}: training {sites} autoencoders of {features_of(preset, stream_width):,} features takes "
            f"{needed / 1e9:.1f} GB of the disk, {free / 1e9:.1f} GB are free. Free some, or take fewer layers or a "
            f"smaller preset in {params.SAE}."
        )


def sae_sites(layers: list[int] | int | Literal["all"], blocks: int) -> list[str]:
    """The sites after these decoder blocks, in order of depth; of a number, as many, evenly spread.

    Raises `SignBridgeError` for a block that is not there, and if there is none.
    """
    if not isinstance(layers, list):
        sites = evenly_spread(layers, [layer_site(block) for block in range(blocks)])
        if not sites:
            raise SignBridgeError(f"{params.SAE}: sae.layers: at least one layer is needed (got 0).")
        return sites
    absent = sorted(set(layers) - set(range(blocks)))
    if absent:
        raise SignBridgeError(f"{params.SAE}: sae.layers: this decoder has blocks 0 to {blocks - 1}, not {absent[0]}.")
    return [layer_site(block) for block in sorted(set(layers))]


def prompts_of_images(
    templates: Sequence[str],
    own: str,
    image_token: str,
    labels: Sequence[str],
    words: Sequence[frozenset[str] | None],
) -> list[list[str]]:
    """The prompts under which each image is read. Templates with {words} are left out for images without known words.

    `own` stands for the model's own prompt, `<image>` for `image_token`. Raises `SignBridgeError` if a template does
    not hold that once, or has other braces than `{label}` and `{words}`.
    """
    templates = [template if template == "own" else _of_model(template, image_token) for template in templates]
    return [
        [
            text
            for template in templates
            if (text := own if template == "own" else caption(template, label, of_image)) is not None
        ]
        for label, of_image in zip(labels, words, strict=True)
    ]


def _of_model(template: str, image_token: str) -> str:
    key = f"{params.SAE}: sae.prompts"
    check_caption(template, key)
    return prompt_for(template, key, image_token)


def about_pretrained(folder: Path) -> dict[str, Any]:
    """What `folder` says of the autoencoder in it, which others trained: `pretrained.json`, which `fetch` wrote.

    Raises `SignBridgeError` if it is another one than stages/pretrained/params.yaml chooses, or is for another model
    than the study's.
    """
    path = folder / "pretrained.json"
    name, _ = params.selected("autoencoder", params.AUTOENCODERS, dict[str, Any], params.PRETRAINED)
    model, _ = params.selected("model", params.MODELS, dict[str, Any])
    about = tables.read_json(path)
    if about["pretrained"] != name:
        raise SignBridgeError(f"{path}: of '{about['pretrained']}', not of '{name}'. Fetch it with `dvc repro`.")
    check_pretrained_fits(name, about["model"], model)
    return about


def check_pretrained_fits(name: str, wanted: str, model: str) -> None:
    """Raises `SignBridgeError` if the autoencoder `name` is for the model `wanted`, and the study reads `model`."""
    if wanted != model:
        raise SignBridgeError(
            f"{params.PRETRAINED}: autoencoder: '{name}' belongs to the model '{wanted}', and the study's is '{model}'."
            f"\nSet model: {wanted} in params.yaml, or choose an autoencoder of {model} in {params.AUTOENCODERS}."
        )
