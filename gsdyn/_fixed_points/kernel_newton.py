"""Newton's method with conjugate gradients in the inner product of a kernel, for fixed points straight from it.

With `K = Y Theta Y / lam`, margins `f = K beta` and weights `a = a(f)`, the optimum of primal and dual has
`beta = a(f)`, and primal minus dual at `beta` is exactly `(beta - a)^T K (beta - a) / 2`, which the first product of
every Newton step gives for nothing. In that inner product the system of a Newton step, `(I + W K) d = a - beta`, is
symmetric, and a step of conjugate gradients takes one product with the kernel: in single precision, at less than half
the time, as long as its rounding is small beside the residual. Margins come from products in double precision, whatever
the precision of the kernel.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array

from gsdyn._fixed_points.newton import step_length
from gsdyn.losses import Loss

FORCING = 0.1  # the largest residual at which a Newton step is good enough, as a part of the gap
ENOUGH = 1.4  # how far below the gap asked for the last Newton step aims
COARSE = 0.01  # the rounding of single precision, as a part of the gap, beyond which the gap is computed again
SMALL = 0.03  # the same, as a part of the residual, beyond which conjugate gradients take double precision
IDLE = 4  # steps in a row that neither halve the gap nor lower the objective, after which rounding leaves no more


class Kernel(NamedTuple):
    """`K = Y Theta Y / lam` in double precision, and `Theta / top` in single."""

    theta: Array
    single: Array
    top: Array
    trace: Array
    sign: Array
    lam: Array

    @classmethod
    def of(cls, theta: Array, sign: Array, lam: Array) -> Kernel:
        """The kernel of the labels `sign`, its copy in single precision included."""
        top = jnp.maximum(jnp.max(jnp.diagonal(theta)), jnp.finfo(theta.dtype).tiny)
        return cls(theta, (theta * (1 / top)).astype(jnp.float32), top, jnp.trace(theta), sign, lam)

    def product(self, v: Array) -> Array:
        """`K v`."""
        return self.sign * (self.theta @ (self.sign * v)) / self.lam

    def rough(self, v: Array) -> Array:
        """`K v` in single precision."""
        size = jnp.maximum(jnp.max(jnp.abs(v)), jnp.finfo(v.dtype).tiny)
        u = self.single @ (self.sign * (v / size)).astype(jnp.float32)
        return self.sign * u.astype(v.dtype) * (size * (self.top / self.lam))

    def noise(self, v: Array) -> Array:
        """About the most that single precision changes `v^T K v` by: its unit times the trace, times `v^T v`."""
        return float(jnp.finfo(jnp.float32).eps) / 2 * self.trace / self.lam * jnp.sum(v * v)


class State(NamedTuple):
    """Coefficients `beta`, margins `f = K beta`, what is left `r = a(f) - beta` with `K r`, primal minus dual, the
    primal objective, the steps taken, and how many of the last did not help: never 0 again after the first of these,
    from which on all is done in the precision of the kernel."""

    beta: Array
    f: Array
    r: Array
    Kr: Array
    gap: Array
    level: Array
    i: Array
    idle: Array


def minimise(kernel: Kernel, loss: Loss, beta: Array, f: Array, rtol: Array, limit: Array) -> State:
    """Newton's method from coefficients `beta` with margins `f`, to the gap `rtol` or as near as rounding allows."""
    unit = (beta.size + 16) * float(jnp.finfo(beta.dtype).eps)

    def left(beta: Array, f: Array, i: Array, idle: Array) -> State:
        r = loss.weight(f) - beta
        rough = kernel.rough(r)
        coarse = (idle > 0) | (kernel.noise(r) > COARSE * jnp.sum(r * rough))
        Kr = jax.lax.cond(coarse, kernel.product, lambda _: rough, r)
        return State(beta, f, r, Kr, jnp.sum(r * Kr) * (0.5 + COARSE), objective(loss, beta, f), i, idle)

    def go(s: State) -> Array:
        return (s.gap > rtol * s.level) & (s.i < limit) & (s.idle < IDLE)

    def step(s: State) -> State:
        # the gap to leave: superlinear, and no smaller than what ends the iteration
        aim = jnp.maximum(jnp.minimum(FORCING, s.gap / s.level) * s.gap, rtol * s.level / ENOUGH)
        d, Kd = _direction(kernel, loss.root_curvature(s.f) ** 2, s, 2 * aim)
        t = step_length(
            loss.spread(Kd), lambda t: jnp.sum(Kd * (s.beta + t * d)) - jnp.sum(Kd * loss.weight(s.f + t * Kd))
        )
        beta = s.beta + t * d
        new = left(beta, kernel.product(beta), s.i + 1, s.idle)
        helps = (new.gap < s.gap / 2) | (new.level < s.level * (1 - unit))
        return new._replace(idle=jnp.where(helps, jnp.minimum(s.idle, 1), s.idle + 1))

    none = jnp.zeros((), jnp.int32)
    return jax.lax.while_loop(go, step, left(beta, f, none, none))


def objective(loss: Loss, beta: Array, f: Array) -> Array:
    """The primal value at coefficients `beta` with margins `f` (P21-Eq7)."""
    return loss.value(f) + jnp.sum(beta * f) / 2


def _direction(kernel: Kernel, w: Array, s: State, stop: Array) -> tuple[Array, Array]:
    """The step `d` with `(I + W K) d = r` up to a residual whose squared norm is `stop`, and `K d`."""

    def go(state: tuple[Array, ...]) -> Array:
        return (state[-2] > stop) & (state[-1] < 4 * w.size)

    def step(state: tuple[Array, ...]) -> tuple[Array, ...]:
        d, Kd, r, p, Kp, rho, i = state
        q = p + w * Kp
        t = rho / jnp.sum(Kp * q)
        r = r - t * q
        fine = (s.idle > 0) | (kernel.noise(r) > SMALL * rho)
        Kr = jax.lax.cond(fine, kernel.product, kernel.rough, r)
        new = jnp.sum(r * Kr)
        turn = new / rho
        return d + t * p, Kd + t * Kp, r, r + turn * p, Kr + turn * Kp, new, i + 1

    zero = jnp.zeros_like(w)
    start = zero, zero, s.r, s.r, s.Kr, jnp.sum(s.r * s.Kr), jnp.zeros((), jnp.int32)
    d, Kd, *_ = jax.lax.while_loop(go, step, start)
    return d, Kd
