"""Can a connector from the miniature's tower into a real decoder be trained on processor cores? What a step costs.

    pip install -c requirements.lock -e '.[real-lm]'
    python -m benchmarks.connector --minutes 20 [--keep]

Run it in a study of rendered hands whose stages `fetch` and `photos` have run. As LatentLens and LLaVA do, a connector
of two layers is trained alone: the tower and Gemma 3 270M are frozen, and the decoder is to write the sentence of the
hand (`models/miniature/words.yaml`) after the 49 image tokens. Photos that are held out, with all their copies, say how
far it came: nats a token of the sentence under the own image, and under that of another letter, which shows what comes
of the image. Seconds are those of the process on its cores, so that other work on the machine does not count.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from benchmarks.gemma_270m import entry_in
from benchmarks.machine import describe, keep
from models.miniature.lessons import hands
from signbridge.core import params, tables
from signbridge.core.command_line import run
from signbridge.core.shards import Shard
from signbridge.datasets.images import decoded
from signbridge.vlm.catalog import ModelParams
from signbridge.vlm.extraction import Reader, Work, in_batches
from signbridge.vlm.loading import device_from_environment, load
from signbridge.vlm.residual import reading_up_to

SCRATCH = Path(".scratch/real_lm")
BATCH, LR, EVERY = 8, 1e-3, 10
BUDGET = 2 * 3600 * 2  # core-seconds: two hours of two cores
STEPS_OF_LLAVA = 2180  # of its connector: 558,000 images by 256


class Connector(nn.Module):
    """LLaVA-1.5's, of vectors of that `scale`, with what it gives as long as the decoder's embeddings: `length`."""

    def __init__(self, width: int, decoder_width: int, scale: float, length: float):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(width, decoder_width), nn.GELU(), nn.Linear(decoder_width, decoder_width))
        self.norm = nn.LayerNorm(decoder_width)
        self.scale, self.length = scale, length / decoder_width**0.5

    def forward(self, vectors: Tensor) -> Tensor:
        """Images x tokens x width of the decoder."""
        return self.norm(self.layers(vectors / self.scale)) * self.length


def main() -> None:
    """Train for so many minutes; print the curve, what a step costs, and what two hours would give."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--keep", action="store_true", help="append the result to benchmarks/results/connector.md")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    training, held_out = tower_vectors()
    loaded = load(entry_in(SCRATCH / "gemma"), SCRATCH, device_from_environment())
    decoder, tokenizer = loaded.model, loaded.processor.tokenizer
    decoder.requires_grad_(False)
    embed = decoder.get_input_embeddings()
    said = {
        letter: tokenizer(f" {hand.sentence}", add_special_tokens=False)["input_ids"]
        for letter, hand in hands().items()
    }
    length = float(embed(torch.tensor([token for sentence in said.values() for token in sentence])).norm(dim=-1).mean())
    connector = Connector(training[0].shape[-1], embed.embedding_dim, float(training[0].std()), length)
    optimiser = torch.optim.Adam(connector.parameters(), lr=LR)
    start = embed(torch.tensor([[tokenizer.bos_token_id]]))

    def loss(vectors: Tensor, letters: list[str]) -> Tensor:
        """Nats a token of the letters' sentences behind these images."""
        sentences = [torch.tensor(said[letter]) for letter in letters]
        targets = nn.utils.rnn.pad_sequence(sentences, batch_first=True, padding_value=-100)
        words = embed(targets.clamp(min=0))
        inputs = torch.cat([start.expand(len(vectors), -1, -1), connector(vectors), words[:, :-1]], dim=1)
        hidden = decoder.model.language_model(inputs_embeds=inputs).last_hidden_state[:, -targets.shape[1] :]
        logits = decoder.lm_head(hidden[targets >= 0])
        return nn.functional.cross_entropy(logits, targets[targets >= 0])

    @torch.no_grad()
    def held_out_loss(shift: int) -> float:
        """Under the image of a hand so many places on; 0 is the own."""
        vectors, letters = held_out
        parts = [slice(at, at + BATCH) for at in range(0, len(letters), BATCH)]
        return float(np.mean([loss(vectors.roll(shift, 0)[part], letters[part]).item() for part in parts]))

    generator, lines, seconds, step = np.random.default_rng(0), [describe()], [], 0
    ends = time.monotonic() + 60 * arguments.minutes
    while time.monotonic() < ends:
        if step % EVERY == 0:
            own, other = held_out_loss(0), held_out_loss(len(held_out[1]) // 2)
            lines.append(f"step {step:>4}: held-out {own:.3f} nats a token, under another letter's image {other:.3f}")
            print(lines[-1], flush=True)
        rows, began = generator.integers(len(training[1]), size=BATCH), time.process_time()
        optimiser.zero_grad()
        loss(training[0][rows], [training[1][row] for row in rows]).backward()
        optimiser.step()
        seconds.append(time.process_time() - began)
        step += 1
    own, other = held_out_loss(0), held_out_loss(len(held_out[1]) // 2)
    cost = float(np.median(seconds))
    lines.append(f"step {step:>4}: held-out {own:.3f} nats a token, under another letter's image {other:.3f}")
    lines.append(
        f"{cost:.1f} core-seconds a step of {BATCH} images: two hours of two cores are {BUDGET / cost:,.0f} steps, "
        f"{BUDGET / cost * BATCH:,.0f} images; LLaVA's connector took {STEPS_OF_LLAVA:,} steps of 256"
    )
    print("\n".join(lines[-2:]))
    if arguments.keep:
        keep("connector", lines)


def tower_vectors() -> tuple[tuple[Tensor, list[str]], tuple[Tensor, list[str]]]:
    """Images x tokens x width at the tower of photos to train on, and of others, one a letter; with their letters."""
    _, model = params.selected("model", params.MODELS, ModelParams)
    images = tables.read("data/images.parquet").merge(tables.read("data/photos.parquet"), on="image_id")
    photos = images.groupby("label")["photo"].unique()
    apart = {photo for of_letter in photos for photo in of_letter[-1:]}
    others = images[images["photo"].isin(apart)].drop_duplicates("photo")
    rest = images[~images["photo"].isin(apart)].groupby("photo").head(1)
    reader = Reader(load(model, SCRATCH, device_from_environment()), model.prompt, 1)
    loaded = reader.loaded

    @torch.inference_mode()
    def read(inputs, keep_images: int) -> Shard:
        found = {}
        with reading_up_to(loaded.parts, ["vision"], lambda site, stream: found.update({site: stream.float()})):
            loaded.model(**reader.to_device(inputs), use_cache=False, logits_to_keep=1)
        vectors = found["vision"].reshape(len(inputs["input_ids"]), -1, found["vision"].shape[-1])
        return Shard({"vision": vectors[:keep_images].cpu().numpy()}, [""] * keep_images)

    def at_tower(rows: pd.DataFrame) -> tuple[Tensor, list[str]]:
        work = Work(read, reader.prepare, in_batches, fills=True)
        return torch.from_numpy(reader.read(decoded(rows["image"]), work).vectors["vision"]), rows["label"].tolist()

    return at_tower(rest), at_tower(others.sort_values("label"))


if __name__ == "__main__":
    run(main)
