"""The phase plane of one mode (C18-§3.3, Fig 2): hyperbolas, basins, the frozen region, by theory and by training."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array

from gsdyn import _checks
from gsdyn._progress import Progress, silent
from gsdyn.experiments import _relu_net as net
from gsdyn.experiments._datasets import labelled
from gsdyn.experiments._training_runs import check_steps, descend_each, record_steps
from gsdyn.experiments.catalogue import PhasePlane
from gsdyn.modes import Mode, Outcome, classify
from gsdyn.training import BinaryObjective

CURVES = ((0.0, 0.5), (0.0, 1.0), (0.1, 1.0))
"""`(c, r)` of the paper's curves."""
STARTS = (
    (-1.3, 0.45), (-1.15, 0.805), (-0.9, 0.95), (-0.95, 0.4), (-0.6, 0.75), (-0.45, 0.2), (-0.3, 0.42),
    (0.05, 0.035), (0.1, 0.4), (0.4, 0.05), (0.7, 0.15), (-0.5, -0.3), (0.6, -0.4),
)  # fmt: skip
"""`(z_0, y_0)` of the paths drawn in the plane; the second one lies on `y = -r z`."""
RECORDS = 120
DECIDED = 400.0
"""How long the networks of the grid are trained."""
GRID_RATE = 0.1

NAMES = {
    "curve": "number of the curve",
    "c": "invariant c = y^2 - r^2 z^2",
    "norm": "norm of the input r",
    "time": "time, learning rate times steps",
    "y_curve": "pre-activation y by theory",
    "confidence": "confidence in the right class P by theory",
    "y_curve_trained": "pre-activation y of the trained network",
    "confidence_trained": "confidence in the right class of the trained network",
    "path": "number of the path",
    "y": "pre-activation y by theory",
    "z": "output weight z by theory",
    "y_trained": "pre-activation y of the trained network",
    "z_trained": "output weight z of the trained network",
    "y0": "pre-activation at the start y_0",
    "z0": "output weight at the start z_0",
    "outcome": "what becomes of the start by theory: 0 solves, 1 dies, 2 decays, 3 frozen",
    "outcome_trained": "what became of the trained network: 0 solves, 1 dies, 2 decays, 3 frozen",
}


def phase_plane(
    *,
    norm: float = PhasePlane.norm,
    z0: float = 0.1,
    rate: float = PhasePlane.rate,
    horizon: float = PhasePlane.horizon,
    grid: int = PhasePlane.grid,
    progress: Progress = silent,
) -> xr.Dataset:
    """The phase plane (z, y) of one mode, and curves in time (C18-Eq1, Eq19, §3.3, A.7, Fig 2).

    - `norm`: the slope r of the plane, the paper's 0.7. `z0`: output weight at the start of the curves in time.
    - `rate`, `horizon`: learning rate and length of the training that is laid over the theory; `rate` divides
      `horizon / 120`.
    - `grid`: how many values of z_0 (and as many of y_0) are classified, by theory and by a trained network each.

    Every network has one neuron and one example. Returns a dataset with curves (curve, time), paths (path, time) and
    the outcome of every start (y0, z0). Raises `ValueError` for values outside their domain.
    """
    for name, value in (("norm", norm), ("z0", z0), ("rate", rate), ("horizon", horizon)):
        _checks.positive(name, value, ndim=0)
    if grid < 2:
        raise ValueError(f"grid must be at least 2, got {grid}")
    times = horizon / RECORDS * np.arange(RECORDS + 1)
    check_steps(times, rate)
    progress("phase plane", 0, 2)
    c, norms = np.array(CURVES).T
    z, y = np.array(STARTS).T * norm / 0.7
    norms, z = np.append(norms, np.full(len(z), norm)), np.append(np.full(len(c), z0), z)
    y = np.append(np.sqrt(c + norms[: len(c)] ** 2 * z0**2), y)
    mode = Mode(jnp.asarray(norms)[:, None], y0=jnp.asarray(y)[:, None], z0=jnp.asarray(z)[:, None])
    path = np.stack(mode.weights(jnp.asarray(times)[None]))
    trained = np.stack(_trained(norms, y, z, rate, times))
    k = len(c)
    progress("phase plane", 1, 2)
    places = (np.linspace(-1, 1.5, grid), np.linspace(-1.4, 1.1, grid))
    by_theory, by_training = _fates(norm, *places)
    progress("phase plane", 2, 2)

    def confidence(pair: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-np.maximum(pair[0, :k], 0) * pair[1, :k]))

    dataset = xr.Dataset(
        {
            "y_curve": (("curve", "time"), path[0, :k]),
            "confidence": (("curve", "time"), confidence(path)),
            "y_curve_trained": (("curve", "time"), trained[0, :k]),
            "confidence_trained": (("curve", "time"), confidence(trained)),
            "y": (("path", "time"), path[0, k:]),
            "z": (("path", "time"), path[1, k:]),
            "y_trained": (("path", "time"), trained[0, k:]),
            "z_trained": (("path", "time"), trained[1, k:]),
            "outcome": (("y0", "z0"), by_theory),
            "outcome_trained": (("y0", "z0"), by_training),
        },
        coords={
            "curve": np.arange(1, k + 1),
            "c": ("curve", c),
            "norm": ("curve", norms[:k]),
            "path": np.arange(1, len(STARTS) + 1),
            "time": times,
            "y0": places[0],
            "z0": places[1],
        },
        attrs={"title": "Phase plane of one mode of learning", "slope": norm, "rate": rate},
    )
    return labelled(dataset, NAMES)


def _weights(norms: np.ndarray, y: np.ndarray, z: np.ndarray) -> tuple[net.Weights, tuple[Array, Array]]:
    """One neuron and one example for each entry."""
    r = jnp.asarray(norms)
    return [jnp.asarray(y / norms)[:, None, None], jnp.asarray(z)[:, None]], (
        r[:, None, None],
        jnp.ones((len(norms), 1)),
    )


def _observe(params: net.Weights) -> tuple[Array, Array]:
    return params[0][0, 0], params[1][0]


OBJECTIVE = BinaryObjective(net.relu_net)


def _trained(norms: np.ndarray, y: np.ndarray, z: np.ndarray, rate: float, times: np.ndarray):
    weights, data = _weights(norms, y, z)
    run = descend_each(weights, OBJECTIVE, data, jnp.asarray(rate), record_steps(times, rate), _observe)
    w, z = map(np.asarray, run.observed)
    return norms[:, None] * w, z


def _fates(norm: float, y0: np.ndarray, z0: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What becomes of every start of a grid, by theory and in training."""
    y, z = (part.ravel() for part in np.meshgrid(y0, z0, indexing="ij"))
    by_theory = np.asarray(classify(norm, y, z))
    w, out = _trained(np.full(y.shape, norm), y, z, GRID_RATE, np.array([0.0, DECIDED]))
    y_end, z_end = w[:, -1], out[:, -1]
    moved = (y_end != w[:, 0]) | (z_end != out[:, 0])
    fate = np.select([~moved & (y_end <= 0), y_end <= 0, z_end > 0], [Outcome.FROZEN, Outcome.DIES, Outcome.SOLVES],
                     Outcome.DECAYS)  # fmt: skip
    shape = (len(y0), len(z0))
    return by_theory.reshape(shape), fate.reshape(shape)
