"""Sparse autoencoders at work: what they reconstruct of image and text tokens, what the model then says, what fires.

    python -m stages.sae.features

Environment as for `stages.extract`; finished shards lie in .scratch/ until the tables are written.
"""

from pathlib import Path

import pandas as pd

from signbridge.core import params, tables
from signbridge.core.command_line import run
from signbridge.core.sweeps import QuestionsParams
from signbridge.core.tables import whole_folder
from signbridge.datasets.concept import ConceptParams
from signbridge.datasets.control_images import NO_IMAGE, ControlsParams, mean_grey, uniform_image
from signbridge.datasets.hands import read_hands
from signbridge.datasets.images import decoded
from signbridge.sae import passages
from signbridge.sae.features import features_of_images, write_concept, write_features, write_items
from signbridge.sae.pca import open_pca
from signbridge.sae.settings import require_sae_lens
from signbridge.sae.splicing import spliced_images, spliced_phrases
from signbridge.vlm.extraction import Reader, Work
from signbridge.vlm.model_run import model_run

SAMPLE, HANDS = Path("data/sample.parquet"), Path("data/hands.parquet")
AUTOENCODERS, FEATURES = Path("data/sae/autoencoders"), Path("data/sae/features")


def main() -> None:
    """Read the sample, what is known of its hands, the autoencoders and the model; write `data/sae/features/`."""
    require_sae_lens()
    settings, seed = params.section("read", passages.ReadParams, params.SAE), params.seed()
    questions = params.section("questions", QuestionsParams)
    concept, controls = params.section("concept", ConceptParams, params.SAE), params.section("controls", ControlsParams)
    sample, unread = tables.read(SAMPLE), tables.read(AUTOENCODERS / passages.PASSAGES)
    hands, trained = read_hands(HANDS, sample["image_id"]), tables.made_by(AUTOENCODERS / passages.TRAINING)
    judged, drawn = passages.judged_items(unread, sample, settings, seed)
    made_by = {
        "trained": trained, "seed": seed, "read": settings.model_dump(), "concept_prompt": concept.prompt,
        "questions": questions.model_dump(include={"describe", "describe_tokens"}),
    }  # fmt: skip
    with model_run(__file__, sample=SAMPLE, beside=AUTOENCODERS / passages.TRAINING, **made_by) as reading:
        from signbridge.sae.autoencoders import open_autoencoders  # imports SAELens, which takes long

        def read(items: list, work: Work, kind: str, by: Reader, unit: str = "image") -> list[Path]:
            return reading.read_in_shards(items, work, f"autoencoders: {kind}", unit, kind, by)

        autoencoders, reader = open_autoencoders(AUTOENCODERS, trained["sites"], reading.device), reading.reader
        pcas = {site: open_pca(AUTOENCODERS / site, reading.device) for site in autoencoders}
        said = passages.with_successors(drawn, reader.loaded.processor.tokenizer, questions.corpus)
        describer = reader.asking(questions.describe, "questions.describe", questions.describe_tokens)
        asked, images = reader.asking(concept.prompt, f"{params.SAE}: concept.prompt", 1), decoded(sample["image"])
        at_images = read(
            decoded(judged["image"]), spliced_images(describer, autoencoders, pcas), "image tokens", describer
        )
        at_text = read(
            list(said.values()), spliced_phrases(reader, autoencoders, pcas), "text tokens", reader, "phrase"
        )
        of_sample = read(images, features_of_images(reader, autoencoders, answers=False), "sample", reader)
        of_concept = read(images, features_of_images(asked, autoencoders), "concept", asked)
        if NO_IMAGE in controls.read:
            grey = mean_grey(sample["image"].tolist())
            which, pngs = pd.factorize(sample["image"].map(lambda png: uniform_image(png, grey)))  # one of each size
            of_grey = read(decoded(pngs), features_of_images(reader, autoencoders, answers=False), NO_IMAGE, reader)
        image_ids, known = sample["image_id"].tolist(), hands.filter(regex="^image_id$|^up_")
        made_by = {**reading.made_by, **passages.counts(unread, judged["image_id"].tolist(), list(said))}
        items = {"image": (judged["photo"].tolist(), at_images), "text": (list(said), at_text)}
        with whole_folder(FEATURES) as unfinished:
            write_items(unfinished, autoencoders, items, made_by)
            write_features(unfinished / "sample", autoencoders, of_sample, image_ids, made_by)
            write_concept(unfinished / "concept", autoencoders, of_concept, known, made_by)
            if NO_IMAGE in controls.read:
                about = {**made_by, "control": NO_IMAGE, "grey": grey}
                write_features(unfinished / NO_IMAGE, autoencoders, of_grey, image_ids, about, which)


if __name__ == "__main__":
    run(main)
