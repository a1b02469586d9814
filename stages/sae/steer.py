"""Steering by single features of autoencoders: pushed up, held at a value or pushed down, against features at random.

    python -m stages.sae.steer

Between classes, as `stages.causal.steer` does, and of the concept that is known of every hand; where a pretrained
autoencoder is chosen, between classes by its features too. Environment as for `stages.extract`; finished shards lie in
.scratch/ until the tables are written.
"""

import logging
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Bool

from signbridge.causal.courses import courses
from signbridge.causal.steering import COURSES_PER_SHARD, Doses, Steerer
from signbridge.causal.steering_tables import answers_table, damage_table, descriptions_table
from signbridge.core import activations, params, tables
from signbridge.core.activations import layer_site
from signbridge.core.command_line import run
from signbridge.core.names import CLASSES, CONCEPT, POSITION_OF, PRETRAINED
from signbridge.core.sweeps import QuestionsParams
from signbridge.core.tables import whole_folder
from signbridge.pretrained.class_features import published_of_classes
from signbridge.pretrained.settings import chosen_pretrained
from signbridge.sae.concept import ANSWERS as CONCEPT_ANSWERS
from signbridge.sae.concept import ConceptParams, with_answers, with_concept
from signbridge.sae.feature_directions import FeatureDirections, features_table
from signbridge.sae.settings import SaeSteeringParams, require_sae_lens
from signbridge.vlm.extraction import Reader, read_in_shards
from signbridge.vlm.loading import ModelParams, device_from_environment
from signbridge.vlm.model_run import fingerprint, made_from, open_reader

log = logging.getLogger(__name__)

IMAGES = Path("data/images.parquet")
SAMPLE = Path("data/sample.parquet")
MODEL = Path("data/model.json")
ANSWERS = Path("data/answers.parquet")
SAES = Path("data/sae")
FEATURES = Path("data/sae_features")
PRETRAINED_SAE = Path("data/pretrained_sae")
PRETRAINED_FEATURES = Path("data/pretrained_features")
STEERING = Path("data/sae_steering")
SCRATCH = Path(".scratch")


class Steered(NamedTuple):
    """One kind of steering."""

    reader: Reader  # with the prompt whose answer is to change
    rows: pd.DataFrame  # image_id, label, photo, image and answer
    doses: Doses
    autoencoders: dict[str, Any]  # by site, in order of depth
    features: Path  # of the rows' images
    position: str | None = None  # the one that features were read at; None: that which speaks for the edited tokens
    published: dict[str, list[int]] | None = None  # features of classes that others named

    def read_features(self) -> dict[tuple[str, str], np.ndarray]:
        """By site and by the position that speaks for the edited tokens, a row an image."""
        ids, positions = self.rows["image_id"].tolist(), {POSITION_OF[at] for at in self.doses.at}
        places = [(site, position) for site in self.autoencoders for position in positions]
        return {
            (site, position): activations.read(self.features, site, self.position or position, ids)
            for site, position in places
        }


def main() -> None:
    """Read sample, answers, autoencoders and their features, write `data/sae_steering/`."""
    require_sae_lens()
    name, model = params.selected("model", params.MODELS, ModelParams)
    causal, concept = params.section("questions", QuestionsParams), params.section("concept", ConceptParams, params.SAE)
    sweep, seed = getattr(params.section("steering", SaeSteeringParams, params.SAE), causal.sweep), params.seed()
    pretrained = chosen_pretrained()
    sample = tables.read(SAMPLE)
    trained = tables.made_by(SAES / "training.parquet")
    from signbridge.sae.autoencoders import open_autoencoders  # imports SAELens, which takes long

    device = device_from_environment()
    made_by = {
        **made_from(name, model, MODEL, SAMPLE), "trained": trained, "causal": causal.model_dump(exclude={"C"}),
        "concept": concept.model_dump(), "sae_steering": sweep.model_dump(), "seed": seed,
        "pretrained": tables.made_by(PRETRAINED_FEATURES / "features.parquet"),
    }  # fmt: skip
    scratch = SCRATCH / "sae_steer" / fingerprint(made_by, device, __file__)
    reader = open_reader(model, SCRATCH / "models", device)
    describer = reader.asking(causal.describe, "causal.describe", causal.describe_tokens)
    autoencoders = open_autoencoders(SAES, trained["sites"], device)
    of_classes = sample.merge(tables.read(ANSWERS, columns=["image_id", "answer"]), on="image_id", validate="1:1")
    known = with_concept(sample, concept.finger, tables.made_by(IMAGES))
    of_concept = with_answers(*known, tables.read(FEATURES / "concept" / CONCEPT_ANSWERS))
    if of_concept.empty:
        log.warning(
            "Hands with and without the %s finger up take two photos each, of which the model does not say the same: "
            "the concept is not steered.", concept.finger,
        )  # fmt: skip
    concept_reader = reader.asking(concept.prompt, "concept.prompt", 1)
    steered = {
        CLASSES: Steered(reader, of_classes, sweep.of_classes, autoencoders, FEATURES / "sample"),
        CONCEPT: Steered(
            concept_reader, of_concept, sweep.of_concept, autoencoders, FEATURES / "concept/features"
        ),
        PRETRAINED: Steered(reader, of_classes.iloc[:0], sweep.of_pretrained, {}, PRETRAINED_FEATURES / "sample"),
    }  # fmt: skip
    if pretrained is not None:
        entry = pretrained[1]
        steered[PRETRAINED] = steered[PRETRAINED]._replace(
            rows=of_classes, autoencoders=open_autoencoders(PRETRAINED_SAE, [layer_site(entry.layer)], device),
            position=str(entry.position), published=entry.published,
        )  # fmt: skip
    with whole_folder(STEERING) as unfinished:
        for kind, one in steered.items():
            found = tables_of(one, describer, scratch / kind, seed)
            for table_name, table in found.items():
                tables.write(table, unfinished / kind / f"{table_name}.parquet", made_by)
    shutil.rmtree(SCRATCH / "sae_steer", ignore_errors=True)  # what other settings left there too


def tables_of(one: Steered, describer: Reader, scratch: Path, seed: int) -> dict[str, pd.DataFrame]:
    """Steer, shard by shard in `scratch`, and what came of it by the name of its table."""
    sites, fitted = list(one.autoencoders), []

    def fit(half: Bool[np.ndarray, " images"]) -> FeatureDirections:
        labels, published = one.rows["label"].to_numpy(), one.published or {}
        features = one.read_features()
        fitted.append(FeatureDirections(one.autoencoders, features, labels, half, one.doses.draws, seed, published))
        return fitted[0]

    named = published_of_classes(one.published or {}, one.rows["label"].unique().tolist())
    todo = courses(one.reader, describer, one.doses, sites, one.rows, fit, seed, first=named)
    steerer = Steerer(one.reader, describer, one.doses)
    shards = read_in_shards(steerer, todo, scratch, COURSES_PER_SHARD, f"steer {scratch.name}", "course")
    return {
        "answers": answers_table(todo, one.doses, shards),
        "damage": damage_table(todo, one.doses, shards),
        "descriptions": descriptions_table(todo, one.doses, shards),
        "features": features_table(fitted, [(course.pair, course.at) for course in todo], sites),
    }


if __name__ == "__main__":
    run(main)
