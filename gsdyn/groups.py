"""Groups of examples, such as those that follow a shortcut and those that contradict it (THEORY section 9, beyond
P21)."""

from __future__ import annotations

from statistics import NormalDist

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Int

from gsdyn import _checks
from gsdyn._numerics.precision import full_precision
from gsdyn.features import FeatureBasis


class GroupMetrics(eqx.Module):
    """How well each group is classified, with the groups along the last axis.

    - `count`: examples, shape (g,). `accuracy`: the share with a margin above 0, shape (..., g).
    - `low`, `high`: Wilson's interval of the accuracy: of the shares of all possible examples of the group, those from
      which one as far from them as this is not too unlikely.
    - `mean_margin`: shape (..., g). `worst`: the group of least accuracy, the first of several, shape (...).
    - `worst_accuracy`: its accuracy: worst-group accuracy, shape (...).
    """

    count: Int[Array, " g"]
    accuracy: Float[Array, "... g"]
    low: Float[Array, "... g"]
    high: Float[Array, "... g"]
    mean_margin: Float[Array, "... g"]
    worst: Int[Array, "..."]

    @property
    def worst_accuracy(self) -> Float[Array, "..."]:
        return jnp.min(self.accuracy, axis=-1)


class Gap(eqx.Module):
    """The gap of the mean margins of two groups, as an exact sum over features.

    - `total`: mean margin of the aligned less that of the conflicting examples, shape (...).
    - `parts`: what each feature contributes, `z_j kappa_j`, shape (..., k). Their sum is `total`.
    - `kappa`: how much more each feature weighs in the aligned examples, shape (k,).
    """

    total: Float[Array, "..."]
    parts: Float[Array, "... k"]
    kappa: Float[Array, " k"]

    @full_precision
    def response(self, matrix: Float[Array, "... k k"]) -> Float[Array, "... k"]:
        """How the gap answers to every strength, `d gap/d(s_i^2) = sum_j kappa_j G[j, i]`, on the examples of the
        basis.

        `matrix`: a `starvation_matrix`, or those of `starvation_over_time`.
        """
        if matrix.shape[-2:] != self.kappa.shape * 2:
            raise ValueError(f"matrix must have shape {self.kappa.shape * 2}, got {matrix.shape}")
        return jnp.tensordot(matrix, self.kappa, ((-2,), (0,)))


@full_precision
def group_metrics(margins: ArrayLike, groups: ArrayLike, *, confidence: float = 0.95) -> GroupMetrics:
    """Accuracy with its interval, mean margin and the worst group (*beyond* P21).

    - `margins`: `y yhat`, shape (m,), or (..., m) for several times or models at once.
    - `groups`: the group of every example, integers from 0 on, shape (m,), for example `(b == y).astype(int)`: 0 where
      the attribute b contradicts the label.
    - `confidence`: of the intervals, in (0, 1).

    Raises `ValueError` for a group without examples.

        >>> metrics = gs.group_metrics(np.array([2.0, 1.0, -0.5, 3.0]), np.array([1, 1, 0, 0]))
        >>> print(metrics.accuracy, metrics.low, metrics.worst)
        [0.5 1. ] [0.095 0.342] 0
    """
    margins = _checks.real("margins", margins)
    group, sizes = _groups(groups)
    if margins.shape[-1:] != group.shape:
        raise ValueError(
            f"margins must have one entry per example of groups ({len(group)}) along the last axis, got {margins.shape}"
        )
    confidence = checked_confidence(confidence)
    member = jnp.asarray(group[:, None] == np.arange(len(sizes))[None, :], margins.dtype)
    count = jnp.asarray(sizes, margins.dtype)
    over = (1,) * (margins.ndim - 1) + (-1,)
    share = ((margins > 0).astype(margins.dtype) @ member) / count.reshape(over)
    # of a time that was not reached nothing is known
    share = jnp.where(jnp.isnan(margins).astype(margins.dtype) @ member > 0, jnp.nan, share)
    finite = jnp.isfinite(margins)
    beyond = jnp.moveaxis(jnp.where(finite, 0.0, margins), -1, 0)  # inf and NaN are those of their group alone
    beyond = jnp.moveaxis(jax.ops.segment_sum(beyond, group, len(sizes)), 0, -1)
    mean = jnp.where(finite, margins, 0.0) @ (member / count[None, :]) + beyond
    low, high = wilson(share, count.reshape(over), confidence)
    return GroupMetrics(jnp.asarray(sizes), share, low, high, mean, jnp.argmin(share, axis=-1))


def checked_confidence(confidence: float) -> float:
    """The confidence of an interval, inside (0, 1)."""
    return _checks.number("confidence", confidence, "a number in (0, 1)", lambda v: 0 < v < 1)


def wilson(share: Array | np.float64, count: Array | np.float64, confidence: float = 0.95) -> tuple[Array, Array]:
    """Both ends of the Wilson score interval of a share `p` of `n` examples: with `q` the normal quantile of
    `(1 + confidence)/2`,

        (p + q^2/2n -+ q sqrt(p (1 - p)/n + q^2/4n^2)) / (1 + q^2/n)

    - `share`: in [0, 1]. `count`: `n` >= 1; they broadcast. `confidence`: in (0, 1).

    Where every example, or none, is right the interval ends there exactly.
    Reference: Wilson, Probable inference, the law of succession, and statistical inference (1927).
    """
    weight = NormalDist().inv_cdf((1 - confidence) / 2) ** 2 / count  # the other quantile: nothing is rounded away
    middle, half = share + weight / 2, (weight * (share * (1 - share) + weight / 4)) ** 0.5
    low = jnp.where(share > 0, (middle - half) / (1 + weight), 0.0)
    return low, jnp.where(share < 1, (middle + half) / (1 + weight), 1.0)


@full_precision
def margin_gap(weights: ArrayLike | FeatureBasis, z: ArrayLike, aligned: ArrayLike) -> Gap:
    """The gap between aligned and conflicting examples, feature by feature (*beyond* P21).

        mean_aligned f - mean_conflicting f = sum_j z_j kappa_j,   kappa_j = mean_aligned U[:, j] - mean_conflicting
        U[:, j]

    - `weights`: the basis for its own examples; for new ones `y_new[:, None] * feature_functions(basis, theta_new, y)`,
      shape (m, k).
    - `z`: responses, shape (k,), or (..., k) along a trajectory. `aligned`: which examples are, shape (m,), of 0 and 1.

    Derivatives go through it: `jax.grad` of `total` at `fixed_point(...).z` for decay and decoupling,
    `gap.kappa @ flow.velocity(z)` for the stopping time, `gap.response(matrix)` for strengths. Raises `ValueError`
    where there are no aligned or no conflicting examples.

        >>> gap = gs.margin_gap(basis, fp.z, np.array([1, 0]))
        >>> print(f"{gap.total:.4f}", gap.parts)
        1.2680 [ 5.608 -4.34 ]
    """
    rows = weights.U if isinstance(weights, FeatureBasis) else _checks.finite("weights", weights, ndim=2)
    z = _checks.real("z", z)
    if z.shape[-1:] != rows.shape[1:]:
        raise ValueError(
            f"z must have one entry per feature of weights ({rows.shape[1]}) along the last axis, got {z.shape}"
        )
    group, sizes = _groups(aligned, "aligned", 2)
    if len(group) != len(rows):
        raise ValueError(f"aligned must have one entry per row of weights ({len(rows)}), got {len(group)}")
    contrast = np.where(group == 1, 1 / sizes[1], -1 / sizes[0])
    kappa = jnp.asarray(contrast, rows.dtype) @ rows
    parts = z * kappa.reshape((1,) * (z.ndim - 1) + (-1,))
    return Gap(jnp.sum(parts, axis=-1), parts, kappa)


def _groups(groups: ArrayLike, name: str = "groups", count: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The group of every example and how many each has."""
    if not _checks.is_concrete(groups):
        raise ValueError(f"{name} must be known, got values traced by jit, vmap or grad")
    allowed = "a vector of integers from 0 on" if count is None else f"a vector of integers in 0..{count - 1}"
    listed = isinstance(groups, list | tuple) and any(isinstance(entry, str) for entry in groups)
    if listed or getattr(getattr(groups, "dtype", None), "kind", "") in ("O", "S", "T", "U"):
        raise ValueError(f"{name} must be {allowed}, got words: np.unique({name}, return_inverse=True)[1] numbers them")
    with jax.ensure_compile_time_eval():  # inside `jit` JAX stages even operations on what is known
        group = np.asarray(_checks.real(name, groups))
    if count == 2 and group.size and (np.abs(group) == 1).all() and (group < 0).any():
        raise ValueError(f"{name} must be {allowed}, got -1 and +1: ({name} + 1) // 2 converts them")
    wrong = ~((group >= 0) & (group == np.floor(group)))
    if wrong.any():
        raise ValueError(f"{name} must be {allowed}, got {group[wrong][0]}")
    group = group[:, 0] if group.ndim == 2 and group.shape[1] == 1 else group
    if group.ndim != 1:
        raise ValueError(f"{name} must be {allowed}, got shape {group.shape}")
    if not group.size or group.max() == np.inf:
        raise ValueError(f"{name} must be {allowed}, got {'inf' if group.size else 'none'}")
    if count is not None and group.max() >= count:
        raise ValueError(f"{name} must be {allowed}, got {int(group.max())}")
    whole = np.minimum(group, len(group)).astype(int)  # more groups than examples: one of them has none
    sizes = np.bincount(whole, minlength=count or 0)
    if (sizes == 0).any():
        raise ValueError(f"{name} must hold an example of every group, got none of group {int(np.argmin(sizes))}")
    return whole, sizes
