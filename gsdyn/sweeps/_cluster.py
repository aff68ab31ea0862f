"""Blocks on the workers of a Dask cluster, which write into the store themselves."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

import jax
import numpy as np

from gsdyn.sweeps._blocks import Block
from gsdyn.sweeps._local import Sink, explained
from gsdyn.sweeps._plan import Plan, make_plan
from gsdyn.sweeps._program import Program, Task
from gsdyn.sweeps._store import Store

AHEAD = 3  # blocks that wait at each thread of a worker
REFRESH = 2.0  # seconds between looks at how many workers there are
_compiling = threading.Lock()


@dataclasses.dataclass(frozen=True)
class Work:
    """What a worker needs to know once."""

    task: Task
    plan: Plan
    store: Store | None

    def program(self) -> Program:
        """The program, after a check that it is the one that was planned."""
        traced = self.task.trace(self.plan.cells)
        if traced.identity() != self.plan.identity:
            raise RuntimeError(
                f"a worker with jax {jax.__version__} on {jax.default_backend()} would compute another program than "
                "the one planned: give all workers one version of jax and one kind of device"
            )
        return traced.compile(jax.local_devices()[:1])


def plan(client: Any, task: Task, arguments: tuple[Any, ...]) -> Plan:
    """`make_plan(task, *arguments)` by a worker, on the kind of device that will do the work."""
    import cloudpickle

    return client.submit(_plan, cloudpickle.dumps((task, arguments)), pure=False).result()


def run(client: Any, work: Work, blocks: Iterable[Block], sink: Sink, tick: Callable[[int], None]) -> None:
    """Compute the blocks on the workers. Dask hands those of a worker that died to another.

    With a store the workers write to it, else the results come here, to `sink`.
    """
    import cloudpickle
    from distributed import as_completed

    payload = cloudpickle.dumps(work)
    rest = iter(blocks)
    waiting: dict[Any, Block] = {}

    def submit(count: int) -> list[Any]:
        new = {
            client.submit(_compute, payload, block, pure=False): block
            for block in itertools.islice(rest, max(count, 0))
        }
        waiting.update(new)
        return list(new)

    wanted, asked = AHEAD * max(1, sum(client.nthreads().values())), time.monotonic()
    finished = as_completed(submit(wanted))
    try:
        for future in finished:
            results = future.result()
            block = waiting.pop(future)
            if results is not None:
                sink.write(block, results)
            tick(block.count)
            if time.monotonic() - asked > REFRESH:  # workers come and go
                wanted, asked = AHEAD * max(1, sum(client.nthreads().values())), time.monotonic()
            finished.update(submit(wanted - len(waiting)))
    finally:
        client.cancel(list(waiting))


def _plan(payload: bytes) -> Plan:
    import cloudpickle

    task, arguments = cloudpickle.loads(payload)
    with jax.enable_x64(task.x64):
        return make_plan(task, *arguments, devices=jax.local_devices()[:1])[0]


def _compute(payload: bytes, block: Block) -> dict[str, np.ndarray] | None:
    """One block, on a worker: kept in the store, or returned where there is none."""
    with _compiling:  # threads of a worker share what one of them compiled
        work, program = _load(payload)
    if work.store is not None and work.store.has(block):  # the worker that did it died before it could say so
        return None
    with jax.enable_x64(work.task.x64), explained([block]):
        (answer,) = program([block.parameters()])
        results = dict(zip((output.name for output in program.traced.outputs), answer(), strict=True))
    if work.store is None:
        return {name: values[: block.count] for name, values in results.items()}
    work.store.write(block, results)
    return None


@functools.lru_cache(maxsize=4)
def _load(payload: bytes) -> tuple[Work, Program]:
    import cloudpickle

    work = cloudpickle.loads(payload)
    with jax.enable_x64(work.task.x64):
        return work, work.program()
