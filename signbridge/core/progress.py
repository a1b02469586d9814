"""How far a run of a pipeline has come, and how long the rest takes: by the times of earlier runs on this machine.

Each stage notes its time below `.scratch/times/stages/`, by the dataset and the model that were chosen. What is left of
a run is the stage that starts, what depends on it or on a stage that the run has already made, and what lacks outputs.
DVC does not run stages in the order of the pipeline's file, nor in the same order each time, and leaves out those that
are up to date. So a stage has no number of its own: what is said is how many are done.
"""

import json
import sys
from pathlib import Path
from typing import Any

from signbridge.core import params
from signbridge.core.errors import SignBridgeError
from signbridge.core.pipeline import Stage

TIMES = Path(".scratch/times/stages")  # a file a stage, of a matrix a file an item; git does not see it
SAME_FOR_EVERY_CHOICE = "data/choice.txt"  # what depends on it does not run again when the choice is checked again


def heading(stage: Stage) -> str:
    """What a stage says first: `study, 3 of 15 stages done, about 2 min left: sample`.

    The time is left out where a stage that is still to run has never run with this dataset and model.
    """
    done, left = place_in_run(stage)
    said = [stage.pipeline]
    said += [] if done is None else [f"{done} of {len(stage.pipeline_entries)} stages done"]
    said += [] if left is None else [f"about {in_words(left)} left"]
    return f"{', '.join(said)}: {stage.name}"


def in_words(seconds: float) -> str:
    """A time as one says it: to 10 s, from a minute and a half on to a minute, from two hours on to half an hour."""
    if seconds < 90:
        return f"{max(10, round(seconds / 10) * 10)} s"
    if seconds < 2 * 3600:
        return f"{round(seconds / 60)} min"
    return f"{round(seconds / 1800) / 2:g} h"


def note(stage: Stage, seconds: float) -> None:
    """Write how long `stage` took, and in which run of DVC."""
    from signbridge.core.tables import whole_file  # here, because it imports pandas: commands without tables are quick

    path = _path(stage, sys.argv[1:2])
    noted = _noted(path) | {_choice(stage): {"seconds": round(seconds, 1), "run": _run_of_dvc()}}
    with whole_file(path) as unfinished:
        unfinished.write_text(json.dumps(noted), encoding="utf-8")


def place_in_run(stage: Stage) -> tuple[int | None, float | None]:
    """How many stages have run or need not, and for how many seconds this one and those after it last ran.

    None where that is not known, as without DVC, which runs several.
    """
    run, entries = _run_of_dvc(), stage.pipeline_entries
    try:
        if run is None:
            return None, None
        choice = _choice(stage)
        times = {name: _times(stage, name, choice) for name in entries}
    except SignBridgeError:  # of the params: whoever reads them says it
        return None, None
    now = _path(stage, sys.argv[1:2])
    ended = {path for noted in times.values() for path, last in noted.items() if last.get("run") == run} - {now}
    begun = {name for name, noted in times.items() if not ended.isdisjoint(noted)} | {stage.name}
    lacking = {name for name, entry in entries.items() if not all(map(_is_there, _outs(entry)))}
    done = {name for name, noted in times.items() if ended.issuperset(noted)} | _before(stage.name, entries)
    left = _after(begun | lacking, entries) - done
    if SAME_FOR_EVERY_CHOICE in _outs(stage.entry) and len(left) < len(entries):  # what it is checked for is not known
        return None, None
    to_come = [last for name in left for path, last in times[name].items() if path not in ended]
    return len(entries) - len(left), sum(last["seconds"] for last in to_come) if all(to_come) else None


def _times(stage: Stage, name: str, choice: str) -> dict[Path, dict[str, Any]]:
    """What was noted of the stage `name`, or of each item of its matrix, by file; an empty dictionary for none."""
    other = stage._replace(name=name, entry=stage.pipeline_entries[name])
    items: list[list[Any]] = [[]]
    for listed in other.entry.get("matrix", {}).values():  # `${models}`: a list of the params
        items = [[item] for item in params.section(listed[2:-1], list, _own_params(stage))]
    return {path: _noted(path).get(choice, {}) for path in (_path(other, item) for item in items)}


def _after(names: set[str], entries: dict[str, Any]) -> set[str]:
    """`names`, and the stages that depend on one of them, directly or through others."""
    found: set[str] = set()
    while names - found:
        found |= names
        made = [out for name in found for out in _outs(entries[name]) if out != SAME_FOR_EVERY_CHOICE]
        names = {name for name, entry in entries.items() if _reads(entry, made)}
    return found


def _before(name: str, entries: dict[str, Any]) -> set[str]:
    """The stages that the stage `name` depends on, directly or through others."""
    found: set[str] = set()
    direct = {other for other, entry in entries.items() if _reads(entries[name], _outs(entry))}
    while direct - found:
        found |= direct
        direct = {other for other, entry in entries.items() if any(_reads(entries[one], _outs(entry)) for one in found)}
    return found


def _reads(entry: dict[str, Any], made: list[str]) -> bool:
    return any(_overlap(dep, out) for dep in entry["deps"] for out in made)


def _outs(entry: dict[str, Any]) -> list[str]:
    listed = [out for kind in ("outs", "metrics", "plots") for out in entry.get(kind, [])]
    return [next(iter(out)) if isinstance(out, dict) else out for out in listed]


def _overlap(one: str, other: str) -> bool:
    first, second = (f"{_folder(path).rstrip('/')}/" for path in (one, other))
    return first.startswith(second) or second.startswith(first)


def _is_there(out: str) -> bool:
    return Path(_folder(out)).exists()


def _folder(path: str) -> str:
    """What a matrix makes counts as the folder of all its outputs."""
    return path.partition("${")[0]


def _path(stage: Stage, item: list[Any]) -> Path:
    of_item = "".join(f"@{str(one).replace('/', '+')}" for one in item)
    return TIMES / f"{stage.pipeline}-{stage.name}{of_item}"


def _noted(path: Path) -> dict[str, Any]:
    try:
        noted = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # none yet, or a disk that was full
        return {}
    return noted if isinstance(noted, dict) else {}


def _choice(stage: Stage) -> str:
    """The dataset and the model that the pipeline reads: those of the study, if it chooses none of its own."""
    chosen = params.whole(dict, params.PARAMS) | params.whole(dict, _own_params(stage))
    return f"{chosen.get('dataset')} {chosen.get('model')}"


def _own_params(stage: Stage) -> Path:
    return params.PARAMS if stage.pipeline == "study" else Path("stages") / stage.pipeline / "params.yaml"


def _run_of_dvc() -> str | None:
    """The process of DVC that this stage runs in, told from others that had its number; None where there is none."""
    import psutil  # DVC brings it

    try:
        for process in psutil.Process().parents():
            if any(Path(word).stem == "dvc" for word in process.cmdline()):
                return f"{process.pid} {process.create_time():.0f}"
    except psutil.Error:  # of a process that has ended, or of another user
        pass
    return None
