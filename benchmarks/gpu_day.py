"""What only a GPU can tell, in 15 minutes on an H100: called by `benchmarks/gpu_day.sh`.

weights     LLaVA-1.5-7B's shape with random weights: 14 GB below .scratch/models/
preflight   what the machine has, and whether that does
study       the whole study of 300 drawn hands with that model in NF4, stage by stage, with peak memory
extract     images a second, beside the notebook's loop, as a share of the measured rate of matrix products
memory      peak memory of a batch beside what is estimated
noise       images patched into themselves, in float16 and in bfloat16: what patching moves where it must move nothing
miniature   the study of the miniature, and whether its metrics are those of the last commit, within their tolerances

A step that is done is not done again, and a stage of a study neither: delete .scratch/gpu_day/ to begin anew. Each step
has a time limit. One that fails or takes longer leaves the others alone; the exit status is then 1.
"""

import argparse
import dataclasses
import importlib
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from ruamel.yaml import YAML

from benchmarks.extract import entry_of
from benchmarks.llava_shape import FOLDER, llava_1_5_7b_config
from benchmarks.machine import describe, keep
from benchmarks.timing import peak_gib
from signbridge.causal.patching import Swap, patching_work
from signbridge.core import params
from signbridge.core.command_line import run
from signbridge.core.errors import SignBridgeError
from signbridge.vlm.extraction import Reader
from signbridge.vlm.loading import device_from_environment, load
from signbridge.vlm.random_weights import write_random_llava

ROOT = Path(__file__).parents[1]
WORK = Path(".scratch/gpu_day")
SHAPE, MINIATURE = FOLDER.name, "miniature"
COPIED = ("signbridge", "stages", "models", "corpora", "metrics", "benchmarks", "params.yaml", "models.yaml",
          "datasets.yaml", "dvc.yaml", "pyproject.toml")  # fmt: skip
SMALL_SAMPLE = {"strategy": "one_per_photo", "classes": list("ABCL"), "per_class": 6}
SMALL_PROBE = {"folds": 2, "repeats": 2, "inner_folds": 2, "C": [0.01, 0.1]}
NOISE_PAIRS = 8


@dataclasses.dataclass(frozen=True)
class Step:
    """What is run, and for how many seconds at most."""

    name: str
    command: list[str]  # of Python
    seconds: int
    folder: Path = Path()


def steps(small: bool) -> list[Step]:
    """All steps, in order; of the small ones those that a CPU can take."""
    shape = MINIATURE if small else SHAPE
    itself = ["-m", "benchmarks.gpu_day", *(["--small"] if small else []), "--do"]
    few = ["--images", "16", "--loop-images", "4"] if small else ["--images", "320", "--loop-images", "32"]
    every = [
        Step("weights", [*itself, "weights"], 120),
        Step("preflight", ["-m", "signbridge.preflight", shape], 30, WORK / "shape"),
        Step("study", [*itself, "study"], 390),
        Step("extract", ["-m", "benchmarks.extract", "--model", shape, *few], 75),
        Step("memory", ["-m", "benchmarks.llava_shape", "--batches", "1", "8", "64"], 75),
        Step("noise", [*itself, "noise"], 60),
        Step("miniature", [*itself, "miniature"], 150),
    ]
    return [step for step in every if not small or step.name != "memory"]  # which is of the shape alone


def main() -> None:
    """Run the steps that are asked for or not yet done, keep their results, say how they went."""
    arguments = _arguments()
    if arguments.do:
        DOES[arguments.do](arguments.small)
        return
    failed = []
    for step in steps(arguments.small):
        done = WORK / "done" / step.name
        if arguments.steps and step.name not in arguments.steps:
            continue
        if done.exists() and not arguments.steps:
            print(f"{step.name}: done before")
            continue
        if step.name == "preflight" and importlib.util.find_spec("signbridge.preflight") is None:
            print("preflight: this version has none")
            continue
        print(f"{step.name}: at most {step.seconds} s", flush=True)
        how, lines = taken(step, 20 * step.seconds if arguments.small else step.seconds)
        keep("gpu_day", [f"{step.name}: {how}; {describe()}", *lines])
        print("\n".join([*lines, f"{step.name}: {how}"]), flush=True)
        if how.startswith("done"):
            done.parent.mkdir(parents=True, exist_ok=True)
            done.touch()
        else:
            failed.append(step.name)
    if failed:
        raise SignBridgeError(
            f"failed: {', '.join(failed)}. What they said: {WORK}/*.log. Run the script again for these."
        )


def taken(step: Step, seconds: float) -> tuple[str, list[str]]:
    """How the step went, in words that begin with `done` if it did, and what it printed."""
    (Path.cwd() / WORK).mkdir(parents=True, exist_ok=True)
    log = WORK / f"{step.name}.log"
    environment = os.environ | {"PYTHONPATH": str(Path.cwd()), "PYTHONUNBUFFERED": "1"}
    start = time.monotonic()
    with log.open("w", encoding="utf-8") as errors:
        process = subprocess.Popen(
            [sys.executable, *step.command], cwd=step.folder, env=environment, stdout=subprocess.PIPE, stderr=errors,
            text=True, start_new_session=True,
        )  # fmt: skip
        try:
            printed, _ = process.communicate(timeout=seconds)
            how = f"exit status {process.returncode}" if process.returncode else "done"
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            printed, _ = process.communicate()
            how = f"stopped after its limit of {seconds:.0f} s"
    lines = printed.splitlines()
    if process.returncode:
        lines += [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line][-3:]
    return f"{how} in {time.monotonic() - start:.0f} s", lines


def weights(small: bool) -> None:
    """The model's weights, drawn on the device and written; and the folder that its study runs in."""
    device, start = device_from_environment(), time.perf_counter()
    if not small:
        with torch.device(device):
            write_random_llava(FOLDER, llava_1_5_7b_config(), seed=0, dtype=torch.float16)
    project(WORK / "shape", small)
    entries = WORK / "shape" / params.MODELS
    path = ROOT / "models/miniature" if small else Path.cwd() / FOLDER
    llava = params.section("llava-1-5-7b", dict, entries)
    entry = {key: value for key, value in llava.items() if key not in ("hub_id", "revision")}
    name = MINIATURE if small else SHAPE
    _change(
        entries, {name: {**entry, "source": "folder", "path": str(path), "dtype": "bfloat16" if small else "float16"}}
    )
    _change(WORK / "shape" / params.PARAMS, {"model": name})
    print(f"weights in {time.perf_counter() - start:.0f} s")


def project(folder: Path, small: bool) -> None:
    """A copy of the project to run a study in, its metrics committed, if it is not there."""
    if folder.exists():
        return
    unfinished = folder.with_name(f".{folder.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    copy_project(ROOT, unfinished)
    for data in ("data", "metrics"):
        (unfinished / data).mkdir(exist_ok=True)
    if small:
        _change(
            unfinished / params.DATASETS,
            {"rendered": {"source": "rendered", "seed": 0, "size": 28, "photos": 6, "copies": 2}},
        )
        changes = {"sample": SMALL_SAMPLE, "statistics": {"confidence": 0.95, "resamples": 50}}
        _change(
            unfinished / params.PARAMS,
            {**changes, "probe": {**_read(unfinished / params.PARAMS)["probe"], "grouped": SMALL_PROBE}},
        )
    _commit(unfinished)
    unfinished.rename(folder)


def copy_project(root: Path, folder: Path) -> None:
    """What a study and these benchmarks need, without what they made."""
    for name in COPIED:
        if (root / name).is_dir():
            shutil.copytree(root / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "results"))
        elif (root / name).exists():
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copy(root / name, folder / name)


def study(small: bool) -> None:
    """Every stage of the study with the random model, in NF4."""
    run_stages(WORK / "shape")


def run_stages(folder: Path) -> None:
    """The stages of the study in `folder`, in this process and in order, each once; a line each: seconds and memory."""
    here, device = Path.cwd(), device_from_environment()
    names = list(_read(folder / "dvc.yaml")["stages"])
    os.chdir(folder)
    try:
        for name in names:
            done = Path(".done") / name
            if done.exists():
                continue
            if device.type == "cuda":
                torch.cuda.reset_peak_memory_stats(device)
            start = time.perf_counter()
            importlib.import_module(f"stages.{name}").main()
            print(f"{name:16} {time.perf_counter() - start:6.1f} s, peak {peak_gib(device):.2f} GiB", flush=True)
            done.parent.mkdir(exist_ok=True)
            done.touch()
    finally:
        os.chdir(here)


def noise(small: bool) -> None:
    """What patching an image into itself moves, beside what another image moves, in both half precisions."""
    device = device_from_environment()
    pixels = np.random.default_rng(0).integers(0, 256, (2 * NOISE_PAIRS, 28, 28), dtype=np.uint8)
    images = [Image.fromarray(array).convert("RGB") for array in pixels]
    for dtype in ("float16", "bfloat16"):
        entry = entry_of(MINIATURE if small else SHAPE).model_copy(update={"dtype": dtype})
        loaded = load(entry, Path(".scratch/models"), device)
        reader = Reader(loaded, entry.prompt, entry.max_new_tokens, 64)
        itself, other = (
            _moved(
                reader,
                [Swap(image, images[place - shift], reader.prompt, (5, 6)) for place, image in enumerate(images)],
            )
            for shift in (0, 1)
        )
        print(
            f"{dtype}: patched into itself an image moves the logits' difference by {itself.max():.2g} at most and "
            f"{itself.mean():.2g} in the mean; another image by {other.mean():.2g} in the mean; "
            f"share of noise {itself.mean() / max(other.mean(), 1e-12):.2g}"
        )
        del loaded, reader


def _moved(reader: Reader, swaps: list[Swap]) -> np.ndarray:
    found = reader.read(swaps, patching_work(reader)).vectors
    return np.abs(found["patched"] - found["receiver"][:, :, None, None])


def miniature(small: bool) -> None:
    """The miniature's study on this device, and `python -m signbridge.check`; a small one is first run on the CPU."""
    folder = WORK / "miniature"
    project(folder, small)
    if small and not (folder / ".on_cpu").exists():
        run_stages(folder)
        _commit(folder)
        shutil.rmtree(folder / ".done")
        (folder / ".on_cpu").touch()
    run_stages(folder)
    checked = subprocess.run(
        [sys.executable, "-m", "signbridge.check"], cwd=folder, capture_output=True, text=True, check=False,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    print(checked.stdout, end="")
    if checked.returncode:
        raise SignBridgeError(f"the metrics are not those of the CPU.\n{checked.stderr.strip()}")


def _commit(folder: Path) -> None:
    git = ["git", "-c", "user.name=gpu day", "-c", "user.email=gpu@day"]
    for command in (["init", "-q"], ["add", "-f", "metrics"], ["commit", "-q", "--allow-empty", "-m", "metrics"]):
        subprocess.run([*git, *command], cwd=folder, check=True)


def _read(path: Path) -> dict:
    return YAML(typ="safe").load(path.read_text(encoding="utf-8"))


def _change(path: Path, entries: dict) -> None:
    """Set keys of a YAML file; its comments stay, which the report shows."""
    yaml = YAML()
    yaml.width = 120
    values = yaml.load(path.read_text(encoding="utf-8"))
    values.update(entries)
    yaml.dump(values, path)


DOES: dict[str, Callable[[bool], None]] = {"weights": weights, "study": study, "noise": noise, "miniature": miniature}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "steps", nargs="*", metavar="step", help="these alone, again; all that are not done, if not given"
    )
    parser.add_argument("--small", action="store_true", help="with the miniature and few images, for a CPU")
    parser.add_argument("--do", choices=DOES, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    names = [step.name for step in steps(arguments.small)]
    if unknown := set(arguments.steps) - set(names):
        parser.error(f"no step {', '.join(sorted(unknown))}. There are: {', '.join(names)}.")
    return arguments


if __name__ == "__main__":
    run(main)
