"""Run what a pipeline does for each item of a matrix several items at a time, and then the rest.

    python -m signbridge.side_by_side stages/models/dvc.yaml 2

DVC runs one stage after the other. Stages of one model, or of one run of tuning, wait for no other item, and on
processor cores each leaves others idle. So each is run by a `dvc repro` of its own, which waits for DVC's lock where
another holds it. Each is cached as by one `dvc repro`, and it ends with one, which finds them done.
With 1, which is right for a GPU, or on one core, that is all.
"""

import os
import re
import subprocess
import sys
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from graphlib import TopologicalSorter
from pathlib import Path
from typing import NamedTuple

from joblib import cpu_count
from tqdm import tqdm

from signbridge.core.command_line import run
from signbridge.core.errors import SignBridgeError

DVC = [sys.executable, "-m", "dvc"]
INTERRUPTED = 130  # the exit status after Ctrl-C


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
    at_once = min(at_once, cpu_count())
    if at_once > 1 and "matrix:" in Path(file).read_text(encoding="utf-8") and (plan := plan_of(file)) is not None:
        if plan.first:
            _or_end(repro(*plan.first))
        _or_end(run_items(plan.items, at_once, Path(file).parent.name))
    _or_end(repro(file))


def plan_of(file: str) -> Plan | None:
    """What of the pipeline `file` can be run side by side: items that wait for no stage that waits for an item.

    None where DVC cannot read it: `dvc repro` then says why.
    """
    from dvc.exceptions import DvcException  # DVC imports all that anyway where there is something to run

    try:
        return _plan_of(file)
    except DvcException:
        return None


def _plan_of(file: str) -> Plan:
    import networkx as nx
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


def repro(*targets: str) -> int:
    """Run `dvc repro`; its exit status. Ctrl-C reaches DVC and its stage too: both are waited for."""
    process = subprocess.Popen([*DVC, "repro", *targets])
    while True:
        with suppress(KeyboardInterrupt):
            return process.wait()


def run_items(items: dict[str, set[str]], at_once: int, title: str) -> int:
    """Run `items`, each after those that it waits for, `at_once` at a time; DVC's exit status.

    What one says is shown when it has ended. After one that fails, and after Ctrl-C, no other is begun.
    """
    order, status = TopologicalSorter(items), 0
    order.prepare()
    ready = list(order.get_ready())
    running: dict[Future[subprocess.CompletedProcess[bytes]], str] = {}
    with ThreadPoolExecutor(at_once) as pool, tqdm(total=len(items), desc=title, unit="stage", disable=None) as bar:
        while running or (ready and not status):
            while ready and len(running) < at_once and not status:
                item = ready.pop(0)
                running[pool.submit(_repro_of_item, item, at_once)] = item
            bar.set_postfix_str(", ".join(item.rpartition(":")[2] for item in running.values()))
            try:
                done = wait(running, return_when=FIRST_COMPLETED).done
            except KeyboardInterrupt:  # which those that run have had, too
                status = INTERRUPTED
                continue
            for ended in done:
                item, found = running.pop(ended), ended.result()
                tqdm.write(_to_show(found.stdout), file=sys.stderr, end="")
                bar.update()
                if found.returncode:
                    status = status or found.returncode
                else:
                    order.done(item)
                    ready += order.get_ready()
    return status


def _repro_of_item(item: str, at_once: int) -> subprocess.CompletedProcess[bytes]:
    """Run one item, with its share of the cores."""
    share = str(max(1, cpu_count() // at_once))
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
