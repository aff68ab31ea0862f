"""Implicit steps of a primal flow of few features together with its answers to strengths (THEORY section 8).

Five stages of the Radau IIA method, all unknowns at once: the system of responses and that of every column of `G` have
the one matrix `A^-1/h - J`, of the Jacobians `J = -(S^2 U^T (W + lam_2) U + lam_1)` at the stages. Its inverse where
the stages are expected serves all iterations of a step.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array

from gsdyn._numerics.radau import radau
from gsdyn.losses import Loss

STAGES = 5
RADAU = radau(STAGES)
ITERATIONS = 6
UNROLLED = 0  # unknowns up to which elimination is written out
CLOSE = 0.02  # how far below the error allowed the iterations end


class Field(NamedTuple):
    """The flow `z' = s2 * U^T (a(U z) - curvature U z + pull) - lam1 z`; `s2` and `lam1` carry the rate `eta`."""

    loss: Loss
    U: Array
    s2: Array
    lam1: Array
    curvature: Array
    pull: Array
    eta: Array

    def push(self, z: Array) -> Array:
        """`p = U^T (a(f) - lam_2 f + pull)`."""
        return self.U.T @ self._force(z)

    def push_rounding(self, z: Array) -> Array:
        """How far rounding can move `push`, in which the pulls of the examples can cancel."""
        unit = 4 * len(self.U) ** 0.5 * float(jnp.finfo(z.dtype).eps)
        return unit * (jnp.abs(self.U).T @ jnp.abs(self._force(z)))

    def _force(self, z: Array) -> Array:
        f = self.U @ z
        return self.loss.weight(f) - self.curvature * f + self.pull

    def interaction(self, z: Array) -> Array:
        """`U^T (W + lam_2) U`."""
        root = self.loss.root_curvature(self.U @ z)
        return self.U.T @ ((root * root + self.curvature)[:, None] * self.U)

    def jacobian(self, z: Array) -> Array:
        eye = jnp.eye(len(z), dtype=z.dtype)
        return -(self.s2[:, None] * self.interaction(z) + self.lam1 * eye)

    def velocity(self, y: State) -> State:
        p = self.push(y.z)
        return State(self.s2 * p - self.lam1 * y.z, self.jacobian(y.z) @ y.G + jnp.diag(self.eta * p))


class State(NamedTuple):
    """Responses and their answers to strengths, or increments of both."""

    z: Array
    G: Array


def stages(field: Field, y: State, h: Array, guess: State, tol: State) -> tuple[State, Array, State]:
    """The increments at the stages of a step (along the first axis), whether the iterations ended within `tol`, and
    the last correction at the end of the step, made beyond that: more than what is left to correct."""
    inverse = jnp.asarray(RADAU.inverse, h.dtype)

    def residual(Z: State) -> State:
        moved = jax.vmap(field.velocity)(jax.tree.map(lambda a, b: a[None] + b, y, Z))
        return jax.tree.map(lambda v, x: v - jnp.tensordot(inverse, x, 1) / h, moved, Z)

    def find(_: object, Z: State) -> tuple[State, tuple[Array, State]]:
        s, k = Z.z.shape
        J = jax.vmap(field.jacobian)(y.z[None] + Z.z)
        left = jnp.einsum("ij,kl->ikjl", inverse / h, jnp.eye(k, dtype=h.dtype))
        right = jnp.einsum("ij,ikl->ikjl", jnp.eye(s, dtype=h.dtype), J)
        P = inverted((left - right).reshape(s * k, s * k))

        def go(state: tuple[State, Array, Array]) -> Array:
            _, size, i = state
            return (size > CLOSE) & (i < ITERATIONS)

        def step(state: tuple[State, Array, Array]) -> tuple[State, Array, Array]:
            Z, _, i = state
            d = _times(P, residual(Z))
            size = jnp.maximum(*(jnp.max(jnp.abs(a) / b[None]) for a, b in zip(d, tol, strict=True)))
            return jax.tree.map(jnp.add, Z, d), jnp.where(size >= 0, size, jnp.inf), i + 1

        start = Z, jnp.asarray(jnp.inf, h.dtype), jnp.zeros((), jnp.int32)
        Z, size, _ = jax.lax.while_loop(go, step, start)
        # an iteration can be within `tol` whose answers have not seen where the responses came to be
        last = _times(P, residual(Z))
        return jax.tree.map(jnp.add, Z, last), (size, jax.tree.map(lambda d: jnp.abs(d[-1]), last))

    guess = jax.lax.stop_gradient(guess)
    Z, aux = jax.lax.custom_root(residual, guess, find, _tangent, has_aux=True)
    size, last = jax.lax.stop_gradient(aux)
    return Z, size <= CLOSE, last


def _times(P: Array, rest: State) -> State:
    s, k = rest.z.shape
    return State((P @ rest.z.reshape(-1)).reshape(s, k), (P @ rest.G.reshape(s * k, k)).reshape(s, k, k))


def _tangent(linear: Callable[[State], State], rest: State) -> State:
    """The solution of the linearised stages, whose answers depend on the responses and not the other way round."""
    still = jax.tree.map(jnp.zeros_like, rest)
    matrix = jax.jacfwd(lambda z: linear(still._replace(z=z)).z)(still.z)
    P = inverted(matrix.reshape(rest.z.size, rest.z.size))
    first = _times(P, rest)
    return jax.tree.map(jnp.add, first, _times(P, jax.tree.map(jnp.subtract, rest, linear(first))))


def inverted(matrix: Array) -> Array:
    """The inverse, by Gauss-Jordan elimination without pivots: those of `A^-1/h - J` are safe, as `J` is similar to a
    negative semi-definite matrix by a diagonal one, and `A^-1` to one with a positive definite symmetric part."""
    q = len(matrix)
    at = jnp.arange(q)

    def eliminate(j: Array | int, m: Array) -> Array:
        row, column = m[j], m[:, j]
        own = (at == j).astype(m.dtype)
        pivot = row[j]
        row = jnp.where(at == j, 1.0, row) / pivot
        return jnp.where(own[:, None] > 0, row[None, :], m * (1 - own)[None, :] - column[:, None] * row[None, :])

    if q <= UNROLLED:
        return functools.reduce(lambda m, j: eliminate(j, m), range(q), matrix)
    return jax.lax.fori_loop(0, q, eliminate, matrix)
