"""What the shipped motion miniature says of clips, in order and not, and at which layer a probe finds their movement.

    python -m benchmarks.motion_miniature [--keep]

On drawn clips of signers that it was not trained on: those of `datasets.rendered_motion`, and further signers of the
same seed. Accuracies of the movement are over the clips of minimal pairs, where a bag of frames leaves one half to
chance. The probe is a logistic regression that tells all movements apart, at the prompt's end, tested on signers that
it was not fitted on; that on shuffled clips is fitted on shuffled clips. Intervals are over signers.

`--keep` appends the figures to benchmarks/results/motion_miniature.md.
"""

import argparse
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.machine import describe, keep
from models.motion_miniature.lessons import CLIP, MOVEMENT_PROMPT, MOVEMENTS, SHAPE_PROMPT, SHAPES
from models.motion_miniature.teaching import OPPOSITE
from signbridge.clips.rendered_motion import RenderedMotionParams, render_clips
from signbridge.clips.table import Clip
from signbridge.core import params
from signbridge.core.command_line import run
from signbridge.statistics.intervals import StatisticsParams, group_bootstrap
from signbridge.vlm.catalog import ModelParams
from signbridge.vlm.loading import LoadedModel, load
from signbridge.vlm.residual import reading

SIGNERS = 24
MODELS, CPU = Path(".scratch/models"), torch.device("cpu")
BATCH = 20


class Read(NamedTuple):
    """What came of clips under one prompt."""

    answers: np.ndarray
    streams: dict[str, np.ndarray]  # by site of the decoder: clips x width, at the prompt's last token


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--keep", action="store_true", help="append to benchmarks/results/motion_miniature.md")
    arguments = parser.parse_args()
    loaded = load(params.entry("motion-miniature", params.MODELS, ModelParams), MODELS, CPU)
    drawn = params.section("rendered_motion", RenderedMotionParams, params.DATASETS)
    clips = render_clips(drawn.model_copy(update={"signers": SIGNERS, "clips_per_sign": SIGNERS}))
    twin = load(params.entry("motion-miniature-untrained", params.MODELS, ModelParams), MODELS, CPU)
    lines = [describe(), f"{len(clips)} clips of {SIGNERS} signers", *report(loaded, clips)]
    lines += ["its untrained twin", *report(twin, clips)[-2:]]
    print("\n".join(lines), flush=True)
    if arguments.keep:
        keep("motion_miniature", lines)


def report(loaded: LoadedModel, clips: list[Clip]) -> list[str]:
    """The figures, a line each."""
    known = pd.DataFrame([clip._asdict() for clip in clips])[["label", "signer", "shape", "movement", "kind"]]
    in_pair = (known["kind"] != "letter").to_numpy()
    said = known["movement"].map(MOVEMENTS).to_numpy()
    backwards = known["movement"].map(OPPOSITE).map(MOVEMENTS).to_numpy()
    frames = np.stack([np.stack(clip.read().images) for clip in clips])
    rng = np.random.default_rng(0)
    orders = {"in order": np.tile(np.arange(frames.shape[1]), (len(clips), 1))}
    orders["shuffled"] = rng.permuted(orders["in order"], axis=1)
    orders["backwards"] = orders["in order"][:, ::-1]
    signers, lines, read = known["signer"].to_numpy(), [], {}
    for name, order in orders.items():
        read[name] = read_clips(loaded, np.take_along_axis(frames, order[..., None, None], axis=1), MOVEMENT_PROMPT)
        right = read[name].answers == said
        lines.append(f"  movement named, {name}: {_share(right[in_pair], signers[in_pair])} of clips in pairs")
        if name == "in order":
            lines.append(f"    J and Z: {_share(right[~in_pair], signers[~in_pair])}")
            by_kind = pd.Series(right).groupby(known["movement"].to_numpy()).mean()
            lines.append("    by movement: " + ", ".join(f"{what} {share:.0%}" for what, share in by_kind.items()))
            strange = ~np.isin(read[name].answers, list(MOVEMENTS.values()))
            lines.append(f"    answers that are no movement: {strange.mean():.1%}")
        if name == "backwards":
            other = (read[name].answers == backwards)[in_pair]
            lines.append(f"    as what is then shown: {_share(other, signers[in_pair])}")
    shapes = read_clips(loaded, frames, SHAPE_PROMPT).answers == known["shape"].map(SHAPES).to_numpy()
    lines.append(f"  shape named: {_share(shapes, signers)}")
    for name in ("in order", "shuffled"):
        shares = [f"{_probed(stream, known, in_pair):.0%}" for stream in read[name].streams.values()]
        lines.append(f"  probe of movement, {name}, by layer: {', '.join(shares)}")
    return lines


@torch.no_grad()
def read_clips(loaded: LoadedModel, frames: np.ndarray, prompt: str) -> Read:
    """Answers, and the residual stream after each decoder block, of grey frames: clips x frames x height x width."""
    answers, streams = [], {}
    tokenizer = loaded.processor.tokenizer

    def note(site: str, stream: torch.Tensor) -> None:
        if site.startswith("layer"):
            streams.setdefault(site, []).append(stream[:, -1].float().numpy())

    for start in range(0, len(frames), BATCH):
        some = [Image.fromarray(frame).convert("RGB") for clip in frames[start : start + BATCH] for frame in clip]
        texts = [prompt.format(clip=CLIP)] * len(frames[start : start + BATCH])
        inputs = loaded.processor(images=some, text=texts, return_tensors="pt")
        with reading(loaded.parts, note):
            loaded.model.model(**inputs)
        said = loaded.model.generate(**inputs, max_new_tokens=4, do_sample=False)
        answers += tokenizer.batch_decode(said[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    return Read(
        np.array([answer.strip() for answer in answers]), {site: np.concatenate(v) for site, v in streams.items()}
    )


def _probed(stream: np.ndarray, known: pd.DataFrame, in_pair: np.ndarray) -> float:
    """How often a probe names the movement of clips of pairs by signers that it was not fitted on."""
    probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=500))
    of_pairs, signers = known[in_pair], known["signer"][in_pair]
    named = cross_val_predict(probe, stream[in_pair], of_pairs["movement"], groups=signers, cv=GroupKFold(6))
    return float((named == of_pairs["movement"]).mean())


def _share(right: np.ndarray, signers: np.ndarray) -> str:
    of_signer = pd.DataFrame({"right": right.astype(float), "clips": 1.0}).groupby(signers).sum()
    settings = params.section("statistics", StatisticsParams)
    rng = np.random.default_rng(params.seed())
    counts = of_signer["right"].to_numpy()[:, None], of_signer["clips"].to_numpy()
    low, high = group_bootstrap(*counts, settings.confidence, settings.resamples, rng)
    return f"{right.mean():.1%} ({low[0]:.1%} to {high[0]:.1%})"


if __name__ == "__main__":
    run(main)
