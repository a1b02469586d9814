"""Steering between classes by single features of an autoencoder that others trained, against features at random.

    python -m stages.pretrained.steer

Environment as for `stages.extract`; finished shards lie in .scratch/ until the tables are written.
"""

from pathlib import Path

from signbridge.causal.courses import check_steerable
from signbridge.core import params, tables
from signbridge.core.command_line import run
from signbridge.core.groups import read_sample
from signbridge.core.names import PRETRAINED
from signbridge.core.sweeps import QuestionsParams
from signbridge.core.tables import whole_folder
from signbridge.sae.settings import about_pretrained, require_sae_lens
from signbridge.sae.steering import PretrainedSteeringParams, Steered, steer_by_features
from signbridge.vlm.model_run import model_run

SAMPLE = Path("data/sample.parquet")
ANSWERS = Path("data/answers.parquet")
AUTOENCODER = Path("data/pretrained/autoencoder")
FEATURES = Path("data/pretrained/features")
STEERING = Path("data/pretrained/steering")


def main() -> None:
    """Read sample, answers, the autoencoder and its features, write `data/pretrained/steering/`."""
    about = about_pretrained(AUTOENCODER)
    require_sae_lens()
    questions, seed = params.section("questions", QuestionsParams), params.seed()
    doses = getattr(params.section("steering", PretrainedSteeringParams, params.PRETRAINED), questions.sweep)
    answers = tables.read(ANSWERS, columns=["image_id", "answer"])
    rows = read_sample()[0].merge(answers, on="image_id", validate="1:1")
    check_steerable(rows, doses, seed)
    made_by = {
        "autoencoder": about, "steering": doses.model_dump(), "seed": seed,
        "questions": questions.model_dump(include={"sweep", "describe", "describe_tokens"}),
    }  # fmt: skip
    with model_run(__file__, sample=SAMPLE, earlier=FEATURES / "features.parquet", **made_by) as reading:
        from signbridge.sae.autoencoders import open_autoencoders  # imports SAELens, which takes long

        reader, autoencoders = reading.reader, open_autoencoders(AUTOENCODER, [about["site"]], reading.device)
        describer = reader.asking(questions.describe, "questions.describe", questions.describe_tokens)
        steered = Steered(
            reader, rows, doses, autoencoders, FEATURES / "sample", str(about["position"]), about["published"] or {}
        )
        with whole_folder(STEERING) as unfinished:
            for name, table in steer_by_features(steered, reading, describer, seed, PRETRAINED).items():
                tables.write(table, unfinished / f"{name}.parquet", reading.made_by)


if __name__ == "__main__":
    run(main)
