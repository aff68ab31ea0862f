"""Gradient flows as vector fields (P21 sections 3.2 and 3.4): primal in the responses, dual in alpha.

Time is `eta` times the number of small gradient steps. Nothing here integrates; `integrate` does.
"""

from __future__ import annotations

import abc
from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, Int

from gsdyn import _checks
from gsdyn._numerics import dense
from gsdyn._numerics.linear import adjoint
from gsdyn._numerics.precision import full_precision
from gsdyn._problem import Problem, fitting
from gsdyn.features import FeatureBasis
from gsdyn.losses import Loss
from gsdyn.penalties import Penalty


class Steps(NamedTuple):
    """How many steps an integration took."""

    accepted: Int[Array, ""]
    rejected: Int[Array, ""]


class Flow(eqx.Module):
    """An autonomous flow of one problem: basis, loss, penalty and the rate `eta`."""

    basis: eqx.AbstractVar[FeatureBasis]
    loss: eqx.AbstractVar[Loss]
    penalty: eqx.AbstractVar[Penalty]
    eta: eqx.AbstractVar[Array]

    @property
    @abc.abstractmethod
    def start(self) -> Array:
        """The state at time 0."""

    @abc.abstractmethod
    def velocity(self, state: Array) -> Array:
        """The time derivative of the state."""

    @abc.abstractmethod
    def observe(self, state: Array) -> tuple[Array, Array]:
        """`alpha` and `z` of a state."""


class PrimalFlow(Flow):
    """Gradient flow of the parameters, seen in the responses (P21 section 3.2; *mixed* beyond).

        z' = eta ( S^2 U^T (a(U z) - lam_2 (U z - gamma)) - lam_1 z )

    with `lam_1` the weight decay and `lam_2`, `gamma` the spectral decoupling.

    - `eta`: rate, finite and > 0.
    - `z0`: responses at time 0, shape (k,) or (k, C); default zero, which is initialisation. A feature of zero strength
      has no response, so its entry must be zero.

    Raises `ValueError` for a loss that is not smooth (hinge: its flow slides along kinks).

        >>> flow = gs.PrimalFlow(basis, gs.CrossEntropy(), gs.WeightDecay(0.01))
        >>> print(gs.integrate(flow, np.array([0.1, 1.0])).z)
        [[0.725 0.17 ]
         [2.948 1.147]]
    """

    basis: FeatureBasis
    loss: Loss
    penalty: Penalty
    eta: Float[Array, ""]
    z0: Array

    def __init__(
        self,
        basis: FeatureBasis,
        loss: Loss,
        penalty: Penalty,
        eta: ArrayLike = 1.0,
        z0: ArrayLike | None = None,
    ):
        require_smooth(loss)
        fitting(basis, loss, penalty)
        self.basis, self.loss, self.penalty = basis, loss, penalty
        self.eta = _checks.positive("eta", eta, ndim=0)
        shape = loss.shape(basis.features)
        self.z0 = jnp.zeros(shape, basis.s.dtype) if z0 is None else _checks.finite("z0", z0)
        if self.z0.shape != shape:
            raise ValueError(f"z0 must have shape {shape}, got {self.z0.shape}")
        dead = (basis.s == 0).reshape((-1,) + (1,) * (len(shape) - 1))
        where = _checks.require(
            "z0 of a feature of zero strength", jnp.where(dead, self.z0, 0.0), "0", lambda v: v == 0
        )
        self.z0 = jnp.where(dead, where, self.z0)

    @property
    def start(self) -> Array:
        return self.z0

    @full_precision
    def velocity(self, state: Array) -> Array:
        lam1, _ = self.penalty.decay()
        s2 = (self.basis.s**2).reshape((-1,) + (1,) * (state.ndim - 1))
        force = adjoint(self.basis.U, self.output_force(self.basis.U @ state))
        return self.eta * (s2 * force - lam1 * state)

    @full_precision
    def observe(self, state: Array) -> tuple[Array, Array]:
        return self.loss.into_domain(self.loss.dual(self.basis.U @ state)), state

    @full_precision
    def output_force(self, f: Array) -> Array:
        """`a(f) - lam_2 (f - gamma)`: what pulls on the margins, before the kernel."""
        _, lam2 = self.penalty.decay()
        force = self.loss.weight(f) - lam2 * f
        tilt = self.penalty.tilt(self.basis.examples)
        return force if tilt is None else force - tilt.curvature * f + tilt.pull


class DualFlow(Flow):
    """Gradient flow of the dual variables (P21-Eq9; Eq10 with `FirstOrderCrossEntropy`; Eq18 with SD).

        alpha' = eta ( h'(alpha) - f(alpha) ),    f = U c U^T alpha

    For `Softmax` the flow runs on the simplex of each row, `alpha' = eta Pi (F(alpha) - log alpha)` with
    `F = U c U^T (E - alpha)` and `Pi` the projection onto rows that sum to 0. For class-wise spectral decoupling
    `f = (I + A T)^-1 A (alpha + b)` with `A = U c U^T`, `T` and `b` the tilt: the margins at which theta is optimal.

    - `eta`: rate, finite and > 0.
    - `alpha0`: dual variables at time 0, inside the loss's domain; default 1/2 (uniform for `Softmax`).

        >>> flow = gs.DualFlow(basis, gs.CrossEntropy(), gs.WeightDecay(0.01))
        >>> print(gs.integrate(flow, np.array([0.1, 1.0])).alpha)
        [[0.003 0.01 ]
         [0.003 0.01 ]]
    """

    basis: FeatureBasis
    loss: Loss
    penalty: Penalty
    eta: Float[Array, ""]
    alpha0: Array

    def __init__(
        self,
        basis: FeatureBasis,
        loss: Loss,
        penalty: Penalty,
        eta: ArrayLike = 1.0,
        alpha0: ArrayLike | None = None,
    ):
        require_smooth(loss)
        Problem.of(basis, loss, penalty)
        self.basis, self.loss, self.penalty = basis, loss, penalty
        self.eta = _checks.positive("eta", eta, ndim=0)
        shape = loss.shape(basis.examples)
        if alpha0 is None:
            alpha0 = jnp.full(shape, 1 / shape[1] if len(shape) == 2 else 0.5, basis.s.dtype)
        start = _checks.real("alpha0", alpha0).astype(basis.s.dtype)
        if start.ndim == 0:
            start = jnp.broadcast_to(start, shape)
        if start.shape != shape:
            raise ValueError(f"alpha0 must have shape {shape}, got {start.shape}")
        self.alpha0 = loss.check_dual("alpha0", start)

    @property
    def start(self) -> Array:
        return self.alpha0

    @full_precision
    def margins(self, alpha: Array) -> Array:
        """The margins of the parameters that are optimal for `alpha`, shape (n,) or (n, C)."""
        problem = Problem.aligned(self.basis, self.loss, self.penalty)
        return problem.U @ self._responses(problem, alpha)

    @full_precision
    def responses(self, alpha: Array) -> Array:
        """The responses of the parameters that are optimal for `alpha`, `z = c U^T alpha` (P21-Eq11)."""
        return self._responses(Problem.aligned(self.basis, self.loss, self.penalty), alpha)

    def _responses(self, problem: Problem, alpha: Array) -> Array:
        c, tilt = problem.c, problem.tilt
        if tilt is None:
            return c.reshape((-1,) + (1,) * (alpha.ndim - 1)) * problem.gather(self.loss.exchange(alpha))
        # (I + A T)^-1 A = B (I + B^T T B)^-1 B^T
        B = problem.B
        inner = jnp.eye(len(c), dtype=c.dtype) + B.T @ (tilt.curvature[:, None] * B)
        return jnp.sqrt(c) * dense.spd_solver(inner)(B.T @ (alpha + tilt.pull))

    @full_precision
    def velocity(self, state: Array) -> Array:
        return self.loss.dual_sign * self.eta * (self.loss.slope(state) - self.margins(state))

    @full_precision
    def observe(self, state: Array) -> tuple[Array, Array]:
        return self.loss.into_domain(state), self.responses(state)


def require_smooth(loss: Loss) -> None:
    """`loss` must have a flow."""
    _checks.instance("loss", loss, Loss)
    if not loss.smooth:
        raise ValueError(
            f"loss must be smooth for a flow, got {type(loss).__name__}: use fixed_point, or modes for C18"
        )
