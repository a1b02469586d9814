"""What every stage that reads a model costs with LLaVA-1.5-7B on a GPU: counted, without one.

    python -m benchmarks.gpu_budget                     # the table of docs/gpu.md, some minutes on two cores
    python -m benchmarks.gpu_budget --stages extract    # some stages: those before them run, too
    python -m benchmarks.gpu_budget --write             # into docs/gpu.md

The stages themselves run on a study of 300 images, on a pretended GPU (`benchmarks/pretended_cuda.py`), with a model of
LLaVA-1.5-7B's blocks, image tokens and prompts whose width is a 128th: `benchmarks/narrow_llava.py`. What goes through
its modules is counted, and each matrix taken at its real size. Every answer has as many tokens as it may, and answers
are a word a letter, so that there is something to patch. Minutes are operations at three rates and decoding steps at
three paces; memory is the most that tensors of the GPU have held, between two operations, and the weights expanded.
"""

import argparse
import importlib
import os
import re
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from ruamel.yaml import YAML
from tqdm import tqdm

from benchmarks.machine import keep
from benchmarks.narrow_llava import Counts, counting, real_bytes, write_narrow_llava, write_study
from signbridge.core import tables
from signbridge.core.command_line import run

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/gpu.md"
MARK = "<!-- python -m benchmarks.gpu_budget -->"
QUESTIONS = ("causal", "lenses", "sae")  # `pretrained` takes another model
RATES = {"H100": (300, 0.025), "A100": (120, 0.028), "T4": (40, 0.070)}  # TFLOP/s, seconds a decoding step
HEAD = ("stage", "loads", "prompts", "TFLOP", "decoding steps", *(f"{gpu}, min" for gpu in RATES), "GPU memory, GB",
        "written, GB")  # fmt: skip
WEIGHTS_GB = 14.1  # of LLaVA-1.5-7B, expanded to float16
BATCH = 64


class Cost(NamedTuple):
    """What a stage costs."""

    stage: str
    loads: int
    prompts: int  # images that the vision tower read
    tflop: float
    steps: int  # passes of one token a row
    memory: float  # bytes, beside the weights
    written: float  # bytes

    def minutes(self, gpu: str) -> float:
        """Of computing alone."""
        rate, pace = RATES[gpu]
        return (self.tflop / rate + self.steps * pace) / 60


def stages_that_read_a_model() -> dict[str, list[str]]:
    """By pipeline, in the order of its `dvc.yaml`: `study` has `extract`, `causal` has `causal.patch`."""
    found = {}
    for pipeline in ("study", *QUESTIONS):
        folder = ROOT / "stages" / ("" if pipeline == "study" else pipeline)
        file = ROOT / "dvc.yaml" if pipeline == "study" else folder / "dvc.yaml"
        stages = YAML(typ="safe").load(file.read_text(encoding="utf-8"))["stages"]
        reading = [name for name in stages if _reads_model(folder / f"{name}.py")]
        found[pipeline] = reading if pipeline == "study" else [f"{pipeline}.{name}" for name in reading]
    return found


def _reads_model(file: Path) -> bool:
    return (
        re.search(r"^from signbridge\.vlm\.model_run import .*\bmodel_run\b", file.read_text("utf-8"), re.M) is not None
    )


def measured(stages: Iterable[str], images: int, blocks: int, quick: bool = False) -> list[Cost]:
    """The costs of the stages, run in that order in a folder of their own; all before a stage must be among them."""
    here, costs = Path.cwd(), []
    environment = {"SIGNBRIDGE_DEVICE": "cuda", "SIGNBRIDGE_BATCH_SIZE": str(BATCH)}
    before = {name: os.environ.get(name) for name in environment}
    with tempfile.TemporaryDirectory() as folder:
        try:
            os.chdir(folder)
            os.environ.update(environment)
            write_narrow_llava(Path("model"), blocks)
            write_study(ROOT, images, quick)
            for stage in tqdm(list(stages), desc="budget", unit="stage"):
                costs.append(_run(stage))
                tqdm.write(_row(costs[-1]))
        finally:
            os.chdir(here)
            for name, value in before.items():
                os.environ.pop(name) if value is None else os.environ.update({name: value})
    return costs


def _run(stage: str) -> Cost:
    """One stage, counted; then the answers that the stages after it take."""
    main, counts = importlib.import_module(f"stages.{stage}").main, Counts()
    if stage.startswith("sae."):
        importlib.import_module("sae_lens")  # before there is a GPU that its libraries would look into
    with counting(counts):
        main()
    written = sum(real_bytes(file) for out in _outs(stage) for file in [out, *out.rglob("*")] if file.is_file())
    if stage == "extract":
        _say("data/answers.parquet", "label")
    if stage == "sae.features":
        _say("data/sae/features/concept/answers.parquet", "image_id")
    return Cost(stage, counts.loads, counts.prompts, counts.operations / 1e12, counts.steps, counts.peak, written)


def _say(path: str, by: str) -> None:
    """Answers that differ between letters, or between hands whose index finger is up and those where it is not."""
    words = ["fist", "palm", "point", "peace", "thumb", "index", "middle", "ring", "little", "up", "bent", "crossed"]
    answers, made_by = tables.read(path), tables.made_by(path)
    if by == "label":
        said = [words[place % len(words)] for place in np.unique(answers["label"], return_inverse=True)[1]]
    else:
        up = tables.read("data/hands.parquet").set_index("image_id")["up_index"]
        said = ["up" if up.get(image) else "bent" for image in answers["image_id"]]
    tables.write(answers.assign(answer=said), path, made_by)


def _outs(stage: str) -> list[Path]:
    *pipeline, name = stage.split(".")
    file = ROOT.joinpath("stages", *pipeline, "dvc.yaml") if pipeline else ROOT / "dvc.yaml"
    outs = YAML(typ="safe").load(file.read_text(encoding="utf-8"))["stages"][name]["outs"]
    return [Path(out if isinstance(out, str) else next(iter(out))) for out in outs]


def table(costs: list[Cost]) -> list[str]:
    """The lines of the table: a row a stage, and one a pipeline that has more than one."""
    lines = [f"| {' | '.join(HEAD)} |", f"|{'---|' * len(HEAD)}"]
    for pipeline, stages in stages_that_read_a_model().items():
        of_pipeline = [cost for cost in costs if cost.stage in stages]
        lines += [_row(cost) for cost in of_pipeline]
        if len(of_pipeline) > 1:
            lines.append(_row(together(f"**{pipeline}**", of_pipeline)))
    return lines


def together(name: str, costs: list[Cost]) -> Cost:
    """Of all of them: sums, and the largest memory."""
    sums = (sum(getattr(cost, field) for cost in costs) for field in ("loads", "prompts", "tflop", "steps"))
    return Cost(name, *sums, max(cost.memory for cost in costs), sum(cost.written for cost in costs))


def _row(cost: Cost) -> str:
    minutes = [f"{cost.minutes(gpu):.1f}" for gpu in RATES]
    counts = [str(cost.loads), f"{cost.prompts:,}", f"{cost.tflop:,.0f}", f"{cost.steps:,}"]
    return " | ".join(
        [f"| {cost.stage}", *counts, *minutes, f"{WEIGHTS_GB + cost.memory / 1e9:.0f}", f"{cost.written / 1e9:.1f} |"]
    )


def main() -> None:
    """Count, print the table; with --write also into docs/gpu.md."""
    arguments = _arguments()
    every = [stage for stages in stages_that_read_a_model().values() for stage in stages]
    wanted = arguments.stages or every
    last = max(every.index(stage) for stage in wanted)
    start = time.perf_counter()
    costs = measured(every[: last + 1], arguments.images, arguments.blocks)
    lines = table([cost for cost in costs if cost.stage in wanted])
    print("\n".join(lines))
    print(f"counted in {time.perf_counter() - start:.0f} s")
    if arguments.write:
        write_into(PAGE, lines)
    if arguments.keep:
        keep("gpu_budget", lines)


def write_into(page: Path, lines: list[str]) -> None:
    """Put the table behind its mark on the page, in place of the one that is there."""
    text = page.read_text(encoding="utf-8")
    before, _, after = text.partition(f"{MARK}\n\n")
    rest = re.sub(r"\A(\|.*\n)*", "", after)
    page.write_text(f"{before}{MARK}\n\n" + "\n".join(lines) + f"\n{rest}", encoding="utf-8", newline="\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    every = [stage for stages in stages_that_read_a_model().values() for stage in stages]
    parser.add_argument("--stages", nargs="+", choices=every, help="all, if not given")
    parser.add_argument("--images", type=int, default=300)
    parser.add_argument("--blocks", type=int, default=32)
    parser.add_argument("--write", action="store_true", help="into docs/gpu.md")
    parser.add_argument("--keep", action="store_true", help="append to benchmarks/results/gpu_budget.md")
    return parser.parse_args()


if __name__ == "__main__":
    run(main)
