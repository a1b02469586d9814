"""What is known of the miniature: one feature tells whether the index finger is up, and pushing it has it said so.

Autoencoders as the study's, trained for half the time on other hands, so that less is asked of them than the study
finds: one of the miniature and one of its untrained twin.
"""

from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sae_lens import SAE

from signbridge.causal.courses import courses
from signbridge.causal.steering import Doses, steer
from signbridge.core import params
from signbridge.core.names import CLAMP, FEATURE, LIKE_FEATURES, MODEL, NEIGHBOURS, RANDOM, TWIN
from signbridge.core.shards import Shard
from signbridge.datasets.concept import with_answers, with_concept
from signbridge.datasets.hands import words_by_image
from signbridge.datasets.images import decoded, encode_png
from signbridge.rendered.dataset import (
    RenderedParams,
    copy_of,
    develop,
    frame_of,
    image_id,
    photo_in_numbers,
)
from signbridge.rendered.hands_table import hands_table
from signbridge.rendered.letter_poses import LETTERS
from signbridge.sae.autoencoders import open_autoencoders, write_autoencoder
from signbridge.sae.feature_directions import FeatureDirections
from signbridge.sae.features import features_of_images
from signbridge.sae.passages import Passage
from signbridge.sae.settings import chosen_preset, prompts_of_images
from signbridge.sae.steering import toward_answer
from signbridge.sae.token_stream import ModelTokens, ShuffledTokens, token_streams
from signbridge.sae.training import train
from signbridge.statistics.concept import Readings, told_by_features
from signbridge.statistics.intervals import StatisticsParams
from signbridge.vlm.extraction import Reader
from signbridge.vlm.loading import LoadedModel, load
from tests.causal.conftest import (
    ENTRY,
    SEED,
    SIZE,
    miniature,
)
from tests.conftest import ROOT

pytestmark = pytest.mark.slow  # two autoencoders are trained

__all__ = ["miniature"]

SITE, PHOTOS, TOKENS = "layer_06", 8, 40_000
DRAWN = RenderedParams(source="rendered", seed=SEED, size=SIZE, photos=PHOTOS, copies=1)
STRENGTHS = [1.0, 2.0, 4.0]  # natural doses
NULLS = (RANDOM, LIKE_FEATURES, NEIGHBOURS)  # of the feature's length
DESCRIBE = "USER: <image>\nDescribe the hand.\nASSISTANT:"
ASKED = f"{DESCRIBE} The index finger is"
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def sample() -> pd.DataFrame:
    """Drawn hands of all letters that neither the miniature nor a study has seen, one copy of each photo."""
    photos = [(letter, number) for letter in LETTERS for number in range(PHOTOS)]
    developed = (develop(photo_in_numbers(SEED, *photo), frame_of(SIZE)) for photo in photos)
    pngs = [encode_png(copy_of(one, SIZE, SEED, *photo, 0)) for one, photo in zip(developed, photos, strict=True)]
    ids = [image_id(*photo, 0) for photo in photos]
    letters = [letter for letter, _ in photos]
    return pd.DataFrame({"image_id": ids, "label": letters, "photo": ids, "group": ids, "image": pngs})


def known(sample: pd.DataFrame) -> pd.DataFrame:
    """What is known of the hands in these images."""
    return hands_table(sample["image_id"].tolist(), sample["label"].tolist(), DRAWN)


def trained(loaded: LoadedModel, sample: pd.DataFrame, folder: Path) -> dict[str, SAE]:
    """An autoencoder of a model's stream, of image and text tokens as in the study, as it is opened again."""
    words = words_by_image(known(sample))
    texts = prompts_of_images(
        ["own", f"{DESCRIBE} The fingers are {{words}}."], ENTRY.prompt, "<image>", sample["label"].tolist(),
        [words[one] for one in sample["image_id"]],
    )  # fmt: skip
    images = [Passage(text, png) for of_image, png in zip(texts, sample["image"], strict=True) for text in of_image]
    corpus = [Passage(line) for line in (ROOT / "corpora/miniature.txt").read_text(encoding="utf-8").splitlines()]
    _, preset = chosen_preset(ROOT / params.SAE, ROOT / params.SAE_PRESETS)
    preset, reader = preset.model_copy(update={"tokens": TOKENS}), Reader(loaded, ENTRY.prompt, 1, 32)
    work = token_streams(reader, [SITE])
    source = ModelTokens(lambda passages: reader.read(passages, work), images, corpus, 0.2, seed=1)
    found = train(ShuffledTokens(source, 8192, preset.batch, 1), preset, 1, CPU, {}).autoencoders
    write_autoencoder(folder / SITE, found[SITE])
    return open_autoencoders(folder, [SITE], CPU)


@pytest.fixture(scope="module")
def of_model(miniature, sample, tmp_path_factory):
    """The miniature's autoencoder, and what is read of the sample."""
    autoencoders = trained(miniature, sample, tmp_path_factory.mktemp("sae"))
    return autoencoders, read(miniature, autoencoders, sample)


def read(loaded: LoadedModel, autoencoders: dict[str, SAE], sample: pd.DataFrame) -> Shard:
    """The features of the sample under the concept's prompt."""
    reader = Reader(loaded, ASKED, 1, 32)
    return reader.read(decoded(sample["image"]), features_of_images(reader, autoencoders))


@pytest.fixture(scope="module")
def of_twin(sample, tmp_path_factory):
    folder = tmp_path_factory.mktemp("twin")
    twin = load(ENTRY, folder, CPU, twin_seed=0)
    autoencoders = trained(twin, sample, folder / "sae")
    return read(twin, autoencoders, sample)


def test_one_feature_tells_whether_the_index_finger_is_up_clearly_better_than_any_of_the_untrained_twins(
    sample, of_model, of_twin
):
    rows, names = with_concept(sample, "index", known(sample))
    assert len(rows) == len(sample), "every drawn hand's pose is known"
    readings = [
        Readings(reads, SITE, position, found.vectors[f"{SITE}.{position}"])
        for reads, found in ((MODEL, of_model[1]), (TWIN, of_twin)) for position in ("prompt_last", "image_mean")
    ]  # fmt: skip
    _, metrics = told_by_features(readings, rows, names, StatisticsParams(confidence=0.95, resamples=500), 42)
    assert metrics["concept_model_auc"] > 0.8
    assert metrics["concept_model_over_untrained_twin"] > 0.15
    assert metrics["concept_model_over_untrained_twin_low"] > 0


def test_pushing_that_feature_has_the_miniature_say_up_of_an_unchanged_image_more_than_nulls_of_that_length_do(
    miniature, sample, of_model
):
    """Noise of equal logit effect is no null here: after so short a training the feature is not clearly above it.

    That of the study is (`concept_over_equal_logit_low` in metrics/sae/steering.json).
    """
    autoencoders, found = of_model
    answers = pd.DataFrame({"image_id": sample["image_id"], "answer": found.answers})
    rows = with_answers(*with_concept(sample, "index", known(sample)), answers)
    places = rows["image_id"].map({one: number for number, one in enumerate(sample["image_id"])}).to_numpy()
    features = {(SITE, "prompt_last"): found.vectors[f"{SITE}.prompt_last"][places]}
    doses = Doses(pairs=2, images=12, others=1, at=["every"], during=["every_step"], strengths=STRENGTHS, draws=8,
                  answer_tokens=1)  # fmt: skip

    def fit(half: np.ndarray) -> FeatureDirections:
        toward = partial(toward_answer, reader)
        return FeatureDirections(autoencoders, features, rows["label"].to_numpy(), half, doses.draws, 1, toward)

    reader, describer = Reader(miniature, ASKED, 1, 32), Reader(miniature, DESCRIBE, 2, 32)
    todo = [one for one in courses(reader, describer, doses, [SITE], rows, fit, 1) if one.pair.answer_b == "up"]
    assert len(todo) == 1
    course = todo[0]._replace(unit={SITE: 1.0})  # of a feature a strength of 1 is its largest natural dose
    steered = steer(reader, describer, doses, course)
    probability = steered.probability[0, 0]  # directions, strengths, images
    clean = steered.clean_probability
    assert clean.mean() < 0.1
    null = {name: probability[[one == name for one, _ in course.names]].mean(0) for name in NULLS}
    for push in (FEATURE, CLAMP):
        pushed = probability[course.names.index((push, 0))]
        means = [clean.mean(), *pushed.mean(-1)]
        assert means == sorted(means), "the larger the dose the more likely, here up to four times the natural one"
        assert means[-1] > 0.3
        for name, of_null in null.items():
            assert of_null[-1].mean() < means[-1] / 2, (push, name)
            assert low_end(pushed[-1] - of_null[-1]) > 0, (push, name)


def low_end(differences: np.ndarray) -> float:
    """Of the 95 % interval of a mean, from 2,000 resamples of the images."""
    drawn = np.random.default_rng(0).integers(0, len(differences), (2000, len(differences)))
    return float(np.quantile(differences[drawn].mean(1), 0.025))
