"""Which features starve which (P21-Def2, Thm2): the starvation matrix, exact for any data."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Bool, Float

from gsdyn import _checks
from gsdyn._fixed_points import active_set, implicit
from gsdyn._numerics import dense, linear, programs
from gsdyn._numerics.precision import full_precision
from gsdyn._problem import Problem
from gsdyn.features import FeatureBasis
from gsdyn.fixed_points import FixedPoint

DECOUPLED = 0.25  # the strength of an interaction below which one correction leaves a relative error of its square


@full_precision
def starvation_matrix(basis: FeatureBasis, fp: FixedPoint) -> Float[Array, "k *C k"]:
    """How every response at the optimum answers to every strength, `G[j, i] = d z_j* / d(s_i^2)`.

        G = M (M + c)^-1 diag(c' U^T alpha),    M = U^T D U,   D = -h''(alpha)       (P21-Def2, beyond)

    computed as the equal `(I + c U^T W U)^-1 diag(c' U^T alpha)` with `W = 1/D`, which stays finite for saturated
    examples. Feature i starves feature j where `G[j, i] < 0`, `i != j`, by more than `starvation_error`. For `Softmax`
    the answer of class a's response is `G[j, a, i]`, with `W_n = diag(p_n) - p_n p_n^T` and `E - alpha` in place of
    `alpha`. For `Hinge` it is the derivative on the active set, one-sided where an example is about to change sides.

    - `basis`, `fp`: a problem and its `fixed_point`.

    Raises `ValueError` where they do not belong together; inside `jit`, `vmap` or `grad` the answer is NaN there.

        >>> print(gs.starvation_matrix(basis, fp))
        [[ 0.069 -0.04 ]
         [-0.004  0.199]]
    """
    return _matrix(*_fitting(basis, fp))


@full_precision
def starvation_error(basis: FeatureBasis, fp: FixedPoint) -> Float[Array, "k *C k"]:
    """How far every entry of `starvation_matrix` can be off, to first order, by rounding of all that it is made of.

        |dG| <= |A^-1| (|dA| |G| + |diag(d(c' U^T alpha))|),    A = I + c U^T W U

    The rounding of `U`, `s` and `c` to their dtype, of the optimum and of the linear algebra is included: an entry
    within its error has no sign that the data decide. Where `fp` did not converge the errors are infinite.

    - `basis`, `fp`: as for `starvation_matrix`, whose shape the errors have.

        >>> matrix, error = gs.starvation_matrix(basis, fp), gs.starvation_error(basis, fp)
        >>> print(np.all(error < 1e-12 * np.abs(matrix).max()))
        True
    """
    return _errors(*_fitting(basis, fp))


@full_precision
def elasticity(basis: FeatureBasis, fp: FixedPoint) -> Float[Array, "k *C k"]:
    """The starvation matrix without units, `E[j, i] = (s_i^2 / z_j) d z_j*/d(s_i^2)` (*beyond*).

    The percent that response j gains for one percent more of `s_i^2`; the arbitrary sign of a column of `U` cancels. It
    means nothing where `z_j` is zero to its error, and is infinite where it is zero.

    - `basis`, `fp`: as for `starvation_matrix`.

        >>> print(gs.elasticity(basis, fp))
        [[ 0.176 -0.026]
         [-0.016  0.201]]
    """
    basis, fp, same = _fitting(basis, fp)
    matrix = _matrix(basis, fp, same)
    part = matrix * jnp.broadcast_to((basis.s * basis.s).astype(matrix.dtype), matrix.shape)
    return jnp.where(part == 0, 0.0, part / jnp.where(part == 0, 1.0, fp.z[..., None]))


def _fitting(basis: FeatureBasis, fp: FixedPoint) -> tuple[FeatureBasis, FixedPoint, Array]:
    """`basis` and `fp`, and whether they belong together: `f = U z` and `z = c U^T a`, up to rounding and the gap."""
    _checks.instance("basis", basis, FeatureBasis)
    _checks.instance("fp", fp, FixedPoint)
    if (fp.margins.shape[0], fp.z.shape[0]) != basis.U.shape:
        raise ValueError(f"fp must belong to basis, got z of shape {fp.z.shape} for U of {basis.U.shape}")
    same = _belong(basis, fp)
    if _checks.is_concrete(same) and not same:
        raise ValueError("fp must belong to basis, got the fixed point of another basis")
    return basis, fp, same


@programs.compiled
def _belong(basis: FeatureBasis, fp: FixedPoint) -> Bool[Array, ""]:
    U, z, f, alpha, gap = jax.lax.stop_gradient((basis.U, fp.z, fp.margins, fp.alpha, fp.gap))
    problem = jax.lax.stop_gradient(Problem.of(basis, fp.loss, fp.penalty))
    tilt = problem.tilt
    slack = 64 * sum(U.shape) * float(jnp.finfo(U.dtype).eps)
    p = problem.tilted(fp.loss.dual_to_pull(alpha, f), f)
    rounding = jnp.abs(p) if tilt is None else jnp.abs(p) + tilt.curvature * jnp.abs(f) + jnp.abs(tilt.pull)
    c = implicit.columns(problem.c, z)
    apart = jnp.abs(z - c * problem.gather(p))
    size = jnp.abs(z) + c * linear.adjoint(jnp.abs(U), rounding)
    # margins are known to rounding, and pulls answer to them
    size = size + c * linear.adjoint(jnp.abs(U), jnp.broadcast_to(jnp.max(jnp.abs(f)), f.shape))
    room = slack * (1 + linear.product(jnp.abs(U), jnp.abs(z)))
    if not fp.loss.smooth:  # margins of the support are told without error, which the gap has by its dual variables
        room = room + gap / jnp.maximum(jnp.minimum(alpha, 1 - alpha), float(jnp.finfo(U.dtype).eps))
    off = jnp.abs(f - problem.margins(z)) > room
    unfinished = jnp.sqrt(2 * jnp.where(gap >= 0, gap, jnp.inf) * c)
    return ~(jnp.any(apart > slack * size + 2 * unfinished) | jnp.any(off))


def _source(basis: FeatureBasis, fp: FixedPoint) -> tuple[Problem, Array]:
    """The problem, and the source `c' U^T alpha` of every response."""
    problem = Problem.of(basis, fp.loss, fp.penalty)
    c = problem.c
    slope = fp.penalty.filter_slope(basis.s * basis.s).astype(c.dtype)
    live = implicit.columns(c > 0, fp.z)
    safe = jnp.where(live, implicit.columns(c, fp.z), 1.0)
    pull = problem.tilted(fp.loss.dual_to_pull(fp.alpha, fp.margins), fp.margins)
    return problem, implicit.columns(slope, fp.z) * jnp.where(live, fp.z / safe, problem.gather(pull))


@programs.compiled
def _matrix(basis: FeatureBasis, fp: FixedPoint, same: Array) -> Array:
    problem, source = _source(basis, fp)
    c = problem.c
    source = source * jnp.where(same, 1.0, jnp.nan).astype(source.dtype)
    if not fp.loss.smooth:
        return active_set.answer(problem, fp.alpha, fp.z).matrix * source[None, :]
    root = problem.root_curvature(fp.margins)

    def column(unit: Array) -> Array:
        return implicit.respond(basis.U, c, root, implicit.columns(unit, fp.z) * source, dense=True)

    def by_columns() -> Array:
        return jax.vmap(column, out_axes=-1)(jnp.eye(len(c), dtype=c.dtype))

    if fp.z.ndim == 2:
        return by_columns()
    interaction = linear.gram((root[:, None] * basis.U).T)
    matrix = _factored(interaction, c, source) if len(c) > linear.QR_LIMIT else by_columns()
    few = _strength(interaction, c) < DECOUPLED
    return jax.lax.cond(few, lambda: _decoupled(problem, fp.margins, root, source, matrix), lambda: matrix)


def _strength(interaction: Array, c: Array) -> Array:
    """The square of what is off the diagonal of `I + c U^T W U`, scaled by the diagonal."""
    share = c / (1 + c * jnp.diagonal(interaction))
    off = interaction * (1 - jnp.eye(len(c), dtype=c.dtype))
    return jnp.sum(off * off * share[:, None] * share[None, :])


def _factored(interaction: Array, c: Array, source: Array) -> Array:
    """`(I + c U^T W U)^-1 diag(source)` from one Cholesky factor, what `respond` does column by column."""
    live = c > 0
    rc = jnp.sqrt(c)
    system = jnp.eye(len(c), dtype=c.dtype) + rc[:, None] * interaction * rc[None, :]
    dead = jnp.where(live, 0.0, source)
    rhs = jnp.diag(jnp.where(live, source / jnp.where(live, rc, 1.0), 0.0)) - rc[:, None] * interaction * dead[None, :]
    return jnp.diag(dead) + rc[:, None] * dense.spd_solver(system)(rhs)


def _decoupled(problem: Problem, f: Array, root: Array, source: Array, matrix: Array) -> Array:
    """`matrix` where features hardly interact, its small entries with the digits that solving loses.

    Features interact only through differences of curvature: off its diagonal, `U^T W U` is `U^T (W - w_0) U` for any
    `w_0`. With `P` the diagonal of `I + c U^T W U` and `E` what is off it, `G = P^-1 (source - E G)` has those
    differences as factors and keeps their digits.
    """
    U, c = problem.U, problem.c
    _, spread = _curvature_spread(problem, f)
    own = 1 + c * jnp.sum((root * root)[:, None] * U * U, axis=0)
    off = U.T @ (spread[:, None] * U) * (1 - jnp.eye(len(c), dtype=c.dtype))
    return (jnp.diag(source) - (c[:, None] * off) @ matrix) / own[:, None]


def _curvature_spread(problem: Problem, f: Array) -> tuple[Array, Array]:
    """The loss's `curvature_spread`, and in its differences those of the tilt."""
    w0, spread = problem.loss.curvature_spread(f)
    tilt = problem.tilt
    return w0, spread if tilt is None else spread + (tilt.curvature - jnp.min(tilt.curvature))


@programs.compiled
def _errors(basis: FeatureBasis, fp: FixedPoint, same: Array) -> Array:
    basis, fp = jax.lax.stop_gradient((basis, fp))
    problem, source = _source(basis, fp)
    U, c, z = problem.U, problem.c, fp.z
    k, unit = len(c), _unit(U)
    matrix = _matrix(basis, fp, same)
    if not fp.loss.smooth:
        found = active_set.answer(problem, fp.alpha, z)
        change = _source_error(basis, fp, problem, source, found.dz, found.dp)
        off = found.wrong * (jnp.abs(source) + change)[None, :] + jnp.abs(found.matrix) * change[None, :]
        return _told(off + unit * jnp.abs(matrix), matrix, fp)
    root = problem.root_curvature(fp.margins)
    V = jnp.abs(linear.weighted(root, U))  # one row for each example (and class), one column for each response
    q = V.shape[1]
    cs, flat = jnp.repeat(c, q // k), jnp.abs(matrix).reshape(q, k)
    answer = jnp.abs(_inverse(U, c, root, z.shape)).reshape(q, q)
    dz, bent, dp = _moved(problem, fp, root, answer)
    size = jnp.sqrt(cs) * jnp.sqrt(1 + cs * jnp.sum(V * V, axis=0))
    other = jnp.where(cs > 0, size / jnp.where(cs > 0, cs, 1.0), 0.0)
    rounding = unit * (size[:, None] * other[None, :] + jnp.eye(q, dtype=c.dtype))
    system = cs[:, None] * (V.T @ (bent.reshape(-1, 1) * V)) + rounding
    change = _source_error(basis, fp, problem, source, dz, dp)
    spread = jnp.zeros((k, q // k, k), c.dtype).at[jnp.arange(k), :, jnp.arange(k)].set(change.reshape(k, -1))
    error = answer @ (system @ flat + spread.reshape(q, k)) + unit * flat
    if z.ndim == 1:
        few = _strength(linear.gram((root[:, None] * U).T), c) < DECOUPLED
        better = _decoupled_error(problem, fp.margins, root, flat, (error, bent, change))
        error = jnp.where(few, jnp.minimum(error, better), error)
    return _told(error.reshape(matrix.shape), matrix, fp)


def _told(error: Array, matrix: Array, fp: FixedPoint) -> Array:
    """The error with room for an entry that underflowed; infinite beside an unfinished optimum, and where overflow left
    no error of a known entry."""
    unknown = ~fp.converged | (jnp.isnan(error) & ~jnp.isnan(matrix))
    return jnp.where(unknown, jnp.inf, error) + float(jnp.finfo(error.dtype).tiny)


def _source_error(basis: FeatureBasis, fp: FixedPoint, problem: Problem, source: Array, dz: Array, dp: Array) -> Array:
    """How far the source `c' U^T alpha` can be off, by the errors of responses and, at strength 0, of pulls."""
    slope = fp.penalty.filter_slope(basis.s * basis.s).astype(problem.c.dtype)
    live, c, slope = (implicit.columns(part, fp.z) for part in (problem.c > 0, problem.c, slope))
    moved = jnp.where(live, dz / jnp.where(live, c, 1.0), linear.adjoint(jnp.abs(problem.U), dp))
    return slope * moved + _unit(problem.U) * jnp.abs(source)


def _moved(problem: Problem, fp: FixedPoint, root: Array, answer: Array) -> tuple[Array, Array, Array]:
    """How far rounding can have moved the optimal responses, by what part the curvature at its margins, and the pulls.

    `|l'''| <= m l''` along a change of the margins by `m`. `answer` is `|(I + c U^T W U)^-1|`.
    """
    U, z, tilt, unit = jnp.abs(problem.U), fp.z, problem.tilt, _unit(problem.U)
    f = U @ jnp.abs(z)
    w = root * root if z.ndim == 1 else fp.alpha
    pulled = jnp.abs(problem.pull(fp.margins)) + w * f
    if tilt is not None:
        pulled = pulled + tilt.curvature * jnp.abs(fp.margins) + jnp.abs(tilt.pull)
    left = unit * (jnp.abs(z) + implicit.columns(problem.c, z) * (U.T @ pulled))
    dz = (answer @ left.reshape(-1)).reshape(z.shape)
    df = U @ dz + unit * f
    m = df if z.ndim == 1 else 2 * jnp.max(df, axis=1, keepdims=True) + jnp.zeros_like(df)
    return dz, jnp.expm1(jnp.minimum(m, 40.0)), w * m + unit * jnp.abs(problem.pull(fp.margins))


def _unit(U: Array) -> float:
    """The rounding of a sum: over examples, whose errors are independent, it grows like their root."""
    n, k = U.shape
    return (n**0.5 + k + 16) * float(jnp.finfo(U.dtype).eps)


def _inverse(U: Array, c: Array, root: Array, shape: tuple[int, ...]) -> Array:
    """`(I + c U^T W U)^-1` for responses of a shape, (k,) or (k, C)."""

    def column(unit: Array) -> Array:
        return implicit.respond(U, c, root, unit.reshape(shape), dense=True)

    return jax.vmap(column, out_axes=-1)(jnp.eye(math.prod(shape), dtype=c.dtype))


def _decoupled_error(problem: Problem, f: Array, root: Array, flat: Array, errors: tuple[Array, Array, Array]) -> Array:
    """The errors of `_decoupled`: those of the differences of curvature it is made of."""
    U, c = problem.U, problem.c
    error, bent, change = errors
    unit = _unit(U)
    w0, spread = _curvature_spread(problem, f)
    w = root * root
    apart = 1 - jnp.eye(len(c), dtype=c.dtype)
    off = jnp.abs(U.T @ (spread[:, None] * U)) * apart
    loose = unit * jnp.abs(spread) + bent * w + jnp.mean(bent) * w0
    doff = jnp.abs(U).T @ (loose[:, None] * jnp.abs(U)) * apart
    own = 1 + c * jnp.sum(w[:, None] * U * U, axis=0)
    turned = (jnp.sum((bent * w)[:, None] * U * U, axis=0) * c / own)[:, None] * flat
    coupled = (c[:, None] * doff) @ flat + (c[:, None] * off) @ error
    return (jnp.diag(change) + coupled) / own[:, None] + turned + unit * flat


def starves(matrix: Float[Array, "... k k"], error: ArrayLike = 0.0) -> Bool[Array, "... k k"]:
    """Where feature i is known to starve feature j: `matrix[j, i] < -error[j, i]` off the diagonal (P21-Def2).

    - `matrix`: from `starvation_matrix`, or one for each time.
    - `error`: how far its entries can be off, such as `starvation_error`; broadcasts. NaN claims nothing.

        >>> print(gs.starves(gs.starvation_matrix(basis, fp), gs.starvation_error(basis, fp)))
        [[False  True]
         [ True False]]
    """
    matrix = _checks.real("matrix", matrix)
    if matrix.ndim < 2 or matrix.shape[-1] != matrix.shape[-2]:
        raise ValueError(f"matrix must have shape (k, k), got {matrix.shape}")
    bar = _checks.require("error", error, ">= 0", lambda v: ~(v < 0)).astype(matrix.dtype)
    _checks.broadcastable(matrix=matrix, error=bar)
    other = jnp.broadcast_to(~jnp.eye(matrix.shape[-1], dtype=bool), matrix.shape)
    return (matrix < -jnp.broadcast_to(bar, matrix.shape)) & other


def sign_law(s1: ArrayLike, s2: ArrayLike, delta: ArrayLike) -> Array:
    """The sign of `d z_2*/d(s_1^2)` in the two-feature model, exact (P21-Thm2 *beyond* small delta).

        sign(d z_2*/d(s_1^2)) = -sign((1 - 2 delta^2)(s_1 - s_2)),    0 < delta < 1, any lam > 0

    for P21-Eq9 and P21-Eq10 alike: the weaker feature starves for every `delta < 1/sqrt(2)`. Arguments broadcast.

        >>> print(gs.sign_law(4.0, 2.0, np.array([0.0, 0.1, 0.9])))
        [-0. -1.  1.]
    """
    s1, s2 = _checks.nonnegative("s1", s1), _checks.nonnegative("s2", s2)
    delta = _checks.require("delta", delta, "in [0, 1)", lambda v: (v >= 0) & (v < 1))
    _checks.broadcastable(s1=s1, s2=s2, delta=delta)
    overlap = jnp.sign(delta) * jnp.sign(1 - 2 * delta * delta)
    return -overlap * jnp.sign(s1 - s2)
