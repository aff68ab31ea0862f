"""The implicit stages of a flow: for a step `tau` and a right-hand side `r`, the solution of

    dual      p - tau (x - f(p)) = r,    p = a(x)        the pull p, seen through the margins x
    primal    w + tau grad P(w) = r,     f = U S w       the parameters along the features, w = z / s

Both are the optimality condition of a strictly convex problem, so every `r` and every `tau > 0` has one solution, and in
these coordinates the dual variable never leaves its domain: where it underflows, `x` stays finite.

Newton's step is taken whole if it changes the margins by at most 1.79 (then `_newton` proves a decrease) or if the slope
of the convex objective along it has not grown to half of what it was; else it is shortened by four until it does.
"""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from gsdyn import _linear
from gsdyn._newton import FULL_STEP
from gsdyn._problem import problem
from gsdyn.flows import DualFlow, PrimalFlow, into_domain
from gsdyn.losses import Loss, Softmax, SquaredError
from gsdyn.penalties import Tilt

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

    @abc.abstractmethod
    def start(self) -> tuple[tuple[Array, ...], Array]:
        """State and coordinate at time 0."""

    @abc.abstractmethod
    def velocity(self, y: tuple[Array, ...]) -> tuple[Array, ...]:
        """The time derivative of a state."""

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
    one = jnp.ones((), r.dtype)

    def pull(f: Array, linear: Array) -> Array:
        # 1 - f would lose the digits of a small pull
        return linear if isinstance(stages.loss, SquaredError) else stages.loss.weight(f)

    def body(carry: tuple) -> tuple:
        x, f, p, step, t, i, _ = carry
        ft = f + t * step.df
        pt = pull(ft, p - t * step.Wdf)
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
def _solve_jvp(primals: tuple, tangents: tuple) -> tuple[Solution, Solution]:
    stages, r, tau, guess, rtol = primals
    d_stages, dr, dtau, _, _ = tangents
    solution = _solve(stages, r, tau, guess, rtol)
    x = solution.x
    _, source = eqx.filter_jvp(lambda s, r, tau: s.residual(x, r, tau), (stages, r, tau), (d_stages, dr, dtau))
    dx = jnp.zeros_like(x) if source is None else stages.linear(x, tau, 0.0)(source)
    dp = eqx.filter_jvp(lambda s, x: s.loss.weight(s.margins(x)), (stages, x), (d_stages, dx))[1]
    return solution, Solution(dx, dp, None)  # pyright: ignore[reportArgumentType]


class DualStages(Stages):
    """Stages of a `DualFlow`: the state is the pull `p` (`alpha`, or `E - alpha` for softmax) and the responses.

    The margins are `f = B B^T (p + shift)`, with `B = U sqrt(c)` but for a tilt.
    """

    loss: Loss
    U: Float[Array, "n k"]
    c: Float[Array, " k"]
    B: Float[Array, "n k"]
    shift: Float[Array, " n"] | None
    eta: Float[Array, ""]
    alpha0: Array

    def __init__(self, flow: DualFlow):
        c, tilt = problem(flow.basis, flow.loss, flow.penalty)
        self.loss, self.U, self.c, self.eta, self.alpha0 = flow.loss, flow.basis.U, c, flow.eta, flow.alpha0
        B = self.U * jnp.sqrt(c)[None, :]
        if tilt is not None:
            lower = jnp.linalg.cholesky(jnp.eye(len(c), dtype=c.dtype) + B.T @ (tilt.curvature[:, None] * B))
            B = jax.scipy.linalg.solve_triangular(lower, B.T, lower=True).T
        self.B, self.shift = B, None if tilt is None else tilt.pull

    def start(self) -> tuple[tuple[Array, ...], Array]:
        p = self._pull(self.alpha0)
        return (p, self._responses(p)), self.loss.slope(self.alpha0)

    def velocity(self, y: tuple[Array, ...]) -> tuple[Array, ...]:
        p, z = y
        k = self.eta * (self.loss.slope(self._pull(p)) - _linear.product(self.U, z))
        return k, self._responses(k) if self.shift is None else self.U.T @ self._up(_down(self.B, k))

    def first_step(self, rtol: float) -> Array:
        (p, z), _ = self.start()
        k, _ = self.velocity((p, z))
        free = jnp.abs(p) + rtol
        return jnp.min(jnp.where(k == 0, jnp.inf, 0.1 * rtol**0.2 * free / jnp.where(k == 0, 1.0, jnp.abs(k))))

    def horizon(self) -> Array:
        return 1e6 / self.eta

    def margins(self, x: Array) -> Array:
        return x

    def guess(self, predicted: Array, x: Array) -> Array:
        # Beyond the edge the pull no longer changes, and Newton's way back from far out would be long.
        edge = -jnp.log(EDGE * self._fine())
        slope = self.loss.slope(self._pull(predicted))
        at_edge = self._at_edge(x, EDGE)
        return jnp.where(jnp.isfinite(slope) & ~at_edge, slope, jnp.where(at_edge, jnp.clip(x, -edge, edge), x))

    def residual(self, x: Array, r: Array, tau: Array) -> Array:
        p = self.loss.weight(x)
        return p - r + tau * (self._up(self._down(p)) - x)

    def linear(self, x: Array, tau: Array, accuracy: float) -> Callable[[Array], Array]:
        root, apply_W, inverse = _damped(self.loss.root_curvature(x), tau)
        solver = _linear.solver(root, self.B, accuracy)

        def solve(g: Array, y: Array | float = 0.0) -> Array:
            # y = B^T p apart, as the part of the residual that B y makes: nothing cancels when y is given
            q = solver(y - _down(self.B, apply_W(inverse(g))))
            return inverse(g + tau * self._up(q))

        return solve

    def newton(self, x: Array, f: Array, p: Array, r: Array, tau: Array, accuracy: float) -> Step:
        del f
        root = self.loss.root_curvature(x)
        d = self.linear(x, tau, accuracy)(p - r - tau * x, self._down(p))  # pyright: ignore[reportCallIssue]
        w = root * root if root.ndim == 1 else jnp.sum(root * root, axis=1)
        size = jnp.abs(p) + jnp.abs(r) + jnp.sum(jnp.abs(p - r) + tau * jnp.abs(x))
        noise = 8 * jnp.finfo(d.dtype).eps * size / (tau + w)
        d = jnp.where(jnp.abs(d) <= noise, 0.0, d)
        rest = tau / (1 + tau * jnp.sum(self.c)) * jnp.sum(d * d)
        return Step(d, d, _linear.curvature_product(root, d), rest)

    def negligible(self, dp: Array, p: Array, x: Array, tau: Array, share: float) -> Bool[Array, ""]:
        return jnp.all(jnp.abs(dp) <= share * jnp.abs(p))

    def state(self, solution: Solution, r: Array, tau: Array) -> tuple[Array, ...]:
        # Where tau c > 1 the margins follow from the coordinate: c U^T p would magnify the rounding of p by c.
        z = self._responses(solution.pull)
        slaved = self.U.T @ (solution.x - (solution.pull - r) / tau)
        return solution.pull, jnp.where(_columns(self.c, z) * tau > 1, slaved, z)

    def settle(self, k: Array, x: Array, rtol: float) -> Array:
        stuck = self._at_edge(x, 1e-3 * rtol) & (x * k < 0)
        if not isinstance(self.loss, Softmax):
            return jnp.where(stuck, 0.0, k)
        k = jnp.where(stuck, 0.0, k)
        free = jnp.sum(~stuck, axis=1, keepdims=True)
        return jnp.where(stuck, 0.0, k - jnp.sum(k, axis=1, keepdims=True) / jnp.maximum(free, 1))

    def error(
        self, e: tuple[Array, ...], y0: tuple[Array, ...], y1: tuple[Array, ...], tau: Array, rtol: float, atol: float
    ) -> tuple[Array, ...]:
        (ep, ez), (p0, z0), (p1, z1) = e, y0, y1
        largest = jnp.maximum(jnp.max(jnp.abs(z0)), jnp.max(jnp.abs(z1)))
        p = jnp.maximum(jnp.abs(p0), jnp.abs(p1))
        # what the rounding of p does to the responses, however small the step
        noise = 16 * jnp.finfo(p.dtype).eps * jnp.minimum(_columns(self.c, ez), 1 / tau) * jnp.max(p)
        return ep / (atol + rtol * p), ez / (atol + rtol * largest + noise)

    def observe(self, y: tuple[Array, ...]) -> tuple[Array, Array]:
        p, z = y
        return into_domain(self.loss, self._pull(p)), z

    def _pull(self, alpha: Array) -> Array:
        # its own inverse
        return self.loss.one_hot(alpha.dtype) - alpha if isinstance(self.loss, Softmax) else alpha

    def _down(self, p: Array) -> Array:
        return _down(self.B, p if self.shift is None else p + self.shift)

    def _up(self, y: Array) -> Array:
        return _linear.product(self.B, y)

    def _responses(self, p: Array) -> Array:
        if self.shift is None:
            return _columns(self.c, p) * _down(self.U, p)
        return self.U.T @ self._up(self._down(p))

    def _fine(self) -> Array:
        # a pull that changes the margins by one
        return _columns(1 / (1 + jnp.sum(self.B * self.B, axis=1)), self.alpha0)

    def _at_edge(self, x: Array, share: float) -> Array:
        root = self.loss.root_curvature(x)
        w = root * root if root.ndim == 1 else jnp.sum(root * root, axis=1)
        return w <= share * self._fine()


class PrimalStages(Stages):
    """Stages of a `PrimalFlow`: the state is `w = z / s`, the parameters along the features."""

    loss: Loss
    U: Float[Array, "n k"]
    s: Float[Array, " k"]
    decay: Float[Array, " k"]
    unit: Float[Array, " k"]
    tilt: Tilt | None
    eta: Float[Array, ""]
    z0: Array

    def __init__(self, flow: PrimalFlow):
        c, self.tilt = problem(flow.basis, flow.loss, flow.penalty)
        self.loss, self.U, self.s, self.eta, self.z0 = flow.loss, flow.basis.U, flow.basis.s, flow.eta, flow.z0
        lam1, lam2 = flow.penalty.decay()
        self.decay = (lam1 + lam2 * self.s**2).astype(c.dtype)
        self.unit = jnp.minimum(1.0, c)

    def start(self) -> tuple[tuple[Array, ...], Array]:
        s = _columns(self.s, self.z0)
        w = jnp.where(s > 0, self.z0 / jnp.where(s > 0, s, 1.0), 0.0)
        return (w,), w

    def velocity(self, y: tuple[Array, ...]) -> tuple[Array, ...]:
        (w,) = y
        return (self.eta * self.residual(w, w, jnp.ones((), w.dtype)),)

    def first_step(self, rtol: float) -> Array:
        (k,) = self.velocity(self.start()[0])
        rate = jnp.max(jnp.abs(self._margin_change(k))) + self.eta * jnp.max(self.decay)
        return 0.1 * rtol**0.2 / rate

    def horizon(self) -> Array:
        slowest = jnp.min(jnp.where(self.s > 0, self.decay, jnp.inf))
        return 1e6 / (self.eta * jnp.where(slowest < jnp.inf, slowest, 1.0))

    def margins(self, x: Array) -> Array:
        return self._margin_change(x)

    def guess(self, predicted: Array, x: Array) -> Array:
        return jnp.where(jnp.isfinite(predicted), predicted, x)

    def residual(self, x: Array, r: Array, tau: Array) -> Array:
        f = self.margins(x)
        return r - (1 + tau * _columns(self.decay, x)) * x + tau * self._down(self._force(self.loss.weight(f), f))

    def linear(self, x: Array, tau: Array, accuracy: float) -> Callable[[Array], Array]:
        root = self.loss.root_curvature(self.margins(x))
        if self.tilt is not None:
            root = jnp.hypot(root, jnp.sqrt(self.tilt.curvature))
        D = jnp.sqrt(1 + tau * self.decay)
        solver = _linear.solver(root, self.U * (self.s * jnp.sqrt(tau) / D)[None, :], accuracy)
        return lambda g: solver(g / _columns(D, g)) / _columns(D, g)

    def newton(self, x: Array, f: Array, p: Array, r: Array, tau: Array, accuracy: float) -> Step:
        D = 1 + tau * _columns(self.decay, x)
        d = self.linear(x, tau, accuracy)(r - D * x + tau * self._down(self._force(p, f)))
        df = self._margin_change(d)
        rest = jnp.sum(D * d * d) / tau
        if self.tilt is not None:
            rest = rest + jnp.sum(self.tilt.curvature * df * df)
        return Step(d, df, _linear.curvature_product(self.loss.root_curvature(f), df), rest)

    def negligible(self, dp: Array, p: Array, x: Array, tau: Array, share: float) -> Bool[Array, ""]:
        s = _columns(self.s, x)
        moved = tau * s * s * _down(jnp.abs(self.U), jnp.abs(dp)) / (1 + tau * _columns(self.decay, x))
        return jnp.all(moved <= share * (s * jnp.abs(x) + _columns(self.unit, x)))

    def state(self, solution: Solution, r: Array, tau: Array) -> tuple[Array, ...]:
        return (solution.x,)

    def settle(self, k: Array, x: Array, rtol: float) -> Array:
        return k

    def error(
        self, e: tuple[Array, ...], y0: tuple[Array, ...], y1: tuple[Array, ...], tau: Array, rtol: float, atol: float
    ) -> tuple[Array, ...]:
        (ew,), (w0,), (w1,) = e, y0, y1
        s = _columns(self.s, ew)
        z = s * jnp.maximum(jnp.abs(w0), jnp.abs(w1))
        floor = atol * _columns(jnp.where(self.unit > 0, self.unit, 1.0), ew)
        return (s * ew / (floor + rtol * z),)

    def observe(self, y: tuple[Array, ...]) -> tuple[Array, Array]:
        z = _columns(self.s, y[0]) * y[0]
        return into_domain(self.loss, self.loss.dual(_linear.product(self.U, z))), z

    def _margin_change(self, d: Array) -> Array:
        return _linear.product(self.U, _columns(self.s, d) * d)

    def _down(self, p: Array) -> Array:
        return _columns(self.s, self.z0) * _down(self.U, p)

    def _force(self, p: Array, f: Array) -> Array:
        return p if self.tilt is None else p - self.tilt.curvature * f + self.tilt.pull


def _damped(root: Array, tau: Array) -> tuple[Array, Callable[[Array], Array], Callable[[Array], Array]]:
    """For `W = R^T R`: a root of `tau W (tau + W)^-1`, the product with `W`, and the solution of `(tau + W) v = g`."""
    if root.ndim == 1:
        w = root * root
        inv = 1 / (tau + w)
        return root * jnp.sqrt(tau * inv), lambda v: w * v, lambda g: inv * g
    eye = jnp.eye(root.shape[1], dtype=root.dtype)[None]
    lower = jnp.linalg.cholesky(eye + jnp.einsum("iab,icb->iac", root, root) / tau)
    damped = jax.scipy.linalg.solve_triangular(lower, root, lower=True)
    whole = jnp.linalg.cholesky(tau * eye + jnp.einsum("iba,ibc->iac", root, root))
    return (
        damped,
        lambda v: _linear.curvature_product(root, v),
        lambda g: jax.scipy.linalg.cho_solve((whole, True), g[:, :, None])[:, :, 0],
    )


def _down(matrix: Array, v: Array) -> Array:
    return _linear.product(matrix.T, v)


def _columns(c: Array, like: Array) -> Array:
    """`c`, one entry a row, with as many axes as `like`."""
    return c.reshape(c.shape + (1,) * (like.ndim - 1))
