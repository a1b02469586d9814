"""How sharing and the best concept feature change with the length of training: autoencoders at several token counts.

    python -m benchmarks.sae_tokens [--seeds 0 1 2] [--tokens 80000 320000 1000000] [--twin] [--keep] [--ship]

Run it in a study whose stages up to `extract` have run. Each training is the default preset with
another number of tokens (its warm-up and decay are shares of the steps), of all sites of `sae.layers`, by one seed. It
is judged as the stages `features` and `evaluate` judge, on the same images and phrases whatever the length: all copies
of their photos, and the phrases, are kept from training. Printed by site, tokens and seed:

- the share of firing features that image and text tokens share, and the same weighted by activation;
- the variance explained at image and at text tokens;
- the area under the ROC curve of the feature that detects the concept best, chosen on half of the photos and evaluated
  on the other half. Which feature that is differs from training to training.

With --twin it is the untrained twin's stream. What is done lies in `.scratch/sae_tokens/`, autoencoders too, and is not
done again; training that is killed goes on from its last checkpoint. With --ship the one training that is asked for is
put into `models/autoencoders/`, in half precision.
"""

import argparse
import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.machine import describe, keep
from signbridge.core import params, tables
from signbridge.core.command_line import run
from signbridge.core.groups import read_sample
from signbridge.core.names import MODEL, POSITIONS
from signbridge.core.sweeps import QuestionsParams
from signbridge.core.tables import whole_folder
from signbridge.datasets.concept import ConceptParams, with_concept
from signbridge.datasets.control_images import UNTRAINED_TWIN, ControlsParams
from signbridge.datasets.hands import read_hands
from signbridge.datasets.images import decoded
from signbridge.sae import passages
from signbridge.sae.features import deviations, features_of_images
from signbridge.sae.settings import SaeParams, chosen_preset, require_sae_lens
from signbridge.sae.shipped import pack, weights_digest
from signbridge.sae.token_sums import Autoencoders, summed_images, summed_phrases
from signbridge.statistics.autoencoders import SHARED_MASS, EvaluateParams, Items, shares_of_modality
from signbridge.statistics.concept import Readings, told_by_features
from signbridge.statistics.intervals import StatisticsParams
from signbridge.vlm.catalog import ModelParams
from signbridge.vlm.extraction import Reader
from signbridge.vlm.loading import device_from_environment, load
from signbridge.vlm.model_run import read_with
from signbridge.vlm.text import phrases

IMAGES, HANDS, SAMPLE = Path("data/images.parquet"), Path("data/hands.parquet"), Path("data/sample.parquet")
PHOTOS, SHIPPED = Path("data/photos.parquet"), Path("models/autoencoders")
SCRATCH, FOUND, TRAINED = Path(".scratch/sae_tokens"), "found.json", "autoencoders"
EVALUATION = "evaluation.json"
NO_RESAMPLES = StatisticsParams(confidence=0.95, resamples=1)
COLUMNS = ("shared", "shared_mass", "variance_image", "variance_text", "auc")


def main() -> None:
    """Train and judge what is not done yet; print the table; with --keep, append it to the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--tokens", type=int, nargs="+", default=[80_000, 320_000, 1_000_000])
    parser.add_argument("--twin", action="store_true", help="the untrained twin's stream")
    parser.add_argument("--keep", action="store_true", help="append the result to benchmarks/results/sae_tokens.md")
    parser.add_argument("--ship", action="store_true", help=f"copy the one training to {SHIPPED}")
    arguments = parser.parse_args()
    if arguments.ship and len(arguments.seeds) * len(arguments.tokens) > 1:
        parser.error("--ship takes one number of tokens and one seed")
    require_sae_lens()
    rows = []
    for tokens in arguments.tokens:
        for seed in arguments.seeds:
            folder, found = one_training(tokens, seed, arguments.twin)
            rows += [{"site": site, "tokens": tokens, "seed": seed, **of_site} for site, of_site in found.items()]
    of = "untrained twin" if arguments.twin else "model"
    lines = [describe(), f"{params.selected('model', params.MODELS, ModelParams)[0]}, {of}"]
    lines += table_of(pd.DataFrame(rows))
    print("\n".join(lines))
    if arguments.keep:
        keep("sae_tokens", lines)
    if arguments.ship:
        whose = UNTRAINED_TWIN if arguments.twin else MODEL
        with whole_folder(SHIPPED / whose) as unfinished:
            pack(folder / TRAINED, unfinished)
            (unfinished / EVALUATION).write_text(json.dumps(evaluation(folder), indent=1) + "\n", encoding="utf-8")
        print(f"The sha256 of {SHIPPED}, for {params.SAE_PRESETS}: {weights_digest(SHIPPED)}")


def evaluation(folder: Path) -> dict[str, Any]:
    """What an autoencoder of `one_training` was judged on, and `COLUMNS` by site: so that others can judge it again."""
    settings, sample = params.section("read", passages.ReadParams, params.SAE), tables.read(SAMPLE)
    unread = tables.read(folder / TRAINED / passages.PASSAGES)
    images, texts = passages.judged_items(unread, sample, settings, params.seed())
    found = json.loads((folder / FOUND).read_text(encoding="utf-8"))
    return {"images": images["image_id"].tolist(), "phrases": texts, "found": found}


def table_of(rows: pd.DataFrame) -> list[str]:
    """A line a site and training."""
    head = f"{'site':>8} {'tokens':>9} {'seed':>4} " + " ".join(f"{name:>14}" for name in COLUMNS)
    return [head] + [
        f"{row['site']:>8} {row['tokens']:>9,} {row['seed']:>4} " + " ".join(f"{row[name]:>14.4f}" for name in COLUMNS)
        for row in rows.sort_values("site", kind="stable").to_dict("records")
    ]


def one_training(tokens: int, seed: int, twin: bool) -> tuple[Path, dict[str, dict[str, float]]]:
    """Train autoencoders of the model's, or the twin's, stream, and judge them: their folder, `COLUMNS` by site."""
    _, preset = chosen_preset()
    settings = params.section("sae", SaeParams, params.SAE)
    questions = params.section("questions", QuestionsParams)
    corpus = phrases(questions.corpus, questions.templates)
    held_out = held_out_items(corpus)
    preset = preset.model_copy(update={"tokens": tokens, "folder": None, "sha256": None})
    study = passages.training_set(
        without(held_out["images"], SCRATCH / "images.parquet"), HANDS, settings, preset,
        [text for text in corpus if text not in held_out["texts"]], seed,
    )  # fmt: skip
    name, model = params.selected("model", params.MODELS, ModelParams)
    twin_seed = params.section("controls", ControlsParams).twin_seed if twin else None
    made_by = {**read_with()[0], **study.made_by} | ({"twin_seed": twin_seed} if twin else {})
    folder = SCRATCH / hashlib.sha256(json.dumps(made_by, sort_keys=True).encode()).hexdigest()[:16]
    if (folder / FOUND).exists():
        return folder, json.loads((folder / FOUND).read_text(encoding="utf-8"))
    from signbridge.sae.autoencoders import open_autoencoders  # these import SAELens, which takes long
    from signbridge.sae.training import train_on_study, write_trained

    loaded = load(model, SCRATCH / "models", device_from_environment(), twin_seed)
    reader = Reader(loaded, model.prompt, model.max_new_tokens)
    trained, read, _ = train_on_study(study, reader, folder / "checkpoints", name)
    items = {"images": tables.read(IMAGES, ["image_id"])["image_id"], "texts": pd.Series(corpus)}
    unread = pd.concat(
        pd.DataFrame({"kind": kind, "item": of_kind, "unread": of_kind.isin(held_out[kind])})
        for kind, of_kind in items.items()
    ).reset_index(drop=True)
    with whole_folder(folder / TRAINED) as unfinished:
        write_trained(trained, unfinished, {**made_by, "read": read})
        tables.write(unread, unfinished / passages.PASSAGES, made_by)
    # As they are stored, with a threshold: as they are trained, the k strongest of a batch would fire.
    stored = open_autoencoders(folder / TRAINED, list(trained.autoencoders), loaded.device)
    found = judged(reader, stored, unread, questions)
    shutil.rmtree(folder / "checkpoints")
    (folder / FOUND).write_text(json.dumps(found), encoding="utf-8")
    return folder, found


def held_out_items(corpus: list[str]) -> dict[str, set[str]]:
    """The images and texts that no training reads: some photos of the sample with all their copies, some phrases."""
    settings, sample, seed = params.section("read", passages.ReadParams, params.SAE), tables.read(SAMPLE), params.seed()
    images = tables.read(IMAGES, ["image_id"])["image_id"].tolist()
    photos = tables.read(PHOTOS)
    judged = passages.judged_images(sample, set(images), settings.images, seed)["photo"]
    texts = passages.drawn_phrases(corpus, settings.phrases, np.random.default_rng(seed))
    return {"images": set(photos.loc[photos["photo"].isin(judged), "image_id"]), "texts": set(texts)}


def without(held_out: set[str], path: Path) -> Path:
    """The dataset's table without these images, written to `path`."""
    images = tables.read(IMAGES)
    tables.write(images[~images["image_id"].isin(held_out)].reset_index(drop=True), path, tables.made_by(IMAGES))
    return path


def judged(
    reader: Reader, autoencoders: Autoencoders, unread: pd.DataFrame, questions: QuestionsParams
) -> dict[str, dict[str, float]]:
    """`COLUMNS` of each site's autoencoder."""
    (sample, _), seed = read_sample(), params.seed()
    settings = params.section("read", passages.ReadParams, params.SAE)
    bounds = tuple(params.section("evaluate", EvaluateParams, params.SAE).shared)
    images, drawn = passages.judged_items(unread, sample, settings, seed)
    said = passages.with_successors(drawn, reader.loaded.processor.tokenizer, questions.corpus)
    describer = reader.asking(questions.describe, "questions.describe", 1)
    read = {
        "image": describer.read(decoded(images["image"]), summed_images(describer, autoencoders)).vectors,
        "text": reader.read(list(said.values()), summed_phrases(reader, autoencoders)).vectors,
    }
    concepts = concept_aucs(reader, autoencoders, sample, seed)
    found = {}
    for site in autoencoders:
        of_site = {**shared_and_explained(read, site, bounds), "auc": concepts[site]}
        found[site] = {name: float(value) for name, value in of_site.items()}
    return found


def shared_and_explained(
    read: Mapping[str, Mapping[str, np.ndarray]], site: str, bounds: tuple[float, float]
) -> dict[str, float]:
    """`COLUMNS` but the last, of what `summed_images` and `summed_phrases` found, by kind of token."""
    items, found = {}, {}
    for kind, arrays in read.items():
        of = {name: arrays[f"{site}.{name}"] for name in ("tokens", "squares", "total", "error", "mass")}
        deviation = deviations(of["tokens"], of["squares"], of["total"]).sum()
        found[f"variance_{kind}"] = 1 - of["error"].sum() / deviation
        table = pd.DataFrame({"site": site, "item": np.arange(len(of["tokens"])), "tokens": of["tokens"]})
        items[kind] = Items(table, {site: of["mass"]})
    shares = shares_of_modality(items, bounds, NO_RESAMPLES, np.random.default_rng(0))[site]
    return found | {name: shares[name].value for name in ("shared", SHARED_MASS)}


def concept_aucs(reader: Reader, autoencoders: Autoencoders, sample: pd.DataFrame, seed: int) -> dict[str, float]:
    """By site how well the best feature of either position detects the concept in photos that did not choose it."""
    concept = params.section("concept", ConceptParams, params.SAE)
    asked = reader.asking(concept.prompt, f"{params.SAE}: concept.prompt", 1)
    rows, names = with_concept(sample, concept.finger, read_hands(HANDS, sample["image_id"]))
    at = pd.Index(sample["image_id"]).get_indexer(rows["image_id"])
    features = asked.read(decoded(sample["image"]), features_of_images(asked, autoencoders)).vectors
    found = {}
    for site in autoencoders:
        read = [Readings(MODEL, site, position, features[f"{site}.{position}"][at]) for position in POSITIONS]
        found[site] = told_by_features(read, rows, names, NO_RESAMPLES, seed)[1][f"concept_{MODEL}_auc"]
    return found


if __name__ == "__main__":
    run(main)
