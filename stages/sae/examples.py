"""What single features of the autoencoders fire for: the letters they tell, their strongest images and phrases.

    python -m stages.sae.examples

Environment as for `stages.extract`; finished shards lie in .scratch/ until the tables are written.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from signbridge.core import activations, params, tables
from signbridge.core.command_line import run
from signbridge.core.errors import SignBridgeError
from signbridge.core.tables import whole_folder
from signbridge.datasets.sampling import looked_at
from signbridge.sae.features import AUTOENCODER, STREAM
from signbridge.sae.held_out import drawn_phrases
from signbridge.sae.settings import SaeExamplesParams, SaeJudgeParams, require_sae_lens
from signbridge.sae.shown_features import (
    best_dimension,
    halves_of,
    kind_of,
    letter_features,
    letter_means,
    shown_features,
)
from signbridge.sae.token_stream import Passage, special_tokens
from signbridge.vlm.extraction import read_in_shards
from signbridge.vlm.loading import ModelParams, device_from_environment
from signbridge.vlm.model_run import (
    fingerprint,
    images_per_shard,
    made_from,
    open_reader,
)
from signbridge.vlm.text import TextIndexParams, phrases

SAMPLE = Path("data/sample.parquet")
MODEL = Path("data/model.json")
ACTIVATIONS = Path("data/activations")
SAES = Path("data/sae")
FEATURES = Path("data/sae_features")
EXAMPLES = Path("data/sae_examples")
SCRATCH = Path(".scratch")
POSITION = "image_mean"  # what a feature is worth for an image: its mean over image tokens


def main() -> None:
    """Read sample, corpus, activations, `data/sae/` and `data/sae_features/`, write `data/sae_examples/`."""
    require_sae_lens()
    name, model = params.selected("model", params.MODELS, ModelParams)
    settings, bounds = (
        params.section("examples", SaeExamplesParams, params.SAE),
        params.section("evaluate", SaeJudgeParams, params.SAE),
    )
    text_index, seed = params.section("text_index", TextIndexParams, params.LENSES), params.seed()
    corpus, sample = phrases(text_index.corpus, text_index.templates), tables.read(SAMPLE)
    trained = tables.made_by(SAES / "training.parquet")
    sites = trained["sites"]
    features = tables.read(FEATURES / "features.parquet")
    if tables.made_by(FEATURES / "features.parquet")["trained"] != trained:
        raise SignBridgeError(f"{FEATURES}: of other autoencoders than {SAES}. Make it anew: `dvc repro sae_features`.")
    letters, shown = chosen_features(sites, sample, features, settings, bounds.shared, seed)
    chosen = {site: shown.loc[shown["site"] == site, "feature"].tolist() for site in sites}
    from signbridge.sae.autoencoders import open_autoencoders
    from signbridge.sae.example_tables import (
        Gathered,
        image_table,
        phrase_table,
        tokenised,
    )
    from signbridge.sae.strongest import ExampleReader, SameAs  # these import SAELens, which takes long

    device = device_from_environment()
    made_by = {
        **made_from(name, model, MODEL, SAMPLE), "trained": trained, "seed": seed, "position": POSITION,
        "sae_examples": settings.model_dump(), "shared": bounds.shared, "letters": sorted(set(sample["label"])),
        "images": sample["photo"].nunique(), "phrases": len(corpus),
    }  # fmt: skip
    folder = SCRATCH / "sae_examples" / fingerprint({**made_by, "corpus": corpus, "chosen": chosen}, device, __file__)
    reader = open_reader(model, SCRATCH / "models", device)
    read_phrases = tokenised(
        reader.loaded.processor.tokenizer, drawn_phrases(corpus, settings.phrases_read, np.random.default_rng(seed)),
        special_tokens(reader.loaded).tolist(),
    )  # fmt: skip
    made_by["phrases_read"] = len(read_phrases)
    looked = looked_at(sample, settings.images_read, seed)
    made_by["images_read"] = len(looked)
    ends = {phrase.text: phrase.ends for phrase in read_phrases}
    autoencoders = open_autoencoders(SAES, sites, device)
    per_shard = images_per_shard()

    def gather(passages: list[Passage], most: int, same_as: SameAs | None, unit: str) -> Gathered:
        reads = ExampleReader(reader, autoencoders, chosen, most, same_as)
        shards = read_in_shards(reads, passages, folder / unit, per_shard, f"features of {unit}s", unit)
        return {site: reads.gathered(site, shards, passages, per_shard) for site in sites}

    of_images = gather([Passage(reader.prompt, png) for png in looked["image"]], settings.images, None, "image")
    of_phrases = gather(
        [Passage(phrase.text) for phrase in read_phrases], settings.phrases,
        lambda passage, peak: passage.text[: ends[passage.text][peak]], "phrase",
    )  # fmt: skip
    with whole_folder(EXAMPLES) as unfinished:
        for table, of in {
            "features": shown, "letters": letters, "images": image_table(of_images, looked["image_id"].tolist()),
            "phrases": phrase_table(of_phrases, read_phrases),
        }.items():  # fmt: skip
            tables.write(of, unfinished / f"{table}.parquet", made_by)
    shutil.rmtree(SCRATCH / "sae_examples")  # what other settings left there too


def chosen_features(
    sites: Sequence[str],
    sample: pd.DataFrame,
    features: pd.DataFrame,
    settings: SaeExamplesParams,
    bounds: Sequence[float],
    seed: int,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What tells each letter (site, reads, and `letter_features.COLUMNS`), and the features that are shown.

    Of these: the row of `feature_rows`, `kind`, and `letters`, the mean on each letter in the order of their names.
    """
    ids, labels, photos = (sample[column].to_numpy() for column in ("image_id", "label", "photo"))
    halves, told, shown = halves_of(labels, photos, seed), [], []
    for site in sites:
        vectors = activations.read(FEATURES / "sample", site, POSITION, list(ids))
        stream = activations.read(ACTIVATIONS, site, POSITION, list(ids))
        of_site = letter_features(vectors, labels, halves, settings.letters)
        told += [
            of_site.assign(site=site, reads=AUTOENCODER),
            best_dimension(stream, labels, halves).assign(site=site, reads=STREAM),
        ]
        rows = features[features["site"] == site].set_index("feature", drop=False)
        chosen = shown_features(rows, of_site, settings.features)
        means = letter_means(vectors[:, chosen], labels, photos, sorted(set(labels)))
        kinds = [kind_of(score, bounds) for score in rows.loc[chosen, "modality"]]
        shown.append(rows.loc[chosen].assign(kind=kinds, letters=list(means.T)))
    return pd.concat(told, ignore_index=True), pd.concat(shown, ignore_index=True)


if __name__ == "__main__":
    run(main)
