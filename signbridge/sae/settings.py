"""Whether SAELens is there: an extra, as it brings much along and is needed by sparse autoencoders alone.

What sparse autoencoders are trained on and how: the section `sae` and the catalog `sae_presets` of params.yaml.

How sparse autoencoders are judged: the section `sae_judge` of params.yaml.

Which features are shown, and how many examples of each: the section `sae_examples` of params.yaml.

How far steering by features goes: the section `sae_steering` of params.yaml.
"""

import importlib.util
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model, model_validator

from signbridge.causal.steering import Doses
from signbridge.core import params
from signbridge.core.activations import Layers, evenly_spread, layer_site
from signbridge.core.errors import SignBridgeError
from signbridge.core.params import Section
from signbridge.core.sweeps import Sweeps
from signbridge.datasets.hands import caption, check_caption
from signbridge.vlm.prompts import prompt_for


def require_sae_lens() -> None:
    """To be called before `sae_lens` is imported, which takes seconds. Raises `SignBridgeError` if it is missing.

    What it brings along to log runs on a server is switched off.
    """
    os.environ.update(WANDB_MODE="disabled", WANDB_ERROR_REPORTING="false")
    if importlib.util.find_spec("sae_lens") is None:
        raise SignBridgeError("sparse autoencoders need SAELens: pip install -c requirements.lock -e '.[sae]'.")


Share = Annotated[float, Field(ge=0, le=1)]


class SaeParams(Section):
    """The section `sae`."""

    preset: str  # an entry of sae_presets
    layers: Annotated[list[int], Field(min_length=1)] | Layers  # decoder blocks, 0-based; or how many, or all
    prompts: list[str] = Field(min_length=1)  # under which images are read: `own` is the model's; {label}, {words}
    text_share: Share  # of all tokens: those of the corpus, read without an image
    pretrained: str  # an entry of pretrained_saes (signbridge/sae/pretrained/): nothing to do with training


class _Preset(Section):
    """What every entry of `sae_presets` says."""

    width: Annotated[int, Field(ge=1)] | Annotated[str, Field(pattern=r"^[1-9][0-9]*x$")]  # 16x that of the stream
    tokens: int = Field(ge=1)
    batch: int = Field(ge=1)  # tokens a step
    buffer: int = Field(ge=1)  # tokens that are shuffled, of which half are drawn before it is filled up again
    lr: float = Field(gt=0)  # of Adam
    warm_up: Share  # of the steps, in which the learning rate rises to `lr`
    decay: Share  # of the steps, the last, in which it falls to nothing
    mean_norm: Annotated[float, Field(gt=0)] | Literal["sqrt_width"]  # of the vectors as they are trained on
    dead_after: int = Field(ge=1)  # steps in which a feature did not fire


class TopKPreset(_Preset):
    """The k strongest features of each token (Gao et al. 2024), or k a token over a batch (Bussmann et al. 2024)."""

    architecture: Literal["batchtopk", "topk"]
    k: int = Field(ge=1)


class StandardPreset(_Preset):
    """ReLU, with an L1 penalty on the features times the lengths of their decoder rows (Anthropic, April 2024)."""

    architecture: Literal["standard"]
    l1: float = Field(ge=0)
    l1_ramp: Share  # of the steps, in which the penalty rises to `l1`


Preset = Annotated[TopKPreset | StandardPreset, Field(discriminator="architecture")]


class _Catalog(BaseModel):
    """`sae_presets`, of which no entry but the chosen one is checked."""

    model_config = ConfigDict(extra="allow")


def chosen_preset(name: str, path: Path = params.PARAMS) -> TopKPreset | StandardPreset:
    """The preset of that name. Raises `SignBridgeError` if there is none, or what it says does not go together."""
    there = params.section("sae_presets", _Catalog, path).model_extra
    if name not in there:
        raise SignBridgeError(f"{path}: sae.preset: no '{name}' under 'sae_presets'. There are: {', '.join(there)}.")
    catalog = create_model("SaePresets", __base__=_Catalog, **{name: (Preset, ...)})
    preset = getattr(params.section("sae_presets", catalog, path), name)
    where = f"{path}: sae_presets.{name}"
    if preset.warm_up + preset.decay > 1:
        raise SignBridgeError(
            f"{where}: warm_up and decay are {preset.warm_up + preset.decay:g} of the steps together. At most 1."
        )
    if preset.tokens < preset.batch:
        raise SignBridgeError(f"{where}: {preset.tokens} tokens make no batch of {preset.batch}. Raise tokens.")
    if preset.buffer < preset.batch:
        raise SignBridgeError(f"{where}: a buffer of {preset.buffer} holds no batch of {preset.batch}. Raise buffer.")
    return preset


def features_of(preset: TopKPreset | StandardPreset, stream_width: int) -> int:
    """How many features an autoencoder of `stream_width` has. Raises `SignBridgeError` if they are fewer than k."""
    width = preset.width
    features = width if isinstance(width, int) else int(width[:-1]) * stream_width
    if isinstance(preset, TopKPreset) and features < preset.k:
        raise SignBridgeError(
            f"params.yaml: sae_presets: {features} features are fewer than k = {preset.k}. Raise width, or lower k."
        )
    return features


def sae_sites(layers: list[int] | int | Literal["all"], blocks: int) -> list[str]:
    """The sites after these decoder blocks, in order of depth; of a number, as many, evenly spread.

    Raises `SignBridgeError` for a block that is not there, and if there is none.
    """
    if not isinstance(layers, list):
        sites = evenly_spread(layers, [layer_site(block) for block in range(blocks)])
        if not sites:
            raise SignBridgeError("params.yaml: sae.layers: at least one layer is needed (got 0).")
        return sites
    absent = sorted(set(layers) - set(range(blocks)))
    if absent:
        raise SignBridgeError(f"params.yaml: sae.layers: this decoder has blocks 0 to {blocks - 1}, not {absent[0]}.")
    return [layer_site(block) for block in sorted(set(layers))]


def prompts_of_images(
    templates: Sequence[str],
    own: str,
    image_token: str,
    labels: Sequence[str],
    words: Sequence[frozenset[str] | None],
) -> list[list[str]]:
    """The prompts under which each image is read; one that needs words is left out where none are known of an image.

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
    check_caption(template, "sae.prompts")
    return prompt_for(template, "sae.prompts", image_token)


class SaeJudgeParams(Section):
    """The section `sae_judge`."""

    images: int = Field(ge=2)  # of the sample, of different photos, at most
    phrases: int = Field(ge=2)  # of the corpus, at most
    shared: Annotated[list[Annotated[float, Field(ge=0, le=1)]], Field(min_length=2, max_length=2)]  # modality scores
    k: list[Annotated[int, Field(ge=1)]] = Field(min_length=1)  # features of a sparse probe
    repeats: int = Field(ge=1)  # of the grouped protocol's folds, at most
    draws: int = Field(ge=1)  # of shuffled letters

    @model_validator(mode="after")
    def _in_order(self) -> "SaeJudgeParams":
        if self.shared[0] > self.shared[1]:
            raise ValueError("the bounds of `shared` should be in ascending order")
        return self


class SaeExamplesParams(Section):
    """The section `sae_examples`."""

    letters: int = Field(ge=1)  # features of a class, at most: those that tell it best
    features: int = Field(ge=1)  # of a site: those of the classes, all of them, and the most active beside them
    images: int = Field(ge=1)  # strongest ones of a feature
    phrases: int = Field(ge=1)  # strongest ones of a feature, no two of which begin alike up to its strongest token
    images_read: int = Field(ge=1)  # of the sample, each of another photo, at most, drawn
    phrases_read: int = Field(ge=1)  # of the corpus, at most, drawn


class SaeSteeringSweep(Section):
    """What of the section `sae_steering` differs between the sweeps."""

    of_classes: Doses
    of_concept: Doses
    of_pretrained: Doses


class SaeSteeringParams(Sweeps[SaeSteeringSweep]):
    """The section `sae_steering`."""
