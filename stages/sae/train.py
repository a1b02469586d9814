"""Train sparse autoencoders of the residual stream of image and text tokens, or take those that are shipped trained.

    python -m stages.sae.train

Environment as for `stages.extract`; interrupted training goes on from what lies in .scratch/.
"""

from pathlib import Path

from signbridge.core import params, tables
from signbridge.core.command_line import run
from signbridge.core.names import MODEL
from signbridge.core.sweeps import QuestionsParams
from signbridge.core.tables import whole_folder
from signbridge.sae.passages import PASSAGES, training_set
from signbridge.sae.settings import (
    SaeParams,
    check_preset_fits,
    check_room,
    chosen_preset,
    require_sae_lens,
    sae_sites,
)
from signbridge.sae.shipped import write_shipped
from signbridge.vlm.loading import decoder_blocks, stream_width
from signbridge.vlm.model_run import model_run
from signbridge.vlm.text import phrases

IMAGES = Path("data/images.parquet")
HANDS = Path("data/hands.parquet")
AUTOENCODERS = Path("data/sae/autoencoders")


def main() -> None:
    """Read the dataset, what is known of its hands, the corpus and the model; write `data/sae/autoencoders/`."""
    require_sae_lens()
    settings, (preset_name, preset) = params.section("sae", SaeParams, params.SAE), chosen_preset()
    questions = params.section("questions", QuestionsParams)
    corpus = phrases(questions.corpus, questions.templates)
    study = training_set(IMAGES, HANDS, settings, preset, corpus, params.seed())
    with model_run(__file__, **study.made_by) as reading:
        name = reading.made_by["model"]["name"]
        width = stream_width(reading.model)
        check_preset_fits(preset_name, preset, name, width)
        blocks = decoder_blocks(reading.model)
        if preset.folder:
            with whole_folder(AUTOENCODERS) as unfinished:
                sites = sae_sites(settings.layers, blocks)
                unread = write_shipped(preset_name, MODEL, sites, study, unfinished, reading.made_by)
                tables.write(unread, unfinished / PASSAGES, reading.made_by)
            return
        check_room(settings, preset, blocks, width, reading.scratch)
        from signbridge.sae.training import train_on_study, write_trained  # imports SAELens, which takes long

        trained, read, unread = train_on_study(study, reading.reader, reading.folder, name)
        made_by = {**reading.made_by, "read": read}
        with whole_folder(AUTOENCODERS) as unfinished:
            write_trained(trained, unfinished, made_by)
            tables.write(unread, unfinished / PASSAGES, made_by)


if __name__ == "__main__":
    run(main)
