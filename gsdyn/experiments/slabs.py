"""Shah's slabs: of coordinates that all tell the class, networks and kernels use the linear one alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import xarray as xr
from jaxtyping import Array

from gsdyn import _checks
from gsdyn._progress import Progress, silent
from gsdyn.data import Slabs
from gsdyn.data import slabs as drawn_slabs
from gsdyn.experiments import catalogue
from gsdyn.experiments._datasets import labelled
from gsdyn.kernel_fixed_points import kernel_fixed_point
from gsdyn.kernels import infinite_ntk
from gsdyn.losses import CrossEntropy
from gsdyn.networks import FullyConnected
from gsdyn.penalties import WeightDecay
from gsdyn.predictions import predict
from gsdyn.probes import randomised_auc
from gsdyn.training import BinaryObjective, Decoupled, train

KINDS = (5, 7)
DIMENSION = 50
NET = FullyConnected(depth=3, width=100)
RATE = 1e-2
LAM = 1.0  # of spectral decoupling; a mean loss in training
DECAY = 1e-3
REPEATS = 5
MODELS = (
    "network, cross-entropy",
    "network, spectral decoupling",
    "kernel, cross-entropy",
    "kernel, spectral decoupling",
)
VARIANTS = ("as they are", "linear randomised", "slabs randomised")

NAMES = {
    "slabs": "slabs of the other coordinates",
    "model": "model",
    "seed": "seed of data and start",
    "variant": "inputs",
    "auc": "area under the ROC curve",
    "train_accuracy": "share of training examples that are right",
}
Model = Callable[[Any, Array], Array]


def slabs(
    *,
    seeds: int = catalogue.SlabData.seeds,
    n: int = catalogue.SlabData.n,
    steps: int = catalogue.SlabData.steps,
    progress: Progress = silent,
) -> xr.Dataset:
    """Randomised AUC of networks and kernels on one linear and 49 slab coordinates (Shah et al. 2020).

    - `seeds`: how many draws of data and start, at least 1. `n`: examples to train on and as many new ones, at least
      100. `steps`: of Adam for the networks (three layers, 100 neurons each), at least 1.

    Kernels are those of the same networks infinitely wide, at the optimum under weight decay or spectral decoupling.
    Returns a dataset with the AUC on new inputs as they are, with the linear coordinate exchanged between them, and
    with all others exchanged (slabs, model, seed, variant). Raises `ValueError` outside these ranges.
    """
    seeds, n = _checks.integer("seeds", seeds, 1), _checks.integer("n", n, 100)
    steps = _checks.integer("steps", steps, 1)
    auc = np.zeros((len(KINDS), len(MODELS), seeds, len(VARIANTS)))
    right = np.zeros(auc.shape[:-1])
    for i, kind in enumerate(KINDS):
        for k in range(seeds):
            progress(f"{kind} slabs", k, seeds)
            data = drawn_slabs(2 * n, (2, *(kind,) * (DIMENSION - 1)), seed=k)
            for j, (apply, params) in enumerate(_models(data, n, steps, k)):
                auc[i, j, k], right[i, j, k] = _judged(apply, params, data, n)
        progress(f"{kind} slabs", seeds, seeds)
    dataset = xr.Dataset(
        {"auc": (("slabs", "model", "seed", "variant"), auc), "train_accuracy": (("slabs", "model", "seed"), right)},
        coords={"slabs": list(KINDS), "model": list(MODELS), "seed": range(seeds), "variant": list(VARIANTS)},
        attrs={"title": "Slabs", "n": n, "steps": steps, "dimension": DIMENSION, "published": [1.0, 0.5, 1.0]},
    )
    return labelled(dataset, NAMES)


OBJECTIVE = BinaryObjective(NET.apply)


def _last(params: Any) -> Array:
    return jnp.zeros(())


def _models(data: Slabs, n: int, steps: int, seed: int) -> list[tuple[Model, Any]]:
    """What is trained on the first n examples, in the order of `MODELS`."""
    x, y = data.x[:n], data.y[:n]
    start, optimizer = NET.init(jax.random.key(seed), DIMENSION), optax.adam(RATE)
    found: list[tuple[Model, Any]] = [
        (NET.apply, train(start, objective, (x, y), optimizer, np.array([steps]), observe=_last).params)
        for objective in (OBJECTIVE, Decoupled(OBJECTIVE, LAM / 2))
    ]
    theta = infinite_ntk(NET, x)

    def by_kernel(alpha: Array, inputs: Array) -> Array:
        return predict(infinite_ntk(NET, inputs, x), y, alpha)

    decayed = kernel_fixed_point(theta, y, CrossEntropy(), WeightDecay(DECAY)).alpha / DECAY
    # the optimum of spectral decoupling is least squares; the margin does not change a ranking
    even = y * jnp.asarray(np.linalg.solve(np.asarray(theta), np.asarray(y)))
    return [*found, (by_kernel, decayed), (by_kernel, even)]


def _judged(apply: Model, params: Any, data: Slabs, n: int) -> tuple[list[float], float]:
    """The three AUC on new examples, and the share of training examples that are right."""
    linear = [j for j, k in enumerate(data.kinds) if k == 2]
    others = [j for j, k in enumerate(data.kinds) if k != 2]
    x, y = data.x[n:], data.y[n:]
    plain, exchanged = randomised_auc(apply, params, x, y, linear, repeats=REPEATS)[:2]
    kept = randomised_auc(apply, params, x, y, others, repeats=REPEATS).randomised
    right = np.mean(np.asarray(apply(params, data.x[:n]) * data.y[:n]) > 0)
    return [plain, exchanged, kept], float(right)
