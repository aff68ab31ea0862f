"""Kvaerno's 5/4 method on the implicit stages of a flow, as a diffrax solver with a dense output that suits it.

A singly diagonally implicit Runge-Kutta method with an explicit first stage, stiffly accurate and L-stable: the last
stage is the new state, so a state is always one that the stages' coordinate gives, inside its domain; the last but
one is the embedded state of order 4.

Reference: Kvaerno 2004, Singly diagonally implicit Runge-Kutta methods with an explicit first stage, BIT 44.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from gsdyn._integration import stages

_TABLEAU = diffrax.Kvaerno5.tableau
assert _TABLEAU.a_diagonal is not None
GAMMA = float(_TABLEAU.a_diagonal[-1])
EXTRA = 0.275  # where the extra stage lies: it makes the dense output 16 times as accurate
EXTRA_SHARE = 0.1  # of the extra stage's error in the error of the step


def _kvaerno() -> np.ndarray:
    a = np.zeros((7, 7))
    for i, row in enumerate(_TABLEAU.a_lower):
        a[i + 1, : i + 1] = row
    a[range(1, 7), range(1, 7)] = GAMMA
    return a


def _slaved(a: np.ndarray) -> np.ndarray:
    """Zero for weights `b` whose `y0 + b hk` is an affine combination of `y0` and the implicit stages.

    Then a stiff component, which is slaved in every stage, is slaved there too.
    """
    return np.r_[1, -np.linalg.solve(a[1:, 1:], a[1:, 0])]


def _weights(a: np.ndarray, theta: float, diagonal: float = 0.0) -> np.ndarray:
    """Weights `b` for which `y0 + b hk` is of order 4 at `t0 + theta h`, with the smallest error of order 5.

    `diagonal` is the weight of a further stage there. The stages have order 2, which leaves five conditions of order
    up to 4 and four of order 5 (one for each tree, times its weight in the error).
    """
    c = a.sum(axis=1)
    ac2 = a @ c**2
    fourth = np.array([np.ones(len(c)), c, c**2, c**3, ac2, _slaved(a)])
    fifth = np.array([c**4 / 24, c * ac2 / 3, a @ c**3 / 6, a @ ac2 / 2])
    own = diagonal * theta ** np.array([0, 1, 2, 3, 3]) / [1, 1, 1, 1, 3]
    wanted = np.r_[theta ** np.array([1, 2, 3, 4, 4]) / [1, 2, 3, 4, 12] - own, 0]
    b = np.linalg.pinv(fourth) @ wanted
    free = np.linalg.svd(fourth)[2][6:].T
    missing = theta**5 / np.array([120, 45, 120, 120]) - diagonal * theta**4 / np.array([24, 9, 24, 24])
    return b + free @ np.linalg.lstsq(fifth @ free, missing - fifth @ b, rcond=None)[0]


def _extended(a: np.ndarray) -> np.ndarray:
    """The tableau with the extra stage as its last."""
    extended = np.zeros((8, 8))
    extended[:7, :7] = a
    extended[7] = np.r_[_weights(a, EXTRA, GAMMA), GAMMA]
    return extended


def _predictors(a: np.ndarray) -> np.ndarray:
    """Weights of the stages before that predict each stage: of order up to 3, and 4 for the extra one."""
    c = a.sum(axis=1)
    weights = np.zeros((7, 8))
    for i in range(1, 7):
        q = np.arange(min(i, 3))
        weights[i - 1, :i] = np.linalg.lstsq(c[:i] ** q[:, None], c[i] ** (q + 1) / (q + 1), rcond=None)[0]
    weights[6, :7] = _weights(a[:7, :7], EXTRA)
    return weights


def _interpolant(a: np.ndarray) -> np.ndarray:
    """`w[d, j]`: at `t0 + theta h` the state is `y0 + sum_dj theta^(d+1) w[d, j] (Y_j - y0)`, of order 4."""
    theta = np.arange(1, 6) / 5
    rows = [np.linalg.solve(a[1:, 1:].T, _weights(a, t)[1:]) for t in theta]
    return np.linalg.solve(theta[:, None] ** np.arange(1, 6), np.array(rows))


_A = _extended(_kvaerno())
EARLIER = np.tril(_A, -1)[1:]
PREDICT = _predictors(_A)
BETWEEN = _interpolant(_A)
# the extra stage without its own equation, from the states of the others
INTERPOLATED = np.linalg.solve(_A[1:7, 1:7].T, PREDICT[6, 1:7])


class StageInterpolation(diffrax.AbstractLocalInterpolation):
    """The polynomial of order 4 through the stages of one step."""

    t0: Any
    t1: Any
    y0: Any
    coefficients: Any

    def evaluate(self, t0: Any, t1: Any = None, left: bool = True) -> Any:
        del left
        if t1 is not None:
            return jax.tree.map(lambda a, b: a - b, self.evaluate(t1), self.evaluate(t0))
        span = self.t1 - self.t0
        theta = jnp.where(span > 0, (t0 - self.t0) / jnp.where(span > 0, span, 1.0), 0.0)

        def horner(y: Array, c: Array) -> Array:
            total = c[-1]
            for row in c[-2::-1]:
                total = row + theta * total
            return y + theta * total

        return jax.tree.map(horner, self.y0, self.coefficients)


class StageSolver(diffrax.AbstractAdaptiveSolver):
    """Kvaerno's method on `args: Stages`; its error estimate is in units of the tolerance.

    So it wants a controller with `rtol=0`, `atol=1`. A stage that Newton's method does not solve gives an infinite
    error: the step is done again, smaller.
    """

    rtol: float
    atol: float
    term_structure: ClassVar = diffrax.AbstractTerm
    interpolation_cls: ClassVar[Callable[..., diffrax.AbstractLocalInterpolation]] = StageInterpolation

    def order(self, terms: Any) -> int:
        return 5

    def init(self, terms: Any, t0: Any, t1: Any, y0: Any, args: stages.Stages) -> tuple[Array, Array, Array]:
        _, x = args.start()
        return x, args.velocity(y0, x)[0], t1 - t0

    def func(self, terms: Any, t0: Any, y0: Any, args: stages.Stages) -> Any:
        return terms.vf(t0, y0, args)

    def step(
        self, terms: Any, t0: Any, t1: Any, y0: Any, args: stages.Stages, solver_state: Any, made_jump: Any
    ) -> tuple:
        del terms, made_jump
        x0, k, last = solver_state
        # Under vmap a trajectory that has arrived goes on with steps of no length, whose result is thrown away.
        h = jnp.where(t1 > t0, t1 - t0, last)
        tau = h * GAMMA * args.eta
        y = y0[0]
        hk = jnp.zeros((8, *y.shape), y.dtype).at[0].set(h * args.settle(k, x0, self.rtol))

        def stage(hk: Array, weights: tuple) -> tuple:
            i, a, predict = weights
            r = y + _combine(a, hk)
            solution = stages.solve(args, r, tau, args.guess(y + _combine(predict, hk), x0), self.rtol)
            state = args.state(solution, r, tau)
            return hk.at[i].set((state[0] - r) / GAMMA), (solution, state)

        tables = (jnp.arange(1, 8), jnp.asarray(EARLIER, y.dtype), jnp.asarray(PREDICT, y.dtype))
        hk, (solutions, states) = jax.lax.scan(stage, hk, tables)
        y1 = jax.tree.map(lambda v: v[5], states)
        differences = jax.tree.map(lambda v, start: v - start[None], states, y0)
        interpolated = jnp.asarray(INTERPOLATED, y.dtype)
        embedded = jax.tree.map(lambda v: v[5] - v[4], states)
        between = jax.tree.map(lambda v: EXTRA_SHARE * (v[6] - _combine(interpolated, v[:6])), differences)
        error = jax.tree.map(lambda a, b: jnp.maximum(jnp.abs(a), jnp.abs(b)), embedded, between)
        error = args.error(error, y0, y1, tau, self.rtol, self.atol)
        error = jax.tree.map(lambda e: jnp.where(jnp.all(solutions.found), e, jnp.inf), error)
        weights = jnp.asarray(BETWEEN, y.dtype)
        dense = {"y0": y0, "coefficients": jax.tree.map(lambda v: _combine(weights, v), differences)}
        return y1, error, dense, (solutions.x[5], hk[6] / h, h), diffrax.RESULTS.successful


def _combine(weights: Array, rows: Array) -> Array:
    """`weights @ rows`, also where a row has more than one axis."""
    return jnp.tensordot(weights, rows, axes=1)
