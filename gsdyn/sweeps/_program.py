"""A function of one cell, compiled once for a block of cells on every device."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import jaxpr_as_fun
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array

from gsdyn.sweeps._blocks import block_shape

Device: TypeAlias = Any  # a jax.Device, which is no type to type checkers
HELD = 3  # outputs of a block that are alive at once: one computed, two on their way to the store


class Output(NamedTuple):
    """One result of a cell."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype

    @property
    def nbytes(self) -> int:
        """How large it is in one cell."""
        return int(np.prod(self.shape)) * self.dtype.itemsize


class Parameter(NamedTuple):
    """One argument of a cell's function."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype


@dataclasses.dataclass(frozen=True)
class Task:
    """What is computed in every cell.

    - `fn`: called with the `parameters` by name. `lanes`: how many cells of a block advance together; None means all.
    - `x64`: whether JAX has 64 bits, here and on any machine that helps.
    """

    fn: Callable[..., Any]
    parameters: tuple[Parameter, ...]
    lanes: int | None
    x64: bool

    def trace(self, cells: int) -> Traced:
        """The computation of a block, and its identity. Runs the Python of `fn`, once."""
        batched = jax.vmap(lambda parameters: self.fn(**parameters))
        closed, shapes = jax.make_jaxpr(self._lanes(batched, cells), return_shape=True)(self._arguments(cells))
        name = getattr(self.fn, "__name__", "")
        return Traced(self, cells, closed, _outputs(shapes, name if name.isidentifier() else "value"))

    def _lanes(self, batched: Callable[[Any], Any], cells: int) -> Callable[[Any], Any]:
        lanes = self.lanes
        if lanes is None or lanes >= cells:
            return batched
        rows = -(-cells // lanes)

        def in_rows(parameters: Any) -> Any:
            def split(x: Array) -> Array:
                last = jnp.broadcast_to(x[-1:], (rows * lanes - cells, *x.shape[1:]))
                return jnp.concatenate([x, last]).reshape(rows, lanes, *x.shape[1:])

            out = jax.lax.map(batched, jax.tree.map(split, parameters))
            return jax.tree.map(lambda y: y.reshape(rows * lanes, *y.shape[2:])[:cells], out)

        return in_rows

    def _arguments(self, cells: int) -> dict[str, jax.ShapeDtypeStruct]:
        return {p.name: jax.ShapeDtypeStruct((cells, *p.shape), p.dtype) for p in self.parameters}


@dataclasses.dataclass(frozen=True)
class Traced:
    """The computation of a block of `cells` cells."""

    task: Task
    cells: int
    closed: Any
    outputs: tuple[Output, ...]

    def identity(self) -> str:
        """A hash of the whole program, its constants among it, and of what compiles and runs it.

        It does not depend on how many devices there are, nor on how `fn` is written. What a Python callback inside it
        does is not seen.
        """
        text = jax.jit(jaxpr_as_fun(self.closed)).lower(*self.closed.in_avals).as_text()
        made_by = "|".join((version("jax"), version("jaxlib"), jax.default_backend()))
        return hashlib.sha256(f"{made_by}\n{text}".encode()).hexdigest()

    def compile(self, devices: Sequence[Device]) -> Program:
        """The program that computes one block on each device, in one call."""
        mesh = Mesh(np.asarray(devices), ("device",))
        spec = PartitionSpec("device")
        flat = jaxpr_as_fun(self.closed)
        # each device is a program of its own, which therefore computes the same bits however many there are
        spread = jax.shard_map(lambda args: flat(*args), mesh=mesh, in_specs=spec, out_specs=spec, check_vma=False)
        arguments = [
            jax.ShapeDtypeStruct((len(devices) * self.cells, *p.shape), p.dtype)
            for p in sorted(self.task.parameters)  # the order of a dictionary's leaves
        ]
        return Program(self, tuple(devices), jax.jit(spread).lower(arguments).compile())


@dataclasses.dataclass(frozen=True)
class Program:
    """A compiled block on each of several devices."""

    traced: Traced
    devices: tuple[Device, ...]
    compiled: Any

    def __call__(self, blocks: Sequence[dict[str, np.ndarray]]) -> list[Callable[[], list[np.ndarray]]]:
        """Start the blocks, one on each device; each answer waits for its block's results."""
        names = [p.name for p in sorted(self.traced.task.parameters)]
        idle = [blocks[-1]] * (len(self.devices) - len(blocks))
        arguments = [np.concatenate([block[name] for block in (*blocks, *idle)]) for name in names]
        results = self.compiled(arguments)
        return [lambda i=i: self._results(results, i) for i in range(len(blocks))]

    def _results(self, results: list[Array], i: int) -> list[np.ndarray]:
        shards = (next(s for s in array.addressable_shards if s.device == self.devices[i]) for array in results)
        return [np.asarray(shard.data) for shard in shards]

    def memory(self) -> int:
        """Bytes in use on one device while blocks are computed, as the compiler planned it."""
        plan = self.compiled.memory_analysis()
        outputs = self.traced.cells * sum(output.nbytes for output in self.traced.outputs)
        held = HELD * outputs + self.traced.cells * sum(
            int(np.prod(p.shape)) * p.dtype.itemsize for p in self.traced.task.parameters
        )
        return held + (0 if plan is None else int(plan.temp_size_in_bytes))


def fit(
    task: Task, sizes: Sequence[int], cells: int, budget: int, devices: Sequence[Device]
) -> tuple[tuple[int, ...], Program]:
    """The shape and program of blocks of at most `cells` cells that stay within `budget` bytes on each device.

    What a block needs grows with its cells, so that a block that is too large is cut down in proportion.
    Raises `ValueError` if not even one cell fits.
    """
    while True:
        shape = block_shape(sizes, cells)
        program = task.trace(int(np.prod(shape))).compile(devices)
        need = program.memory()
        if need <= budget:
            return shape, program
        if program.traced.cells == 1:
            raise ValueError(f"budget must be at least {need} bytes, what one cell takes, got {budget}")
        cells = max(1, min(int(program.traced.cells * 0.9 * budget / need), program.traced.cells // 2))


def _outputs(shapes: Any, alone: str) -> tuple[Output, ...]:
    """What a block returns, by name: `alone` for a single array, else its way through the containers."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(shapes)
    if not leaves:
        raise ValueError("fn must return at least one array, got none")
    outputs = [Output("_".join(map(_word, path)) or alone, leaf.shape[1:], leaf.dtype) for path, leaf in leaves]
    names = [output.name for output in outputs]
    for output in outputs:
        if not isinstance(output.dtype, np.dtype) or output.dtype.kind not in "fiub" or 0 in output.shape:
            raise ValueError(
                f"fn must return arrays of real numbers, got dtype {output.dtype} and shape {output.shape} "
                f"in {output.name}"
            )
        if names.count(output.name) > 1:
            raise ValueError(f"fn must return values of different names, got {output.name} twice")
    return tuple(outputs)


def _word(key: Any) -> str:
    for attribute in ("name", "key", "idx"):
        if hasattr(key, attribute):
            return str(getattr(key, attribute)).strip("_").replace("/", "_")
    return str(key)
