"""What this machine has: the build of PyTorch and the driver that it needs, main memory, room on the disk."""

import os
import re
import shutil
import subprocess
import time
from pathlib import Path

import torch

# The least NVIDIA driver of each CUDA release: docs.nvidia.com/deploy/cuda-compatibility, minor version compatibility.
LEAST_DRIVER = {11: 450, 12: 525, 13: 580}
NVIDIA_DRIVER = Path("/proc/driver/nvidia/version")
MEMORY = Path("/proc/meminfo")
# How much a container may take, and what it has taken: version 2 of control groups, then version 1.
CONTAINER = (
    (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")),
    (Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"), Path("/sys/fs/cgroup/memory/memory.usage_in_bytes")),
)


def torch_release() -> str:
    """The release of PyTorch, without the build: 2.13.0."""
    return torch.__version__.partition("+")[0]


def torch_build() -> str:
    """Which PyTorch is installed: `torch 2.13.0 for CUDA 13.0`, or `for CPUs alone`."""
    if torch.version.cuda:
        return f"torch {torch_release()} for CUDA {torch.version.cuda}"
    hip = getattr(torch.version, "hip", None)
    return f"torch {torch_release()} for {f'ROCm {hip}' if hip else 'CPUs alone'}"


def driver_version() -> str | None:
    """The version of the NVIDIA driver, 580.65.06; None if there is none to be found."""
    try:
        said = NVIDIA_DRIVER.read_text(encoding="utf-8", errors="replace")
    except OSError:
        said = _nvidia_smi()  # which a container may lack, and a Windows machine has
    found = re.search(r"\b\d{3,}\.\d+(?:\.\d+)?\b", said)
    return found[0] if found else None


def least_driver() -> int | None:
    """The oldest major version of the NVIDIA driver that this PyTorch runs with; None where it needs none."""
    return LEAST_DRIVER.get(int(torch.version.cuda.partition(".")[0])) if torch.version.cuda else None


def why_no_gpu() -> str:
    """Two sentences: why this PyTorch sees no GPU, and what to do."""
    needed, found = least_driver(), driver_version()
    if not torch.version.cuda:
        drivers = " and ".join(f"CUDA {cuda} from {least} on" for cuda, least in LEAST_DRIVER.items() if cuda > 11)
        return (
            f"This is {torch_build()}. Take another build, {_command(found)}: of NVIDIA drivers {drivers} is needed "
            f"({found or 'none'} found)."
        )
    if found and (needed is None or int(found.partition(".")[0]) >= needed):
        hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
        return (
            f"{torch_build()} sees no GPU, though driver {found} is new enough. Look at `nvidia-smi`, and at "
            f"CUDA_VISIBLE_DEVICES ({'not set' if hidden is None else repr(hidden)})."
        )
    from_on = f"an NVIDIA driver from {needed} on" if needed else "a newer NVIDIA driver"
    return (
        f"{torch_build()} needs {from_on}, and {f'{found} is there' if found else 'none was found'}. Update the "
        f"driver, or take another build, {_command(found)}."
    )


def free_memory() -> int | None:
    """Main memory in bytes that a new process may take: what the system has, or less in a container. None: unknown."""
    there = [_available(), *(_left(most, taken) for most, taken in CONTAINER)]
    return min((size for size in there if size is not None), default=None)


def free_disk(folder: Path) -> int:
    """Room in bytes where `folder` is or would be."""
    return shutil.disk_usage(standing(folder)).free


def standing(folder: Path) -> Path:
    """`folder`, or the nearest one above it that is there."""
    folder = folder.expanduser().absolute()
    return next(place for place in (folder, *folder.parents) if place.exists())


def _command(driver: str | None) -> str:
    """The command that installs the pinned PyTorch for the newest CUDA that `driver` runs."""
    major = int(driver.partition(".")[0]) if driver else 0
    build = "cu130" if not driver or major >= LEAST_DRIVER[13] else "cu126"
    return (
        f"`pip install torch=={torch_release()} --index-url https://download.pytorch.org/whl/{build}` "
        "(pytorch.org lists them)"
    )


def _nvidia_smi() -> str:
    program = shutil.which("nvidia-smi")
    if program is None:
        return ""
    command = [program, "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=20, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""


def _available() -> int | None:
    try:
        found = re.search(r"^MemAvailable:\s+(\d+) kB", MEMORY.read_text(encoding="utf-8"), re.MULTILINE)
        return int(found[1]) * 1024 if found else None
    except OSError:
        return None


def _left(most: Path, taken: Path) -> int | None:
    """What a container may still take. What it keeps of files (`inactive_file`) is given up when it is needed."""
    try:
        statistics = taken.with_name("memory.stat").read_text(encoding="utf-8")
        kept = re.search(r"^(?:total_)?inactive_file (\d+)", statistics, re.MULTILINE)
        return max(0, int(most.read_text()) - int(taken.read_text()) + (int(kept[1]) if kept else 0))
    except (OSError, ValueError):  # no such file; or "max": no limit
        return None


def matmul_rate(device: torch.device, dtype: torch.dtype, seconds: float) -> float:
    """FLOP/s of products of square matrices, the best of many tries in so long: other work only makes them slower.

    The matrices grow until one product takes 10 ms.
    """
    side, end = 256, time.perf_counter() + seconds
    while True:
        left, right = (torch.rand(side, side, device=device).to(dtype) for _ in range(2))
        took = min(_seconds(left, right, 1, device) for _ in range(4))
        if took > 0.01 or side == 8192:
            break
        side *= 2
    while time.perf_counter() < end:
        times = max(1, int(0.1 / took))
        took = min(took, _seconds(left, right, times, device) / times)
    return 2.0 * side**3 / took


def _seconds(left: torch.Tensor, right: torch.Tensor, times: int, device: torch.device) -> float:
    start = time.perf_counter()
    for _ in range(times):
        left @ right
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start
