"""The implicit stages of a primal flow (see `stages`)."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from gsdyn._integration.stages import Solution, Stages, Step, columns
from gsdyn._numerics import linear as _linear
from gsdyn._numerics.linear import adjoint
from gsdyn._problem import fitting
from gsdyn.flows import PrimalFlow
from gsdyn.losses import Loss
from gsdyn.penalties import Tilt, Unregularised, WeightDecay


class PrimalStages(Stages):
    """Stages of a `PrimalFlow`: the state is `w = z / s`, the parameters along the features."""

    loss: Loss
    U: Float[Array, "n k"]
    s: Float[Array, " k"]
    decay: Float[Array, " k"]
    unit: Float[Array, " k"]
    tilt: Tilt | None
    lam2: Float[Array, ""] | None
    eta: Float[Array, ""]
    z0: Array

    def __init__(self, flow: PrimalFlow):
        self.tilt = fitting(flow.basis, flow.loss, flow.penalty)
        self.loss, self.U, self.s, self.eta, self.z0 = flow.loss, flow.basis.U, flow.basis.s, flow.eta, flow.z0
        lam1, lam2 = flow.penalty.decay()
        s2 = self.s * self.s
        self.lam2 = None if isinstance(flow.penalty, WeightDecay | Unregularised) else lam2.astype(self.s.dtype)
        self.decay = (lam1 + lam2 * s2).astype(self.s.dtype)
        # min(1, c), also without a penalty
        self.unit = jnp.where(
            s2 < self.decay, s2 / jnp.where(self.decay > 0, self.decay, 1.0), jnp.where(s2 > 0, 1.0, 0.0)
        )

    def start(self) -> tuple[tuple[Array, ...], Array]:
        s = columns(self.s, self.z0)
        w = jnp.where(s > 0, self.z0 / jnp.where(s > 0, s, 1.0), 0.0)
        return (w,), w

    def velocity(self, y: tuple[Array, ...], x: Array | None = None) -> tuple[Array, ...]:
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
        left = r - (1 + tau * columns(self.decay, x)) * x + tau * self._down(self._force(self.loss.weight(f), f))
        if self.lam2 is None:
            return left
        # `lam_2 z` is `lam_2 U^T U z` where strengths repeat, whose derivatives of U are those of the kernel alone
        turned = self._down(f) - columns(self.s * self.s, x) * x
        return left - tau * self.lam2 * (turned - jax.lax.stop_gradient(turned))

    def linear(self, x: Array, tau: Array, accuracy: float) -> Callable[[Array], Array]:
        root = self.loss.root_curvature(self.margins(x))
        if self.tilt is not None:
            root = jnp.hypot(root, jnp.sqrt(self.tilt.curvature))
        D = jnp.sqrt(1 + tau * self.decay)
        solver = _linear.solver(root, self.U * (self.s * jnp.sqrt(tau) / D)[None, :], accuracy)
        return lambda g: solver(g / columns(D, g)) / columns(D, g)

    def newton(self, x: Array, f: Array, p: Array, r: Array, tau: Array, accuracy: float) -> Step:
        D = 1 + tau * columns(self.decay, x)
        d = self.linear(x, tau, accuracy)(r - D * x + tau * self._down(self._force(p, f)))
        df = self._margin_change(d)
        rest = jnp.sum(D * d * d) / tau
        if self.tilt is not None:
            rest = rest + jnp.sum(self.tilt.curvature * df * df)
        return Step(d, df, _linear.curvature_product(self.loss.root_curvature(f), df), rest)

    def negligible(self, dp: Array, p: Array, x: Array, tau: Array, share: float) -> Bool[Array, ""]:
        s = columns(self.s, x)
        moved = tau * s * s * adjoint(jnp.abs(self.U), jnp.abs(dp)) / (1 + tau * columns(self.decay, x))
        return jnp.all(moved <= share * (s * jnp.abs(x) + columns(self.unit, x)))

    def state(self, solution: Solution, r: Array, tau: Array) -> tuple[Array, ...]:
        return (solution.x,)

    def settle(self, k: Array, x: Array, rtol: float) -> Array:
        return k

    def error(
        self, e: tuple[Array, ...], y0: tuple[Array, ...], y1: tuple[Array, ...], tau: Array, rtol: float, atol: float
    ) -> tuple[Array, ...]:
        (ew,), (w0,), (w1,) = e, y0, y1
        s = columns(self.s, ew)
        z = s * jnp.maximum(jnp.abs(w0), jnp.abs(w1))
        floor = atol * columns(jnp.where(self.unit > 0, self.unit, 1.0), ew)
        return (s * ew / (floor + rtol * z),)

    def observe(self, y: tuple[Array, ...]) -> tuple[Array, Array]:
        z = columns(self.s, y[0]) * y[0]
        return self.loss.into_domain(self.loss.dual(_linear.product(self.U, z))), z

    def _margin_change(self, d: Array) -> Array:
        return _linear.product(self.U, columns(self.s, d) * d)

    def _down(self, p: Array) -> Array:
        return columns(self.s, self.z0) * adjoint(self.U, p)

    def _force(self, p: Array, f: Array) -> Array:
        return p if self.tilt is None else p - self.tilt.curvature * f + self.tilt.pull
