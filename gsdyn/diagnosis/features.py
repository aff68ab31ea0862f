"""What each feature is: how strong, which examples carry it, and which change of the input goes with it."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from gsdyn._numerics import psd
from gsdyn.features import FeatureBasis
from gsdyn.predictions import feature_functions

CARRIERS = 8  # examples shown of each feature
LARGE = 0.02  # of the largest response, from which a feature is told of as one that others starve


def leading(theta: Array, y: np.ndarray, rank: int, new: Array | None) -> dict[str, np.ndarray]:
    """The `rank` strongest features `U` (n, k), `s`, how exact they are, and their functions at new inputs, (m, k).

    The kernel is decomposed once, whatever the labels: those of `Y Theta Y` are `y` times its eigenvectors. The sign of
    a feature is the one with which its response grows at first, `sum_i U_ij > 0`.
    """
    try:
        plain = psd.once(theta, ("features", rank), lambda: FeatureBasis.from_kernel(theta, rank=rank))
    except ValueError as error:
        raise ValueError(f"the kernel {str(error).removeprefix('theta ')}") from None
    signed = jnp.asarray(y, plain.U.dtype)[:, None] * plain.U
    basis = FeatureBasis._of(signed * _signs(signed)[None, :], plain.s)
    live = np.asarray(basis.s) > 0
    if not live.any():
        raise ValueError("the kernel must not be zero, got one without features")
    U, s2 = np.asarray(basis.U)[:, live], np.asarray(basis.s)[live] ** 2
    image = y[:, None] * np.asarray(theta @ jnp.asarray(y[:, None] * U, theta.dtype))
    found = {
        "U": U,
        "s": np.sqrt(s2),
        "repeated": np.asarray(basis.repeated())[live],
        "eigen_residual": np.linalg.norm(image - s2 * U, axis=0) / s2,
        "strength_share": s2 / float(jnp.trace(theta)),
    }
    if new is not None:
        found["phi"] = np.asarray(feature_functions(basis, new, y))[:, live]
    return found


def _signs(U: Array) -> Array:
    """Those with which sums over examples are positive, or where these vanish sums of cubes."""
    sums, cubes = jnp.sum(U, axis=0), jnp.sum(U**3, axis=0)
    nothing = 64 * len(U) ** 0.5 * float(jnp.finfo(U.dtype).eps)
    return jnp.where(jnp.where(jnp.abs(sums) > nothing, sums, cubes) < 0, -1.0, 1.0).astype(U.dtype)


def carriers(U: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The examples in which each feature weighs most, (k, c), and their weights."""
    order = np.argsort(-np.abs(U), axis=0, kind="stable")[: min(CARRIERS, len(U))].T
    return order, np.take_along_axis(U.T, order, axis=1)


def directions(U: np.ndarray, y: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How every input changes with each feature, (k, p), and the standard deviation of every input, (p,).

        d_j = Cov(phi_j(x), x) / std(phi_j(x))

    over the examples: the mean change of the input that goes with one standard deviation of the feature, and its
    correlation with an input once divided by that input's deviation.
    Reference: Haufe et al., On the interpretation of weight vectors, NeuroImage 87 (2014).
    """
    flat = np.asarray(x, float).reshape(len(x), -1)
    centred = flat - flat.mean(axis=0)
    phi = y[:, None] * U
    phi = phi - phi.mean(axis=0)
    spread = phi.std(axis=0)
    d = (phi / np.where(spread > 0, spread, 1.0)).T @ centred / len(flat)
    return d, centred.std(axis=0)


def large(z: np.ndarray) -> np.ndarray:
    """Which of the responses `z` (..., k) are a notable part of the largest."""
    return np.abs(z) >= LARGE * np.abs(z).max(axis=-1, keepdims=True)


def half_times(ts: np.ndarray, z: np.ndarray, end: np.ndarray) -> np.ndarray:
    """When responses `z` (t, k) first have half of `end` (k,); between saved times by their logarithms. NaN: never, or
    no end."""
    found = np.full(z.shape[1], np.nan)
    for j in np.flatnonzero(end != 0):
        part = z[:, j] / end[j]
        i = int(np.argmax(part >= 0.5))
        if part[i] < 0.5:
            continue
        if i == 0 or ts[i - 1] <= 0 or part[i - 1] <= 0:
            found[j] = ts[i]
            continue
        a, b = np.log(part[i - 1]), np.log(part[i])
        share = (np.log(0.5) - a) / (b - a)
        found[j] = ts[i - 1] * (ts[i] / ts[i - 1]) ** share
    return found
