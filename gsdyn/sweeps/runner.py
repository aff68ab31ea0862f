"""`sweep`: one function over a whole grid."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import jax
import numpy as np
import xarray as xr

from gsdyn import _checks, _files
from gsdyn._progress import Progress, silent
from gsdyn._provenance import as_settings, provenance
from gsdyn.sweeps import _layout, _local, _resume
from gsdyn.sweeps._blocks import Block, blocks, cells_per_block
from gsdyn.sweeps._plan import Plan, make_plan
from gsdyn.sweeps._program import Device, Parameter, Program, Task
from gsdyn.sweeps._store import COMPUTED, Store, whole
from gsdyn.sweeps.grids import Dimension, Grid, as_grid
from gsdyn.sweeps.labels import Label

if TYPE_CHECKING:
    from distributed import Client

BUDGET = 2**30
Devices: TypeAlias = int | Sequence[Device] | None


def sweep(
    fn: Callable[..., Any],
    grid: Grid | Mapping[str, Any],
    out: str | Path | None = None,
    *,
    extend: bool = False,
    devices: Devices = None,
    client: Client | None = None,
    budget: int = BUDGET,
    chunk: int | None = None,
    lanes: int | None = None,
    labels: Mapping[str, Label] | None = None,
    coords: Mapping[str, Any] | None = None,
    settings: Mapping[str, Any] | None = None,
    progress: Progress = silent,
) -> xr.Dataset:
    """Evaluate `fn` in every cell of a grid, on all devices, as a labelled dataset.

        ds = gs.sweep(lambda lam, delta: ..., {"lam": lams, "delta": deltas}, out="run.zarr")

    - `fn`: called by name with one value of every parameter; goes through `jax.jit` and `jax.vmap`. Returns an array
      or any container of arrays, whose names become the names of variables; an array alone has the function's name.
    - `grid`: a dictionary of axes (or `Product`), `Zipped` or `Samples`.
    - `out`: a Zarr store, which keeps every finished chunk at once. The same call goes on where an earlier one was
      stopped, at whatever moment, and ends with the same bits. None keeps results in memory. A folder that holds
      anything else is refused, and nothing is ever deleted but what a call that failed had made itself.
    - `extend`: append to the store's axes the values of `grid` that they lack, and compute only the new cells. The
      store then holds the product of the longer axes, in the order in which values came.
    - `devices`: how many local devices, or which; default all. `client`: a Dask client, whose workers compute instead.
    - `budget`: bytes that chunks in work may take on one device, by the compiler's own account.
    - `chunk`: most cells in a chunk, of which every device has one in work; default a 64th of all, within 256 to
      65,536 and the budget. A store keeps to the chunks it began with. Say less where a cell takes long: a kill loses
      what is in work.
    - `lanes`: how many cells of a chunk advance together; default all. Where some cells need many more steps than
      others, as trajectories do, fewer (256) are faster.
    - `labels`: a `Label` for parameters, results and coords. `coords`: values along the results' own dimensions.
    - `settings`: kept as an attribute, beside versions, precision, seed and commit.
    - `progress`: called with a name, cells done and cells to do.

    `fn` is traced and compiled once, for one shape of chunk, unless the first chunk tried exceeds the budget. A cell
    whose checks fail ends the sweep with a `ValueError`. Also raises `ValueError` for a store that holds another
    function's results or another grid's. Ctrl-C raises a `KeyboardInterrupt` that says how many new cells are kept.

        >>> def response(lam):
        ...     return gs.fixed_point(basis, gs.CrossEntropy(), gs.WeightDecay(lam)).z[1]
        >>> ds = gs.sweep(response, {"lam": [0.01, 0.1]})
        >>> print(ds["response"].values)
        [3.963 2.336]
    """
    _checks.progress(progress)
    extend = _checks.flag("extend", extend)
    path = None if out is None else _files.as_path("out", out)
    cells = None if chunk is None else _checks.integer("chunk", chunk, 1)
    lanes = None if lanes is None else _checks.integer("lanes", lanes, 1)
    named, inner = _layout.as_labels(labels), _layout.as_coords(coords)
    kept = as_settings("settings", settings)
    job = _Job(fn, as_grid(grid), lanes, _checks.integer("budget", budget, 1), cells, named, inner, kept)
    engine = _Here(_devices(devices)) if client is None else _There(client)
    try:
        return job.in_memory(engine, progress) if path is None else job.in_store(engine, path, extend, progress)
    except KeyboardInterrupt as stop:
        known = str(stop) or "interrupted, and nothing new is kept; the same call starts again"
        raise KeyboardInterrupt(known) from None


class _Here:
    """The devices of this process."""

    def __init__(self, devices: Sequence[Device]) -> None:
        self._devices = devices
        self._build: Callable[[], Program] | None = None

    def plan(self, task: Task, *arguments: Any) -> Plan:
        plan, self._build = make_plan(task, *arguments, devices=self._devices)
        return plan

    def run(self, task: Task, plan: Plan, todo: Iterator[Block], sink: Any, tick: Callable[[int], None]) -> None:
        assert self._build is not None
        _local.run(self._build(), todo, sink, tick)


class _There:
    """The workers of a Dask cluster."""

    def __init__(self, client: Client) -> None:
        if not all(hasattr(client, name) for name in ("submit", "nthreads", "cancel")):
            raise ValueError(f"client must be a dask.distributed.Client, got a value of type {type(client).__name__}")
        from gsdyn.sweeps import _cluster

        self._client, self._cluster = client, _cluster

    def plan(self, task: Task, *arguments: Any) -> Plan:
        return self._cluster.plan(self._client, task, arguments)

    def run(self, task: Task, plan: Plan, todo: Iterator[Block], sink: Any, tick: Callable[[int], None]) -> None:
        work = self._cluster.Work(task, plan, sink if isinstance(sink, Store) else None)
        self._cluster.run(self._client, work, todo, sink, tick)


class _Job:
    """One call of `sweep`."""

    def __init__(
        self,
        fn: Callable[..., Any],
        grid: Grid,
        lanes: int | None,
        budget: int,
        cells: int | None,
        labels: Mapping[str, Label],
        coords: Mapping[str, np.ndarray],
        settings: Mapping[str, Any],
    ) -> None:
        self.dimensions = grid.dimensions()
        self.budget, self.cells, self.labels, self.coords = budget, cells, labels, coords
        columns = [item for dimension in self.dimensions for item in dimension.parameters.items()]
        _checks.function("fn", fn, named=[name for name, _ in columns])
        parameters = tuple(Parameter(name, values.shape[1:], values.dtype) for name, values in columns)
        self.task = Task(fn, parameters, lanes, jax.dtypes.canonicalize_dtype(np.float64) == np.float64)
        named = {"function": f"{getattr(fn, '__module__', '?')}:{getattr(fn, '__qualname__', '?')}", **settings}
        seeds = ", ".join(map(str, grid.seeds()))
        self.attributes = {**provenance(named), **({"seed": seeds} if seeds else {})}

    def in_memory(self, engine: _Here | _There, progress: Progress) -> xr.Dataset:
        plan = self._plan(engine, self.dimensions, None)
        variables, values = self._variables(self.dimensions, plan)
        memory = _layout.Memory(variables, [output.name for output in plan.outputs])
        total = math.prod(dimension.size for dimension in self.dimensions)
        engine.run(self.task, plan, blocks(self.dimensions, plan.block), memory, _ticking(progress, total))
        return memory.dataset(variables, values).assign_attrs(self.attributes)

    def in_store(self, engine: _Here | _There, path: Path, extend: bool, progress: Progress) -> xr.Dataset:
        with _owned(path):
            _files.sweep_up(path)
            record, before = _resume.read_record(path), {entry.name for entry in path.iterdir()}
            if record is None:
                dimensions, plan = self.dimensions, self._plan(engine, self.dimensions, None)
            else:
                dimensions = _resume.merged(path, record, self.dimensions, extend)
                plan = self._plan(engine, dimensions, record.block)
                _resume.same_program(path, record, self.task.lanes, plan.identity)
            variables, values = self._variables(dimensions, plan)
            store = Store(path, variables, [output.name for output in plan.outputs])
            if record is None or _grown(path, dimensions):
                names = {dimension.name: list(dimension.parameters) for dimension in dimensions}
                kept = _resume.Record(plan.identity, plan.block, self.task.lanes, names)
                store.create(values, {**self.attributes, "coordinates": " ".join(values), _resume.RECORD: kept.text()})
            done = store.computed()
            if not done.all():
                todo = int(done.size - done.sum())
                try:
                    tick = _ticking(progress, todo)
                    engine.run(self.task, plan, blocks(dimensions, plan.block, done), store, tick)
                except KeyboardInterrupt:
                    kept = f"{int(store.computed().sum() - done.sum()):,} of {todo:,} new cells are kept in {path}"
                    raise KeyboardInterrupt(f"interrupted; {kept}: the same call goes on") from None
                except ValueError:  # of a cell that is not allowed: a grid without any result is not worth keeping
                    if record is None and not store.computed().any():
                        store.remove(before)
                    raise
            store.finish()
            _files.sweep_up(path)
        return open_store(path)

    def _plan(self, engine: _Here | _There, dimensions: Sequence[Dimension], block: tuple[int, ...] | None) -> Plan:
        sizes = tuple(dimension.size for dimension in dimensions)
        return engine.plan(self.task, sizes, self.cells or cells_per_block(sizes), self.budget, block)

    def _variables(self, dimensions: Sequence[Dimension], plan: Plan) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        given, values = _layout.coordinates(dimensions, self.labels, self.coords)
        variables = {**given, **_layout.results(dimensions, plan, self.labels)}
        _layout.check(variables, plan, given, self.labels)
        return variables, values


def open_store(path: str | Path) -> xr.Dataset:
    """The results in a store of a sweep, read when they are used.

    While some cells are not done yet, their results are NaN, integers and booleans are floats, and a variable
    `computed` says which cells are done. Raises `ValueError` for a path that holds no such store.

        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = gs.sweep(lambda t: 2 * t, {"t": [1.0, 2.0]}, out=folder + "/run.zarr")
        ...     print(list(gs.sweeps.open_store(folder + "/run.zarr").data_vars))
        ['value']
    """
    path = _files.as_path("path", path)
    if not path.is_dir() or _resume.read_record(path) is None:
        raise ValueError(f"path must be the store of a sweep, got {path}")
    with whole(path):
        dataset = xr.open_dataset(path, engine="zarr", chunks=None, consolidated=True, decode_times=False)
        dataset.attrs.pop(_resume.RECORD, None)
        return dataset.drop_vars(COMPUTED) if dataset[COMPUTED].all() else dataset


@contextlib.contextmanager
def _owned(path: Path) -> Iterator[None]:
    """A folder at `path` that this process alone writes to; what of it was made in vain is taken away again."""
    _resume.read_record(path)
    try:
        made = _files.make_folder(path)
    except OSError as error:
        raise ValueError(f"out must be a folder to write to, got {path}: {error.strerror}") from None
    try:
        with _files.locked(path):
            yield
    finally:
        _files.remove_empty(made)


def _grown(path: Path, dimensions: Sequence[Dimension]) -> bool:
    return _resume.sizes(path) != tuple(dimension.size for dimension in dimensions)


def _ticking(progress: Progress, total: int) -> Callable[[int], None]:
    done = 0

    def tick(count: int) -> None:
        nonlocal done
        done += count
        progress("sweep", done, total)

    return tick


def _devices(devices: Devices) -> Sequence[Device]:
    here = jax.local_devices()
    if devices is None:
        return here
    if isinstance(devices, int | np.integer):
        return here[: _checks.integer("devices", devices, 1, len(here))]
    _checks.devices("devices", devices)
    return devices
