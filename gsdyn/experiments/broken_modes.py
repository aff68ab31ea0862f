"""Where the theory of independent modes stops: H1, H2 and H3 violated by degrees in trained networks.

Two classes of one example each, gradient descent. H1: the angle between the classes turns acute. H2: the only neuron
also sees the second class. H3: the first class's neuron starts with an output weight of the wrong sign, while the
classes pull each other's neurons (obtuse angle).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import xarray as xr
from jaxtyping import Array

from gsdyn import _checks
from gsdyn._progress import Progress, silent
from gsdyn.experiments import _relu_net as net
from gsdyn.experiments._datasets import labelled
from gsdyn.experiments._training_runs import check_steps, record_steps
from gsdyn.experiments.catalogue import IndependentModes
from gsdyn.modes import Competition, Mode, TwoClasses
from gsdyn.training import BinaryObjective, Watch, train

RECORDS = 240
SHARE = 0.5
LABELS = jnp.arange(2)
TOLERANCE = 0.05
"""The logit error from which on the theory does not describe the network."""

NAMES = {
    "assumption": "the assumption of C18 that is violated",
    "degree": "number of the degree",
    "amount": "by how much: cosine between the classes, b_0/a_0, r z_0/y_0",
    "point": "class of the input",
    "time": "time, learning rate times steps",
    "margin": "margin of the trained network",
    "theory": "margin by the theory of independent modes",
    "competition": "margin by the theory with H2 relaxed (C18-A.6)",
    "changed": "time at which an active set first changes",
    "left": "time from which on a logit is off by more than the tolerance",
    "error": "largest error of a logit over the whole curve",
    "error_before": "largest error of a logit before an active set changes",
    "competition_error": "largest error of a logit by the theory with H2 relaxed",
}


class Sweep(NamedTuple):
    """One assumption violated by degrees: points, weights and theory have a leading axis of degrees."""

    amounts: np.ndarray
    points: Array
    weights: net.Weights
    theory: Callable[[Array], Array]


def broken_modes(
    *,
    rate: float = IndependentModes.broken_rate,
    horizon: float = 24.0,
    start: float = 0.4,
    cosines: tuple[float, ...] = (-0.4, 0.0, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8),
    leaks: tuple[float, ...] = (0.0, 0.1, 0.3, 0.6, 0.9, 1.2, 1.5, 2.0),
    outputs: tuple[float, ...] = (1.0, 0.5, 0.0, -0.3, -0.6, -0.9, -1.1, -1.5),
    progress: Progress = silent,
) -> xr.Dataset:
    """Trained networks against the theory where H1, H2 or H3 fails more and more (C18-§3.3, A.6).

    - `rate`, `horizon`: learning rate and length of training; `rate` divides `horizon / 240`.
    - `start`: `y_0` of every neuron on its own class, of norm 1, and its `z_0` but under H3.
    - `cosines` between the classes (H1 wants none above 0), with neurons that see nothing of the other class at the
      start. `leaks`: `b_0/a_0` of the one neuron on two orthogonal points (H2 wants 0). `outputs`: `r z_0/y_0` of the
      first class's neuron (H3 wants more than 0). All three of one length.

    Returns a dataset with `margin` beside `theory` (assumption, degree, point, time), when an active set `changed`, the
    `error` of the whole curve and before that change, and from when on the theory `left` the network.
    """
    for name, value in (("rate", rate), ("horizon", horizon), ("start", start)):
        _checks.positive(name, value, ndim=0)
    if not len(cosines) == len(leaks) == len(outputs) > 0:
        raise ValueError(
            f"cosines, leaks and outputs must be of one length, got {len(cosines), len(leaks), len(outputs)}"
        )
    _checks.require("cosines", np.asarray(cosines), "inside (-1, 1)", lambda v: abs(v) < 1)
    _checks.nonnegative("leaks", np.asarray(leaks))
    times = horizon / RECORDS * np.arange(RECORDS + 1)
    check_steps(times, rate)
    sweeps = {
        "H1": _acute(np.asarray(cosines), start),
        "H2": _leaking(np.asarray(leaks), start),
        "H3": _wrong_sign(np.asarray(outputs), start),
    }
    found = []
    for name, sweep in sweeps.items():
        progress("broken assumptions", len(found), len(sweeps))
        found.append(_compared(sweep, rate, times).expand_dims(assumption=[name]))
    progress("broken assumptions", len(sweeps), len(sweeps))
    rival = _rivals(np.asarray(leaks), start, times)
    off = np.abs(found[list(sweeps).index("H2")]["margin"].values[0] - rival)
    dataset = xr.concat(found, dim="assumption", data_vars="all").assign(
        competition=(("degree", "point", "time"), rival),
        competition_error=("degree", off.max(axis=(1, 2))),
    )
    dataset.attrs = {"title": "Independent modes with H1, H2, H3 violated by degrees", "rate": rate, "start": start}
    return labelled(dataset, NAMES)  # pyright: ignore[reportArgumentType] - a concat of datasets is one


def _acute(cosines: np.ndarray, start: float) -> Sweep:
    points = jax.vmap(lambda cosine: net.at_angle((1.0, 1.0), cosine, 2))(jnp.asarray(cosines))
    seen = jnp.diag(jnp.full(2, start)) - 0.05 * (1 - jnp.eye(2))
    first = jax.vmap(lambda points: net.rows(points, seen))(points)
    last = jnp.broadcast_to(jnp.asarray([start, -start]), (len(cosines), 2))

    def theory(t: Array) -> Array:
        one, two = TwoClasses(SHARE, (1.0, 1.0), u0=start**2).logits(t)
        return jnp.broadcast_to(jnp.stack([one, -two]), (len(cosines), 2, len(t)))

    return Sweep(cosines, points, [first, last], theory)


def _leaking(leaks: np.ndarray, start: float) -> Sweep:
    count = len(leaks)
    first = jnp.stack([jnp.full(count, start), start * jnp.asarray(leaks)], axis=1)[:, None, :]

    def theory(t: Array) -> Array:
        one = Mode(1.0, rate=SHARE, u0=start**2).logit(t)
        return jnp.broadcast_to(jnp.stack([one, jnp.zeros_like(one)]), (count, 2, len(t)))

    return Sweep(leaks, jnp.broadcast_to(jnp.eye(2), (count, 2, 2)), [first, jnp.full((count, 1), start)], theory)


def _rivals(leaks: np.ndarray, start: float, times: np.ndarray) -> np.ndarray:
    """Margins of both points by A.6; where the neuron does not see the second one at all, there is no competition."""
    b0 = jnp.asarray(np.where(leaks > 0, leaks, 1.0) * start)
    path = Competition(start, b0, start, SHARE).integrate(jnp.asarray(times))
    one, two = path.logits
    alone = np.asarray(Mode(1.0, rate=SHARE, u0=start**2).logit(jnp.asarray(times)))
    competing = (leaks > 0)[:, None]
    return np.stack([np.where(competing, one, alone[None]), np.where(competing, -np.asarray(two), 0.0)], axis=1)


def _wrong_sign(outputs: np.ndarray, start: float) -> Sweep:
    count = len(outputs)
    points = net.at_angle((1.0, 1.0), -0.5, 2)
    first = net.rows(points, jnp.diag(jnp.full(2, start)) - 0.05 * (1 - jnp.eye(2)))
    z = start * jnp.asarray(outputs)

    def theory(t: Array) -> Array:
        one = Mode(1.0, rate=SHARE, y0=start, z0=z[:, None]).logit(t)
        two = Mode(1.0, rate=SHARE, u0=start**2).logit(t)
        return jnp.stack([one, jnp.broadcast_to(two, one.shape)], axis=1)

    weights = [jnp.broadcast_to(first, (count, 2, 2)), jnp.stack([z, jnp.full(count, -start)], axis=1)]
    return Sweep(outputs, jnp.broadcast_to(points, (count, 2, 2)), weights, theory)


def _compared(sweep: Sweep, rate: float, times: np.ndarray) -> xr.Dataset:
    margin, changed = map(
        np.asarray, _trained(sweep.points, sweep.weights, jnp.asarray(rate), record_steps(times, rate))
    )
    theory = np.asarray(sweep.theory(jnp.asarray(times)))
    off = np.abs(margin - theory).max(axis=1)
    changed = np.where(changed >= 0, changed * rate, np.inf)
    before = np.where(times[None] < changed[:, None], off, 0).max(axis=1)
    beyond = off > TOLERANCE
    left = np.where(beyond.any(axis=1), times[beyond.argmax(axis=1)], np.inf)
    over = ("degree", "point", "time")
    return xr.Dataset(
        {
            "margin": (over, margin),
            "theory": (over, theory),
            "amount": ("degree", sweep.amounts),
            "changed": ("degree", changed),
            "left": ("degree", left),
            "error": ("degree", off.max(axis=1)),
            "error_before": ("degree", before),
        },
        coords={"degree": np.arange(1, len(theory) + 1), "point": [1, 2], "time": times},
    )


@eqx.filter_jit
def _trained(points: Array, weights: net.Weights, rate: Array, steps: Array) -> tuple[Array, Array]:
    """Margins (degree, point, time), and the step after which an active set first differs from the start's, or -1."""

    def one(points: Array, weights: net.Weights) -> tuple[Array, Array]:
        at_start = net.active(weights, points)

        def update(state, params, batch):
            step, first = state
            differs = (net.active(params, points) != at_start).any()
            return step + 1, jnp.where((first < 0) & differs, step + 1, first)

        run = train(
            weights, BinaryObjective(net.relu_net), (points, net.signs(LABELS)), optax.sgd(rate), steps,
            observe=lambda params: net.margins(params, points, LABELS),
            watch=Watch((jnp.asarray(0), jnp.asarray(-1)), update),
        )  # fmt: skip
        return run.observed.T, run.watched[1][-1]

    return jax.vmap(one)(points, weights)
