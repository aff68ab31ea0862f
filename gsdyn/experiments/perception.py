"""Puli's linear perception: where spectral decoupling ends, in closed form, and how training gets there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
import optax
import xarray as xr
from jaxtyping import Array
from scipy.optimize import brentq
from scipy.special import expit, ndtr

from gsdyn import _checks
from gsdyn._progress import Progress, silent
from gsdyn.data import linear_perception
from gsdyn.experiments import catalogue
from gsdyn.experiments._datasets import labelled
from gsdyn.features import FeatureBasis
from gsdyn.fixed_points import fixed_point
from gsdyn.integration import integrate
from gsdyn.kernel_flows import KernelFlow
from gsdyn.losses import CrossEntropy
from gsdyn.penalties import SpectralDecoupling, Unregularised
from gsdyn.predictions import coefficients
from gsdyn.training import BinaryObjective, Decoupled, train

STRENGTH = 10.0
RATIOS = (0.3, 0.6, 0.9, 1.05, 1.1, 1.2, 1.5, 2.0, 3.0)
PROBLEMS = (0.3, 1.2)
LOSS = CrossEntropy()
LAM = 1.0
TIMES = np.unique(np.round(np.geomspace(0.4, 1000.0, 40) / 0.04).astype(int)) * 0.04
STEPS = 1000
RATES = {"cross-entropy": 0.04, "spectral decoupling": 0.01}  # of gradient descent, stable with either
PUBLISHED = ((0.3, 0.400), (1.2, 0.397))
"""For each method, d/n and the worst-group accuracy that the paper reports."""

NAMES = {
    "loss": "what is minimised",
    "seed": "seed of data",
    "ratio": "dimensions per example",
    "problem": "dimensions per example of the trained models",
    "time": "learning rate times steps, mean loss",
    "optimum": "accuracy where the shortcut is wrong, at the optimum of spectral decoupling",
    "path": "accuracy where the shortcut is wrong, along the gradient flow",
    "right": "share of training examples that are right, along the gradient flow",
    "separated": "accuracy where the shortcut is wrong when all training examples are right",
    "descent": "accuracy where the shortcut is wrong, along gradient descent",
    "descent_error": "largest difference of accuracies of gradient descent and flow",
    "library_error": "largest difference of a weight of the library's optimum from the closed form",
}


def perception(
    *, seeds: int = catalogue.Perception.seeds, n: int = catalogue.Perception.n, progress: Progress = silent
) -> xr.Dataset:
    """The worst group of linear models on `x = (B z, y, noise)`, B = 10, P(z = y) = 0.9 (Puli et al. 2023).

    The worst group are new inputs whose shortcut is wrong, z = -y. A model with weights w is right there with
    probability `Phi((w_y - B w_z)/|w_noise|)` exactly, so no test set is drawn.

    - `seeds`: how many draws of the training data, at least 1. `n`: training examples, at least 20.

    Returns a dataset with the accuracy at the optimum of spectral decoupling (seed, ratio), and along the gradient flow
    of the mean loss for two ratios d/n (loss, problem, seed, time), with gradient descent beside it.
    Raises `ValueError` outside these ranges.
    """
    seeds, n = _checks.integer("seeds", seeds, 1), _checks.integer("n", n, 20)
    total = seeds * (len(RATIOS) + 2 * len(PROBLEMS)) + 3 * len(PROBLEMS)
    done = iter(range(total + 1))

    def step() -> None:
        progress("perception", next(done), total)

    step()
    optimum = np.array([[_optimum(n, ratio, seed, step) for ratio in RATIOS] for seed in range(seeds)])
    shape = (len(RATES), len(PROBLEMS), seeds, len(TIMES))
    path, right, descent = np.zeros(shape), np.zeros(shape), np.full(shape, np.nan)
    error = np.zeros(len(PROBLEMS))
    for j, ratio in enumerate(PROBLEMS):
        drawn = [_drawn(n, ratio, seed) for seed in range(seeds)]
        error[j] = _library_error(*drawn[0])
        step()
        for i, (method, rate) in enumerate(RATES.items()):
            for k, (x, y) in enumerate(drawn):
                path[i, j, k], right[i, j, k] = _flow(x, y, method)
                step()
            reached = np.flatnonzero(STEPS * rate + 1e-9 >= TIMES)
            descent[i, j][:, reached] = _descended(drawn, method, np.round(TIMES[reached] / rate).astype(int))
            step()
    off = np.nanmax(np.abs(descent - path), axis=(2, 3))
    coords = {
        "loss": list(RATES),
        "seed": range(seeds),
        "ratio": list(RATIOS),
        "problem": list(PROBLEMS),
        "time": TIMES,
    }
    along = ("loss", "problem", "seed", "time")
    dataset = xr.Dataset(
        {
            "optimum": (("seed", "ratio"), optimum),
            "path": (along, path),
            "right": (along, right),
            "separated": (along[:3], _when_separated(path, right)),
            "descent": (along, descent),
            "descent_error": (along[:2], off),
            "library_error": (("problem",), error),
        },
        coords=coords,
        attrs={
            "title": "A shortcut beside the label itself",
            "n": n,
            "strength": STRENGTH,
            "lam": LAM,
            "published_ratio": [ratio for ratio, _ in PUBLISHED],
            "published": [value for _, value in PUBLISHED],
            "published_ends": [1.0, PUBLISHED[1][1]],
        },
    )
    return labelled(dataset, NAMES)


def _drawn(n: int, ratio: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    x, y, _ = linear_perception(n, round(ratio * n), strength=STRENGTH, seed=seed)
    return np.asarray(x), np.asarray(y)


def worst_group(w: np.ndarray) -> np.ndarray:
    """The probability to be right where the shortcut is wrong, of weights (..., d)."""
    with np.errstate(divide="ignore"):
        return ndtr((w[..., 1] - STRENGTH * w[..., 0]) / np.linalg.norm(w[..., 2:], axis=-1))


def closed_form(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The weights at the optimum of spectral decoupling over `f*`: `e_y` for d < n, else `X^T (X X^T)^-1 y`."""
    n, d = x.shape
    return np.eye(d)[1] if d < n else x.T @ np.linalg.solve(x @ x.T, y)


def _optimum(n: int, ratio: float, seed: int, step: Callable[[], None]) -> float:
    value = worst_group(closed_form(*_drawn(n, ratio, seed)))
    step()
    return float(value)


def _library_error(x: np.ndarray, y: np.ndarray) -> float:
    """How far the fixed point of the library is from the closed form."""
    basis = FeatureBasis.from_ntrf(x, y)
    beta = np.asarray(coefficients(basis, fixed_point(basis, LOSS, SpectralDecoupling(LAM))))
    margin: Any = brentq(lambda f: expit(-f) - LAM * f, 0, 1 / LAM, xtol=1e-15)
    return float(np.abs(x.T @ (y * beta) - margin * closed_form(x, y)).max())


def _flow(x: np.ndarray, y: np.ndarray, method: str) -> tuple[np.ndarray, np.ndarray]:
    """Accuracy of the worst group and share of right examples along the flow of the mean loss, from its kernel."""
    penalty = Unregularised() if method == "cross-entropy" else SpectralDecoupling(LAM)
    run = integrate(KernelFlow(x @ x.T / len(y), y, LOSS, penalty), TIMES, rtol=1e-5)
    w = (np.asarray(run.coefficients) * y) @ x
    return worst_group(w), np.mean(np.asarray(run.margins) > 0, axis=-1)


def _linear(w: Array, x: Array) -> Array:
    return x @ w


OBJECTIVES = {
    "cross-entropy": BinaryObjective(_linear),
    "spectral decoupling": Decoupled(BinaryObjective(_linear), LAM / 2),
}


def _descended(drawn: list[tuple[np.ndarray, np.ndarray]], method: str, steps: np.ndarray) -> np.ndarray:
    """The worst group along gradient descent from w = 0, (seed, step)."""
    found = []
    for x, y in drawn:
        start = jnp.zeros(x.shape[1])
        run = train(start, OBJECTIVES[method], (jnp.asarray(x), jnp.asarray(y)), optax.sgd(RATES[method]), steps)
        found.append(worst_group(np.asarray(run.observed)))
    return np.array(found)


def _when_separated(path: np.ndarray, right: np.ndarray) -> np.ndarray:
    """The accuracy at the first time at which all training examples are right; NaN where there is none."""
    whole = right == 1
    first = np.argmax(whole, axis=-1)[..., None]
    return np.where(whole.any(axis=-1), np.take_along_axis(path, first, axis=-1)[..., 0], np.nan)
