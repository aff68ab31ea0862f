"""The implicit stages of a dual flow (see `stages`): what all losses share, and those of margins."""

from __future__ import annotations

import abc
import math
from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from gsdyn._integration.stages import EDGE, Solution, Stages, Step, columns
from gsdyn._numerics import dense
from gsdyn._numerics import linear as _linear
from gsdyn._numerics.linear import adjoint
from gsdyn._problem import Problem
from gsdyn.flows import DualFlow
from gsdyn.losses import CellLoss, Loss

TOGETHER = 8  # unknowns up to which a batch shares its operations; its flows need unequally many Newton steps


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
        problem = Problem.aligned(flow.basis, flow.loss, flow.penalty)
        c, tilt, B = problem.c, problem.tilt, problem.B
        self.loss, self.U, self.c, self.eta, self.alpha0 = flow.loss, problem.U, c, flow.eta, flow.alpha0
        if tilt is not None:
            lower = dense.cholesky(jnp.eye(len(c), dtype=c.dtype) + B.T @ (tilt.curvature[:, None] * B))
            B = dense.lower_solve(lower, B.T).T
        self.B, self.shift = B, None if tilt is None else tilt.pull

    @abc.abstractmethod
    def coordinate(self, alpha: Array) -> Array:
        """The coordinate at which the dual variable is `alpha`."""

    @abc.abstractmethod
    def damped(self, x: Array, tau: Array) -> tuple[Array, Callable[[Array], Array], Callable[[Array], Array]]:
        """For the curvature `W`: a root of `tau W (tau + W)^-1`, the product with `W`, and `(tau + W)^-1`."""

    def kept(self, x: Array, d: Array) -> Array:
        """The change `d` of the coordinate `x`, in the part of it that the loss does not see as it is kept."""
        del x
        return d

    def start(self) -> tuple[tuple[Array, ...], Array]:
        x = self.coordinate(self.alpha0)
        p = self.loss.dual_to_pull(self.alpha0, x)
        return (p, self._responses(p)), x

    def velocity(self, y: tuple[Array, ...], x: Array | None = None) -> tuple[Array, ...]:
        _, z = y
        slope = self.loss.slope(self.observe(y)[0]) if x is None else self.loss.centred(x)
        k = self.eta * (slope - _linear.product(self.U, z))
        return k, self._responses(k) if self.shift is None else adjoint(self.U, self._up(adjoint(self.B, k)))

    def first_step(self, rtol: float) -> Array:
        (p, z), x = self.start()
        k, _ = self.velocity((p, z), x)
        free = jnp.abs(p) + rtol
        return jnp.min(jnp.where(k == 0, jnp.inf, 0.1 * rtol**0.2 * free / jnp.where(k == 0, 1.0, jnp.abs(k))))

    def horizon(self) -> Array:
        return 1e6 / self.eta

    def margins(self, x: Array) -> Array:
        return x

    def residual(self, x: Array, r: Array, tau: Array) -> Array:
        p = self.loss.weight(x)
        return p - r + tau * (self._up(self._down(p)) - self.loss.centred(x))

    def linear(self, x: Array, tau: Array, accuracy: float) -> Callable[[Array], Array]:
        root, apply_W, inverse = self.damped(x, tau)
        solver = _linear.solver(root, self.B, accuracy)

        def solve(g: Array, y: Array | float = 0.0) -> Array:
            # y = B^T p apart, as the part of the residual that B y makes: nothing cancels when y is given
            q = solver(y - adjoint(self.B, apply_W(inverse(g))))
            return inverse(g + tau * self._up(q))

        return solve

    def newton(self, x: Array, f: Array, p: Array, r: Array, tau: Array, accuracy: float) -> Step:
        del f
        root, centred = self.loss.root_curvature(x), self.loss.centred(x)
        d = self.linear(x, tau, accuracy)(p - r - tau * centred, self._down(p))  # pyright: ignore[reportCallIssue]
        w = root * root if root.ndim == 1 else jnp.sum(root * root, axis=1)
        size = jnp.abs(p) + jnp.abs(r) + jnp.sum(jnp.abs(p - r) + tau * jnp.abs(centred))
        noise = 8 * jnp.finfo(d.dtype).eps * size / (tau + w)
        d = jnp.where(jnp.abs(d) <= noise, 0.0, d)
        rest = tau / (1 + tau * jnp.sum(self.c)) * jnp.sum(self.loss.centred(d) ** 2)
        d = self.kept(x, d)
        return Step(d, d, _linear.curvature_product(root, d), rest)

    def negligible(self, dp: Array, p: Array, x: Array, tau: Array, share: float) -> Bool[Array, ""]:
        return jnp.all(jnp.abs(dp) <= share * jnp.abs(p))

    def pair(self) -> tuple[Loss, Array, Array | None] | None:
        quick = isinstance(self.loss, CellLoss) and self.B.shape == (2, 2)
        return (self.loss, self.B, self.shift) if quick else None

    def alone(self) -> bool:
        return math.prod(self.loss.shape(self.B.shape[1])) > TOGETHER

    def state(self, solution: Solution, r: Array, tau: Array) -> tuple[Array, ...]:
        # Where tau c > 1 the margins follow from the coordinate: c U^T p would magnify the rounding of p by c.
        z = self._responses(solution.pull)
        slaved = adjoint(self.U, self.loss.centred(solution.x) - (solution.pull - r) / tau)
        return solution.pull, jnp.where(columns(self.c, z) * tau > 1, slaved, z)

    def error(
        self, e: tuple[Array, ...], y0: tuple[Array, ...], y1: tuple[Array, ...], tau: Array, rtol: float, atol: float
    ) -> tuple[Array, ...]:
        (ep, ez), (p0, z0), (p1, z1) = e, y0, y1
        largest = jnp.maximum(jnp.max(jnp.abs(z0)), jnp.max(jnp.abs(z1)))
        p = jnp.maximum(jnp.abs(p0), jnp.abs(p1))
        # what the rounding of p does to the responses, however small the step
        noise = 16 * jnp.finfo(p.dtype).eps * jnp.minimum(columns(self.c, ez), 1 / tau) * jnp.max(p)
        return ep / (atol + rtol * p), ez / (atol + rtol * largest + noise)

    def observe(self, y: tuple[Array, ...]) -> tuple[Array, Array]:
        p, z = y
        return self.loss.into_domain(self.loss.exchange(p)), z

    def _down(self, p: Array) -> Array:
        return adjoint(self.B, p if self.shift is None else p + self.shift)

    def _up(self, y: Array) -> Array:
        return _linear.product(self.B, y)

    def _responses(self, p: Array) -> Array:
        if self.shift is None:
            return columns(self.c, p) * adjoint(self.U, p)
        return adjoint(self.U, self._up(self._down(p)))

    def _fine(self) -> Array:
        # a pull that changes the margins by one
        return columns(1 / (1 + jnp.sum(self.B * self.B, axis=1)), self.alpha0)

    def _at_edge(self, x: Array, share: float) -> Array:
        root = self.loss.root_curvature(x)
        w = root * root if root.ndim == 1 else jnp.sum(root * root, axis=1)
        return w <= share * self._fine()

    def _limit(self) -> Array:
        """How far from 0 a coordinate at the edge is taken: beyond, the pull no longer changes, and Newton's way back
        from far out would be long."""
        return -jnp.log(EDGE * self._fine())


class MarginStages(DualStages):
    """Stages of a loss with one margin for each example, which is the coordinate."""

    def coordinate(self, alpha: Array) -> Array:
        return self.loss.slope(alpha)

    def damped(self, x: Array, tau: Array) -> tuple[Array, Callable[[Array], Array], Callable[[Array], Array]]:
        root = self.loss.root_curvature(x)
        w = root * root
        inv = 1 / (tau + w)
        return root * jnp.sqrt(tau * inv), lambda v: w * v, lambda g: inv * g

    def guess(self, predicted: Array, x: Array) -> Array:
        limit, at_edge = self._limit(), self._at_edge(x, EDGE)
        slope = self.loss.slope(predicted)
        return jnp.where(jnp.isfinite(slope) & ~at_edge, slope, jnp.where(at_edge, jnp.clip(x, -limit, limit), x))

    def settle(self, k: Array, x: Array, rtol: float) -> Array:
        return jnp.where(self._at_edge(x, 1e-3 * rtol) & (x * k < 0), 0.0, k)
