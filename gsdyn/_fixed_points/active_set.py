"""The hinge loss's optimum on a given set of support examples, to the last digit, with a proof that the set is right.

On the support `f_i = 1`, elsewhere `a_i` is 0 or 1: one linear system for the pulls `p = a - T f + pull` of the
examples and the responses `z`, whose residual and inverse bound the error of what solves it (`inverses`). Where the
dual variables and margins lie on their sides of the hinge by more than that error the set is that of the optimum;
otherwise the examples on the wrong side change it, as in block principal pivoting.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from gsdyn._fixed_points.inverses import Condensed, Pair, Rough, System, inverse
from gsdyn._numerics import linear
from gsdyn._problem import Problem

ABOVE, INSIDE, BELOW = 1, 0, -1  # the side of the box: a = 1, between, a = 0
ROUNDS = 100
Inverse = type[Rough] | type[Condensed]
TOGETHER = 8  # rounds in which all examples on a wrong side change at once, after which one does


class Support(NamedTuple):
    """Dual variables, responses, margins, pulls, the support, bounds of the errors of dual variables and margins, the
    steps that led here, whether these bounds are finite, and whether every example is on its side by more than them."""

    alpha: Float[Array, " n"]
    z: Float[Array, " k"]
    margins: Float[Array, " n"]
    pulls: Float[Array, " n"]
    inside: Bool[Array, " n"]
    alpha_error: Float[Array, " n"]
    margins_error: Float[Array, " n"]
    iterations: Int[Array, ""]
    consistent: Bool[Array, ""]
    strict: Bool[Array, ""]


@jax.custom_jvp
def _answering(system: System, b: Pair, x: Pair) -> Pair:
    """`x`, which solves the system for `b`, with derivatives of every order."""
    return x


@_answering.defjvp
def _answering_jvp(primals: tuple, tangents: tuple) -> tuple[Pair, Pair]:
    system, b, x = primals
    change, db, _ = tangents
    x, n = _answering(system, b, x), len(b[0])
    _, moved = jax.jvp(lambda system: system(x), (system,), (change,))
    X = jax.lax.stop_gradient(inverse(jax.lax.stop_gradient(system)))

    def solve(matvec: Callable[[Array], Array], b: Array, inverse: Array) -> Array:
        return jax.lax.fori_loop(0, Rough.refinements, lambda _, x: x + inverse @ (b - matvec(x)), inverse @ b)

    # one vector: reverse derivatives fail where one of two right-hand sides does not change
    dx = jax.lax.custom_linear_solve(
        lambda x: jnp.concatenate(system((x[:n], x[n:]))),
        jnp.concatenate(db) - jnp.concatenate(moved),
        lambda matvec, b: solve(matvec, b, X),
        lambda matvec, b: solve(matvec, b, X.T),
    )
    return x, (dx[:n], dx[n:])


class Round(NamedTuple):
    """The sides looked at last, the optimum there, the sides that every example has there, and rounds so far."""

    side: Int[Array, " n"]
    found: Support
    move: Int[Array, " n"]
    i: Int[Array, ""]


def located(problem: Problem, side: Int[Array, " n"], typical: Array, limit: int, kind: Inverse = Rough) -> Support:
    """The optimum, from a guess of every example's side; without derivatives.

    `typical`: the size of every dual variable, from which comes a compliance that rounding hides. `kind`: `Rough`, or
    `Condensed` where there is no tilt, by which the errors can come out infinite, so that nothing is consistent.
    """
    n = len(side)

    def on(side: Array) -> tuple[Support, Array]:
        system, pull = _system(problem, side == INSIDE, typical)
        return _on(system, pull, side, kind.of(system))

    def again(s: Round) -> Round:
        last = n - 1 - jnp.argmax(jnp.flip(s.move != s.side))
        single = jnp.where(jnp.arange(n) == last, s.move, s.side)
        side = jnp.where(s.i <= TOGETHER, s.move, single)
        return Round(side, *on(side), s.i + 1)

    empty = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(on, side)[0])
    start = Round(side - 3, empty, side, jnp.zeros((), jnp.int32))
    go = lambda s: jnp.any(s.move != s.side) & (s.i <= min(limit, ROUNDS))  # noqa: E731
    end = jax.lax.while_loop(go, again, start)
    consistent = end.found.consistent & jnp.all(end.move == end.side)
    return end.found._replace(iterations=end.i - 1, consistent=consistent)


def answering(problem: Problem, found: Support) -> Support:
    """The optimum that was found, with derivatives."""
    inside = found.inside
    system, pull = _system(problem, inside, jnp.where(inside, found.alpha, 1.0))
    bound = jnp.where(inside, 0.0, found.alpha)
    p, z = _answering(system, _right(system, pull, bound), (found.pulls, found.z))
    f = jnp.where(inside, 1.0, system.U @ z)
    a = jnp.where(inside, p - pull + system.T, bound)
    return found._replace(alpha=jnp.clip(a, 0.0, 1.0), z=z, margins=f, pulls=p)


def _system(problem: Problem, inside: Array, typical: Array) -> tuple[System, Array]:
    """The equations on one support, and the pull of a tilt."""
    U = problem.U
    T, pull = (jnp.zeros(len(U), U.dtype),) * 2 if problem.tilt is None else problem.tilt
    return System(U, problem.c, T, inside, float(jnp.finfo(U.dtype).eps) / typical), pull


def _right(system: System, pull: Array, bound: Array) -> Pair:
    return jnp.where(system.inside, 1.0, bound + pull), jnp.zeros_like(system.c)


def _on(system: System, pull: Array, side: Array, inverse: Rough | Condensed) -> tuple[Support, Array]:
    """The optimum on one support, and the side that every example has there."""
    inside, bound = side == INSIDE, (side == ABOVE).astype(pull.dtype)
    b = _right(system, pull, bound)

    def refined(_: int, x: Pair) -> Pair:
        rest = jax.tree.map(jnp.subtract, b, system(x))
        return jax.tree.map(jnp.add, x, inverse(system, rest))

    x = p, z = jax.lax.fori_loop(0, inverse.refinements, refined, inverse(system, b))
    f = jnp.where(inside, 1.0, system.U @ z)
    a = jnp.where(inside, p - pull + system.T, bound)

    unit = (sum(system.U.shape) + 16) * float(jnp.finfo(pull.dtype).eps)
    rest = jax.tree.map(lambda b, y: jnp.abs(b - y), b, system(x))
    rest = jax.tree.map(lambda r, y, b: r + unit * (y + jnp.abs(b)), rest, system.size(x), b)
    # what is left of the compliance is no rounding
    rest = rest[0] + jnp.where(inside, system.compliance * jnp.abs(p), 0.0), rest[1]
    dp, df = inverse.errors(system, rest)
    da = jnp.where(inside, dp + unit * (jnp.abs(p) + jnp.abs(pull) + system.T), 0.0)
    df = jnp.where(inside, 0.0, df + unit * (jnp.abs(system.U) @ jnp.abs(z)))
    # where the support has more examples than its features can tell apart, errors say nothing
    far = jnp.minimum(da, float(jnp.finfo(pull.dtype).eps) ** 0.5 * jnp.max(jnp.abs(a)))
    move = jnp.where(inside & (a < -far), BELOW, side)
    move = jnp.where(inside & (a > 1 + far), ABOVE, move)
    move = jnp.where((side == BELOW) & (f < 1 - df), INSIDE, move)
    move = jnp.where((side == ABOVE) & (f > 1 + df), INSIDE, move)
    sure = jnp.where(inside, (a >= da) & (a <= 1 - da), jnp.where(side == BELOW, f - df >= 1, f + df <= 1))
    finite = jnp.all(jnp.isfinite(da)) & jnp.all(jnp.isfinite(df))
    strict = jnp.all(sure) & finite
    found = Support(jnp.clip(a, 0.0, 1.0), z, f, p, inside, da, df, jnp.zeros((), jnp.int32), finite, strict)
    return found, move


class Answer(NamedTuple):
    """How the responses answer to sources of their own, `dz = c U^T dp + source`, on the support `0 < alpha < 1`, with
    the errors that rounding leaves in that (`wrong`), and how far it can have moved responses and pulls themselves."""

    matrix: Float[Array, "k k"]
    wrong: Float[Array, "k k"]
    dz: Float[Array, " k"]
    dp: Float[Array, " n"]


def answer(problem: Problem, alpha: Float[Array, " n"], z: Float[Array, " k"]) -> Answer:
    """Of the optimum with these dual variables and responses."""
    U = problem.U
    n, k = U.shape
    eps = float(jnp.finfo(U.dtype).eps)
    inside = (alpha > 0) & (alpha < 1)
    system, pull = _system(problem, inside, jnp.where(inside, alpha, 1.0))
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
    wrong = 2 * (jnp.abs(X) @ (jnp.abs(rest) + unit * size))[n:]
    b = _right(system, pull, alpha)
    x = alpha + pull - system.T * jnp.where(inside, 1.0, U @ z), z
    left = jax.tree.map(lambda b, y, size: jnp.abs(b - y) + unit * (size + jnp.abs(b)), b, exact(x), exact.size(x))
    moved = 2 * (jnp.abs(X) @ jnp.concatenate(left))
    return Answer(found[n:], wrong, moved[n:], moved[:n])


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
