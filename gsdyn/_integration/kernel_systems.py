"""What a flow in the coefficients of a kernel is made of, and the linear systems of its implicit steps.

With `K ~ V S^2 V^T + tail` and the curvature `D` of loss and penalty, `A^-1/h + lam_1 + D K` needs, but for the tail,
the eigenvalues of one small matrix, `S V^T D V S`. The tail is taken as half of its largest value everywhere.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from gsdyn._numerics.leading import Leading
from gsdyn.losses import Loss

WIDE = 8  # vectors, of which a multiple is fastest to multiply


class Problem(NamedTuple):
    """A kernel of labels `sign`, over its largest `k(x, x)`, `top`, also in single precision; its leading part with
    signed `V`, and the tolerances."""

    theta: Array
    single: Array
    sign: Array
    lead: Leading
    top: Array
    rtol: Array
    atol: Array

    def product(self, v: Array) -> Array:
        """`K v`, over the first axis of `v`."""
        return self._times(self.theta, v)

    def rough(self, v: Array) -> Array:
        """`K v` in single precision."""
        size = jnp.maximum(jnp.max(jnp.abs(v)), jnp.finfo(v.dtype).tiny)
        return (size * self.top) * self._times(self.single, (v / size).astype(self.single.dtype)).astype(v.dtype)

    def noise(self, v: Array) -> Array:
        """About the most that single precision changes `K v` by, of stages along the last axis."""
        square = jnp.sum((v * v).reshape(-1, v.shape[-1]), axis=0)
        return float(jnp.finfo(jnp.float32).eps) * self.top * jnp.sqrt(jnp.max(square))

    def allowed(self, f: Array) -> Array:
        """What a step may change outputs by at margins `f`."""
        return self.atol + self.rtol * jnp.max(jnp.abs(f))

    def _times(self, theta: Array, v: Array) -> Array:
        sign = self.sign[:, None].astype(v.dtype)
        flat = sign * v.reshape(len(sign), -1)
        count = flat.shape[1]
        if count > 1:
            flat = jnp.pad(flat, ((0, 0), (0, -count % WIDE)))
        return (sign * (theta @ flat)[:, :count]).reshape(v.shape)

    def norm(self, e: Array, image: Array) -> Array:
        """The most that errors `e` of coefficients, with `image = K e`, change any output by: of the worst stage."""
        square = jnp.sum((e * image).reshape(-1, e.shape[-1]), axis=0)
        return jnp.sqrt(self.top * jnp.max(jnp.maximum(square, 0.0)))


class Force(NamedTuple):
    """What pulls on the margins: a loss, and the penalty of a phase."""

    loss: Loss
    lam1: Array
    curvature: Array
    pull: Array

    def weight(self, f: Array) -> Array:
        """`a(f) - lam_2 f + pull`."""
        column = (-1,) + (1,) * (f.ndim - 1)
        return self.loss.weight(f) - self.curvature.reshape(column) * f + self.pull.reshape(column)

    def bend(self, f: Array) -> Array:
        """The curvature `D` at margins `f`, shape (n,), or (n, C, C) for logits."""
        root = self.loss.root_curvature(f)
        if root.ndim == 1:
            return root * root + self.curvature
        eye = jnp.eye(root.shape[-1], dtype=root.dtype)[None]
        return jnp.einsum("iba,ibc->iac", root, root) + self.curvature.reshape(-1, 1, 1) * eye


class Pull(Protocol):
    """What a flow needs to know: of its margins, or of columns like them that all have its curvature."""

    @property
    def lam1(self) -> Array: ...

    def weight(self, f: Array, /) -> Array:
        """`beta' = weight(K beta) - lam_1 beta`."""
        ...

    def bend(self, f: Array, /) -> Array:
        """The curvature `D`: how the weight falls, example by example."""
        ...


def velocity(force: Pull, beta: Array, f: Array) -> Array:
    """`beta'`, of stages along the last axis."""
    return jax.vmap(force.weight, -1, -1)(f) - force.lam1 * beta


def largest(bend: Array) -> Array:
    """An upper bound of the curvature in any example."""
    return jnp.max(bend) if bend.ndim == 1 else jnp.max(jnp.trace(bend, axis1=1, axis2=2))


class Modes(NamedTuple):
    """The matrix `A^-1 = to diag(mu) back` that couples columns."""

    mu: np.ndarray
    to: np.ndarray
    back: np.ndarray

    def arrays(self, like: jnp.dtype) -> tuple[Array, Array, Array]:
        """All three, complex, in the precision of `like`."""
        kind = jnp.complex64 if like == jnp.float32 else jnp.complex128
        return jnp.asarray(self.mu, kind), jnp.asarray(self.to, kind), jnp.asarray(self.back, kind)


class System(NamedTuple):
    """The systems of one step: `D`, `V S Q` with `Q` the eigenvectors of `S V^T D V S` and `values` its eigenvalues,
    the step and what is added to every shift."""

    bend: Array
    space: Array
    turn: Array
    values: Array
    h: Array
    shift: Array

    @classmethod
    def of(cls, problem: Problem, force: Pull, bend: Array, h: Array) -> System:
        lead = problem.lead
        extra = lead.tail * largest(bend) / 2
        space = lead.V * jnp.sqrt(jnp.maximum(lead.strengths - lead.tail, 0.0))[None, :]
        if bend.ndim == 1:
            inner = (space * bend[:, None]).T @ space
        else:
            bent = jnp.einsum("iab,il->iabl", bend, space)
            size = space.shape[1] * bend.shape[1]
            inner = jnp.einsum("ij,iabl->jalb", space, bent).reshape(size, size)
        values, turn = jnp.linalg.eigh(inner)
        return cls(bend, space, turn, jnp.maximum(values, 0.0), h, force.lam1 + extra)

    def solve(self, rest: Array, modes: Modes) -> Array:
        """`x` with `(A^-1/h + shift + D V S^2 V^T) x = rest`, over the stages along the last axis."""
        mu, to, back = modes.arrays(rest.dtype)
        kind = mu.dtype
        shifts = mu / self.h.astype(kind) + self.shift.astype(kind)
        plain = ((to / shifts[None, :]) @ back).real
        inner = 1 / (shifts[None, :] * (shifts[None, :] + self.values.astype(kind)[:, None]))
        solved = (((self._down(rest).astype(kind) @ back.T) * inner[:, None]) @ to.T).real
        return rest @ plain.T - self._up(solved, rest.shape)

    def _down(self, v: Array) -> Array:
        """Over the directions, those of all classes together, columns and stages, (r, c, q)."""
        inner = jnp.tensordot(self.space, v, ((0,), (0,))).reshape(len(self.values), -1, v.shape[-1])
        return jnp.tensordot(self.turn, inner, ((0,), (0,)))

    def _up(self, w: Array, shape: tuple[int, ...]) -> Array:
        inner = jnp.tensordot(self.turn, w, ((1,), (0,)))
        return self.bent((self.space @ inner.reshape(self.space.shape[1], -1)).reshape(shape))

    def bent(self, v: Array) -> Array:
        """`D v`, of columns along the last axis."""
        if self.bend.ndim == 1:
            return self.bend.reshape((-1,) + (1,) * (v.ndim - 1)) * v
        return jnp.einsum("iab,ibq->iaq", self.bend, v)
