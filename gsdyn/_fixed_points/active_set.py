"""The hinge loss's optimum on a given set of support examples, to the last digit, with a proof that the set is right.

On the support `f_i = 1`, elsewhere `a_i` is 0 or 1: one linear system for the pulls `p = a - T f + pull` of the
examples and the responses `z`,

    f_i = 1  (support),    p_i + T_i f_i = a_i + pull_i  (others),    z = c U^T p,    f = U z.

Nothing in it is eliminated, so that filters of any size may stand side by side: from a rough inverse `X` steps of
refinement reach a solution whose data are off by rounding, entry by entry, and `|X|` times the rounding left bounds its
error. Where the dual variables and margins then lie on their sides of the hinge by more than that error the set is that
of the optimum; otherwise the examples on the wrong side change it, as in block principal pivoting.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from gsdyn._numerics import dense, linear
from gsdyn._problem import Problem

ABOVE, INSIDE, BELOW = 1, 0, -1  # the side of the box: a = 1, between, a = 0
SMALL = 24  # unknowns up to which the inverse is made here, as elementwise work of a batch
REFINEMENTS = 4
ROUNDS = 100
TOGETHER = 8  # rounds in which all examples on a wrong side change at once, after which one does


class Support(NamedTuple):
    """Dual variables, responses, margins, the support, bounds of the errors of dual variables and margins, the
    steps that led here, and whether every example is on its side."""

    alpha: Float[Array, " n"]
    z: Float[Array, " k"]
    margins: Float[Array, " n"]
    inside: Bool[Array, " n"]
    alpha_error: Float[Array, " n"]
    margins_error: Float[Array, " n"]
    iterations: Int[Array, ""]
    consistent: Bool[Array, ""]
    strict: Bool[Array, ""]


class System(NamedTuple):
    """The matrix of the pulls `p` and responses `z` on a given support; a little compliance keeps it regular."""

    U: Float[Array, "n k"]
    c: Float[Array, " k"]
    T: Float[Array, " n"]
    inside: Bool[Array, " n"]
    compliance: Float[Array, " n"]

    def __call__(self, x: tuple[Array, Array]) -> tuple[Array, Array]:
        p, z = x
        f = self.U @ z
        own = jnp.where(self.inside, self.compliance * p + f, p + self.T * f)
        return own, z - self.c * linear.adjoint(self.U, p)

    def size(self, x: tuple[Array, Array]) -> tuple[Array, Array]:
        """The sum of the sizes of all terms of each equation."""
        p, z = jnp.abs(x[0]), jnp.abs(x[1])
        f = jnp.abs(self.U) @ z
        return jnp.where(self.inside, f, p + self.T * f), z + self.c * linear.adjoint(jnp.abs(self.U), p)

    def matrix(self) -> Float[Array, "m m"]:
        inside = self.inside.astype(self.U.dtype)
        upper = jnp.diag(1 - inside + inside * self.compliance), jnp.where(self.inside, 1.0, self.T)[:, None] * self.U
        lower = -self.c[:, None] * self.U.T, jnp.eye(len(self.c), dtype=self.U.dtype)
        return jnp.concatenate([jnp.concatenate(upper, axis=1), jnp.concatenate(lower, axis=1)])


def inverse(system: System) -> Float[Array, "m m"]:
    """A rough inverse of the system's matrix, whatever the scales of its rows and columns."""
    matrix = system.matrix()
    rows, columns = jnp.ones(len(matrix), matrix.dtype), jnp.ones(len(matrix), matrix.dtype)
    for _ in range(5):
        size = jnp.abs(matrix) * rows[:, None] * columns[None, :]
        rows = rows / jnp.sqrt(jnp.max(size, axis=1))
        size = jnp.abs(matrix) * rows[:, None] * columns[None, :]
        columns = columns / jnp.sqrt(jnp.max(size, axis=0))
    scaled = matrix * rows[:, None] * columns[None, :]
    own = _exchange if len(matrix) <= SMALL else None
    found = dense.inverse(scaled, own)
    return columns[:, None] * found * rows[None, :]


def _exchange(problem: tuple[Float[Array, "m m"]]) -> Float[Array, "m m"]:
    """The inverse by Gauss-Jordan elimination with complete pivoting: elementwise work in a batch."""
    (matrix,) = problem
    m = len(matrix)
    place = jnp.arange(m)

    def step(_: Int[Array, ""], state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        M, row_of, free_rows = state
        open_ = free_rows[:, None] & (row_of < 0)[None, :]
        at = jnp.argmax(jnp.where(open_, jnp.abs(M), -1.0))
        r, k = at // m, at % m
        pivot = M[r, k]
        here, there = place == r, place == k
        column = jnp.where(here, 0.0, M[:, k])
        row = jnp.where(there, 1 / pivot, M[r] / pivot)
        M = jnp.where(there[None, :], 0.0, M) - column[:, None] * row[None, :]
        return jnp.where(here[:, None], row[None, :], M), jnp.where(there, r, row_of), free_rows & ~here

    start = matrix, jnp.full(m, -1), jnp.ones(m, bool)
    M, row_of, _ = jax.lax.fori_loop(0, m, step, start)
    return jnp.zeros_like(M).at[:, row_of].set(M[row_of])


def _apply(X: Array, b: tuple[Array, Array]) -> tuple[Array, Array]:
    x = X @ jnp.concatenate(b)
    return x[: len(b[0])], x[len(b[0]) :]


def refined(system: System, X: Array, b: tuple[Array, Array]) -> tuple[Array, Array]:
    """The solution `(p, z)` for the right-hand sides `b`, with derivatives of every order."""
    n = len(b[0])

    def product(x: Array) -> Array:
        return jnp.concatenate(system((x[:n], x[n:])))

    def solve(matvec, b: Array, inverse: Array) -> Array:
        return jax.lax.fori_loop(0, REFINEMENTS, lambda _, x: x + inverse @ (b - matvec(x)), jnp.zeros_like(b))

    # one vector: reverse derivatives fail where one of two right-hand sides does not change
    x = jax.lax.custom_linear_solve(
        product,
        jnp.concatenate(b),
        lambda matvec, b: solve(matvec, b, X),
        lambda matvec, b: solve(matvec, b, X.T),
    )
    return x[:n], x[n:]


class Round(NamedTuple):
    """The sides looked at last, the inverse there, the sides that every example has there, and rounds so far."""

    side: Int[Array, " n"]
    X: Float[Array, "m m"]
    move: Int[Array, " n"]
    i: Int[Array, ""]


def located(problem: Problem, side: Int[Array, " n"], typical: Array, limit: int) -> Round:
    """The support of the optimum, from a guess of every example's side; without derivatives.

    `typical`: the size of every dual variable, from which comes a compliance that rounding hides.
    """
    U, n = problem.U, problem.U.shape[0]

    def again(s: Round) -> Round:
        last = n - 1 - jnp.argmax(jnp.flip(s.move != s.side))
        single = jnp.where(jnp.arange(n) == last, s.move, s.side)
        side = jnp.where(s.i <= TOGETHER, s.move, single)
        system, pull = _system(problem, side, typical)
        X = inverse(system)
        return Round(side, X, _on(system, pull, side, X)[1], s.i + 1)

    empty = jnp.zeros((sum(U.shape),) * 2, U.dtype)
    start = Round(side - 3, empty, side, jnp.zeros((), jnp.int32))
    return jax.lax.while_loop(lambda s: jnp.any(s.move != s.side) & (s.i <= min(limit, ROUNDS)), again, start)


def solve(problem: Problem, end: Round, typical: Array, steps: Array) -> Support:
    """The optimum on the support that was `located`, with derivatives; `steps`: those before."""
    system, pull = _system(problem, end.side, typical)
    found, move = _on(system, pull, end.side, end.X)
    return found._replace(iterations=steps + end.i - 1, consistent=found.consistent & jnp.all(move == end.side))


def _system(problem: Problem, side: Array, typical: Array) -> tuple[System, Array]:
    """The equations on one support, and the pull of a tilt."""
    U = problem.U
    T, pull = (jnp.zeros(len(U), U.dtype),) * 2 if problem.tilt is None else problem.tilt
    return System(U, problem.c, T, side == INSIDE, float(jnp.finfo(U.dtype).eps) / typical), pull


def _on(system: System, pull: Array, side: Array, X: Array) -> tuple[Support, Array]:
    """The optimum on one support, and the side that every example has there."""
    inside, bound = side == INSIDE, (side == ABOVE).astype(pull.dtype)
    b = jnp.where(inside, 1.0, bound + pull), jnp.zeros_like(system.c)
    x = p, z = refined(system, X, b)
    f = jnp.where(inside, 1.0, system.U @ z)
    a = jnp.where(inside, p - pull + system.T, bound)

    stopped, p0, a0, f0 = jax.lax.stop_gradient((x, p, a, f))
    unit = (sum(system.U.shape) + 16) * float(jnp.finfo(pull.dtype).eps)
    rest = jax.tree.map(lambda b, y: jnp.abs(b - y), b, system(stopped))
    rest = jax.tree.map(lambda r, y, b: r + unit * (y + jnp.abs(b)), rest, system.size(stopped), b)
    # what is left of the compliance is no rounding
    rest = rest[0] + jnp.where(inside, system.compliance * jnp.abs(p0), 0.0), rest[1]
    dp, dz = _apply(jnp.abs(X), jax.lax.stop_gradient(rest))
    dp, dz = 2 * dp, 2 * dz
    da = jnp.where(inside, dp + unit * (jnp.abs(p0) + jnp.abs(pull) + system.T), 0.0)
    df = jnp.where(inside, 0.0, _margin_error(system, X, stopped, rest, unit))
    # where the support has more examples than its features can tell apart, errors say nothing
    far = jnp.minimum(da, float(jnp.finfo(pull.dtype).eps) ** 0.5 * jnp.max(jnp.abs(a0)))
    move = jnp.where(inside & (a0 < -far), BELOW, side)
    move = jnp.where(inside & (a0 > 1 + far), ABOVE, move)
    move = jnp.where((side == BELOW) & (f0 < 1 - df), INSIDE, move)
    move = jnp.where((side == ABOVE) & (f0 > 1 + df), INSIDE, move)
    sure = jnp.where(inside, (a0 >= da) & (a0 <= 1 - da), jnp.where(side == BELOW, f0 - df >= 1, f0 + df <= 1))
    finite = jnp.all(jnp.isfinite(da)) & jnp.all(jnp.isfinite(df))
    strict = jnp.all(sure) & finite
    found = Support(jnp.clip(a, 0.0, 1.0), z, f, inside, da, df, jnp.zeros((), jnp.int32), finite, strict)
    return found, jax.lax.stop_gradient(move)


def _margin_error(system: System, X: Array, x: tuple[Array, Array], rest: tuple[Array, Array], unit: float) -> Array:
    """Bounds of the errors of `U z`: errors of the responses that go together are added before they count."""
    answer = jnp.abs(system.U @ X[len(x[0]) :])
    return 2 * answer @ jnp.concatenate(rest) + unit * (jnp.abs(system.U) @ jnp.abs(x[1]))


def answer(problem: Problem, alpha: Float[Array, " n"]) -> tuple[Float[Array, "k k"], Float[Array, "k k"]]:
    """How the responses answer to sources of their own, `dz = c U^T dp + source`, on the support `0 < alpha < 1`; and
    the errors that rounding leaves in that."""
    U, c, tilt = problem.U, problem.c, problem.tilt
    n, k = U.shape
    eps = float(jnp.finfo(U.dtype).eps)
    inside = (alpha > 0) & (alpha < 1)
    T = jnp.zeros(n, U.dtype) if tilt is None else tilt.curvature
    system = System(U, c, T, inside, eps / jnp.where(inside, alpha, 1.0))
    X = jax.lax.stop_gradient(inverse(jax.lax.stop_gradient(system)))
    exact, unit = system._replace(compliance=jnp.zeros(n, U.dtype)), (n + k + 16) * eps
    apply = jax.vmap(exact, in_axes=1, out_axes=1)

    def columns(M: Array) -> tuple[Array, Array]:
        return M[:n], M[n:]

    found = X[:, n:]
    for _ in range(2):
        rest = apply(columns(found))
        found = found + X @ (jnp.eye(n + k, k, -n, dtype=U.dtype) - jnp.concatenate(rest))
    rest = jnp.concatenate(apply(columns(found))) - jnp.eye(n + k, k, -n, dtype=U.dtype)
    size = jnp.concatenate(jax.vmap(exact.size, in_axes=1, out_axes=1)(columns(found)))
    return found[n:], 2 * (jnp.abs(X) @ (jnp.abs(rest) + unit * size))[n:]


def bounds(problem: Problem, found: Support) -> tuple[Array, Array]:
    """Primal minus dual (P21-Eqs 7-8) and a bound of `|alpha - alpha*|_2`, with all that rounding can have done.

    Where every example is on its side by more than its error the support is that of the optimum, and the errors of its
    equations are all. Elsewhere the gap bounds the distance, by the curvature of the dual: that of responses pushed
    over the hinge by what rounding left below it.
    """
    U, c, tilt = problem.U, problem.c, problem.tilt
    n, k = U.shape
    eps = float(jnp.finfo(U.dtype).eps)
    unit = (n + k + 16) * eps
    a, z, f = found.alpha, found.z, found.margins
    rc = jnp.sqrt(c)
    y = jnp.where(rc > 0, z / jnp.where(rc > 0, rc, 1.0), 0.0)
    df = unit * (jnp.abs(U) @ jnp.abs(z))
    p = problem.tilted(a, f)
    dp = unit * jnp.abs(a)
    if tilt is not None:
        dp = dp + tilt.curvature * df + unit * (jnp.abs(tilt.curvature * f) + jnp.abs(tilt.pull))
    short = jnp.abs(y - rc * linear.adjoint(U, p)) + unit * jnp.abs(y) + rc * linear.adjoint(jnp.abs(U), dp)

    def gap(push: Array) -> Array:
        g = jnp.where(found.inside, (U @ z), f) * (1 + push)
        above, below = a * (g - 1 + df), (1 - a) * (1 - g + df)
        edge = jnp.maximum(a, 1 - a) * (jnp.abs(1 - g) + df)
        slack = jnp.where(g - df >= 1, above, jnp.where(g + df <= 1, below, edge))
        return jnp.sum((short + push * jnp.abs(y)) ** 2) / 2 + jnp.sum(slack) + n * float(jnp.finfo(U.dtype).tiny)

    left = jnp.where(found.inside, jnp.abs(1 - U @ z) + 2 * df, 0.0)
    heaviest = 0.0 if tilt is None else jnp.max(tilt.curvature)
    least = jnp.min(c) if k == n else jnp.zeros((), U.dtype)
    floor = least / (1 + least * heaviest)
    pushed = jnp.sqrt(2 * gap(jnp.minimum(jnp.max(left), 1.0))) / jnp.sqrt(jnp.where(floor > 0, floor, 1.0))
    wide = jnp.where(floor > 0, jnp.minimum(pushed, n**0.5), n**0.5)
    largest = jnp.max(found.alpha_error)
    proven = largest * jnp.sqrt(jnp.sum((found.alpha_error / jnp.where(largest > 0, largest, 1.0)) ** 2))
    return gap(jnp.zeros((), U.dtype)), jnp.where(found.strict, jnp.minimum(proven, wide), wide)
