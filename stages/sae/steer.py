"""Steering by single features of autoencoders: pushed up, held at a value or pushed down, against features at random.

    python -m stages.sae.steer

Between classes, as `stages.causal.steer` does, and towards and away from the concept that is known of every hand.
Environment as for `stages.extract`; finished shards lie in .scratch/ until the tables are written.
"""

import logging
from pathlib import Path

from signbridge.causal.courses import check_steerable
from signbridge.core import params, tables
from signbridge.core.command_line import run
from signbridge.core.groups import read_sample
from signbridge.core.names import CLASSES, CONCEPT
from signbridge.core.sweeps import QuestionsParams
from signbridge.core.tables import whole_folder
from signbridge.datasets.concept import ConceptParams, with_answers, with_concept
from signbridge.sae.passages import TRAINING
from signbridge.sae.settings import require_sae_lens
from signbridge.sae.steering import FeatureSteeringParams, Steered, steer_by_features
from signbridge.vlm.model_run import model_run

SAMPLE = Path("data/sample.parquet")
ANSWERS = Path("data/answers.parquet")
AUTOENCODERS = Path("data/sae/autoencoders")
FEATURES = Path("data/sae/features")
STEERING = Path("data/sae/steering")
log = logging.getLogger(__name__)


def main() -> None:
    """Read sample, answers, autoencoders and their features, write `data/sae/steering/`."""
    require_sae_lens()
    questions = params.section("questions", QuestionsParams)
    concept = params.section("concept", ConceptParams, params.SAE)
    sweep = getattr(params.section("steering", FeatureSteeringParams, params.SAE), questions.sweep)
    (sample, _), seed = read_sample(), params.seed()
    trained, known = tables.made_by(AUTOENCODERS / TRAINING), tables.read(FEATURES / "concept/answers.parquet")
    answers = tables.read(ANSWERS, columns=["image_id", "answer"])
    of_classes = sample.merge(answers, on="image_id", validate="1:1")
    of_concept = with_answers(*with_concept(sample, concept.finger, known), known[["image_id", "answer"]])
    if of_concept.empty:
        log.warning(
            "Steering to and from '%s finger up' needs two photos of hands of either kind with different answers: "
            "the concept is not steered.", concept.finger,
        )  # fmt: skip
    check_steerable(of_classes, sweep.of_classes, seed)
    made_by = {
        "trained": trained, "concept": concept.model_dump(), "steering": sweep.model_dump(), "seed": seed,
        "questions": questions.model_dump(include={"sweep", "describe", "describe_tokens"}),
    }  # fmt: skip
    with model_run(__file__, sample=SAMPLE, earlier=FEATURES / "features.parquet", **made_by) as reading:
        from signbridge.sae.autoencoders import open_autoencoders  # imports SAELens, which takes long

        reader, autoencoders = reading.reader, open_autoencoders(AUTOENCODERS, trained["sites"], reading.device)
        describer = reader.asking(questions.describe, "questions.describe", questions.describe_tokens)
        asked = reader.asking(concept.prompt, f"{params.SAE}: concept.prompt", 1)
        steered = {
            CLASSES: Steered(reader, of_classes, sweep.of_classes, autoencoders, FEATURES / "sample"),
            CONCEPT: Steered(asked, of_concept, sweep.of_concept, autoencoders, FEATURES / "concept/features"),
        }
        with whole_folder(STEERING) as unfinished:
            for kind, one in steered.items():
                for name, table in steer_by_features(one, reading, describer, seed, kind).items():
                    tables.write(table, unfinished / kind / f"{name}.parquet", reading.made_by)


if __name__ == "__main__":
    run(main)
