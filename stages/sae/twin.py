"""Sparse autoencoders of the untrained twin, trained as the model's: what features owe to architecture and images.

    python -m stages.sae.twin

Environment as for `stages.extract`; interrupted training goes on from what lies in .scratch/, with the twin's weights.
"""

import shutil
from pathlib import Path

from signbridge.core import params, tables
from signbridge.core.command_line import run
from signbridge.core.tables import whole_folder
from signbridge.datasets.control_images import ControlsParams
from signbridge.datasets.images import decoded
from signbridge.sae.concept import ConceptParams, write_concept
from signbridge.sae.features import write_features
from signbridge.sae.settings import require_sae_lens
from signbridge.sae.study_training import training_of_study
from signbridge.vlm.extraction import read_in_shards
from signbridge.vlm.loading import ModelParams, device_from_environment
from signbridge.vlm.model_run import fingerprint, images_per_shard, made_from, open_reader
from signbridge.vlm.untrained_twin import untrained_twin

IMAGES = Path("data/images.parquet")
SAMPLE = Path("data/sample.parquet")
MODEL = Path("data/model.json")
TWIN = Path("data/sae_twin")
SCRATCH = Path(".scratch")


def main() -> None:
    """Read the dataset, the sample, the corpus and `data/model.json`, write `data/sae_twin/`."""
    require_sae_lens()
    name, model = params.selected("model", params.MODELS, ModelParams)
    controls, concept = params.section("controls", ControlsParams), params.section("concept", ConceptParams, params.SAE)
    training = training_of_study(IMAGES, model.prompt)
    device, sample = device_from_environment(), tables.read(SAMPLE)
    made_by = {
        **made_from(name, model, MODEL, SAMPLE), **training.made_by, "twin_seed": controls.twin_seed,
        "concept_prompt": concept.prompt,
    }  # fmt: skip
    # These import SAELens, which takes long; and before the fingerprint, which is of the code that is loaded.
    from signbridge.sae.autoencoders import open_autoencoders
    from signbridge.sae.sample_features import FeatureReader
    from signbridge.sae.training_run import train_and_write

    folder = SCRATCH / "sae_twin" / fingerprint(made_by, device, __file__)
    twin = untrained_twin(model, controls.twin_seed, SCRATCH / "sae_twin/twin", SCRATCH / "models")
    reader = open_reader(twin, SCRATCH / "models", device)
    asked = reader.asking(concept.prompt, "concept.prompt", 1)
    with whole_folder(TWIN) as unfinished:
        sites = train_and_write(training, reader, unfinished / "sae", folder / "training", device, made_by)
        autoencoders = open_autoencoders(unfinished / "sae", sites, device)
        of_sample = read_in_shards(
            FeatureReader(reader, autoencoders), decoded(sample["image"]), folder / "sample", images_per_shard(),
            "features of the sample",
        )  # fmt: skip
        of_concept = read_in_shards(
            FeatureReader(asked, autoencoders), decoded(sample["image"]), folder / "concept", images_per_shard(),
            "features of the concept",
        )  # fmt: skip
        image_ids, made_by = sample["image_id"].tolist(), {**made_by, "sites": sites}
        write_features(unfinished / "sample", sites, of_sample, image_ids, made_by)
        write_concept(unfinished / "concept", sites, of_concept, image_ids, made_by)
    shutil.rmtree(SCRATCH / "sae_twin")  # with what other settings left there, and the twin


if __name__ == "__main__":
    run(main)
