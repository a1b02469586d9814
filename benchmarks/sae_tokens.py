"""How sharing and the best concept feature change with the length of training: autoencoders at several token counts.

    python -m benchmarks.sae_tokens --site layer_06 [--seeds 0 1 2] [--tokens 80000 320000 1000000] [--twin] [--keep]

Run it in a study whose stages `fetch` to `sample` and `model` have run. Each training is the default preset with
another number of tokens (its warm-up and decay are shares of the steps), of one site, by one seed. It is judged as the
stages `features` and `evaluate` judge: on images and phrases that training did not read. Printed by seed and tokens:

- the share of firing features that image and text tokens share, and the same weighted by activation;
- the variance explained at image and at text tokens;
- the area under the ROC curve of the feature that detects the concept best, chosen on half of the photos and evaluated
  on the other half. Which feature that is differs from training to training.

With --twin it is the untrained twin's stream. One site at a time: run it once a site. What is done lies in
`.scratch/sae_tokens/` and is not done again; training that is killed goes on from its last checkpoint.
"""

import argparse
import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.machine import describe, keep
from signbridge.core import params, tables
from signbridge.core.command_line import run
from signbridge.core.names import MODEL, POSITIONS
from signbridge.core.sweeps import QuestionsParams
from signbridge.datasets.concept import ConceptParams, with_concept
from signbridge.datasets.control_images import ControlsParams
from signbridge.datasets.hands import read_hands
from signbridge.datasets.images import decoded
from signbridge.sae import passages
from signbridge.sae.features import deviations, features_of_images
from signbridge.sae.settings import SaeParams, chosen_preset, require_sae_lens
from signbridge.sae.token_sums import Autoencoders, summed_images, summed_phrases
from signbridge.statistics.autoencoders import SHARED_MASS, EvaluateParams, Items, shares_of_modality
from signbridge.statistics.concept import Readings, told_by_features
from signbridge.statistics.intervals import StatisticsParams
from signbridge.vlm.catalog import ModelParams
from signbridge.vlm.extraction import Reader
from signbridge.vlm.loading import device_from_environment, load
from signbridge.vlm.text import phrases

IMAGES, HANDS, SAMPLE = Path("data/images.parquet"), Path("data/hands.parquet"), Path("data/sample.parquet")
SCRATCH, FOUND = Path(".scratch/sae_tokens"), "found.json"
NO_RESAMPLES = StatisticsParams(confidence=0.95, resamples=1)
COLUMNS = ("shared", "shared_mass", "variance_image", "variance_text", "auc")


def main() -> None:
    """Train and judge what is not done yet; print the table; with --keep, append it to the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--site", required=True, help="layer_06")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--tokens", type=int, nargs="+", default=[80_000, 320_000, 1_000_000])
    parser.add_argument("--twin", action="store_true", help="the untrained twin's stream")
    parser.add_argument("--keep", action="store_true", help="append the result to benchmarks/results/sae_tokens.md")
    arguments = parser.parse_args()
    require_sae_lens()
    rows = []
    for tokens in arguments.tokens:
        for seed in arguments.seeds:
            found = one_training(arguments.site, tokens, seed, arguments.twin)
            rows.append({"tokens": tokens, "seed": seed, **found})
    of = "untrained twin" if arguments.twin else "model"
    lines = [describe(), f"{params.selected('model', params.MODELS, ModelParams)[0]}, {of}, {arguments.site}"]
    lines += table_of(pd.DataFrame(rows))
    print("\n".join(lines))
    if arguments.keep:
        keep("sae_tokens", lines)


def table_of(rows: pd.DataFrame) -> list[str]:
    """A line a training."""
    head = f"{'tokens':>9} {'seed':>4} " + " ".join(f"{name:>14}" for name in COLUMNS)
    return [head] + [
        f"{int(row['tokens']):>9,} {int(row['seed']):>4} " + " ".join(f"{row[name]:>14.4f}" for name in COLUMNS)
        for _, row in rows.iterrows()
    ]


def one_training(site: str, tokens: int, seed: int, twin: bool) -> dict[str, float]:
    """Train one autoencoder of the model's, or the twin's, stream, and judge it: `COLUMNS`."""
    _, preset = chosen_preset()
    settings = params.section("sae", SaeParams, params.SAE)
    settings = settings.model_copy(update={"layers": [int(site.removeprefix("layer_"))]})
    questions = params.section("questions", QuestionsParams)
    corpus = phrases(questions.corpus, questions.templates)
    preset = preset.model_copy(update={"tokens": tokens})
    study = passages.training_set(IMAGES, HANDS, settings, preset, corpus, seed)
    name, model = params.selected("model", params.MODELS, ModelParams)
    twin_seed = params.section("controls", ControlsParams).twin_seed if twin else None
    made_by = json.dumps([study.made_by, name, twin_seed], sort_keys=True)
    folder = SCRATCH / hashlib.sha256(made_by.encode()).hexdigest()[:16]
    if (folder / FOUND).exists():
        return json.loads((folder / FOUND).read_text(encoding="utf-8"))
    from signbridge.sae.training import train_on_study  # imports SAELens, which takes long

    loaded = load(model, SCRATCH / "models", device_from_environment(), twin_seed)
    reader = Reader(loaded, model.prompt, model.max_new_tokens)
    trained, _, unread = train_on_study(study, reader, folder, name)
    found = judged(reader, dict(trained.autoencoders), site, unread, questions, corpus)
    shutil.rmtree(folder)  # the last checkpoint
    folder.mkdir()
    (folder / FOUND).write_text(json.dumps(found), encoding="utf-8")
    return found


def judged(
    reader: Reader, autoencoders: Autoencoders, site: str, unread: pd.DataFrame, questions: QuestionsParams,
    corpus: list[str],
) -> dict[str, float]:  # fmt: skip
    """`COLUMNS` of one autoencoder."""
    sample, seed = tables.read(SAMPLE), params.seed()
    settings = params.section("read", passages.ReadParams, params.SAE)
    bounds = tuple(params.section("evaluate", EvaluateParams, params.SAE).shared)
    images, drawn = passages.judged_items(unread, sample, settings, seed)
    said = passages.with_successors(drawn, reader.loaded.processor.tokenizer, questions.corpus)
    describer = reader.asking(questions.describe, "questions.describe", 1)
    read = {
        "image": describer.read(decoded(images["image"]), summed_images(describer, autoencoders)).vectors,
        "text": reader.read(list(said.values()), summed_phrases(reader, autoencoders)).vectors,
    }
    items, found = {}, {}
    for kind, arrays in read.items():
        of = {name: arrays[f"{site}.{name}"] for name in ("tokens", "squares", "total", "error", "mass")}
        found[f"variance_{kind}"] = 1 - of["error"].sum() / deviations(of["tokens"], of["squares"], of["total"]).sum()
        table = pd.DataFrame({"site": site, "item": np.arange(len(of["tokens"])), "tokens": of["tokens"]})
        items[kind] = Items(table, {site: of["mass"]})
    shares = shares_of_modality(items, bounds, NO_RESAMPLES, np.random.default_rng(seed))[site]
    found |= {name: shares[name].value for name in ("shared", SHARED_MASS)}
    found["auc"] = concept_auc(reader, autoencoders, site, sample, seed)
    return {name: float(value) for name, value in found.items()}


def concept_auc(reader: Reader, autoencoders: Autoencoders, site: str, sample: pd.DataFrame, seed: int) -> float:
    """How well the best feature of either position detects the concept in photos that did not choose it."""
    concept = params.section("concept", ConceptParams, params.SAE)
    asked = reader.asking(concept.prompt, f"{params.SAE}: concept.prompt", 1)
    rows, names = with_concept(sample, concept.finger, read_hands(HANDS, sample["image_id"]))
    at = pd.Index(sample["image_id"]).get_indexer(rows["image_id"])
    features = asked.read(decoded(sample["image"]), features_of_images(asked, autoencoders)).vectors
    read = [Readings(MODEL, site, position, features[f"{site}.{position}"][at]) for position in POSITIONS]
    _, found = told_by_features(read, rows, names, NO_RESAMPLES, seed)
    return float(found[f"concept_{MODEL}_auc"])


if __name__ == "__main__":
    run(main)
