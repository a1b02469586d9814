"""What single features of the autoencoders fire for: the letters they detect, their strongest images and phrases.

    python -m stages.sae.examples

Environment as for `stages.extract`; finished shards lie in .scratch/ until the tables are written.
"""

from pathlib import Path

import numpy as np

from signbridge.core import params, tables
from signbridge.core.command_line import run
from signbridge.core.errors import SignBridgeError
from signbridge.core.groups import read_sample
from signbridge.core.tables import whole_folder
from signbridge.datasets.sampling import looked_at
from signbridge.sae.examples import Gathered, SameAs, gathered, image_table, phrase_table, strongest_examples, tokenised
from signbridge.sae.passages import PASSAGES, TRAINING, Passage, drawn_phrases
from signbridge.sae.settings import require_sae_lens
from signbridge.sae.shown_features import POSITION, ExamplesParams, chosen_features
from signbridge.sae.token_stream import special_tokens
from signbridge.statistics.autoencoders import EvaluateParams
from signbridge.vlm.model_run import model_run

SAMPLE, ACTIVATIONS = Path("data/sample.parquet"), Path("data/activations")
AUTOENCODERS, FEATURES = Path("data/sae/autoencoders"), Path("data/sae/features")
EXAMPLES = Path("data/sae/examples")


def main() -> None:
    """Read the sample, activations, autoencoders and their features, write `data/sae/examples/`."""
    require_sae_lens()
    settings, seed = params.section("examples", ExamplesParams, params.SAE), params.seed()
    bounds = params.section("evaluate", EvaluateParams, params.SAE).shared
    (sample, _), features = read_sample(), tables.read(FEATURES / "features.parquet")
    passages, trained = tables.read(AUTOENCODERS / PASSAGES), tables.made_by(AUTOENCODERS / TRAINING)
    if tables.made_by(FEATURES / "features.parquet")["trained"] != trained:
        raise SignBridgeError(f"{FEATURES}: features of other autoencoders than {AUTOENCODERS}. Run `dvc repro`.")
    corpus, folders = passages.loc[passages["kind"] == "texts", "item"].tolist(), (FEATURES / "sample", ACTIVATIONS)
    letters, shown = chosen_features(folders, trained["sites"], sample, features, settings, bounds, seed)
    chosen = {site: shown.loc[shown["site"] == site, "feature"].tolist() for site in trained["sites"]}
    looked = looked_at(sample, settings.images_read, seed)
    drawn = drawn_phrases(corpus, settings.phrases_read, np.random.default_rng(seed))
    made_by = {
        "trained": trained, "seed": seed, "position": POSITION, "chosen": chosen, "examples": settings.model_dump(),
        "shared": bounds, "letters": sorted(set(sample["label"])), "images": sample["photo"].nunique(),
        "phrases": len(corpus), "phrases_read": len(drawn), "images_read": len(looked),
    }  # fmt: skip
    with model_run(__file__, sample=SAMPLE, earlier=FEATURES / "features.parquet", **made_by) as reading:
        from signbridge.sae.autoencoders import open_autoencoders  # imports SAELens, which takes long

        reader, autoencoders = reading.reader, open_autoencoders(AUTOENCODERS, trained["sites"], reading.device)
        special = special_tokens(reader.loaded).tolist()
        phrases = tokenised(reader.loaded.processor.tokenizer, drawn, special)
        ends = {phrase.text: phrase.ends for phrase in phrases}

        def gather(passages: list[Passage], most: int, same_as: SameAs | None, unit: str) -> Gathered:
            work = strongest_examples(reader, autoencoders, chosen, most, same_as)
            shards = reading.read_in_shards(list(enumerate(passages)), work, f"features of {unit}s", unit, unit)
            return gathered(shards, passages, chosen, most, same_as)

        of_images = gather([Passage(reader.prompt, png) for png in looked["image"]], settings.images, None, "image")
        of_phrases = gather(
            [Passage(phrase.text) for phrase in phrases], settings.phrases,
            lambda passage, peak: passage.text[: ends[passage.text][peak]], "phrase",
        )  # fmt: skip
        images, texts = image_table(of_images, looked["image_id"].tolist()), phrase_table(of_phrases, phrases)
        with whole_folder(EXAMPLES) as unfinished:
            for name, table in {"features": shown, "letters": letters, "images": images, "phrases": texts}.items():
                tables.write(table, unfinished / f"{name}.parquet", reading.made_by)


if __name__ == "__main__":
    run(main)
