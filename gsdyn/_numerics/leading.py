"""The leading part of a kernel, `K ~ V diag(s^2) V^T + tail`, for preconditioning: cheap and not exact."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

EXTRA = 16  # vectors beyond those asked for, with which the last of these converge as well
ROUNDS = 2


class Leading(NamedTuple):
    """Orthonormal `V` (n, r), `strengths` `s^2` (r,) descending, the largest eigenvalue left out, `tail`, and how far
    the kernel seen is from being symmetric (`skew`) and positive semi-definite (`least`, its least value)."""

    V: Array
    strengths: Array
    tail: Array
    skew: Array
    least: Array


def probes(n: int, rank: int) -> np.ndarray:
    """The start of the iteration, shape (n, p); (n, 0) where all eigenvectors are computed instead."""
    width = rank + EXTRA
    return np.random.default_rng(0).normal(size=(n, width if width < n else 0))


def leading(theta: Array, single: Array, start: Array, rank: int) -> Leading:
    """The `rank` strongest directions of `theta`, by subspace iteration from `start`, or exactly where it is empty;
    `single` is a multiple of `theta` in single precision."""
    if start.shape[1] == 0:
        skew = jnp.max(jnp.abs(theta - theta.T))
        values, vectors = jnp.linalg.eigh((theta + theta.T) / 2)
    else:
        # the first round only has to point the right way
        space = _orthonormal(single @ start.astype(single.dtype)).astype(theta.dtype)
        for _ in range(ROUNDS - 1):
            space = _orthonormal(theta @ space)
        inner = space.T @ (theta @ space)
        skew = jnp.max(jnp.abs(inner - inner.T))
        values, small = jnp.linalg.eigh((inner + inner.T) / 2)
        vectors = space @ small
    kept = jnp.maximum(values[::-1], 0.0)
    tail = kept[rank] if rank < len(kept) else jnp.zeros((), theta.dtype)
    least = jnp.minimum(values[0], jnp.min(jnp.diagonal(theta)))
    return Leading(vectors[:, ::-1][:, :rank], kept[:rank], tail, skew, least)


def _orthonormal(x: Array) -> Array:
    """Orthonormal columns that span those of `x`, by the eigenvectors of their small Gram matrix."""
    values, turn = jnp.linalg.eigh(x.T @ x)
    floor = jnp.maximum(jnp.max(values) * float(jnp.finfo(x.dtype).eps), float(jnp.finfo(x.dtype).tiny))
    return (x @ turn) / jnp.sqrt(jnp.maximum(values, floor))[None, :]
