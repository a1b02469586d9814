"""The study's images through an autoencoder that others trained: what it reconstructs, and the features of each image.

    python -m stages.pretrained.features

Environment as for `stages.extract`; finished shards lie in .scratch/ until the tables are written.
"""

import hashlib
from pathlib import Path

import numpy as np

from signbridge.core import activations, params, tables
from signbridge.core.command_line import run
from signbridge.core.shards import answers_of, vectors_of
from signbridge.core.sweeps import QuestionsParams
from signbridge.core.tables import whole_folder
from signbridge.datasets.images import decoded
from signbridge.datasets.sampling import looked_at
from signbridge.sae.features import AT_POSITION, features_at, write_items
from signbridge.sae.passages import ReadParams, drawn_phrases, with_successors
from signbridge.sae.settings import about_pretrained, require_sae_lens
from signbridge.sae.splicing import read_together, spliced_images, spliced_phrases
from signbridge.vlm.extraction import Reader
from signbridge.vlm.model_run import model_run
from signbridge.vlm.text import phrases

SAMPLE, AUTOENCODER = Path("data/sample.parquet"), Path("data/pretrained/autoencoder")
FEATURES = Path("data/pretrained/features")


def main() -> None:
    """Read the sample, the corpus, the model and `data/pretrained/autoencoder/`; write `data/pretrained/features/`."""
    about = about_pretrained(AUTOENCODER)
    require_sae_lens()
    settings, seed = params.section("read", ReadParams, params.PRETRAINED), params.seed()
    questions, sample = params.section("questions", QuestionsParams), tables.read(SAMPLE)
    corpus = phrases(questions.corpus, questions.templates)
    site, position = about["site"], about["position"]
    made_by = {
        "pretrained": about["pretrained"], "autoencoder": about, "site": site, "sites": [site], "seed": seed,
        "prompt": about["prompt"], "position": position, "read": settings.model_dump(),
        "describe_tokens": questions.describe_tokens,
        "corpus_sha256": hashlib.sha256("\n".join(corpus).encode()).hexdigest(),
    }  # fmt: skip
    with model_run(__file__, sample=SAMPLE, **made_by) as reading:
        from signbridge.sae.autoencoders import check_fits_model, open_autoencoders  # import SAELens: slow

        reader, autoencoders = reading.reader, open_autoencoders(AUTOENCODER, [site], reading.device)
        check_fits_model(about["pretrained"], autoencoders[site], about["layer"], reader.loaded)
        key = f"{params.AUTOENCODERS}: {about['pretrained']}.prompt"
        under_prompt = reader.asking(about["prompt"], key, questions.describe_tokens)
        judged = looked_at(sample, settings.images, seed)
        drawn = drawn_phrases(corpus, settings.phrases, np.random.default_rng(seed))  # any: training is not known
        said = with_successors(drawn, reader.loaded.processor.tokenizer, questions.corpus)
        images = decoded(judged["image"])
        at_once = read_together(images, reader.batch_size)
        describer = Reader(reader.loaded, under_prompt.prompt, questions.describe_tokens, at_once)
        of_sample = reading.read_in_shards(
            decoded(sample["image"]), features_at(under_prompt, site, autoencoders[site], position),
            "features of the sample", within="sample", reader=under_prompt,
        )  # fmt: skip
        at_images = reading.read_in_shards(
            images, spliced_images(describer, autoencoders), "image tokens", within="image", reader=describer
        )
        at_text = reading.read_in_shards(
            list(said.values()), spliced_phrases(reader, autoencoders), "text tokens", "phrase", "text"
        )
        token, *others = sorted(set(answers_of(of_sample)))
        made_by = {**reading.made_by, "images": len(judged), "phrases": len(said)}
        made_by["token"] = "several" if others else token
        items = {"image": (judged["photo"].tolist(), at_images), "text": (list(said), at_text)}
        vectors = {str(position): vectors_of(of_sample, AT_POSITION)}
        with whole_folder(FEATURES) as unfinished:
            write_items(unfinished, [site], items, made_by)
            activations.write(unfinished / "sample", site, sample["image_id"].tolist(), vectors, made_by)


if __name__ == "__main__":
    run(main)
