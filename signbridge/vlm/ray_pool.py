"""Make the shards of a run on many devices and machines, by Ray.

`SIGNBRIDGE_WORKERS=ray` starts Ray here, one actor a GPU (two on a machine without one); `ray://address:port` takes a
cluster that runs already. `SIGNBRIDGE_ACTORS` says how many. Each actor loads the model and makes shard after shard
into the scratch folder, which therefore lies on a disk that all of them see (`SIGNBRIDGE_SCRATCH`). The working folder
and the project lie at one path on all machines. An actor that dies is started anew and its shard made again.

Ray's core alone is used (`ray.util.ActorPool`): shards are what this project hands out, checks and puts in order.
"""

import logging
import os
from collections.abc import Callable, Iterator
from typing import Any

import torch

from signbridge.core.errors import SignBridgeError
from signbridge.core.pipeline import ROOT
from signbridge.vlm.catalog import Model
from signbridge.vlm.chosen import SCRATCH_MODELS
from signbridge.vlm.extraction import Reader
from signbridge.vlm.loading import LoadedModel, device_from_environment, load
from signbridge.vlm.shard_runs import MakeShards, ShardRun, read_shard
from signbridge.vlm.shipping import packed, unpacked

log = logging.getLogger(__name__)

WORKERS, ACTORS = "SIGNBRIDGE_WORKERS", "SIGNBRIDGE_ACTORS"
ON_CPU = 2  # actors where there is no GPU, unless it is said
DEATHS = 3  # of one actor, or in one shard, after which the run ends
HANDED_ON = "SIGNBRIDGE_"  # environment variables that actors get, beside the path of the project


def is_asked_for() -> bool:
    """Whether the environment asks for Ray. Raises `SignBridgeError` if it asks for something that is not known."""
    asked = os.environ.get(WORKERS, "")
    if asked in ("", "local"):
        return False
    if asked != "ray" and not asked.startswith("ray://"):
        raise SignBridgeError(f"{WORKERS}={asked}: expected ray, or ray://address:port of a cluster that runs.")
    return True


class Elsewhere:
    """Who else has loaded the models of one run, where the environment asks for it."""

    def __init__(self) -> None:
        """Nobody yet."""
        self._opened: dict[int, tuple[Model, int | None]] = {}  # what each model here was loaded as
        self._pools: dict[int, RayPool] = {}

    def note(self, loaded: LoadedModel, model: Model, twin_seed: int | None) -> None:
        """Remember the catalog's entry of a model, or of the one whose untrained twin it is."""
        self._opened[id(loaded.model)] = (model, twin_seed)

    def makes(self, reader: Reader) -> MakeShards | None:
        """Who makes shards on the reader's model, if not this process."""
        if not is_asked_for():
            return None
        key = id(reader.loaded.model)
        if key not in self._pools:
            self._pools[key] = RayPool(*self._opened[key], torch.get_num_threads())
        return self._pools[key].make

    def close(self) -> None:
        """Let all of them go."""
        while self._pools:
            self._pools.popitem()[1].close()


class RayPool:
    """Actors that have loaded one model; made when it is first used."""

    def __init__(self, model: Model, twin_seed: int | None, threads: int):
        """Of the catalog's entry `model`, or its untrained twin; `threads` is what each computes with on a CPU."""
        ray = _started()
        gpus = int(ray.cluster_resources().get("GPU", 0))
        self._gpu = torch.cuda.is_available() and os.environ.get("SIGNBRIDGE_DEVICE", "cuda") != "cpu" and gpus > 0
        actor = ray.remote(num_cpus=0, num_gpus=int(self._gpu), max_restarts=DEATHS, max_task_retries=DEATHS)(_Maker)
        count = _count(gpus if self._gpu else ON_CPU)
        log.info("%d actors of Ray, each with a model of its own", count)
        arguments = (model, twin_seed, threads, os.getcwd())
        self._actors = [actor.remote(*arguments) for _ in range(count)]

    def make(self, reader: Reader, run: ShardRun, numbers: list[int], items_of: Callable[[int], list]) -> Iterator[int]:
        """`shard_runs.MakeShards`: a shard that holds copies from others is handed out once those are there."""
        import ray
        from ray.util import ActorPool

        sent = ray.put(packed(run, reader.loaded))
        of_reader = ray.put(packed(reader, reader.loaded))
        waiting = {number: run.needs(number) & set(numbers) for number in numbers}
        pool = ActorPool(self._actors)

        def hand_out() -> None:
            for number in [number for number, needed in waiting.items() if not needed]:
                del waiting[number]
                items = packed(items_of(number), reader.loaded)
                pool.submit(
                    lambda actor, job: actor.make.remote(of_reader, sent, job[0], job[1], reader.batch_size),
                    (number, items),
                )

        hand_out()
        while pool.has_next():
            number, batch_size = self._next(pool)
            if batch_size != reader.batch_size:  # memory ran out there: all shards get smaller batches
                reader.batch_size = min(batch_size, reader.batch_size)
                while pool.has_next():  # let the others end
                    self._next(pool)
                return
            for needed in waiting.values():
                needed.discard(number)
            hand_out()
            yield number

    def _next(self, pool: Any) -> tuple[int, int]:
        from ray.exceptions import RayActorError, RayTaskError

        try:
            return pool.get_next_unordered()
        except RayTaskError as error:
            raise error.cause from None
        except RayActorError:
            raise SignBridgeError(
                f"an actor of Ray died {DEATHS + 1} times. What is done is kept: see why in Ray's log (memory?), and "
                "run it again."
            ) from None

    def close(self) -> None:
        """Let the actors go, and their models with them."""
        import ray

        for actor in self._actors:
            ray.kill(actor)


class _Maker:
    """The actor: one model, loaded on its own device."""

    def __init__(self, model: Model, twin_seed: int | None, threads: int, folder: str):
        os.chdir(folder)
        torch.set_num_threads(threads)
        device = device_from_environment()
        self._loaded = load(model, SCRATCH_MODELS, device, twin_seed)

    def make(self, reader: bytes, run: bytes, number: int, items: bytes, batch_size: int) -> tuple[int, int]:
        """Make shard `number`; returns it with the batch size that is left: smaller where memory ran out."""
        here: Reader = unpacked(reader, self._loaded)
        here.batch_size = batch_size
        read_shard(here, unpacked(run, self._loaded), number, unpacked(items, self._loaded))
        return number, here.batch_size


def _started() -> Any:
    try:
        import ray
    except ModuleNotFoundError:
        raise SignBridgeError(f"{WORKERS} asks for Ray, which is not here: pip install '.[ray]'.") from None
    if not ray.is_initialized():
        address = os.environ[WORKERS]
        hand_on = {name: value for name, value in os.environ.items() if name.startswith(HANDED_ON)}
        environment = {"env_vars": {**hand_on, "PYTHONPATH": _search_path(), WORKERS: ""}}
        how = {} if address == "ray" else {"address": address}
        try:
            ray.init(
                **how, runtime_env=environment, include_dashboard=False if not how else None,
                log_to_driver=False, logging_level=logging.ERROR,
            )  # fmt: skip
        except (ConnectionError, RuntimeError, ValueError) as error:
            first_line = str(error).splitlines()[0]
            raise SignBridgeError(f"{WORKERS}={address}: {first_line}. Is the cluster running?") from None
    return ray


def _search_path() -> str:
    there = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    return os.pathsep.join(dict.fromkeys(path for path in (str(ROOT), *there) if path))


def _count(most: int) -> int:
    said = os.environ.get(ACTORS)
    if said and not (said.isdigit() and int(said) >= 1):
        raise SignBridgeError(f"{ACTORS}={said}: expected a number from 1 on.")
    return int(said) if said else most
