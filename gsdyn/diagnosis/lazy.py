"""How lazy a network is: how much its kernel changes in a short training, and the linearised network beside it.

What `laziness` gives is in the schema (`gsdyn.diagnosis.report`). What m of n examples do in a time t, all of them do
in t m/n, which is the time that is told.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike

from gsdyn import _checks
from gsdyn._progress import Progress, silent
from gsdyn.diagnosis import _schema, draws
from gsdyn.diagnosis._networks import Network, Output, drawn, network_of
from gsdyn.diagnosis.gram import semidefinite
from gsdyn.integration import integrate
from gsdyn.kernel_flows import KernelFlow
from gsdyn.kernels import empirical_ntk, infinite_ntk
from gsdyn.losses import CrossEntropy
from gsdyn.networks import FullyConnected
from gsdyn.penalties import Penalty, Unregularised

if TYPE_CHECKING:
    import xarray as xr

LEVEL = 0.1
"""Outputs further apart than this are told as a warning."""
EXAMPLES = 64
TIMES = 5
STEPS = 100
"""Steps, about, that the explicit integrator takes in the default span of time."""


def laziness(
    network: Any,
    x: ArrayLike,
    y: ArrayLike,
    *,
    params: Any = None,
    penalty: Penalty | None = None,
    ts: ArrayLike | None = None,
    examples: int = EXAMPLES,
    level: float = LEVEL,
    output: Output | None = None,
    seed: int = 0,
    progress: Progress = silent,
) -> xr.Dataset:
    """Trains a network for a short time, beside itself linearised at its start, and compares the two (*beyond* P21).

        theta' = -grad L(yhat(theta)),   yhat_lin(x) = yhat_0(x) + phi(x) . (theta - theta_0),   K_t = Phi_t Phi_t^T

    The theory is that of the linearised network. Where its outputs leave the real one's it stops describing it: at
    small width, with large outputs, late in training.

    - `network`, `params`: a network of `gsdyn.networks` (at a start drawn with `seed`), or one of any JAX library and
      its parameters, with one output, or two for two classes, or one for each class (`output`: which, of how many).
    - `x`, `y`: examples, shape (n, ...), and labels -1 and +1, shape (n,).
    - `penalty`: weight decay is towards the weights at the start. By default none; with one all examples are needed.
    - `ts`: times, finite, >= 0 and increasing. By default up to what some 100 steps of the integrator reach.
    - `examples`: how many to train on, at most; drawn, the same share of both classes.
    - `level`: how far apart, as a share, outputs may be before the dataset's sentence warns, in (0, 1).
    - `progress`: called with "laziness", the kernels done and how many there are.

    Returns a dataset with the variables above; `attrs["lazy"]` is the finding in a sentence, `attrs["lazy_warning"]`
    whether the theory stops describing the network within the times looked at.
    Raises `ValueError` as `ntrf` does, for a network of infinite width that cannot be trained, and for bad arguments.

        >>> found = gs.diagnosis.laziness(net, x, y)  # doctest: +SKIP
    """
    y = np.asarray(_checks.labels("y", y))
    limit = _checks.integer("examples", examples, 2)
    array = np.asarray(x)
    if array.shape[:1] != y.shape:
        raise ValueError(f"x must have one row for each of the {len(y)} labels of y, got shape {array.shape}")
    rank = draws.ranks(array, None, _checks.integer("seed", seed, 0, 2**32 - 1))
    rows = draws.evenly(y, limit, rank)
    level = _checks.number("level", level, "a number in (0, 1)", lambda v: 0 < v < 1)
    given = None if ts is None else _given(ts)
    penalty = Unregularised() if penalty is None else penalty
    _checks.instance("penalty", penalty, Penalty)
    share = len(rows) / len(y)
    if share < 1 and not isinstance(penalty, Unregularised):
        raise ValueError(f"examples must be at least {len(y)}, all there are, beside a penalty, got {examples}")
    net = network_of(network, params, x, seed, output)
    inputs, signs = net.inputs("x", x)[rows], jnp.asarray(y[rows], net.dtype)
    start = np.asarray(semidefinite(empirical_ntk(net.apply, net.leaves, inputs, trace=True))[0])
    times = _reachable(start) if given is None else given / share
    seen = _followed(net, inputs, signs, penalty, times)
    linear = integrate(KernelFlow(start, y[rows], CrossEntropy(), penalty), times, rtol=1e-5)
    kernels = []
    for i in range(len(times)):
        progress("laziness", i, len(times))
        at = [leaf[i] for leaf in seen["leaves"]]
        kernels.append(np.asarray(empirical_ntk(net.apply, at, inputs, trace=True)))
    progress("laziness", len(times), len(times))
    known = None
    if drawn(network, params):
        known = np.asarray(infinite_ntk(FullyConnected(3) if network is None else network, inputs))
    margins = y[rows] * np.asarray(seen["real"]), np.asarray(linear.margins)
    return _dataset(times * share, start, np.stack(kernels), margins, known, level)


def _given(ts: ArrayLike) -> np.ndarray:
    times = np.atleast_1d(np.asarray(_checks.nonnegative("ts", ts), float))
    if times.ndim != 1 or (np.diff(times) <= 0).any() or not times.size:
        raise ValueError(f"ts must be increasing times, got {_checks.in_short(ts)}")
    return times


def _reachable(start: np.ndarray) -> np.ndarray:
    """Times up to what the integrator's steps reach: three over the curvature each, at most `s_1^2/4` in all."""
    last = STEPS * 12 / float(np.linalg.eigvalsh(start)[-1])
    return np.geomspace(last / 2 ** (2 * TIMES - 2), last, TIMES)


def _followed(net: Network, x: Array, y: Array, penalty: Penalty, times: np.ndarray) -> dict[str, Any]:
    """The network's outputs, counted from its start, and its parameters at every time."""
    from gsdyn.training import BinaryObjective, Penalised, gradient_flow

    origin = net.apply(net.leaves, x)
    objective = Penalised(BinaryObjective(net.apply, mean=False), penalty, centre=net.leaves)

    def observe(leaves: Any) -> Any:
        return {"real": net.apply(leaves, x) - origin, "leaves": leaves}

    columns = objective.columns(x, y, origin=origin)
    run = gradient_flow(net.leaves, objective, columns, times, observe=observe, tolerance=1e-3)
    if not bool(run.succeeded):
        raise ValueError(f"ts must end earlier, got {times[-1]:g}, before which the network's flow became too stiff")
    return run.observed


def _dataset(
    times: np.ndarray,
    start: np.ndarray,
    kernels: np.ndarray,
    margins: tuple[np.ndarray, np.ndarray],
    theta: np.ndarray | None,
    level: float,
) -> xr.Dataset:
    import xarray as xr

    real, linear = margins
    size = np.linalg.norm(start)
    change = np.linalg.norm(kernels - start, axis=(1, 2)) / size
    alignment = np.tensordot(kernels, start, 2) / (np.linalg.norm(kernels, axis=(1, 2)) * size)
    length = np.linalg.norm(linear, axis=1)
    apart = np.linalg.norm(real - linear, axis=1) / np.where(length > 0, length, 1.0)
    beyond = np.flatnonzero(apart > level)
    until = times[-1] if not beyond.size else 0.0 if beyond[0] == 0 else times[beyond[0] - 1]
    values = {
        "lazy_kernel_change": change,
        "lazy_kernel_alignment": alignment,
        "lazy_outputs_apart": apart,
        "lazy_decisions_apart": (real * linear < 0).mean(axis=1),
        "lazy_accuracy": np.stack([(real > 0).mean(axis=1), (linear > 0).mean(axis=1)]),
        "lazy_until": until,
        "lazy_start_apart": np.nan if theta is None else np.linalg.norm(start - theta) / np.linalg.norm(theta),
    }
    dataset = xr.Dataset(
        {name: _schema.variable(name, value) for name, value in values.items()},
        coords=_schema.coordinates({"lazy_time": times, "lazy_network": ["real", "linearised"]}),
    )
    told = _sentence(times, float(change[-1]), float(alignment[-1]), apart, float(until), level, real.shape[1])
    return dataset.assign_attrs(
        lazy=told, lazy_warning=int(beyond.size > 0), lazy_level=level, lazy_examples=real.shape[1]
    )


def _sentence(
    times: np.ndarray, change: float, alignment: float, apart: np.ndarray, until: float, level: float, n: int
) -> str:
    trained = f"Trained on {n} examples to time {times[-1]:.3g}, this network's kernel changes by {change:.0%}"
    beside = f"(alignment {alignment:.3f}) and its outputs end {apart[-1]:.0%} away from the linearised network's"
    if apart.max() <= level:
        return f"{trained} {beside}: the theory describes it."
    since = f"only until time {until:.3g}" if until > 0 else f"at none of the times from {times[0]:.2g} on"
    return f"{trained} {beside}: the theory describes it to {level:.0%} {since}."
