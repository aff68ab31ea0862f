"""`gsdyn sweep QUANTITY`: one quantity over a grid of any size, kept in a store that a kill does not hurt."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import importlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import tyro
from tyro.extras import SubcommandApp

from gsdyn._options import OVERLAP, POSITIVE, Allowed, Count, Nonnegative, Seed, Words, inside
from gsdyn.cli._axes import SIZE, Axis, axis, named_axis, parse_axis
from gsdyn.cli._console import progress, start_jax, writable
from gsdyn.cli._grid import Grid, grid, parse_grid
from gsdyn.experiments.catalogue import RESULTS

if TYPE_CHECKING:
    import xarray as xr

    from gsdyn.sweeps import Product
    from gsdyn.sweeps.quantities import Quantity

LAM, DELTA = parse_axis("1e-4:10:200", "log"), parse_axis("0:0.99:100", "lin")
S1, S2 = parse_axis("4", "log"), parse_axis("2", "log")
TIMES = parse_grid("0:10:51", "lin")
NORM, DEPTH = parse_axis("0.1:10:50", "log"), parse_axis("2,3,4,8", "lin")
TIMEOUT = "20s"  # for a scheduler to answer
U0, CONFIDENCE = parse_axis("1e-3:0.3:50", "log"), parse_axis("0.6,0.9,0.99", "lin")


@dataclasses.dataclass(frozen=True)
class Sweep:
    """What every sweep shares: where its cells are, and where and how they are computed."""

    name: ClassVar[str]

    samples: Count | None = None
    """Draw this many random cells between the ends of every range, in place of the product of the axes."""
    seed: Seed = 0
    """Seed of the random cells."""
    out: Path | None = None
    """The Zarr store; default results/sweep_NAME.zarr. The same command goes on where it was stopped."""
    extend: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Add the values that the store's axes lack, and compute only the new cells."""
    scheduler: Words | None = None
    """Address of a Dask scheduler whose workers do the work; they must see the store under the same path."""
    devices: Count | None = None
    """How many devices of this machine to use; default all, and on a CPU one for every core."""
    budget: Annotated[int, SIZE] = 2**30
    """Memory that the chunks in work may take on each device, such as 500MB or 2GiB."""
    chunk: Count | None = None
    """Most cells in a chunk, the unit that is computed and kept."""
    lanes: Count | None = None
    """How many cells of a chunk advance together; default all, and 256 for trajectories."""

    def quantity(self) -> Quantity:
        """What is computed in a cell."""
        raise NotImplementedError

    def axes(self) -> dict[str, Axis]:
        """The axes, by parameter."""
        raise NotImplementedError

    def settings(self) -> dict[str, Any]:
        """What else the result depends on."""
        return {}

    def run(self) -> int:
        cells = self._grid()
        out = RESULTS / f"sweep_{self.name.replace('-', '_')}.zarr" if self.out is None else self.out
        with writable(out=out.parent):
            return self._compute(cells, out)

    def _compute(self, cells: Callable[[], Product], out: Path) -> int:
        start_jax()
        _use_cores(self.devices)
        from gsdyn.sweeps import sweep

        quantity, kept = self.quantity(), 0
        options = {
            **{name: getattr(self, name) for name in ("extend", "budget", "chunk", "lanes")},
            "devices": None if self.scheduler else self.devices,
            "settings": {"quantity": self.name, **self.settings()},
        }
        with _client(self.scheduler) as client, progress() as report:

            def tick(stage: str, done: int, total: int) -> None:
                nonlocal kept
                kept = done
                report(stage, done, total)

            try:
                ds = sweep(
                    quantity.fn, cells(), out, client=client, labels=quantity.labels, coords=quantity.coords,
                    progress=tick, **options,
                )  # fmt: skip
            except KeyboardInterrupt as stop:
                raise KeyboardInterrupt(str(stop).replace("the same call", "the same command")) from None
        self._tell(ds, kept, out)
        return 0

    def _grid(self) -> Callable[[], Product]:
        """The grid, as a function: bad axes show before anything heavy is imported."""
        axes = self.axes()
        ranges = {name for name in axes if axes[name].ranged} if self.samples is not None else set()
        for name, typed in axes.items():
            if self.samples is None and not typed.counted:
                raise ValueError(f"--{name} must say how many values, as first:last:count, got {typed}")
            if self.samples is not None and name not in ranges and len(typed.grid.values) > 1:
                raise ValueError(f"--{name} must be first:last or one value beside --samples, got {typed}")
        if self.samples is not None and not ranges:
            raise ValueError("--samples needs at least one axis given as first:last to draw from")

        def make() -> Product:
            from gsdyn.sweeps import Product, Samples

            dims: dict[str, Any] = {name: axes[name].values() for name in axes if name not in ranges}
            if self.samples is not None:
                drawn = {name: axes[name].distribution() for name in axes if name in ranges}
                dims["sample"] = Samples(self.samples, drawn, self.seed)
            return Product(dims)

        return make

    def _tell(self, ds: xr.Dataset, new: int, out: Path) -> None:
        dims = [str(d) for d in ds[str(next(iter(ds.data_vars)))].dims]
        outer = [d for d in dims if d in self.axes() or d == "sample"]
        count = functools.reduce(lambda product, d: product * ds.sizes[d], outer, 1)
        print(f"{count:,} cells, {new:,} of them new")
        for name in ("converged", "succeeded"):
            if name in ds:
                print(f"{int(ds[name].sum()):,} of {count:,} {name}")
        print(out)


@dataclasses.dataclass(frozen=True)
class TwoFeatures(Sweep):
    """A quantity of the two-feature model (P21 section 3.3)."""

    lam: Annotated[Axis, POSITIVE, axis("log")] = LAM
    """Regularisation strengths: a range first:last:count (logarithmic; append :lin for even steps), or a list."""
    delta: Annotated[Axis, OVERLAP, axis("lin")] = DELTA
    """Overlaps of the two features, in [0, 1): a range (even steps; append :log) or a list."""
    s1: Annotated[Axis, POSITIVE, axis("log")] = S1
    """Strengths of feature 1."""
    s2: Annotated[Axis, POSITIVE, axis("log")] = S2
    """Strengths of feature 2."""
    loss: Literal["cross-entropy", "first-order", "squared-error", "hinge"] = "cross-entropy"
    """The loss; first-order is cross-entropy as in Eq. 10."""
    penalty: Literal["weight-decay", "spectral-decoupling", "mixed"] = "weight-decay"
    """The penalty; mixed is weight decay lambda with spectral decoupling --lam2."""
    lam2: Nonnegative = 0.1
    """Spectral decoupling within --penalty mixed."""

    def axes(self) -> dict[str, Axis]:
        return {"lam": self.lam, "delta": self.delta, "s1": self.s1, "s2": self.s2}

    def settings(self) -> dict[str, Any]:
        mixed = {"lam2": self.lam2} if self.penalty == "mixed" else {}
        return {"loss": self.loss, "penalty": self.penalty, **mixed}

    def problem(self) -> tuple[Any, Callable[..., Any]]:
        """The loss, and the penalty as a function of lambda."""
        from gsdyn import penalties

        penalty = {
            "weight-decay": penalties.WeightDecay,
            "spectral-decoupling": penalties.SpectralDecoupling,
            "mixed": functools.partial(penalties.Mixed, lam2=self.lam2),
        }[self.penalty]
        return _loss(self.loss), penalty


@dataclasses.dataclass(frozen=True)
class FixedPoint(TwoFeatures):
    """Certified fixed points of the two-feature model over lambda, delta and both strengths (P21-Eqs 9, 11, 15)."""

    name: ClassVar[str] = "fixed-point"

    def quantity(self) -> Quantity:
        from gsdyn.sweeps.quantities import optima

        return optima(*self.problem())


@dataclasses.dataclass(frozen=True)
class Starvation(TwoFeatures):
    """Starvation matrices of the two-feature model over lambda, delta and both strengths (P21-Def2)."""

    name: ClassVar[str] = "starvation"

    def quantity(self) -> Quantity:
        from gsdyn.sweeps.quantities import starvation

        return starvation(*self.problem())


@dataclasses.dataclass(frozen=True)
class Trajectory(TwoFeatures):
    """Trajectories of the dual flow of two features over lambda, delta and both strengths (P21-Eq9)."""

    name: ClassVar[str] = "trajectory"

    times: Annotated[Grid, Allowed(">= 0", lambda time: time >= 0), grid("lin")] = TIMES
    """Times to save, learning rate times steps."""
    lanes: Count | None = 256
    """How many cells of a chunk advance together."""

    def settings(self) -> dict[str, Any]:
        return {**super().settings(), "times": str(self.times)}

    def quantity(self) -> Quantity:
        import numpy as np

        from gsdyn.sweeps.quantities import trajectories

        return trajectories(*self.problem(), np.asarray(self.times.values))


@dataclasses.dataclass(frozen=True)
class ModeTime(Sweep):
    """When one mode of learning reaches a confidence, over norm, depth, start and confidence (C18-Thm3.2, Eq4)."""

    name: ClassVar[str] = "mode-time"

    norm: Annotated[Axis, POSITIVE, axis("log")] = NORM
    """Norms of the input."""
    depth: Annotated[Axis, Allowed("at least 2", lambda depth: depth >= 2), axis("lin")] = DEPTH
    """Depths of the network, at least 2, whole or not."""
    u0: Annotated[Axis, POSITIVE, axis("log")] = U0
    """Logits at the start, above 0."""
    confidence: Annotated[Axis, inside(0.5, 1), axis("lin")] = CONFIDENCE
    """Confidences to reach, in (1/2, 1)."""
    loss: Literal["cross-entropy", "hinge"] = "cross-entropy"
    """The loss."""

    def axes(self) -> dict[str, Axis]:
        return {name: getattr(self, name) for name in ("norm", "depth", "u0", "confidence")}

    def settings(self) -> dict[str, Any]:
        return {"loss": self.loss}

    def quantity(self) -> Quantity:
        from gsdyn.sweeps.quantities import mode_times

        return mode_times(_loss(self.loss))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Function(Sweep):
    """Any function of your own that goes through jax.jit and jax.vmap, called by name with one value of every axis."""

    name: ClassVar[str] = "function"

    function: tyro.conf.Positional[Words]
    """MODULE:FUNCTION, the module in this folder or installed."""
    axis: Annotated[tuple[Annotated[tuple[str, Axis], named_axis()], ...], tyro.conf.UseAppendAction] = ()
    """An axis: NAME=first:last:count (even steps; append :log, or :int for whole numbers) or NAME=a,b,c. Repeat it."""

    def axes(self) -> dict[str, Axis]:
        if not self.axis:
            raise ValueError("--axis must be given at least once, as NAME=first:last:count")
        return dict(self.axis)

    def settings(self) -> dict[str, Any]:
        return {"function": self.function}

    def quantity(self) -> Quantity:
        from gsdyn.sweeps.quantities import Quantity

        module, _, name = self.function.partition(":")
        sys.path.insert(0, os.getcwd())
        try:
            found = getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError) as error:
            raise ValueError(f"function must be MODULE:FUNCTION, got {self.function!r}: {error}") from None
        finally:
            sys.path.remove(os.getcwd())
        if self.scheduler is not None:
            import cloudpickle

            cloudpickle.register_pickle_by_value(sys.modules[module])  # workers need not have the module
        return Quantity(found, {}, {})


def _loss(name: str) -> Any:
    from gsdyn import losses

    return {
        "cross-entropy": losses.CrossEntropy,
        "first-order": losses.FirstOrderCrossEntropy,
        "squared-error": losses.SquaredError,
        "hinge": losses.Hinge,
    }[name]()


def _use_cores(devices: int | None) -> None:
    """On a CPU give every core a device, since the loops of a program run on one; once JAX has started it is late."""
    import jax

    with contextlib.suppress(RuntimeError):
        jax.config.update("jax_num_cpu_devices", devices or len(os.sched_getaffinity(0)))


@contextlib.contextmanager
def _client(address: str | None) -> Iterator[Any]:
    if address is None:
        yield None
        return
    try:
        from distributed import Client
    except ImportError:
        raise ValueError("--scheduler needs Dask: pip install 'gsdyn[cluster]'") from None
    with Client(address, timeout=TIMEOUT) as client:
        yield client


sweep = SubcommandApp()
_KINDS = {
    "fixed-point": FixedPoint,
    "starvation": Starvation,
    "trajectory": Trajectory,
    "mode-time": ModeTime,
    "function": Function,
}
SWEEPS = tuple(_KINDS)
for _name, _kind in _KINDS.items():
    sweep.command(name=_name)(_kind)
