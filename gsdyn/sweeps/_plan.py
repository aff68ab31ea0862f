"""How a sweep is cut into blocks, and what every block computes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from gsdyn.sweeps._program import Device, Output, Program, Task, fit


class Plan(NamedTuple):
    """The shape of blocks, the results of a cell, and the identity of the program that makes them."""

    block: tuple[int, ...]
    outputs: tuple[Output, ...]
    identity: str

    @property
    def cells(self) -> int:
        """How many cells a block has."""
        return math.prod(self.block)


def make_plan(
    task: Task,
    sizes: Sequence[int],
    cells: int,
    budget: int,
    block: tuple[int, ...] | None,
    *,
    devices: Sequence[Device],
) -> tuple[Plan, Callable[[], Program]]:
    """The plan for a grid of these sizes, and what compiles its program.

    `block` where a store has settled the blocks already: then nothing is compiled yet, which there may be no need for.
    """
    if block is None:
        block, program = fit(task, sizes, cells, budget, devices)
        return Plan(block, program.traced.outputs, program.traced.identity()), lambda: program
    traced = task.trace(math.prod(block))
    return Plan(block, traced.outputs, traced.identity()), lambda: traced.compile(devices)
