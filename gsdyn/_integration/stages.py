"""The implicit stages of a flow: for a step `tau` and a right-hand side `r`, the solution of

    dual      p - tau (x - f(p)) = r,    p = a(x)        the pull p, seen through the margins x
    primal    w + tau grad P(w) = r,     f = U S w       the parameters along the features, w = z / s

Both are the optimality condition of a strictly convex problem, so every `r` and every `tau > 0` has one solution, and
in these coordinates the dual variable never leaves its domain: where it underflows, `x` stays finite.

Newton's step is taken whole if it changes the margins by at most 1.79 (then `_fixed_points.newton` proves a decrease)
or if the slope of the convex objective along it has not grown to half of what it was; else it is shortened by four
until it does.
"""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool

from gsdyn._fixed_points.newton import FULL_STEP
from gsdyn._integration import cell_stages
from gsdyn._numerics import pairs
from gsdyn._numerics.precision import full_precision
from gsdyn.losses import Loss

NEWTON_LIMIT = 40
NEWTON_SHARE = 0.01  # of the relative tolerance
EDGE = 1e-10  # of the pull that changes the margins by one: pulls below are as good as none


class Step(NamedTuple):
    """Newton's step `d`, what it does to the margins, `W df`, and the rest of its curvature (or less)."""

    d: Array
    df: Array
    Wdf: Array
    rest: Array


class Solution(NamedTuple):
    """The coordinate `x` of a stage, its pull, and whether both are found."""

    x: Array
    pull: Array
    found: Bool[Array, ""]


class Stages(eqx.Module):
    """A flow as its implicit stages see it. A state is a tuple, whose first entry is what the flow moves."""

    loss: eqx.AbstractVar[Loss]
    U: eqx.AbstractVar[Array]
    eta: eqx.AbstractVar[Array]

    @abc.abstractmethod
    def start(self) -> tuple[tuple[Array, ...], Array]:
        """State and coordinate at time 0."""

    @abc.abstractmethod
    def velocity(self, y: tuple[Array, ...], x: Array | None = None) -> tuple[Array, ...]:
        """The time derivative of a state, whose coordinate `x`, if known, has digits that the state has lost."""

    @abc.abstractmethod
    def first_step(self, rtol: float) -> Array:
        """A time in which the flow moves little."""

    @abc.abstractmethod
    def horizon(self) -> Array:
        """A time after which the flow has contracted by e^-100."""

    @abc.abstractmethod
    def guess(self, predicted: Array, x: Array) -> Array:
        """The coordinate of a predicted state, or `x` where there is none."""

    @abc.abstractmethod
    def margins(self, x: Array) -> Array:
        """The margins at which the loss is evaluated."""

    @abc.abstractmethod
    def residual(self, x: Array, r: Array, tau: Array) -> Array:
        """What is left of the stage's equation at `x`."""

    @abc.abstractmethod
    def linear(self, x: Array, tau: Array, accuracy: float) -> Callable[[Array], Array]:
        """The inverse of minus the derivative of the residual."""

    @abc.abstractmethod
    def newton(self, x: Array, f: Array, p: Array, r: Array, tau: Array, accuracy: float) -> Step:
        """Newton's step from `x`, whose margins are `f` and whose pull is `p`."""

    @abc.abstractmethod
    def negligible(self, dp: Array, p: Array, x: Array, tau: Array, share: float) -> Bool[Array, ""]:
        """Whether an error `dp` of the pull moves the state by less than this share of itself."""

    def pair(self) -> tuple[Any, Array, Array | None] | None:
        """Loss, `B` and shift of two features in two examples, for which `cell_stages` is faster; else None."""
        return None

    def alone(self) -> bool:
        """Whether the flows of a batch are faster one after the other: together all wait for the slowest."""
        return False

    @abc.abstractmethod
    def state(self, solution: Solution, r: Array, tau: Array) -> tuple[Array, ...]:
        """The state of a stage."""

    @abc.abstractmethod
    def settle(self, k: Array, x: Array, rtol: float) -> Array:
        """A velocity without what has reached the edge of its domain and cannot go on."""

    @abc.abstractmethod
    def error(
        self, e: tuple[Array, ...], y0: tuple[Array, ...], y1: tuple[Array, ...], tau: Array, rtol: float, atol: float
    ) -> tuple[Array, ...]:
        """The error of a step in units of its tolerance."""

    @abc.abstractmethod
    def observe(self, y: tuple[Array, ...]) -> tuple[Array, Array]:
        """`alpha` and `z` of a state."""


def solve(stages: Stages, r: Array, tau: Array, guess: Array, rtol: float) -> Solution:
    """The one solution of a stage, with implicit derivatives in `stages`, `r` and `tau`."""
    return _solve(stages, r, tau, jax.lax.stop_gradient(guess), rtol)


@eqx.filter_custom_jvp
def _solve(stages: Stages, r: Array, tau: Array, guess: Array, rtol: float) -> Solution:
    share = max(NEWTON_SHARE * rtol, 8 * float(jnp.finfo(r.dtype).eps))
    pair = stages.pair()
    if pair is not None:
        loss, B, shift = pair
        moved = (0.0, 0.0) if shift is None else (shift[0], shift[1])
        x, p, found = cell_stages.solve(
            loss, pairs.entries(B), moved, (r[0], r[1]), tau, (guess[0], guess[1]), share, NEWTON_LIMIT
        )
        return Solution(jnp.stack(x), jnp.stack(p), found)
    one = jnp.ones((), r.dtype)

    def body(carry: tuple) -> tuple:
        x, f, p, step, t, i, _ = carry
        ft = f + t * step.df
        pt = stages.loss.weight_after(ft, p - t * step.Wdf)
        curvature = jnp.sum(step.df * step.Wdf)
        slope = jnp.sum(step.df * (p - pt)) - curvature - (1 - t) * step.rest
        accept = (slope <= (curvature + step.rest) / 2) | (t * stages.loss.spread(step.df) <= FULL_STEP)
        x, f, p = (jnp.where(accept, a, b) for a, b in ((x + t * step.d, x), (ft, f), (pt, p)))
        new = stages.newton(x, f, p, r, tau, share)
        m = stages.loss.spread(new.df)
        done = accept & (m <= 1) & stages.negligible(m * new.Wdf, p, x, tau, share)
        step = Step(*(jnp.where(accept, a, b) for a, b in zip(new, step, strict=True)))
        return x, f, p, step, jnp.where(accept, one, t / 4), i + 1, done | ~(m < jnp.inf)

    # The first round makes no step: it finds the pull and Newton's step at the guess. The last step is made after it.
    f = stages.margins(guess)
    p = stages.loss.weight(f)
    nothing = Step(jnp.zeros_like(guess), jnp.zeros_like(f), jnp.zeros_like(f), jnp.zeros_like(one))
    carry = (guess, f, p, nothing, one, jnp.zeros((), jnp.int32), jnp.zeros((), bool))
    x, _, p, step, _, _, done = jax.lax.while_loop(lambda c: ~c[-1] & (c[-2] < NEWTON_LIMIT), body, carry)
    return Solution(x + step.d, p - step.Wdf, done & (stages.loss.spread(step.df) < jnp.inf))


@_solve.def_jvp
@full_precision
def _solve_jvp(primals: tuple, tangents: tuple) -> tuple[Solution, Solution]:
    stages, r, tau, guess, rtol = primals
    d_stages, dr, dtau, _, _ = tangents
    solution = _solve(stages, r, tau, guess, rtol)
    x = solution.x
    _, source = eqx.filter_jvp(lambda s, r, tau: s.residual(x, r, tau), (stages, r, tau), (d_stages, dr, dtau))
    dx = jnp.zeros_like(x) if source is None else stages.linear(x, tau, 0.0)(source)
    dp = eqx.filter_jvp(lambda s, x: s.loss.weight(s.margins(x)), (stages, x), (d_stages, dx))[1]
    return solution, Solution(dx, dp, None)  # pyright: ignore[reportArgumentType]


def columns(c: Array, like: Array) -> Array:
    """`c`, one entry a row, with as many axes as `like`."""
    return c.reshape(c.shape + (1,) * (like.ndim - 1))
