"""Do lenses, text index, autoencoders and erasers hold on a real decoder? Asked of Gemma 3 270M; opt-in.

    make real-lm                                   # installs the package, runs this: minutes on 2 cores, 3 GB of disk
    python -m benchmarks.real_language_model --keep

The miniature's decoder has learnt a few hundred sentences. Here the same code reads a decoder that learnt a language:
its first token has a stream many times as long as others, its embeddings are scaled and tied, most blocks attend to a
window. Each check has a known answer and a null:

- the next word of phrases that everyone knows, against the answers of other phrases;
- LogitLens: how often the next token of a held-out sentence is its first, by depth, against tokens of other places;
- EmbeddingLens and LatentLens: how often the nearest word is the token's own, in sentences that the index does not
  have, against words of other tokens;
- an autoencoder: what is explained against as many principal components, what is lost in the likelihood, and that a
  perfect autoencoder loses nothing;
- LEACE: the number of a noun ("the dog is", "the dogs are") erased from its token, on nouns that it was not fitted on,
  against LEACE of shuffled numbers.

Sentences (`corpora/sentences.txt`) were taken from this project's docs. Intervals (95 %) are over sentences or nouns.
"""

import argparse
import logging
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn

from benchmarks.gemma_270m import entry_in
from benchmarks.machine import describe, keep
from signbridge.causal.erasure import Eraser, leace, spanned
from signbridge.core.command_line import run
from signbridge.lenses.contexts import Reservoirs, sampled_blocks, word_around
from signbridge.lenses.lens import embedding_lens, latent_lens, logit_lens, numbered
from signbridge.lenses.stored_vectors import open_index
from signbridge.lenses.text_index import index_corpus, text_sites, write_index
from signbridge.sae.passages import Passage
from signbridge.sae.settings import TopKPreset
from signbridge.sae.splicing import spliced_phrases
from signbridge.sae.token_stream import ModelTokens, ShuffledTokens, token_streams
from signbridge.statistics.intervals import draw_groups, interval
from signbridge.vlm.extraction import Reader
from signbridge.vlm.loading import LoadedModel, device_from_environment, load
from signbridge.vlm.residual import decoder_sites, editing
from signbridge.vlm.text import Phrase, phrases, text_tokens

SCRATCH, CORPUS = Path(".scratch/real_lm"), Path("corpora/sentences.txt")
SITES = ["embedding", "layer_02", "layer_05", "layer_08", "layer_11", "layer_14", "layer_17"]
ERASED = ["layer_02", "layer_08", "layer_14"]
HELD_OUT, MOST_TOKENS, MEMORY, ROWS = 80, 60, 2**28, 256
RESAMPLES, CONFIDENCE = 2000, 0.95
PRESET = TopKPreset(
    architecture="topk", width="2x", tokens=40_000, batch=256, buffer=8192, lr=1e-3, warm_up=0.05, decay=0.3, k=32,
    mean_norm="sqrt_width", dead_after=30,
)  # fmt: skip
AUTOENCODER_SITE = "layer_08"

KNOWN = {
    "The opposite of hot is": " cold", "The opposite of up is": " down", "Two plus two is": " four",
    "Monday, Tuesday, Wednesday,": " Thursday", "January, February, March,": " April",
    "one, two, three, four,": " five", "The Eiffel Tower is in the city of": " Paris", "Once upon a": " time",
    "The sun rises in the east and sets in the": " west", "Thank you very": " much", "The United States of": " America",
    "Ladies and": " gentlemen", "Happy birthday to": " you", "The capital city of Japan is called": " Tokyo",
    "He could not believe his": " eyes", "It was raining cats and": " dogs",
}  # fmt: skip
NOUNS = """dog cat house tree car book table river mountain king friend door window garden bird horse letter
picture road village teacher student doctor ship plane train chair bottle flower stone island farmer soldier driver
neighbor brother sister engine bridge hotel painter writer singer lawyer lamp mirror carpet"""
FRAMES = ["The {}", "I think that the {}", "Near the old town the {}", "She said that the big {}"]


class Perfect(nn.Module):
    """An autoencoder that gives everything back: one feature a dimension and sign."""

    def encode(self, vectors: Tensor) -> Tensor:
        """Tokens x 2 width."""
        return torch.cat([vectors, -vectors], dim=-1).relu()

    def decode(self, features: Tensor) -> Tensor:
        """Tokens x width."""
        positive, negative = features.chunk(2, dim=-1)
        return positive - negative


def main() -> None:
    """Run every check and print it; with --keep append the lines to benchmarks/results/real_language_model.md."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--keep", action="store_true", help="append the result to benchmarks/results")
    arguments = parser.parse_args()
    logging.getLogger("signbridge").setLevel(logging.WARNING)
    entry = entry_in(SCRATCH / "model")
    loaded = load(entry, SCRATCH, device_from_environment())
    reader = Reader(loaded, entry.prompt, entry.max_new_tokens, 16)
    said = phrases(CORPUS, [])
    order = np.random.default_rng(0).permutation(len(said))
    held_out, corpus = [said[row] for row in order[:HELD_OUT]], [said[row] for row in sorted(order[HELD_OUT:])]
    lines = [describe(), f"{len(corpus)} sentences, {len(held_out)} others held out"]
    for check in (
        lambda: completions(loaded), lambda: next_tokens(reader, held_out),
        lambda: own_words(reader, corpus, held_out), lambda: autoencoder(reader, corpus, held_out),
        lambda: number(loaded),
    ):  # fmt: skip
        for line in check():
            print(line, flush=True)
            lines.append(line)
    if arguments.keep:
        keep("real_language_model", lines)


def completions(loaded: LoadedModel) -> list[str]:
    """Known phrases: how many go on as everyone knows."""
    tokenizer = loaded.processor.tokenizer
    answers = [tokenizer(text, add_special_tokens=False)["input_ids"][0] for text in KNOWN.values()]
    likeliest, rank = [], []
    for phrase, answer in zip(KNOWN, answers, strict=True):
        logits = _last_logits(loaded, tokenizer([phrase])["input_ids"])[0]
        likeliest.append(int(logits.argmax()))
        rank.append([int((logits > logits[other]).sum()) for other in answers])
        if likeliest[-1] != answer:
            print(f"  {phrase!r} goes on {tokenizer.decode([likeliest[-1]])!r}, not {tokenizer.decode([answer])!r}")
    own = np.diag(rank)
    others = np.array(rank)[~np.eye(len(own), dtype=bool)]
    right = sum(one == answer for one, answer in zip(likeliest, answers, strict=True))
    return [
        f"completions: {right} of {len(answers)} right; rank of the answer: median {np.median(own):.0f}, of the "
        f"answers of other phrases {np.median(others):.0f} of {loaded.model.get_input_embeddings().num_embeddings:,}"
    ]


def next_tokens(reader: Reader, held_out: Sequence[str]) -> list[str]:
    """LogitLens by depth: how often its first token is the one that follows."""
    vectors, ids, sentence, _ = _read(reader, held_out, SITES)
    loaded = reader.loaded
    every = torch.arange(loaded.model.get_input_embeddings().num_embeddings)
    there = np.append(sentence[1:] == sentence[:-1], False)  # a token follows in the sentence
    follows = np.roll(ids, -1)[there]
    elsewhere = np.random.default_rng(0).permutation(follows)
    lines, right = [], {}
    for site in SITES:
        found = _by_rows(
            vectors[site][there],
            lambda rows: logit_lens(rows, loaded.parts, loaded.model.get_output_embeddings(), every, 1)[1],
        )[:, 0]
        right[site] = (found == follows).astype(float)
        low, high = _interval(right[site], sentence[there])
        null = np.mean(found == elsewhere)
        lines.append(
            f"LogitLens {site}: {right[site].mean():.1%} ({low:.1%} to {high:.1%}) next tokens, {null:.1%} null"
        )
    low, high = _interval(right[SITES[-1]] - right[SITES[3]], sentence[there])
    return [*lines, f"  {SITES[-1]} less {SITES[3]}: {low:+.1%} to {high:+.1%}"]


def own_words(reader: Reader, corpus: Sequence[str], held_out: Sequence[str]) -> list[str]:
    """EmbeddingLens and LatentLens by depth: how often the nearest word is the token's own."""
    loaded, tokenizer = reader.loaded, reader.loaded.processor.tokenizer
    published = text_sites("published", len(loaded.parts.blocks))
    sites = sorted({*published, *SITES[1:]})
    reservoirs = Reservoirs(tokenizer, 20, np.random.default_rng(0), skip=2, prefer=10)
    sampled = sampled_blocks(reservoirs, list(corpus), 2**16)
    scratch = SCRATCH / "text_index"
    shutil.rmtree(scratch, ignore_errors=True)  # of another run, whose sites or sentences may be others
    indexed = index_corpus(
        reader, sites, corpus, sampled, set(reservoirs.kept()), scratch / "last", "benchmark", scratch / "shards", 256
    )
    write_index(scratch / "index", indexed, corpus, tokenizer, sites, "float16", {"model": "gemma-3-270m"})
    index = open_index(scratch / "index")
    vectors, ids, sentence, words = _read(reader, held_out, SITES, skip=2)
    known = np.isin(words, index.contexts["word"].str.lower().unique())
    embeddings = loaded.model.get_input_embeddings().weight
    every = numbered(index.contexts["word"]).new_tensor(range(len(embeddings)))
    elsewhere = np.random.default_rng(0).permutation(words[known])
    lines = []
    for site in SITES:
        found = []
        for name, searched in (("published layers", published), ("its own layer", [site])):
            if not set(searched) <= set(index.vectors):
                continue  # no text is stored at `embedding`
            of = index._replace(vectors={one: index.vectors[one] for one in searched})
            nearest = _by_rows(vectors[site][known], lambda rows, of=of: latent_lens(rows, of, 1, MEMORY).row)[:, 0]
            said = index.contexts["word"].str.lower().to_numpy()[nearest]
            right, null = (said == words[known]).astype(float), np.mean(said == elsewhere)
            low, high = _interval(right, sentence[known])
            found.append(f"{right.mean():.1%} ({low:.1%} to {high:.1%}), {null:.1%} null, of {name}")
        same = _by_rows(vectors[site], lambda rows: embedding_lens(rows, embeddings, every, 1)[1])[:, 0] == ids
        lines.append(f"own word at {site}: LatentLens {'; '.join(found)}; EmbeddingLens {same.mean():.1%}")
    return [f"text index: {len(index.contexts):,} contexts; published layers: {', '.join(published)}", *lines]


def autoencoder(reader: Reader, corpus: Sequence[str], held_out: Sequence[str]) -> list[str]:
    """A small TopK autoencoder of one site, judged on sentences that it was not trained on."""
    from signbridge.sae.training import train  # imports SAELens, which takes long

    loaded, site = reader.loaded, AUTOENCODER_SITE
    tokenizer, work = loaded.processor.tokenizer, token_streams(reader, [site])
    source = ModelTokens(lambda some: reader.read(some, work), [], [Passage(text) for text in corpus], 1.0, 0)
    trained = train(ShuffledTokens(source, PRESET.buffer, PRESET.batch, 0), PRESET, 0, loaded.device, {})
    ids = sorted((tokenizer([text])["input_ids"][0] for text in held_out), key=len)
    read = {}
    for name, one in (("trained", trained.autoencoders[site]), ("perfect", Perfect())):
        read[name] = reader.read(ids, spliced_phrases(reader, {site: one}, trained.pcas)).vectors
    of = {name: read["trained"][f"{site}.{name}"] for name in ("error", "off_centre", "nll", "nll_sae", "nll_zero")}
    centred = of["off_centre"].sum()
    by_pca = read["trained"][f"{site}.explained"].sum(0)[: PRESET.k].sum() / centred
    tokens = np.array([len(one) for one in ids])
    nll, spliced, zeros = (np.average(of[name], weights=tokens) for name in ("nll", "nll_sae", "nll_zero"))
    moved = np.abs(read["perfect"][f"{site}.nll_sae"] - read["perfect"][f"{site}.nll"]).max()
    vectors, _, sentence, _ = _read(reader, held_out, [site], special=True)
    length = np.linalg.norm(vectors[site], axis=1)
    first = np.flatnonzero(np.diff(sentence, prepend=-1))
    ratio = length[first].mean() / np.delete(length, first).mean()
    return [
        f"autoencoder of {site}, {PRESET.tokens:,} tokens: variance explained "
        f"{1 - of['error'].sum() / centred:.1%}, by {PRESET.k} principal components {by_pca:.1%}",
        f"  nats a token: {nll:.3f} clean, {spliced:.3f} with it, {zeros:.3f} with zeros: a fidelity of "
        f"{(zeros - spliced) / (zeros - nll):.1%}; a perfect one moves {moved:.1e}",
        f"  the first token's stream is {ratio:.0f} times as long as the others'; it is left as it is",
    ]


def number(loaded: LoadedModel) -> list[str]:
    """The number of a noun, erased from its token: what the model then says, on nouns that the eraser has not seen."""
    tokenizer, generator = loaded.processor.tokenizer, np.random.default_rng(0)
    nouns = np.array(NOUNS.split())
    fitted = set(generator.permutation(nouns)[: len(nouns) // 2])
    cells = [(noun, plural, frame) for noun in nouns for plural in (False, True) for frame in FRAMES]
    prompts = [frame.format(noun + "s" if plural else noun) for noun, plural, frame in cells]
    ids = tokenizer(prompts)["input_ids"]
    noun, plural = np.array([cell[0] for cell in cells]), np.array([cell[1] for cell in cells])
    fits = np.array([name in fitted for name in noun])
    says = [tokenizer(text, add_special_tokens=False)["input_ids"][0] for text in (" is", " are")]

    def agrees(edit: Callable[[str, Tensor], Tensor] | None) -> np.ndarray:
        logits = _last_logits(loaded, ids, edit)[:, says]
        return ((logits[:, 1] > logits[:, 0]).numpy() == plural)[~fits].astype(float)

    streams = _last_streams(loaded, ids, ERASED)
    clean = agrees(None)
    low, high = _interval(clean, noun[~fits])
    lines = [
        f"number of {len(nouns) - len(fitted)} held-out nouns: agrees {clean.mean():.1%} ({low:.1%} to {high:.1%})"
    ]
    for site in ERASED:
        rows = spanned(streams[site][fits])
        by_noun = dict(zip(sorted(fitted), generator.random(len(fitted)) < 0.5, strict=True))
        shuffled = np.array(
            [by_noun[name] ^ is_plural for name, is_plural in zip(noun[fits], plural[fits], strict=True)]
        )
        found = {}
        for name, labels in (("LEACE", plural[fits]), ("LEACE of shuffled numbers", shuffled)):
            eraser = leace(rows, labels)
            right = agrees(_erasing(site, eraser))
            erased = eraser.erase(torch.from_numpy(streams[site])).numpy()
            probe = LogisticRegression(C=1.0, max_iter=2000).fit(erased[fits], plural[fits])
            ends = _interval(right, noun[~fits])
            found[name] = f"{name}: agrees {right.mean():.1%} ({ends[0]:.1%} to {ends[1]:.1%}), probe " + (
                f"{probe.score(erased[~fits], plural[~fits]):.1%}"
            )
        lines.append(f"  erased at {site}: " + "; ".join(found.values()))
    return lines


def _erasing(site: str, eraser: Eraser) -> Callable[[str, Tensor], Tensor]:
    def edit(here: str, stream: Tensor) -> Tensor:
        if here != site:
            return stream
        stream = stream.clone()
        stream[:, -1] = eraser.erase(stream[:, -1])
        return stream

    return edit


def _of_one_length(ids: Sequence[Sequence[int]]) -> list[list[int]]:
    """Rows of `ids` that have the same length."""
    lengths = np.array([len(one) for one in ids])
    return [np.flatnonzero(lengths == length).tolist() for length in np.unique(lengths)]


@torch.inference_mode()
def _last_logits(
    loaded: LoadedModel, ids: Sequence[Sequence[int]], edit: Callable[[str, Tensor], Tensor] | None = None
) -> Tensor:
    """Logits after the last token of each prompt, prompts x vocabulary."""
    found = torch.empty(len(ids), loaded.model.get_input_embeddings().num_embeddings)
    with editing(loaded.parts, edit or (lambda _, stream: stream)):
        for rows in _of_one_length(ids):
            tokens = torch.tensor([ids[row] for row in rows], device=loaded.device)
            found[rows] = loaded.model(input_ids=tokens, use_cache=False, logits_to_keep=1).logits[:, -1].float().cpu()
    return found


def _last_streams(loaded: LoadedModel, ids: Sequence[Sequence[int]], sites: Sequence[str]) -> dict[str, np.ndarray]:
    """The stream at the last token of each prompt by site, prompts x width."""
    reader, found = Reader(loaded, "", 1, len(ids)), {}
    for rows in _of_one_length(ids):
        some = [Phrase(list(ids[row]), [len(ids[row]) - 1]) for row in rows]
        for site, vectors in reader.read(some, text_tokens(reader, sites)).vectors.items():
            found.setdefault(site, np.empty((len(ids), vectors.shape[1]), np.float32))[rows] = vectors
    return found


def _read(
    reader: Reader, texts: Sequence[str], sites: Sequence[str], skip: int = 1, special: bool = False
) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray, np.ndarray]:
    """Every token of the texts from `skip` on: its stream by site, its id, its sentence, and its word in lower case."""
    tokenizer = reader.loaded.processor.tokenizer
    assert set(sites) <= set(decoder_sites(reader.loaded.parts))
    encoded = tokenizer(list(texts), return_offsets_mapping=True)
    order = sorted(range(len(texts)), key=lambda row: len(encoded["input_ids"][row]))
    items, ids, sentence, words = [], [], [], []
    for row in order:
        tokens, spans = encoded["input_ids"][row][:MOST_TOKENS], encoded["offset_mapping"][row]
        places = list(range(0 if special else skip, len(tokens)))
        items.append(Phrase(tokens, places))
        ids += [tokens[place] for place in places]
        sentence += [row] * len(places)
        bounds = [word_around(texts[row], *spans[place]) for place in places]
        words += [texts[row][start:end].lower() for start, end in bounds]
    shard = reader.read(items, text_tokens(reader, sites))
    return shard.vectors, np.array(ids), np.array(sentence), np.array(words)


def _by_rows(vectors: np.ndarray, lens: Callable[[Tensor], Tensor]) -> np.ndarray:
    """`lens` of some rows at a time: logits over a vocabulary of 262,144 take a megabyte each."""
    rows = torch.from_numpy(np.ascontiguousarray(vectors)).float()
    return np.concatenate([lens(some).cpu().numpy() for some in rows.split(ROWS)])


def _interval(values: np.ndarray, cluster: np.ndarray) -> tuple[float, float]:
    """The interval of the mean of `values` over resampled clusters."""
    _, which = np.unique(cluster, return_inverse=True)
    total, count = np.bincount(which, values), np.bincount(which)
    drawn = draw_groups(len(count), RESAMPLES, np.random.default_rng(0))
    low, high = interval((drawn @ total / (drawn @ count))[:, None], CONFIDENCE)
    return float(low[0]), float(high[0])


if __name__ == "__main__":
    run(main)
