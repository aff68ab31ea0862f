"""Starvation among the leading features of real images: scikit-learn's digits under a ReLU network's NTK.

The task is digit < 5 against the rest, on all 1,797 images; features are those of the infinite-width kernel
(P21-Def1). Weight decay stands beside spectral decoupling, under which no feature starves another (P21 section 3.4).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array, ArrayLike, Float

from gsdyn import _checks
from gsdyn._progress import Progress, silent
from gsdyn._traced import checked_beforehand
from gsdyn.data import digits
from gsdyn.experiments._datasets import labelled
from gsdyn.features import FeatureBasis
from gsdyn.fixed_points import FixedPoint, fixed_point
from gsdyn.kernels import infinite_ntk
from gsdyn.losses import CrossEntropy, Loss
from gsdyn.networks import FullyConnected
from gsdyn.penalties import Penalty, SpectralDecoupling, WeightDecay

MakePenalty = Callable[[Array], Penalty]
PENALTIES: Mapping[str, MakePenalty] = {
    "weight decay": WeightDecay,
    "spectral decoupling": SpectralDecoupling,
}

NAMES = {
    "penalty": "penalty",
    "lam": "regularisation strength lambda",
    "feature": "feature, strongest first",
    "cause": "feature whose strength changes",
    "s": "feature strength s",
    "alignment": "sum of the feature over the examples",
    "z": "response at the optimum z*",
    "starvation": "starvation matrix d z_feature*/d(s_cause^2)",
    "gap": "duality gap at the computed optimum (upper bound)",
    "relative_gap": "duality gap over the primal value",
    "error_bound": "bound of the error of the dual variables",
    "converged": "whether the last Newton step was within rounding",
}


class Optimum(NamedTuple):
    """The leading responses of one optimum, the block of the starvation matrix among them, and its certificate."""

    z: Float[Array, " k"]
    starvation: Float[Array, "k k"]
    gap: Float[Array, ""]
    relative_gap: Float[Array, ""]
    error_bound: Float[Array, ""]
    converged: Array


def digits_basis(depth: int = 3, images: int | None = None) -> FeatureBasis:
    """The features of the first `images` digits (default all) under the NTK of a ReLU network of `depth` layers."""
    data = digits()
    count = len(data.y) if images is None else images
    if not 2 <= count <= len(data.y):
        raise ValueError(f"images must be in 2..{len(data.y)}, got {images}")
    kernel = infinite_ntk(FullyConnected(depth=depth), data.x[:count])
    return FeatureBasis.from_kernel(kernel, data.y[:count])


def digits_curves(
    lam: ArrayLike,
    *,
    depth: int = 3,
    features: int = 8,
    loss: Loss | None = None,
    penalties: Mapping[str, MakePenalty] = PENALTIES,
    images: int | None = None,
    progress: Progress = silent,
) -> xr.Dataset:
    """Responses of the leading features, and how each answers to the others' strengths, against lambda.

    - `lam`: vector of regularisation strengths, finite and > 0.
    - `depth`: dense layers of the network. `features`: how many of the strongest to follow.
    - `loss`: default `CrossEntropy()`. `penalties`: by name, each from lam to a penalty.
    - `images`: only this many of the 1,797; default all.

    Returns a dataset with `z` (penalty, lam, feature) and `starvation` (penalty, lam, feature, cause), the derivative
    of one feature's response with respect to another's squared strength, by implicit differentiation of the fixed
    point. Raises `ValueError` for values outside their domain.
    """
    lam = _checks.positive("lam", lam, ndim=1)
    loss = CrossEntropy() if loss is None else loss
    total = 1 + len(penalties) * len(lam)
    progress("digits", 0, total)
    basis = digits_basis(depth, images)
    if not 1 <= features <= basis.features:
        raise ValueError(f"features must be in 1..{basis.features}, got {features}")
    optima: list[list[Optimum]] = []
    for penalty in penalties.values():
        penalty(lam[0])  # a bad parameter of it shows here: the compiled code checks nothing
        optima.append([])
        for strength in lam:
            progress("digits", 1 + sum(map(len, optima)), total)
            with checked_beforehand():
                optimum = _optimum(loss, penalty, basis, strength, features)
            optima[-1].append(jax.block_until_ready(optimum))
    progress("digits", total, total)
    dataset = _dataset(optima, list(penalties), np.asarray(lam), basis, features)
    dataset.attrs = {
        "title": "Starvation curves of scikit-learn's digits, digit < 5 against the rest",
        "loss": type(loss).__name__,
        "kernel": f"infinite-width NTK, fully connected, ReLU, {depth} layers",
        "images": basis.examples,
    }
    return labelled(dataset, NAMES)


@eqx.filter_jit
def _optimum(loss: Loss, penalty: MakePenalty, basis: FeatureBasis, lam: Array, features: int) -> Optimum:
    def leading(s: Array) -> tuple[Array, FixedPoint]:
        fp = fixed_point(eqx.tree_at(lambda b: b.s, basis, s), loss, penalty(lam))
        return fp.z[:features], fp

    # Columns by implicit differentiation: `starvation_matrix` would make all 1,797 of them.
    z, derivative, fp = jax.linearize(leading, basis.s, has_aux=True)
    units = jnp.eye(features, basis.features, dtype=basis.s.dtype)
    columns = jax.vmap(derivative, out_axes=1)(units)
    starvation = columns / (2 * basis.s[:features])[None, :]
    return Optimum(z, starvation, fp.gap, fp.gap / fp.objective, fp.error_bound, fp.converged)


def _dataset(
    optima: list[list[Optimum]],
    names: list[str],
    lam: np.ndarray,
    basis: FeatureBasis,
    features: int,
) -> xr.Dataset:
    stacked = jax.tree.map(lambda *x: np.stack(x), *[jax.tree.map(lambda *x: np.stack(x), *row) for row in optima])
    curve = ("penalty", "lam")
    dims = {"z": (*curve, "feature"), "starvation": (*curve, "feature", "cause")}
    number = np.arange(1, features + 1)
    return xr.Dataset(
        {name: (dims.get(name, curve), value) for name, value in stacked._asdict().items()}
        | {
            "s": ("feature", np.asarray(basis.s[:features])),
            "alignment": ("feature", np.asarray(jnp.sum(basis.U[:, :features], axis=0))),
        },
        coords={"penalty": names, "lam": lam, "feature": number, "cause": number},
    )
