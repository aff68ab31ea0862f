"""Starvation curves of the two-feature model (P21 section 3.3): `z*` and `d z_2*/d(s_1^2)` over lam and delta.

Four ways to the same numbers meet here: fixed points of Eq. 9, of its first-order form Eq. 10, the Lemma 1
perturbation, and the end points of the integrated flow, differentiated by finite differences.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array, ArrayLike, Bool, Float

from gsdyn import _checks, closed_forms
from gsdyn._progress import Progress, silent
from gsdyn._traced import checked_beforehand
from gsdyn.experiments._datasets import labelled
from gsdyn.features import FeatureBasis
from gsdyn.fixed_points import fixed_point
from gsdyn.flows import DualFlow
from gsdyn.integration import steady_state
from gsdyn.losses import CrossEntropy, FirstOrderCrossEntropy, Loss
from gsdyn.penalties import Penalty, WeightDecay
from gsdyn.starvation import sign_law, starvation_matrix

MakePenalty = Callable[[Array], Penalty]

NAMES = {
    "method": "how the optimum is found",
    "feature": "feature",
    "lam": "regularisation strength lambda",
    "delta": "overlap of the features delta",
    "lam_ode": "regularisation strength lambda of the integrated cells",
    "delta_ode": "overlap of the features delta of the integrated cells",
    "z": "response at the optimum z*",
    "starvation": "starvation derivative d z_2*/d(s_1^2)",
    "z_ode": "response where the dual flow ends",
    "starvation_ode": "starvation derivative by central differences of end points of the dual flow",
    "ode_distance": "largest distance of a response where the flow ends from the exact one",
    "small_overlap": "starvation derivative to first order in delta (P21-Thm2)",
    "sign_law": "sign of the starvation derivative by the exact law",
    "gap": "duality gap at the computed optimum (upper bound)",
    "error_bound": "bound of the error of the dual variables",
    "converged": "whether the last Newton step was within rounding",
}


class Optimum(NamedTuple):
    """One optimum: both responses, the starvation derivative, and the fixed point's certificate."""

    z: Float[Array, "... 2"]
    starvation: Float[Array, "..."]
    gap: Float[Array, "..."]
    error_bound: Float[Array, "..."]
    converged: Bool[Array, "..."]


def starvation_curves(
    lam: ArrayLike,
    delta: ArrayLike,
    *,
    s1: ArrayLike = 4.0,
    s2: ArrayLike = 2.0,
    loss: Loss | None = None,
    penalty: MakePenalty = WeightDecay,
    at_lam: float | None = None,
    at_delta: float | None = None,
    integrated: int = 12,
    progress: Progress = silent,
) -> xr.Dataset:
    """Responses and the starvation derivative over a grid of (lam, delta) (P21-Eqs 9, 10, 14-16, Def2).

    - `lam`, `delta`: the grid, vectors with lam > 0 and 0 <= delta < 1. `at_lam` and `at_delta`, where the curves
      are cut, are added to it; default the one value of an axis that has only one, else 0.1 and 0.3.
    - `s1`, `s2`: strengths, finite and > 0.
    - `loss`: default `CrossEntropy()`. `penalty`: from lam to a penalty, for example `SpectralDecoupling`.
    - `integrated`: how many values along each axis, spread evenly over the grid, the flow is integrated at; 0 for
      none. None are for a loss that is not smooth.

    Returns a dataset with `z` (method, feature, lam, delta) and `starvation` (method, lam, delta). The methods are
    "exact", for cross-entropy "first-order", with weight decay also "perturbation" (Lemma 1, from Eq. 10).
    Raises `ValueError` for values outside their domain. Reference: Pezeshki et al. 2021, section 3.3.
    """
    if integrated < 0:
        raise ValueError(f"integrated must be at least 0, got {integrated}")
    loss = CrossEntropy() if loss is None else loss
    strengths = _checks.positive("s1", s1, ndim=0), _checks.positive("s2", s2, ndim=0)
    lam, delta = _checks.positive("lam", lam, ndim=1), _overlap("delta", delta, 1)
    cuts = (
        _checks.positive("at_lam", _cut(lam, at_lam, 0.1), ndim=0),
        _overlap("at_delta", _cut(delta, at_delta, 0.3), 0),
    )
    lam, delta = _axis(lam, cuts[0]), _axis(delta, cuts[1])
    kind = type(penalty(lam[0])).__name__  # a bad parameter of the penalty shows here, before anything is compiled
    plain = isinstance(loss, CrossEntropy)
    decay = plain and penalty is WeightDecay
    solve = {"exact": lambda: _optima(loss, penalty, *strengths, lam, delta)}
    if plain:
        solve["first-order"] = lambda: _optima(FirstOrderCrossEntropy(), penalty, *strengths, lam, delta)
    if decay:
        solve["perturbation"] = lambda: _perturbations(*strengths, lam, delta)
    total = len(solve) + (integrated > 0 and loss.smooth)
    optima: dict[str, Optimum] = {}
    for done, (method, run) in enumerate(solve.items()):
        progress("two features", done, total)
        with checked_beforehand():
            optima[method] = jax.block_until_ready(run())
    dataset = _dataset(optima, lam, delta)
    if decay:
        small = closed_forms.small_overlap_starvation(*strengths, delta[None, :], lam[:, None])
        dataset["small_overlap"] = (("lam", "delta"), np.asarray(small))
        dataset["sign_law"] = ("delta", np.asarray(sign_law(*strengths, delta)))
    if integrated > 0 and loss.smooth:
        progress("two features", len(solve), total)
        places = _thinned(lam, integrated, cuts[0]), _thinned(delta, integrated, cuts[1])
        with checked_beforehand():
            ends = _end_points(loss, penalty, *strengths, *places)
        dataset = _with_end_points(dataset, *places, *ends)
    progress("two features", total, total)
    dataset.attrs = {
        "title": "Starvation curves of the two-feature model",
        "loss": type(loss).__name__,
        "penalty": kind,
        "s1": float(strengths[0]),
        "s2": float(strengths[1]),
        "at_lam": float(cuts[0]),
        "at_delta": float(cuts[1]),
    }
    return labelled(dataset, NAMES)


def _overlap(name: str, delta: ArrayLike, ndim: int) -> Array:
    return _checks.require(name, delta, "in [0, 1)", lambda v: (v >= 0) & (v < 1), ndim=ndim)


def _cut(axis: Array, given: float | None, default: float) -> ArrayLike:
    if given is not None:
        return given
    return axis[0] if len(axis) == 1 else default


def _axis(values: Array, cut: Array) -> Array:
    """The grid in order, with the cut in it unless it is there up to rounding."""
    there = jnp.any(jnp.abs(values - cut) <= 64 * jnp.finfo(values.dtype).eps * cut)
    return jnp.unique(values if there else jnp.append(values, cut.astype(values.dtype)))


def _thinned(axis: Array, count: int, cut: Array) -> Array:
    """Some values of an axis, evenly spread, and the one of the cut."""
    spread = np.linspace(0, len(axis) - 1, min(count, len(axis))).round().astype(int)
    return axis[np.union1d(spread, int(jnp.argmin(jnp.abs(axis - cut))))]


def _over_grid(cell: Callable, *axes: Array):
    """`cell` over the product of the axes, as one batch: every batch around a batch is traced once more."""
    grid = jnp.meshgrid(*axes, indexing="ij")
    cells = jax.vmap(cell)(*(x.ravel() for x in grid))
    return jax.tree.map(lambda x: x.reshape(*grid[0].shape, *x.shape[1:]), cells)


@eqx.filter_jit
def _optima(loss: Loss, penalty: MakePenalty, s1: Array, s2: Array, lam: Array, delta: Array) -> Optimum:
    def cell(lam: Array, delta: Array) -> Optimum:
        basis = FeatureBasis.rotation(s1, s2, delta)
        fp = fixed_point(basis, loss, penalty(lam))
        matrix = starvation_matrix(basis, fp)
        return Optimum(fp.z, matrix[1, 0], fp.gap, fp.error_bound, fp.converged)

    return _over_grid(cell, lam, delta)


@eqx.filter_jit
def _perturbations(s1: Array, s2: Array, lam: Array, delta: Array) -> Optimum:
    def cell(lam: Array, delta: Array) -> Optimum:
        def responses(s1_squared: Array) -> Array:
            basis = FeatureBasis.rotation(jnp.sqrt(s1_squared), s2, delta)
            return closed_forms.perturbed(basis, lam).z

        z, slope = jax.jvp(responses, (s1 * s1,), (jnp.ones_like(s1),))
        unknown = jnp.full_like(lam, jnp.nan)
        return Optimum(z, slope[1], unknown, unknown, jnp.ones((), bool))

    return _over_grid(cell, lam, delta)


def _dataset(optima: dict[str, Optimum], lam: Array, delta: Array) -> xr.Dataset:
    methods = list(optima)
    z = np.stack([np.moveaxis(np.asarray(optima[method].z), -1, 0) for method in methods])
    starvation = np.stack([np.asarray(optima[method].starvation) for method in methods])
    exact, grid = optima["exact"], ("lam", "delta")
    return xr.Dataset(
        {
            "z": (("method", "feature", *grid), z),
            "starvation": (("method", *grid), starvation),
            "gap": (grid, np.asarray(exact.gap)),
            "error_bound": (grid, np.asarray(exact.error_bound)),
            "converged": (grid, np.asarray(exact.converged)),
        },
        coords={
            "method": methods,
            "feature": [1, 2],
            "lam": np.asarray(lam),
            "delta": np.asarray(delta),
        },
    )


@eqx.filter_jit
def _end_points(
    loss: Loss, penalty: MakePenalty, s1: Array, s2: Array, lam: Array, delta: Array
) -> tuple[Float[Array, "p q 2"], Float[Array, "p q"]]:
    """Where the dual flow ends, and the central difference of `z_2` there in `s_1^2`."""

    def responses(s1_squared: Array, lam: Array, delta: Array) -> Array:
        basis = FeatureBasis.rotation(jnp.sqrt(s1_squared), s2, delta)
        return steady_state(DualFlow(basis, loss, penalty(lam))).z[-1]

    square = s1 * s1
    step = jnp.finfo(square.dtype).eps ** 0.25 * square  # good for end points right to some eps^0.75
    middle, up, down = _over_grid(responses, jnp.stack([square, square + step, square - step]), lam, delta)
    return middle, (up - down)[..., 1] / (2 * step)


def _with_end_points(dataset: xr.Dataset, lam: Array, delta: Array, z: Array, starvation: Array) -> xr.Dataset:
    grid = ("lam_ode", "delta_ode")
    ends = np.moveaxis(np.asarray(z), -1, 0)
    optima = dataset["z"].sel({"method": "exact", "lam": np.asarray(lam), "delta": np.asarray(delta)})
    return dataset.assign(
        z_ode=(("feature", *grid), ends),
        starvation_ode=(grid, np.asarray(starvation)),
        ode_distance=(grid, np.max(np.abs(ends - optima.values), axis=0)),
    ).assign_coords(lam_ode=np.asarray(lam), delta_ode=np.asarray(delta))
