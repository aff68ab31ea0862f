"""Collocation at the Radau points: the constants of a stiffly accurate implicit method of order 2 s - 1.

A step from `y` with derivative `g` finds increments `Z_i = h sum_j A_ij g(y + Z_j)` at the nodes `c_i`; the polynomial
through them and the start is right to order s + 1 within the step, and to 2 s - 1 at its end, the last node.
Reference: Hairer and Wanner, Solving Ordinary Differential Equations II, section IV.5.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from numpy.polynomial import legendre, polynomial


class Radau(NamedTuple):
    """The constants of `s` stages, as NumPy arrays.

    - `nodes`: `c`, shape (s,). `inverse`: `A^-1 = T diag(mu) T^-1` with `mu`, `to`, `back` the complex parts of it.
    - `slope`: weights of the stages' derivatives in that of their polynomial at the start, shape (s,).
    - `error`: by how much the polynomial errs within a step, over the step times the error of `slope`.
    """

    nodes: np.ndarray
    inverse: np.ndarray
    mu: np.ndarray
    to: np.ndarray
    back: np.ndarray
    slope: np.ndarray
    error: float

    def weights(self, x: Array) -> Array:
        """The weights of the increments in the polynomial at the parts `x` of a step, shape (q, s)."""
        points = np.concatenate([[0.0], self.nodes])
        other = ~np.eye(len(points), dtype=bool)
        below = np.where(other, points[:, None] - points[None, :], 1.0).prod(axis=1)
        apart = x[:, None] - jnp.asarray(points, x.dtype)[None, :]
        above = jnp.prod(jnp.where(other[None], apart[:, None, :], 1.0), axis=2)
        return (above / jnp.asarray(below, x.dtype)[None, :])[:, 1:]

    @property
    def real(self) -> float:
        """The real one of `mu`, of an odd number of stages."""
        return float(min((complex(v) for v in self.mu), key=lambda v: abs(v.imag)).real)


@functools.cache
def radau(stages: int) -> Radau:
    """The Radau IIA method of `stages` stages."""
    series = np.zeros(stages + 1)
    series[stages - 1 :] = -1.0, 1.0
    nodes = (np.sort(legendre.legroots(series).real) + 1) / 2
    nodes[-1] = 1.0
    powers = np.vander(nodes, stages, increasing=True)
    integrals = nodes[:, None] * powers / np.arange(1, stages + 1)[None, :]
    inverse = powers @ np.linalg.inv(integrals)
    mu, to = np.linalg.eig(inverse)
    slope = np.linalg.inv(powers)[0]
    node = polynomial.polyfromroots(nodes)
    within = np.abs(polynomial.polyval(np.linspace(0, 1, 1001), polynomial.polyint(node))).max()
    return Radau(nodes, inverse, mu, to, np.linalg.inv(to), slope, float(within / abs(node[0])))
