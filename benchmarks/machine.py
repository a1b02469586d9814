"""What a benchmark ran on (no name that would identify the host), and where its printed result is kept."""

import datetime
import importlib.metadata
import os
import platform
from pathlib import Path

RESULTS = Path("benchmarks/results")
LIBRARIES = ("numpy", "scipy", "scikit-learn", "torch", "transformers", "bitsandbytes")


def describe() -> str:
    """One line: processor, cores that this process may use, GPU if torch sees one, Python and library versions."""
    parts = [f"{_processor()}, {_cores()} cores", *_gpu(), f"Python {platform.python_version()}"]
    for library in LIBRARIES:
        try:
            parts.append(f"{library} {importlib.metadata.version(library)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return ", ".join(parts)


def keep(name: str, lines: list[str]) -> None:
    """Append a run's printed lines, with today's date, to `benchmarks/results/NAME.md`."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    with (RESULTS / f"{name}.md").open("a", encoding="utf-8") as file:
        file.write(f"## {datetime.date.today()}\n\n```\n" + "\n".join(lines) + "\n```\n\n")


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _gpu() -> list[str]:
    try:
        import torch
    except ImportError:
        return []
    return [torch.cuda.get_device_name()] if torch.cuda.is_available() else []
