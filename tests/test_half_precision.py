"""Half precision and packed weights, as on a GPU, beside float32: every stage that reads a model, on the miniature.

The reference computes in float32 with the same NF4 weights. Products of float16 are computed in float32 and rounded, as
a GPU does; a processor's own are a hundred times slower. Tolerances are some three times what was measured, or three
times what rounding alone does (`BY_ROUNDING`).
"""

import importlib
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from signbridge.core import params, tables
from signbridge.datasets.images import encode_png
from signbridge.rendered.dataset import copy_of, develop, frame_of, photo_in_numbers
from signbridge.vlm import model_run
from signbridge.vlm.loading import LoadedModel
from tests.conftest import ROOT, Workspace
from tests.stages import causal_study, lens_study, pretrained_study, sae_study
from tests.stages.small_study import working_in

LINEAR = nn.functional.linear
MINIATURE = ROOT / "models/miniature"
SAID = {"A": "Fist", "B": "Palm", "C": "Peace"}  # words that the miniature says: others have no probability to speak of
COMBINATIONS = [(dtype, dequantize) for dtype in ("float16", "bfloat16") for dequantize in ("always", "never")]
CONTROLS = ["untrained_twin", "no_image", "other_letter"]
STAGES = [
    "extract", "extract_controls", "score_letters", "causal.patch", "causal.knockout",
    "causal.minimal_pairs", "causal.steer", "causal.erase",
    "lenses.text_index",
    "lenses.lens", "lenses.modalities", "sae.train", "sae.twin", "sae.features", "sae.minimal_pairs", "sae.steer",
    "sae.examples",
]  # fmt: skip

OF_PUBLISHED = ["pretrained.fetch", "pretrained.features", "pretrained.steer"]


@contextmanager
def half_products() -> Iterator[None]:
    """Products of float16 in float32, rounded once, as the tensor cores of a GPU give them."""

    def linear(given: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        if given.dtype != torch.float16:
            return LINEAR(given, weight, bias)
        return LINEAR(given.float(), weight.float(), None if bias is None else bias.float()).half()

    with mock.patch.object(nn.functional, "linear", linear):
        yield


@contextmanager
def coarse_products(step: float) -> Iterator[None]:
    """Every product is rounded to a share of itself, `step`: arithmetic that is wrong."""

    def coarse(given: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        found = nn.functional.linear(given, weight, bias)
        size = 2.0 ** found.float().abs().clamp_min(1e-6).log2().floor() * step
        return ((found.float() / size).round() * size).to(found.dtype)

    with mock.patch.object(nn.Linear, "forward", lambda layer, given: coarse(given, layer.weight, layer.bias)):
        yield


@contextmanager
def rounding(dtype: torch.dtype) -> Iterator[None]:
    """What half precision does to a model and nothing else: float32, but every module rounds what it takes and gives.

    Its weights are rounded as well. All that is computed between two roundings is float32's.
    """
    load = model_run.load

    def rounded(value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(rounded(one) for one in value)
        is_stream = isinstance(value, Tensor) and value.dtype == torch.float32
        return value.to(dtype).float() if is_stream else value

    def load_rounded(*args: Any, **settings: Any) -> LoadedModel:
        loaded = load(*args, **settings)
        with torch.no_grad():
            for weight in loaded.model.parameters():
                weight.copy_(rounded(weight))
        for module in loaded.model.modules():
            module.register_forward_pre_hook(
                lambda _, given, named: (rounded(given), {name: rounded(one) for name, one in named.items()}),
                with_kwargs=True,
            )
            module.register_forward_hook(lambda _, given, result: rounded(result))
        return loaded

    with mock.patch.object(model_run, "load", load_rounded):
        yield


def write_study(workspace: Workspace, photos: int) -> None:
    """Drawn hands of three letters, a photo each, and what each stage needs of params and tables."""
    labels = [letter for letter in "ABC" for _ in range(photos)]
    ids = [f"{letter}-{number:03d}-0" for letter in "ABC" for number in range(photos)]
    images = [
        encode_png(copy_of(develop(photo_in_numbers(0, letter, number), frame_of(28)), 28, 0, letter, number, 0))
        for letter in "ABC"
        for number in range(photos)
    ]
    sample = pd.DataFrame({"image_id": ids, "label": labels, "photo": ids, "image": images})
    tables.write(sample, "data/sample.parquet", {})
    Path("corpus.txt").write_text("\n".join(lens_study.PHRASES), encoding="utf-8")
    workspace.set(
        model="miniature", questions__sweep="small", questions__describe_tokens=6, questions__corpus="corpus.txt",
        questions__templates=[], controls={"read": CONTROLS, "twin_seed": 1}, sae_presets__small=sae_study.PRESET,
        probe__grouped={"by": "auto", "folds": 2, "repeats": 1, "inner_folds": 2, "C": [0.01, 0.1]},
    )  # fmt: skip
    workspace.set_in(
        params.CAUSAL, fitted={"C": 0.1}, patching__small={"pairs": 4, "parts_at": ["prompt_last"]},
        steering__small=causal_study.STEERING, erasure__small=causal_study.ERASURE,
        knockout__small=causal_study.KNOCKOUT,
    )  # fmt: skip
    lenses = {**lens_study.LENSES, "images": 6, "layers": 3, "k": 2}
    workspace.set_in(
        params.LENSES, text_index={**lens_study.TEXT_INDEX, "contexts": 2}, lenses=lenses,
        modalities={"phrases": 20, "neighbours": 5, "caption": "The fingers are {words}."},
    )  # fmt: skip
    steered = {**dict.fromkeys(sae_study.STEERED_KINDS, sae_study.STEERED)}
    workspace.set_in(
        params.SAE, sae={"preset": "small", "layers": [0, 1], "text_share": 0.0, "prompts": ["own"]},
        read={"images": 4, "phrases": 5}, steering__small=steered,
    )  # fmt: skip
    others = pd.concat([sample.assign(image_id=sample["image_id"] + f"-{copy}") for copy in range(2)])
    sae_study.write_images(pd.concat([sample, others], ignore_index=True).drop(columns="photo"))


def run(
    workspace: Workspace, dtype: str, dequantize: str, stages: list[str], words: int = 20, of: Path = MINIATURE
) -> None:
    """The stages with the miniature in NF4, which compute in `dtype`; answers have at most so many words."""
    model = {"path": str(of), "max_new_tokens": words}
    run_packed(workspace, "miniature", {**model, "dtype": dtype, "dequantize": dequantize}, stages)


def run_packed(workspace: Workspace, name: str, model: dict[str, str | int], stages: list[str]) -> None:
    """The stages with the model of that name in NF4, whose entry of the catalog has these values."""
    workspace.set_in(params.MODELS, **{f"{name}__{key}": value for key, value in model.items()})
    workspace.set_in(params.MODELS, **{f"{name}__quantization": "nf4"})
    workspace.describe_model()
    with half_products(), pytest.MonkeyPatch.context() as here:
        for name, value in causal_study.ENVIRONMENT.items():
            here.setenv(name, value)
        for stage in stages:
            importlib.import_module(f"stages.{stage}").main()
            if stage == "extract":  # the same pairs whatever the model says
                answers = tables.read("data/answers.parquet")
                said = answers["label"].map(SAID)
                tables.write(answers.assign(answer=said), "data/answers.parquet", {})


def distance(ours: np.ndarray, reference: np.ndarray) -> float:
    """How far numbers are off, as a share of their spread: root mean squares of the difference and about the mean."""
    ours, reference = ours.astype(np.float64), reference.astype(np.float64)
    return float(np.sqrt(np.square(ours - reference).mean()) / max(reference.std(), 1e-12))


Compared = Callable[[Path, Path], float]  # of two studies, by their folders: the first computes in half precision
Distances = Callable[[Path, Path], dict[Any, float]]  # of the same, at several places


def distances(folder: str, skip: str = "answer_last") -> Distances:
    """The distance of vectors by site and position, but at `skip`, which hangs on the answer's words."""

    def compare(ours: Path, reference: Path) -> dict[Any, float]:
        found = {}
        for file in sorted((reference / folder).glob("*.parquet")):
            one, two = (
                tables.read(root / folder / file.name).set_index(["image_id", "position"]) for root in (ours, reference)
            )
            for position in set(two.index.get_level_values("position")) - {skip}:
                rows = two.xs(position, level="position").index
                pair = [
                    np.stack(table.xs(position, level="position").loc[rows, "vector"].tolist()) for table in (one, two)
                ]
                found[file.stem, position] = distance(*pair)
        return found

    return compare


def vectors(folder: str) -> Compared:
    """The largest distance of a site's vectors."""
    return lambda ours, reference: max(distances(folder)(ours, reference).values())


def column(path: str, name: str, by: list[str], over: str | None = None) -> Compared:
    """The mean distance of a number in rows that both tables have by their keys; divided by the mean size of `over`."""

    def compare(ours: Path, reference: Path) -> float:
        one, two = (tables.read(root / path) for root in (ours, reference))
        both = one.merge(two, on=by, suffixes=("", "_reference"))
        assert len(both) >= 0.9 * len(two), f"{path}: {len(both)} of {len(two)} rows in common"
        off = (both[name] - both[f"{name}_reference"]).abs().mean()
        return float(off / (1 if over is None else both[f"{over}_reference"].abs().mean()))

    return compare


def changed(path: str, name: str, by: list[str]) -> Compared:
    """The share of rows in which something else stands."""

    def compare(ours: Path, reference: Path) -> float:
        one, two = (tables.read(root / path) for root in (ours, reference))
        both = one.merge(two, on=by, suffixes=("", "_reference"))
        return float((both[name].fillna("") != both[f"{name}_reference"].fillna("")).mean())

    return compare


def at_one_place(compare: Compared) -> Distances:
    """A single distance, where several are expected."""
    return lambda ours, reference: {"": compare(ours, reference)}


EDIT = ["a", "b", "site", "at", "during", "direction", "draw", "strength", "image_id"]
ERASED = ["at", "site", "eraser", "draw", "image_id"]
CELL = ["pair", "receiver", "donor", "site", "position"]
TRAINED = ["site", "step"]
# What is compared, and how far it may be off in float16 and in bfloat16.
TOLERANCES: dict[str, tuple[Compared, float, float]] = {
    "activations": (vectors("data/activations"), 0.002, 0.05),
    "activations of other_letter": (vectors("data/controls/other_letter"), 0.002, 0.05),
    # its weights are rounded, too
    "activations of untrained_twin": (vectors("data/controls/untrained_twin"), 0.1, 0.3),
    "patching, of the gap": (column("data/causal/patching.parquet", "moved", CELL, over="gap"), 0.001, 0.01),
    "steering, probability": (column("data/causal/steering/answers.parquet", "probability", EDIT), 0.001, 0.01),
    "steering, nats": (column("data/causal/steering/damage.parquet", "damage", EDIT), 0.001, 0.01),
    "erasure, nats": (column("data/causal/erasure/damage.parquet", "damage", ERASED), 0.001, 0.01),
    "nearest words, share": (
        changed("data/lenses/words.parquet", "token", ["image_id", "patch", "site", "lens", "rank"]), 0.03, 0.15
    ),
    "neighbours, share": (column("data/lenses/neighbours.parquet", "value", ["measure", "site", "item"]), 0.01, 0.01),
    "autoencoders, variance explained": (
        column("data/sae/autoencoders/training.parquet", "variance_explained", TRAINED), 0.001, 0.01
    ),
    "twin's, variance explained": (
        column("data/sae/twin/sae/training.parquet", "variance_explained", TRAINED), 0.03, 0.1
    ),
    "features": (vectors("data/sae/features/sample"), 0.03, 0.15),
    "features, probability": (
        column("data/sae/steering/classes/answers.parquet", "clean_probability", EDIT), 0.001, 0.01
    ),
    "examples, activation": (
        column("data/sae/examples/features.parquet", "image_mean", ["site", "feature"], over="image_mean"), 0.001, 0.03
    ),
}  # fmt: skip


# What is held against what rounding alone does, and how many times as far it may be off. Without an image the tolerance
# of other activations says nothing: all pixels are one grey, so all are rounded alike and no mean takes it out, and
# planted block 6 answers to what comes of it some six times as strongly as to photos.
TIMES = 3
BY_ROUNDING: dict[str, Distances] = {
    "activations": distances("data/activations"),
    "activations of no_image": distances("data/controls/no_image"),
    "letter scores, nats": at_one_place(
        column("data/letter_scores.parquet", "log_probability", ["image_id", "letter"])
    ),
    "splicing, nats": at_one_place(column("data/sae/features/items/layer_01.parquet", "nll_sae", ["kind", "item"])),
}
# Which features fire is all or nothing, so one rounding may move few of them by luck: over four draws of rounding up or
# down at random, splicing in bfloat16 moved by 0.018 to 0.038 nats, 0.026 in the mean.
LEAST_BY_ROUNDING = {("splicing, nats", "bfloat16"): 0.026}
STAGES_BY_ROUNDING = ["extract", "extract_controls", "score_letters", "sae.train", "sae.features"]

TOLERANCES_OF_PUBLISHED: dict[str, tuple[Compared, float, float]] = {
    "features": (vectors("data/pretrained/features/sample"), 0.003, 0.02),
    "splicing, nats": (
        column("data/pretrained/features/items/layer_01.parquet", "nll_sae", ["kind", "item"]), 0.0002, 0.002
    ),
    "probability, of itself": (
        column("data/pretrained/steering/answers.parquet", "probability", EDIT, over="probability"), 0.001, 0.01
    ),
    "damage, nats": (column("data/pretrained/steering/damage.parquet", "damage", EDIT), 0.0005, 0.03),
}  # fmt: skip


@pytest.fixture(scope="module")
def reference(tmp_path_factory) -> Path:
    """The folder of a study that computed in float32."""
    folder = tmp_path_factory.mktemp("float32")
    with working_in(folder) as workspace:
        write_study(workspace, photos=4)
        run(workspace, "float32", "never", STAGES)
    return folder


class Explained(NamedTuple):
    """Two studies that computed in float32 with the weights that half precision packs: rounded before."""

    exact: Path
    rounded: Path  # what modules take and give as well


@pytest.fixture(scope="module")
def explained(tmp_path_factory) -> Callable[[str], Explained]:
    """What rounding to a dtype does."""

    def study(dtype: torch.dtype, modules: AbstractContextManager[None]) -> Path:
        folder = tmp_path_factory.mktemp("rounded")
        with working_in(folder) as workspace, modules:
            write_study(workspace, photos=4)
            workspace.set(controls={"read": ["no_image"], "twin_seed": 1})
            shutil.copytree(MINIATURE, "miniature", ignore=shutil.ignore_patterns("*.py"))
            round_weights(Path("miniature"), dtype)
            run(workspace, "float32", "always", STAGES_BY_ROUNDING, of=Path("miniature"))
        return folder

    @cache
    def studies(name: str) -> Explained:
        dtype = getattr(torch, name)
        return Explained(study(dtype, nullcontext()), study(dtype, rounding(dtype)))

    return studies


def round_weights(model: Path, *dtypes: torch.dtype) -> None:
    """Make the weights in a folder numbers of all these dtypes."""
    for file in model.glob("*.safetensors"):
        weights = load_file(file)
        for dtype in dtypes:
            weights = {name: one.to(dtype).to(one.dtype) for name, one in weights.items()}
        save_file(weights, file, metadata={"format": "pt"})


@pytest.mark.slow
@pytest.mark.parametrize(("dtype", "dequantize"), COMBINATIONS)
def test_half_precision_and_packed_weights_find_what_float32_finds_in_every_stage(
    reference, explained, tmp_path, dtype, dequantize
):
    with working_in(tmp_path) as workspace:
        write_study(workspace, photos=4)
        run(workspace, dtype, dequantize, STAGES)
    assert_as_rounding_explains(tmp_path, explained(dtype), dtype, BY_ROUNDING)
    assert_close(tmp_path, reference, dtype, TOLERANCES)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_products_with_three_binary_digits_fewer_are_not_explained_by_rounding(explained, tmp_path, dtype):
    step = 8 * torch.finfo(getattr(torch, dtype)).eps
    with working_in(tmp_path) as workspace, coarse_products(step):
        write_study(workspace, photos=4)
        run(workspace, dtype, "always", ["extract"])
    activations_alone = {"activations": BY_ROUNDING["activations"]}
    with pytest.raises(AssertionError, match="activations"):
        assert_as_rounding_explains(tmp_path, explained(dtype), dtype, activations_alone)


@contextmanager
def published(folder: Path) -> Iterator[Workspace]:
    """A study with an autoencoder that others trained; the model's weights are numbers of either half precision."""
    with pretrained_study.made(folder, "llava-gemma") as workspace:
        round_weights(Path("tiny"), torch.bfloat16, torch.float16)
        yield workspace


@pytest.fixture(scope="module")
def reference_of_published(tmp_path_factory) -> Path:
    """The folder of a study with an autoencoder that others trained, which computed in float32."""
    folder = tmp_path_factory.mktemp("published_float32")
    with published(folder) as workspace:
        run_packed(workspace, "tiny", {"dtype": "float32", "dequantize": "never"}, OF_PUBLISHED)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(("dtype", "dequantize"), COMBINATIONS)
def test_half_precision_and_packed_weights_find_it_in_the_stages_of_published_autoencoders(
    reference_of_published, tmp_path, dtype, dequantize
):
    with published(tmp_path) as workspace:
        run_packed(workspace, "tiny", {"dtype": dtype, "dequantize": dequantize}, OF_PUBLISHED)
    assert_close(tmp_path, reference_of_published, dtype, TOLERANCES_OF_PUBLISHED)


def test_extraction_in_half_precision_finds_what_float32_finds(tmp_path_factory):
    folders = {}
    for dtype, dequantize in (("float32", "always"), ("bfloat16", "always")):
        folders[dtype] = tmp_path_factory.mktemp(dtype)
        with working_in(folders[dtype]) as workspace:
            write_study(workspace, photos=1)
            run(workspace, dtype, dequantize, ["extract"], words=2)
    activations_alone = {"activations": TOLERANCES["activations"]}
    assert_close(folders["bfloat16"], folders["float32"], "bfloat16", activations_alone)
    with pytest.raises(AssertionError, match="activations"):  # it is not float32 that was read
        assert_close(
            folders["bfloat16"],
            folders["float32"],
            "bfloat16",
            {"activations": (*activations_alone["activations"][:2], 1e-5)},
        )


def assert_as_rounding_explains(ours: Path, explained: Explained, dtype: str, compared: dict[str, Distances]) -> None:
    """Nothing is more than `TIMES` as far from float32 as where it does nothing but round as half precision does."""
    found = {}
    for name, compare in compared.items():
        off, by_rounding = compare(ours, explained.exact), compare(explained.rounded, explained.exact)
        least = LEAST_BY_ROUNDING.get((name, dtype), 1e-9)
        times = {place: off[place] / max(by_rounding[place], least) for place in off}
        most = max(times, key=times.__getitem__)
        found[name] = times[most]
        print(
            f"{name}: at most {max(off.values()):.2g}; {found[name]:.2g} times rounding alone, {off[most]:.2g}, {most}"
        )
    assert {name: times for name, times in found.items() if not times <= TIMES} == {}


def assert_close(ours: Path, reference: Path, dtype: str, tolerances: dict[str, tuple[Compared, float, float]]) -> None:
    """Nothing that is compared is farther off than it may be; what was measured is printed."""
    found = {name: compare(ours, reference) for name, (compare, *_) in tolerances.items()}
    print("\n".join(f"{name}: {value:.2g}" for name, value in found.items()))
    allowed = {name: bounds[dtype == "bfloat16"] for name, (_, *bounds) in tolerances.items()}
    assert {name: value for name, value in found.items() if not value <= allowed[name]} == {}
