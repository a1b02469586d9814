"""Train the same autoencoders on the model's untrained twin: what features owe to architecture and images alone.

    python -m stages.sae.twin

The folder is empty if `controls.read` in params.yaml leaves the twin out. Environment as for `stages.extract`;
interrupted training goes on from what lies in .scratch/, with the same twin drawn again.
"""

import logging
from pathlib import Path

from signbridge.core import params, tables
from signbridge.core.command_line import run
from signbridge.core.sweeps import QuestionsParams
from signbridge.core.tables import whole_folder
from signbridge.datasets.concept import ConceptParams
from signbridge.datasets.control_images import UNTRAINED_TWIN, ControlsParams
from signbridge.datasets.images import decoded
from signbridge.sae import passages
from signbridge.sae.features import features_of_images, write_concept, write_features, write_items
from signbridge.sae.settings import (
    SaeParams,
    check_preset_fits,
    check_room,
    chosen_preset,
    require_sae_lens,
    sae_sites,
)
from signbridge.sae.shipped import write_shipped
from signbridge.sae.token_sums import summed_images, summed_phrases
from signbridge.vlm.extraction import Reader
from signbridge.vlm.loading import decoder_blocks, stream_width
from signbridge.vlm.model_run import model_run
from signbridge.vlm.text import phrases

IMAGES = Path("data/images.parquet")
HANDS = Path("data/hands.parquet")
SAMPLE = Path("data/sample.parquet")
TWIN = Path("data/sae/twin")
log = logging.getLogger(__name__)


def main() -> None:
    """Read the dataset, what is known of its hands, the sample, the corpus and the model; write `data/sae/twin/`."""
    require_sae_lens()
    controls = params.section("controls", ControlsParams)
    concept = params.section("concept", ConceptParams, params.SAE)
    read_of = params.section("read", passages.ReadParams, params.SAE)
    settings, (preset_name, preset) = params.section("sae", SaeParams, params.SAE), chosen_preset()
    questions, sample = params.section("questions", QuestionsParams), tables.read(SAMPLE)
    if UNTRAINED_TWIN not in controls.read:
        log.info("controls.read in params.yaml leaves out %s: nothing is trained.", UNTRAINED_TWIN)
        with whole_folder(TWIN):
            return
    corpus = phrases(questions.corpus, questions.templates)
    study = passages.training_set(IMAGES, HANDS, settings, preset, corpus, params.seed())
    made_by = {
        **study.made_by, "twin_seed": controls.twin_seed, "concept_prompt": concept.prompt,
        "read": read_of.model_dump(), "describe": questions.describe,
    }  # fmt: skip
    with model_run(__file__, sample=SAMPLE, **made_by) as reading:
        name = reading.made_by["model"]["name"]
        width = stream_width(reading.model)
        check_preset_fits(preset_name, preset, name, width)
        blocks = decoder_blocks(reading.model)
        check_room(settings, preset, blocks, width, reading.scratch)
        from signbridge.sae.autoencoders import open_autoencoders  # these import SAELens, which takes long
        from signbridge.sae.training import train_on_study, write_trained

        reader = reading.open(reading.model, controls.twin_seed)
        asked = reader.asking(concept.prompt, f"{params.SAE}: concept.prompt", 1)
        images, known = decoded(sample["image"]), sample[["image_id"]]
        with whole_folder(TWIN) as unfinished:
            if preset.folder:
                sites, of_twin = sae_sites(settings.layers, blocks), unfinished / "sae"
                unread = write_shipped(preset_name, UNTRAINED_TWIN, sites, study, of_twin, reading.made_by)
            else:
                trained, read, unread = train_on_study(study, reader, reading.folder / "training", name)
                sites = list(trained.autoencoders)
                write_trained(trained, unfinished / "sae", {**reading.made_by, "read": read})
            autoencoders = open_autoencoders(unfinished / "sae", sites, reading.device)

            def features(by: Reader, kind: str, answers: bool) -> list[Path]:
                work = features_of_images(by, autoencoders, answers)
                return reading.read_in_shards(images, work, f"features of the {kind}", within=kind, reader=by)

            of_sample, of_concept = features(reader, "sample", answers=False), features(asked, "concept", answers=True)
            judged, drawn = passages.judged_items(unread, sample, read_of, study.seed)
            said = passages.with_successors(drawn, reader.loaded.processor.tokenizer, questions.corpus)
            describer = reader.asking(questions.describe, "questions.describe", 1)
            work, title = summed_images(describer, autoencoders), "image tokens"
            at_images = reading.read_in_shards(decoded(judged["image"]), work, title, within=title, reader=describer)
            work, title = summed_phrases(reader, autoencoders), "text tokens"
            at_text = reading.read_in_shards(list(said.values()), work, title, "phrase", title, reader)
            items = {"image": (judged["photo"].tolist(), at_images), "text": (list(said), at_text)}
            made_by = {**reading.made_by, "sites": sites}
            write_items(unfinished, sites, items, made_by)
            write_features(unfinished / "sample", sites, of_sample, sample["image_id"].tolist(), made_by)
            write_concept(unfinished / "concept", sites, of_concept, known, made_by)


if __name__ == "__main__":
    run(main)
