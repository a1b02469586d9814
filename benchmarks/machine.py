"""What a benchmark ran on, and where its printed result is kept."""

import datetime
import importlib.metadata
import os
import platform
from pathlib import Path

RESULTS = Path("benchmarks/results")
PACKAGES = ("torch", "transformers", "bitsandbytes", "scikit-learn", "numpy")


def describe() -> str:
    """Processor, cores, GPU if there is one, Python and packages; no host name."""
    packages = ", ".join(f"{package} {importlib.metadata.version(package)}" for package in PACKAGES)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{_processor()}, {cores} cores{_gpu()}, Python {platform.python_version()}, {packages}"


def keep(name: str, lines: list[str]) -> None:
    """Append a run's printed lines, with today's date, to `benchmarks/results/NAME.md`."""
    RESULTS.mkdir(exist_ok=True)
    with (RESULTS / f"{name}.md").open("a", encoding="utf-8") as file:
        file.write(f"## {datetime.date.today()}\n\n```\n" + "\n".join(lines) + "\n```\n\n")


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def _gpu() -> str:
    try:
        import torch
    except ImportError:
        return ""
    return f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
