"""Blocks on the devices of this machine."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import jax
import numpy as np

from gsdyn import _checks
from gsdyn.sweeps._blocks import Block
from gsdyn.sweeps._program import HELD, Program

WRITERS = 4  # waiting for the disk together costs little more than waiting once


class Sink(Protocol):
    """Where results go."""

    def write(self, block: Block, results: Mapping[str, np.ndarray]) -> None:
        """Keep a block; may run in any thread."""
        ...


def run(program: Program, blocks: Iterable[Block], sink: Sink, tick: Callable[[int], None]) -> None:
    """Compute the blocks, one on each device at a time, and keep each while the next are computed.

    `tick` hears how many cells a block had once it is kept. Whatever ends this early, the blocks that were computed
    are kept before it ends.
    """
    width = len(program.devices)
    keeping: deque = deque()

    def settle(most: int) -> None:
        while len(keeping) > most:
            block, kept = keeping.popleft()
            kept.result()
            tick(block.count)

    try:
        with ThreadPoolExecutor(WRITERS) as pool:
            for group in _groups(blocks, width):
                with explained(group):
                    answers = program([block.parameters() for block in group])
                for block, answer in zip(group, answers, strict=True):
                    keeping.append((block, pool.submit(_keep, program, sink, block, answer)))
                settle((HELD - 1) * width)
            settle(0)
    except ValueError:
        _forget_failure(program)
        raise


def _keep(program: Program, sink: Sink, block: Block, answer: Callable[[], list[np.ndarray]]) -> None:
    with explained([block]):
        results = answer()
    sink.write(block, dict(zip((output.name for output in program.traced.outputs), results, strict=True)))


class explained:
    """Turns what a check inside compiled code raised into a `ValueError` in one line."""

    def __init__(self, blocks: Sequence[Block]) -> None:
        self._blocks = blocks

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, jax.errors.JaxRuntimeError):
            told = _checks.failed_check(error)
            if told:
                raise ValueError(f"{told}, in a cell with {_ranges(self._blocks)}") from None


def _forget_failure(program: Program) -> None:
    """Run something that succeeds: JAX remembers each device's last call, and would fail once more at exit."""
    for device in program.devices:
        with jax.default_device(device):
            jax.jit(lambda: jax.pure_callback(lambda: np.zeros((), bool), jax.ShapeDtypeStruct((), bool)))()


def _ranges(blocks: Sequence[Block]) -> str:
    values: dict[str, list[np.ndarray]] = {}
    for block in blocks:
        for dimension in block.dimensions:
            for name, part in dimension.parameters.items():
                values.setdefault(name, []).append(part)
    ends = {name: (min(p.min() for p in parts), max(p.max() for p in parts)) for name, parts in values.items()}
    return ", ".join(f"{name} in [{low:g}, {high:g}]" for name, (low, high) in ends.items())


def _groups(blocks: Iterable[Block], size: int) -> Iterator[list[Block]]:
    rest = iter(blocks)
    while group := list(itertools.islice(rest, size)):
        yield group
