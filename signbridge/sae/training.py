"""Train sparse autoencoders, one a site, all on the same batches: the model is read once for all of them.

Interrupted training goes on from a checkpoint: the autoencoders with their optimisers, the stream's buffer, and the log
so far. A checkpoint is a folder that is there whole or not at all. It holds the buffer, since that cannot be read again
without reading the model from the start.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
import torch
from sae_lens.saes.sae import TrainingSAE
from sae_lens.training.sae_trainer import SAETrainer
from safetensors.torch import load_file, save_file
from torch import Tensor
from tqdm import tqdm

from signbridge.core import checkpoints as core
from signbridge.core import params, tables
from signbridge.core.checkpoints import SECONDS_BETWEEN_CHECKPOINTS
from signbridge.core.finite import check_finite
from signbridge.sae.autoencoders import (
    finished,
    new_trainer,
    steps_of,
    variance_explained,
    write_autoencoder,
)
from signbridge.sae.passages import TRAINING, Passage, Pictured, TrainingSet, prompts_by_image, unread_table
from signbridge.sae.pca import Pca, fit_pca, write_pca
from signbridge.sae.settings import AnyPreset, sae_sites
from signbridge.sae.token_stream import ModelTokens, ShuffledTokens, StreamState, Tokens, token_streams
from signbridge.sae.training_step import REMEDY, StepOutput, multiplying, take_step
from signbridge.vlm.extraction import Reader
from signbridge.vlm.memory import said_when_full

LOGGED = 100  # steps, evenly spread
_IS_IMAGE = "is_image"
_WEIGHTS = "sae_weights.safetensors"  # as SAELens calls them


class Checkpoint(NamedTuple):
    """What lies in a checkpoint beside the trainers."""

    path: Path
    steps: int  # that are done
    stream: StreamState
    rows: list[dict[str, Any]]  # of the log
    at_once: dict[str, int]  # by site: the tokens that were taken together

    def restore(self, trainers: Mapping[str, SAETrainer]) -> None:
        """Set the trainers, by site, to where they were."""
        for site, trainer in trainers.items():
            trainer.load_trainer_state(self.path / site)
            trainer.sae.load_weights_from_checkpoint(self.path / site)


class Checkpoints(core.Checkpoints):
    """The checkpoints of one run: those of the published presets are 8 to 15 GB."""

    def __init__(self, folder: Path, seconds: float | None = None):
        """The clock starts now; without `seconds` it is `SECONDS_BETWEEN_CHECKPOINTS`."""
        super().__init__(folder, SECONDS_BETWEEN_CHECKPOINTS if seconds is None else seconds)

    def latest(self) -> Checkpoint | None:
        """The last one, or None."""
        last = self.last_folder()
        if last is None:
            return None
        progress = json.loads((last / "progress.json").read_text(encoding="utf-8"))
        vectors = load_file(last / "buffer.safetensors")
        is_image = vectors.pop(_IS_IMAGE)
        stream = StreamState(progress["stream"], Tokens({site: vectors[site] for site in progress["sites"]}, is_image))
        return Checkpoint(last, progress["steps"], stream, progress["rows"], progress["at_once"])

    def write(
        self,
        steps: int,
        trainers: Mapping[str, SAETrainer],
        stream: StreamState,
        rows: list[dict[str, Any]],
        at_once: dict[str, int],
    ) -> None:
        """Keep how things are after `steps`; then the one before is deleted."""
        with self.writing(steps) as unfinished:
            for site, trainer in trainers.items():
                trainer.save_checkpoint(site, unfinished)
            vectors = {site: part.contiguous() for site, part in stream.waiting.vectors.items()}
            save_file({**vectors, _IS_IMAGE: stream.waiting.is_image}, unfinished / "buffer.safetensors")
            progress = {"steps": steps, "stream": stream.numbers, "sites": list(vectors), "rows": rows}
            progress["at_once"] = at_once
            (unfinished / "progress.json").write_text(json.dumps(progress), encoding="utf-8")


class Trained(NamedTuple):
    """Autoencoders by site, how their training went (a row a site and logged step), and principal components."""

    autoencoders: dict[str, TrainingSAE]
    log: pd.DataFrame
    pcas: dict[str, Pca]  # of the tokens that were left in the buffer


def train(
    stream: ShuffledTokens,
    preset: AnyPreset,
    seed: int,
    device: torch.device,
    about: dict[str, Any],
    checkpoints: Checkpoints | None = None,
) -> Trained:
    """Train an autoencoder of each site of `stream`, which must give batches of `preset.batch`.

    They take vectors as they come from the stream: what scales them for training is measured on its first buffer and
    folded in at the end. Equal streams, presets and seeds give equal autoencoders on one machine, whether or not the
    training was interrupted: it goes on from the last of `checkpoints`. `about` goes into each `cfg.json`. Raises
    `SignBridgeError` if the preset does not suit the width of the stream, or training diverges.
    """
    last = checkpoints.latest() if checkpoints else None
    if last:
        stream.go_to(last.stream)
    shapes = stream.widths_and_norms()
    with said_when_full(device, "making the autoencoders", REMEDY):
        trainers = {
            site: new_trainer(site, width, mean_norm, preset, seed, device, about)
            for site, (width, mean_norm) in shapes.items()
        }
    if last:
        last.restore(trainers)
    done, rows = (last.steps, last.rows) if last else (0, [])
    at_once = last.at_once if last else dict.fromkeys(trainers, preset.batch)
    steps = steps_of(preset)
    with (
        _all_at_once(trainers, at_once, preset.matmul) as train_all,
        tqdm(total=steps * preset.batch, initial=done * preset.batch, desc="sae", unit="token", unit_scale=True) as bar,
    ):
        for step in range(done, steps):
            batch = next(stream)
            wanted = (step + 1) * LOGGED // steps > step * LOGGED // steps
            logged = [row for row in train_all(batch, wanted) if row]
            for row in logged:
                _check_finite(row["site"], "the loss", torch.tensor([row["loss"]]), [row["step"]], "step")
            rows += logged
            bar.update(preset.batch)
            if checkpoints and checkpoints.is_due:
                checkpoints.write(step + 1, trainers, stream.state, rows, at_once)
    autoencoders = {site: finished(trainer) for site, trainer in trainers.items()}
    for site, autoencoder in autoencoders.items():
        for name, weights in autoencoder.state_dict().items():
            _check_finite(site, name, weights)
    left = stream.state.waiting.vectors
    return Trained(autoencoders, pd.DataFrame(rows), {site: fit_pca(vectors) for site, vectors in left.items()})


def _check_finite(site: str, what: str, numbers: Tensor, rows: Sequence[int] | None = None, row: str = "row") -> None:
    remedy = f"Training has diverged: lower `lr` of the preset in {params.SAE_PRESETS}."
    check_finite(np.atleast_1d(numbers.numpy()), f"autoencoder of {site}: {what}", rows, remedy, row)


def train_on_study(
    study: TrainingSet, reader: Reader, scratch: Path, model: str
) -> tuple[Trained, dict[str, int], pd.DataFrame]:
    """Train an autoencoder of each chosen site; how far training read, and the table of what it left unread.

    `model` is the model's name. Interrupted training goes on from what lies in `scratch`. Raises `SignBridgeError` if
    the model has not the layers, or no image can be read under the prompts.
    """
    settings, preset, images = study.settings, study.preset, study.images
    sites = sae_sites(settings.layers, len(reader.loaded.parts.blocks))
    token = reader.loaded.processor.image_token
    prompts = prompts_by_image(images, study.hands, settings.prompts, reader.prompt, token)
    pictured = Pictured(study.table, prompts, scratch)
    work = token_streams(reader, sites)
    source = ModelTokens(
        lambda passages: reader.read(passages, work), pictured, [Passage(text) for text in study.corpus],
        settings.text_share, study.seed,
    )  # fmt: skip
    stream = ShuffledTokens(source, preset.buffer, preset.batch, study.seed)
    device, about = reader.loaded.device, {"model_name": model}
    trained = train(stream, preset, study.seed, device, about, Checkpoints(scratch))
    unread = unread_table(images["image_id"].tolist(), prompts, study.corpus, source.position, study.seed)
    return trained, source.position, unread


def write_trained(trained: Trained, folder: Path, made_by: dict[str, Any]) -> None:
    """Store the autoencoders, and their log with `made_by` in its metadata, in `folder`.

    The metadata also name the sites, and the digests of the weights, so that features of other autoencoders are not
    taken for features of these.
    """
    weights = {}
    for site, autoencoder in trained.autoencoders.items():
        write_autoencoder(folder / site, autoencoder)
        write_pca(folder / site, trained.pcas[site])
        weights[site] = hashlib.sha256((folder / site / _WEIGHTS).read_bytes()).hexdigest()
    tables.write(trained.log, folder / TRAINING, {**made_by, "sites": list(weights), "weights_sha256": weights})


@contextmanager
def _all_at_once(
    trainers: Mapping[str, SAETrainer], at_once: dict[str, int], matmul: Literal["float32", "tf32"]
) -> Iterator[Any]:
    """A function that takes a step of every trainer: side by side on processor cores, which share no product then.

    `at_once` is how many tokens each of them takes together.
    """
    threads = torch.get_num_threads()
    on_cores = all(trainer.sae.device.type == "cpu" for trainer in trainers.values())
    side_by_side = min(threads, len(trainers)) if on_cores else 1
    with ThreadPoolExecutor(side_by_side) as pool:

        def train_all(batch: Tokens, wanted: bool) -> list[dict[str, Any] | None]:
            def train_one(site: str) -> dict[str, Any] | None:
                torch.set_num_threads(threads // side_by_side)  # each time, as whoever reads the model sets it too
                return _step(site, trainers[site], at_once, batch, wanted)

            with multiplying(matmul):
                return list(pool.map(train_one, trainers))

        try:
            yield train_all
        finally:
            torch.set_num_threads(threads)


def _step(
    site: str, trainer: SAETrainer, at_once: dict[str, int], batch: Tokens, wanted: bool
) -> dict[str, Any] | None:
    """Train one autoencoder on a batch; the row of the log, if it is wanted."""
    output, at_once[site] = take_step(trainer, batch.vectors[site], at_once[site])
    return _row(site, trainer, output, batch) if wanted else None


@torch.no_grad()
def _row(site: str, trainer: SAETrainer, output: StepOutput, batch: Tokens) -> dict[str, Any]:
    row = {
        "site": site,
        "step": trainer.n_training_steps,
        "tokens": trainer.n_training_samples,
        **{name: loss.item() for name, loss in output.losses.items()},
        "learning_rate": trainer.optimizer.param_groups[0]["lr"],
        "dead_share": trainer.dead_neurons.float().mean().item(),
    }
    is_image = batch.is_image.to(output.given.device)
    for kind, which in {"": torch.ones_like(is_image), "_image": is_image, "_text": ~is_image}.items():
        row[f"l0{kind}"] = float(output.active[which].float().mean())
        row[f"variance_explained{kind}"] = variance_explained(output.given[which], output.given_back[which])
    return row
