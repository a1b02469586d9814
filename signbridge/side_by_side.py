"""Run what a pipeline does for each item of a matrix several items at a time, and then the rest.

    python -m signbridge.side_by_side stages/models/dvc.yaml 2

DVC runs one stage after the other. Stages of one model, or of one run of tuning, wait for no other item, and on
processor cores each leaves others idle. So each is run by a `dvc repro` of its own, which waits for DVC's lock where
another holds it. What is cached and written is that of one `dvc repro`: it ends with one, which finds them done.
With 1, which is right for a GPU, that is all.
"""

import os
import re
import subprocess
import sys
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from graphlib import TopologicalSorter
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from signbridge.core.command_line import run
from signbridge.core.errors import SignBridgeError

DVC = [sys.executable, "-m", "dvc"]


class Plan(NamedTuple):
    """The stages of a pipeline that are run side by side, by DVC's addresses."""

    first: list[str]  # stages that the items wait for and that are none, to be run before
    items: dict[str, set[str]]  # an item of a matrix, and the items that it waits for


def main() -> None:
    """Run the pipeline that the first argument names, as many items at a time as the second says."""
    try:
        file, at_once = sys.argv[1], int(sys.argv[2])
    except (IndexError, ValueError):
        raise SignBridgeError("expected a pipeline and a number: stages/models/dvc.yaml 2.") from None
    if not Path(file).is_file():
        raise SignBridgeError(f"{file}: no such pipeline.")
    if at_once > 1 and "matrix:" in Path(file).read_text(encoding="utf-8"):
        plan = plan_of(file)
        if plan.first:
            _or_end(subprocess.run([*DVC, "repro", *plan.first]).returncode)
        _or_end(run_items(plan.items, at_once, Path(file).parent.name))
    _or_end(subprocess.run([*DVC, "repro", file]).returncode)


def plan_of(file: str) -> Plan:
    """What of the pipeline `file` can be run side by side: items that wait for no stage that waits for an item."""
    import networkx as nx  # both are DVC's, which imports them anyway where there is something to run
    from dvc.repo import Repo

    with Repo() as repo:
        graph = repo.index.graph  # from a stage to those that it waits for
        items = {stage for stage in repo.stage.collect(file) if "@" in stage.name}
    waiting = {stage for stage in set(graph) - items if not items.isdisjoint(nx.descendants(graph, stage))}
    items = {item for item in items if waiting.isdisjoint(nx.descendants(graph, item))}
    first = {stage.addressing for item in items for stage in graph.successors(item)} - {one.addressing for one in items}
    return Plan(
        sorted(first),
        {item.addressing: {one.addressing for one in graph.successors(item)} & {one.addressing for one in items}
         for item in sorted(items, key=lambda item: item.addressing)},
    )  # fmt: skip


def run_items(items: dict[str, set[str]], at_once: int, title: str) -> int:
    """Run `items`, each after those that it waits for, `at_once` at a time; DVC's exit status.

    What one says is shown when it has ended. After one that fails no other is begun.
    """
    order, status = TopologicalSorter(items), 0
    order.prepare()
    ready = list(order.get_ready())
    running: dict[Future[subprocess.CompletedProcess[bytes]], str] = {}
    with ThreadPoolExecutor(at_once) as pool, tqdm(total=len(items), desc=title, unit="stage", disable=None) as bar:
        while running or (ready and not status):
            while ready and len(running) < at_once and not status:
                item = ready.pop(0)
                running[pool.submit(_repro, item, at_once)] = item
            for ended in wait(running, return_when=FIRST_COMPLETED).done:
                item, found = running.pop(ended), ended.result()
                tqdm.write(_to_show(found.stdout), file=sys.stderr, end="")
                bar.update()
                if found.returncode:
                    status = found.returncode
                else:
                    order.done(item)
                    ready += order.get_ready()
    return status


def _repro(item: str, at_once: int) -> subprocess.CompletedProcess[bytes]:
    """Run one item, with its share of the cores."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    share = str(max(1, cores // at_once))
    return subprocess.run(
        [*DVC, "--wait-for-lock", "repro", "--single-item", item],
        env={"OMP_NUM_THREADS": share, "LOKY_MAX_CPU_COUNT": share} | os.environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def _to_show(said: bytes) -> str:
    """What a stage said, of a bar its last state alone, without DVC's hints after it."""
    last_states = re.sub(r"[^\n]*\r(?=[^\n])", "", said.decode(errors="replace").replace("\r\n", "\n"))
    return re.sub(r"\n(Updating|Generating) lock file.*", "\n", last_states, flags=re.DOTALL)


def _or_end(status: int) -> None:
    if status:
        sys.exit(status)


if __name__ == "__main__":
    run(main)
