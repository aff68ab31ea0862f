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
from gsdyn._numerics.batching import anywhere
from gsdyn._numerics.precision import full_precision
from gsdyn._problem import Problem

ABOVE, INSIDE, BELOW = 1, 0, -1  # the side of the box: a = 1, between, a = 0
ROUNDS = 100
Inverse = type[Rough] | type[Condensed]
TOGETHER = 8  # rounds in which all examples on a wrong side change at once, after which one does


class Support(NamedTuple):
    """The optimum on one support.

    Dual variables, responses, margins as they come out of these, `U z`, what rounding can make of the margins, pulls,
    the support, bounds of the errors of the dual variables, the steps that led here, whether these bounds are finite,
    and whether every example is on its side by more than its error.
    """

    alpha: Float[Array, " n"]
    z: Float[Array, " k"]
    f: Float[Array, " n"]
    rounding: Float[Array, " n"]
    pulls: Float[Array, " n"]
    inside: Bool[Array, " n"]
    alpha_error: Float[Array, " n"]
    iterations: Int[Array, ""]
    consistent: Bool[Array, ""]
    strict: Bool[Array, ""]

    @classmethod
    def none(cls, problem: Problem) -> Support:
        """Nothing yet, of the shapes of `problem`."""
        each, z = (jnp.zeros(count, problem.U.dtype) for count in problem.U.shape)
        no = jnp.zeros((), bool)
        return cls(each, z, each, each, each, each > 0, each, jnp.zeros((), jnp.int32), no, no)

    @property
    def margins(self) -> Float[Array, " n"]:
        """Margins, those of the support without error."""
        return jnp.where(self.inside, 1.0, self.f)


@jax.custom_jvp
def _answering(system: System, b: Pair, x: Pair, f: Array) -> tuple[Pair, Array]:
    """`x`, which solves the system for `b`, and its margins `f`, with derivatives of every order."""
    return x, f


@_answering.defjvp
@full_precision
def _answering_jvp(primals: tuple, tangents: tuple) -> tuple[tuple[Pair, Array], tuple[Pair, Array]]:
    system, b, x, f = primals
    change, db, *_ = tangents
    (x, f), n = _answering(system, b, x, f), len(b[0])
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
    dp, dz = dx[:n], dx[n:]
    return (x, f), ((dp, dz), change.U @ x[1] + system.U @ dz)


class Round(NamedTuple):
    """The optimum on the sides looked at last, the sides that every example has there, the last of those that are on
    another than before (-1: none), and rounds so far."""

    found: Support
    side: Int[Array, " n"]
    move: Int[Array, " n"]
    last: Int[Array, ""]
    i: Int[Array, ""]


def located(problem: Problem, side: Int[Array, " n"], typical: Array, limit: int, kind: Inverse = Rough) -> Support:
    """The optimum, from a guess of every example's side; without derivatives.

    `typical`: the size of every dual variable, from which comes a compliance that rounding hides. `kind`: `Rough`, or
    `Condensed` where there is no tilt, by which the errors can come out infinite, so that nothing is consistent.
    """
    at = jnp.arange(len(side))

    def again(s: Round) -> Round:
        side = jnp.where((s.i <= TOGETHER) | (at == s.last), s.move, s.side)
        system, pull = _system(problem, side == INSIDE, typical)
        found, move = _on(system, pull, side, kind.of(system))
        return Round(found, side, move, jnp.max(jnp.where(move != side, at, -1)), s.i + (s.last >= 0).astype(s.i.dtype))

    start = Round(Support.none(problem), side, side, at[0], jnp.zeros((), jnp.int32))
    end = jax.lax.while_loop(lambda s: anywhere((s.last >= 0) & (s.i <= min(limit, ROUNDS))), again, start)
    consistent = end.found.consistent & (end.last < 0)
    return end.found._replace(iterations=end.i - 1, consistent=consistent)


def answering(problem: Problem, found: Support) -> Support:
    """The optimum that was found, with derivatives."""
    inside = found.inside
    system, pull = _system(problem, inside, jnp.where(inside, found.alpha, 1.0))
    bound = jnp.where(inside, 0.0, found.alpha)
    (p, z), f = _answering(system, _right(system, pull, bound), (found.pulls, found.z), found.f)
    a = jnp.where(inside, p - pull + system.T, bound)
    return found._replace(alpha=jnp.clip(a, 0.0, 1.0), z=z, f=f, pulls=p)


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

    def refined(_: int, last: tuple[Pair, Pair, Array]) -> tuple[Pair, Pair, Array]:
        x, rest = last[:2]
        x = jax.tree.map(jnp.add, x, inverse(system, rest))
        return x, *system.rest(b, x)

    start = jax.tree.map(jnp.zeros_like, b), b, jnp.zeros_like(bound)
    x, rest, f = jax.lax.fori_loop(0, inverse.refinements + 1, refined, start)
    p, z = x
    a = jnp.where(inside, p - pull + system.T, bound)

    eps = float(jnp.finfo(pull.dtype).eps)
    unit = (sum(system.U.shape) + 16) * eps
    *size, spread = system.size(x)
    rest = tuple(jnp.abs(r) + unit * (y + jnp.abs(b)) for r, y, b in zip(rest, size, b, strict=True))
    # what is left of the compliance is no rounding
    rest = rest[0] + jnp.where(inside, system.compliance * jnp.abs(p), 0.0), rest[1]
    dp, df = inverse.errors(system, rest)
    da = jnp.where(inside, dp + unit * (jnp.abs(p) + jnp.abs(pull) + system.T), 0.0)
    df = df + unit * spread
    # where the support has more examples than its features can tell apart, errors say nothing
    far = jnp.minimum(da, eps**0.5 * jnp.max(jnp.abs(a)))
    into = jnp.where(side == BELOW, f < 1 - df, (side == ABOVE) & (f > 1 + df))
    move = jnp.where(inside, jnp.where(a < -far, BELOW, jnp.where(a > 1 + far, ABOVE, INSIDE)), side)
    move = jnp.where(into, INSIDE, move)
    sure = jnp.where(inside, (a >= da) & (a <= 1 - da), jnp.where(side == BELOW, f - df >= 1, f + df <= 1))
    finite = jnp.all(jnp.isfinite(jnp.where(inside, da, df)))
    steps = jnp.zeros((), jnp.int32)
    found = Support(jnp.clip(a, 0.0, 1.0), z, f, unit * spread, p, inside, da, steps, finite, jnp.all(sure))
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
    size = jnp.concatenate(jax.vmap(exact.size, in_axes=1, out_axes=1)(columns(found))[:2])
    wrong = 2 * (jnp.abs(X) @ (jnp.abs(rest) + unit * size))[n:]
    b = _right(system, pull, alpha)
    x = alpha + pull - system.T * jnp.where(inside, 1.0, U @ z), z
    left = zip(exact.rest(b, x)[0], exact.size(x)[:2], b, strict=True)
    moved = 2 * (jnp.abs(X) @ jnp.concatenate([jnp.abs(rest) + unit * (size + jnp.abs(b)) for rest, size, b in left]))
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
    a, z, f, df = found.alpha, found.z, found.f, found.rounding
    rc = jnp.sqrt(c)
    y = jnp.where(rc > 0, z / jnp.where(rc > 0, rc, 1.0), 0.0)
    p = problem.tilted(a, found.margins)
    dp = unit * jnp.abs(a)
    if tilt is not None:
        dp = dp + tilt.curvature * df + unit * (jnp.abs(tilt.curvature * found.margins) + jnp.abs(tilt.pull))
    short = jnp.abs(y - rc * linear.adjoint(U, p)) + unit * jnp.abs(y) + rc * linear.adjoint(jnp.abs(U), dp)

    @jax.vmap
    def gap(push: Array) -> Array:
        g = f * (1 + push)
        above, below = a * (g - 1 + df), (1 - a) * (1 - g + df)
        edge = jnp.maximum(a, 1 - a) * (jnp.abs(1 - g) + df)
        slack = jnp.where(g - df >= 1, above, jnp.where(g + df <= 1, below, edge))
        return jnp.sum((short + push * jnp.abs(y)) ** 2) / 2 + jnp.sum(slack) + n * float(jnp.finfo(U.dtype).tiny)

    left = jnp.where(found.inside, jnp.abs(1 - f) + 2 * df, 0.0)
    most = jnp.minimum(jnp.max(left), 1.0)
    own, pushed = gap(jnp.stack([jnp.zeros_like(most), most]))
    heaviest = 0.0 if tilt is None else jnp.max(tilt.curvature)
    least = jnp.min(c) if k == n else jnp.zeros((), U.dtype)
    floor = least / (1 + least * heaviest)
    wide = jnp.sqrt(2 * pushed) / jnp.sqrt(jnp.where(floor > 0, floor, 1.0))
    wide = jnp.where(floor > 0, jnp.minimum(wide, n**0.5), n**0.5)
    largest = jnp.max(found.alpha_error)
    proven = largest * jnp.sqrt(jnp.sum((found.alpha_error / jnp.where(largest > 0, largest, 1.0)) ** 2))
    return own, jnp.where(found.strict, jnp.minimum(proven, wide), wide)
