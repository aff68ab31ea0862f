"""Implicit steps of a flow in the coefficients of a kernel, `beta' = a(K beta) - lam_2 K beta + pull - lam_1 beta`.

Five stages of the Radau IIA method at once, because products of a large kernel with five vectors take hardly longer
than with one. Newton's corrections come from the leading part of the kernel (`_numerics.leading`), whose few directions
carry the stiffness: with `K ~ V S^2 V^T + tail` and the curvature `D` of loss and penalty at the middle of the step,
their systems `A^-1/h + lam_1 + D K` need the eigenvalues of one small matrix, `S V^T D V S`. What is left of the kernel
shrinks by `x/(1 + x)` or more from one correction to the next, with `x` the step times its largest rate over 2 |mu|,
and faster by conjugate directions: in the inner product of the kernel `D K` is symmetric. Products with corrections
that are small enough take single precision, which costs half of double.

Errors are measured in the norm of the kernel: an error `e` of the coefficients changes the output at an input x by at
most `sqrt(k(x, x) e^T K e)`.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
from jaxtyping import Array

from gsdyn._numerics.leading import Leading
from gsdyn._numerics.radau import radau
from gsdyn.losses import Loss

STAGES = 5
RADAU = radau(STAGES)
MEMORY = 2  # changes of corrections from which the next one learns
NEWTON = 16  # corrections at most, of one step
CLOSE = 0.05  # how far below the error allowed they end
COARSE = 0.05  # rounding of single precision, over the size at which corrections end, up to which it serves products
WIDE = 8  # vectors, of which a multiple is fastest to multiply
SLOWEST = 0.6  # rate at which corrections may shrink: what the step is chosen for
REACH = 6.0  # the largest x of the tail, see above
GROWTH = 5.0  # of a step over the one before it
SHRINK = 0.25
SAFETY = 0.9


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

    def solve(self, rest: Array) -> Array:
        """`x` with `(A^-1/h + shift + D V S^2 V^T) x = rest`, over the stages along the last axis."""
        kind = jnp.complex64 if rest.dtype == jnp.float32 else jnp.complex128
        mu, to, back = (jnp.asarray(v, kind) for v in (RADAU.mu, RADAU.to, RADAU.back))
        shifts = mu / self.h.astype(kind) + self.shift.astype(kind)
        plain = ((to / shifts[None, :]) @ back).real
        inner = 1 / (shifts[None, :] * (shifts[None, :] + self.values.astype(kind)[:, None]))
        solved = (((self._down(rest).astype(kind) @ back.T) * inner[:, None]) @ to.T).real
        return rest @ plain.T - self._up(solved, rest.shape)

    def damp(self, slope: Array) -> Array:
        """`h (I + h (shift + D V S^2 V^T)/mu)^-1 slope` with the real `mu`, for one vector of stiff errors."""
        mu = RADAU.real
        shift = mu / self.h + self.shift
        column = slope[..., None]
        up = self._up(self._down(column) / (shift + self.values)[:, None, None], column.shape)[..., 0]
        return (slope - up) * (mu / shift)

    def _down(self, v: Array) -> Array:
        """Over the directions, those of all classes together, columns and stages, (r, c, q)."""
        inner = jnp.tensordot(self.space, v, ((0,), (0,))).reshape(len(self.values), -1, v.shape[-1])
        return jnp.tensordot(self.turn, inner, ((0,), (0,)))

    def _up(self, w: Array, shape: tuple[int, ...]) -> Array:
        inner = jnp.tensordot(self.turn, w, ((1,), (0,)))
        v = (self.space @ inner.reshape(self.space.shape[1], -1)).reshape(shape)
        if self.bend.ndim == 1:
            return self.bend.reshape((-1,) + (1,) * (v.ndim - 1)) * v
        return jnp.einsum("iab,ibq->iaq", self.bend, v)


class Stages(NamedTuple):
    """A step tried: increments of coefficients and margins at the stages, their systems, how the corrections shrank
    (`rate`, which one alone does not tell: `known`), and whether they ended."""

    Z: Array
    KZ: Array
    system: System
    rate: Array
    known: Array
    found: Array


def within_reach(problem: Problem, force: Pull, f: Array) -> Array:
    """The longest step worth a try: beyond it the tail of the kernel keeps corrections from ending in time."""
    fastest = problem.lead.tail * largest(force.bend(f)) / 2
    return REACH * RADAU.real / jnp.maximum(fastest, float(jnp.finfo(f.dtype).tiny) ** 0.5)


def correct(
    problem: Problem, force: Pull, beta: Array, f: Array, h: Array, guess: tuple[Array, Array], rate: Array, tol: Array
) -> Stages:
    """The stages of a step, by Newton's method from a `guess` of them and of `rate`."""
    inverse = jnp.asarray(RADAU.inverse, beta.dtype) / h
    system = System.of(problem, force, force.bend(f + jnp.mean(guess[1], axis=-1)), h)
    floor = 4 * len(beta) ** 0.5 * float(jnp.finfo(beta.dtype).eps)
    stop = jnp.maximum(CLOSE * tol, floor * (jnp.max(jnp.abs(f)) + problem.atol))

    def go(state: tuple[Any, ...]) -> Array:
        *_, found, failed, i = state
        return ~found & ~failed & (i < NEWTON)

    def step(state: tuple[Any, ...]) -> tuple[Any, ...]:
        Z, KZ, last, ways, before, rate, _, _, i = state
        d = system.solve(velocity(force, beta[..., None] + Z, f[..., None] + KZ) - Z @ inverse.T)
        # first a product of the whole, so that what the guess of it was off by does not stay
        fine = (i == 0) | ~(problem.noise(d) <= COARSE * stop)
        moved = jax.lax.cond(fine, lambda: problem.product(Z + d), lambda: KZ + problem.rough(d))
        new = Move(d, moved - KZ, Z + d, moved)
        size = problem.norm(new.d, new.Kd)
        rate = jnp.where(i > 0, size / before, rate)
        found = (rate < 1) & (rate * size < stop * (1 - rate))
        failed = ~jnp.isfinite(size) | ((i > 0) & (rate > 2))
        way = _along(jax.tree.map(lambda a, b: jnp.where(i > 0, a - b, 0.0), new, last), *ways)
        end = _along(new, way, *ways)
        return end.Z, end.KZ, new, (way, *ways[:-1]), size, rate, found, failed, i + 1

    no, zero = jnp.zeros((), bool), jnp.zeros((), jnp.int32)
    still = jax.tree.map(jnp.zeros_like, Move(*guess, *guess))
    start = *guess, still, (still,) * MEMORY, jnp.zeros((), f.dtype), rate, no, no, zero
    Z, KZ, *_, rate, found, _, count = jax.lax.while_loop(go, step, start)
    return Stages(Z, KZ, system, rate, count > 1, found)


class Move(NamedTuple):
    """A correction `d` and `K d`, and where it leads: `Z` and `K Z`; or differences of such."""

    d: Array
    Kd: Array
    Z: Array
    KZ: Array


def _along(move: Move, *ways: Move) -> Move:
    """`move` by as much of the `ways`, differences of moves, as makes its correction least in the norm of the
    kernel."""
    for way in ways:
        length = jnp.sum(way.d * way.Kd)
        part = jnp.where(length > 0, jnp.sum(move.d * way.Kd) / jnp.where(length > 0, length, 1.0), 0.0)
        move = jax.tree.map(lambda a, b, part=part: a - part * b, move, way)
    return move


def error(problem: Problem, force: Pull, beta: Array, f: Array, stages: Stages) -> Array:
    """The error of a step anywhere within it, as a change of outputs."""
    slope = jnp.asarray(RADAU.slope @ RADAU.inverse, beta.dtype) / stages.system.h
    start = force.weight(f) - force.lam1 * beta
    e = RADAU.error * stages.system.damp(start - stages.Z @ slope)
    return problem.norm(e[..., None], problem.rough(e)[..., None])
