"""Which features starve which (P21-Def2, Thm2): the starvation matrix, exact for any data."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Bool, Float

from gsdyn import _box, _checks, _dense, _implicit, _linear, _newton
from gsdyn._problem import problem
from gsdyn.features import FeatureBasis
from gsdyn.fixed_points import FixedPoint
from gsdyn.losses import Hinge
from gsdyn.penalties import Tilt

DECOUPLED = 0.25  # the strength of an interaction below which one correction leaves a relative error of its square


@eqx.filter_jit
def starvation_matrix(basis: FeatureBasis, fp: FixedPoint) -> Float[Array, "k *C k"]:
    """How every response at the optimum answers to every strength, `G[j, i] = d z_j* / d(s_i^2)`.

        G = M (M + c)^-1 diag(c' U^T alpha),    M = U^T D U,   D = -h''(alpha)       (P21-Def2, beyond)

    computed as the equal `(I + c U^T W U)^-1 diag(c' U^T alpha)` with `W = 1/D`, which stays finite for saturated
    examples. Feature i starves feature j where `G[j, i] < 0`, `i != j`. For `Softmax` the answer of class a's
    response is `G[j, a, i]`, with `W_n = diag(p_n) - p_n p_n^T` and `E - alpha` in place of `alpha`. For
    `Hinge` it is the derivative on the active set, one-sided where an example is about to change sides.

    - `basis`, `fp`: a problem and its `fixed_point`. Raises `ValueError` where they do not fit.
    """
    _checks.instance("fp", fp, FixedPoint)
    c, tilt = problem(basis, fp.loss, fp.penalty)
    if (fp.margins.shape[0], fp.z.shape[0]) != basis.U.shape:
        raise ValueError(f"fp must belong to basis, got z of shape {fp.z.shape} for U of {basis.U.shape}")
    s2 = basis.s * basis.s
    slope = fp.penalty.filter_slope(s2).astype(c.dtype)
    if isinstance(fp.loss, Hinge):
        jacobian = jax.jacfwd(lambda c: _box.solve(basis.U, c, tilt, _box.LIMIT).z)(c)
        return jacobian * slope[None, :]
    root = _newton.root_curvature(fp.loss, tilt, fp.margins)
    live = _implicit.columns(c > 0, fp.z)
    safe = jnp.where(live, _implicit.columns(c, fp.z), 1.0)
    pull = _linear.adjoint(basis.U, _newton.pull(fp.loss, tilt, fp.margins))
    source = _implicit.columns(slope, fp.z) * jnp.where(live, fp.z / safe, pull)

    def column(unit: Array) -> Array:
        return _implicit.respond(basis.U, c, root, _implicit.columns(unit, fp.z) * source, dense=True)

    def by_columns() -> Array:
        return jax.vmap(column, out_axes=-1)(jnp.eye(len(c), dtype=c.dtype))

    if fp.z.ndim == 2:
        return by_columns()
    interaction = _linear.gram((root[:, None] * basis.U).T)
    matrix = _factored(interaction, c, source) if len(c) > _linear.QR_LIMIT else by_columns()
    few = _strength(interaction, c) < DECOUPLED
    return jax.lax.cond(few, lambda: _decoupled(basis.U, fp, c, root, tilt, source, matrix), lambda: matrix)


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
    return jnp.diag(dead) + rc[:, None] * _dense.spd_solver(system)(rhs)


def _decoupled(
    U: Array, fp: FixedPoint, c: Array, root: Array, tilt: Tilt | None, source: Array, matrix: Array
) -> Array:
    """`matrix` where features hardly interact, its small entries with the digits that solving loses.

    Features interact only through differences of curvature: off its diagonal, `U^T W U` is `U^T (W - w_0) U` for any
    `w_0`. With `P` the diagonal of `I + c U^T W U` and `E` what is off it, `G = P^-1 (source - E G)` has those
    differences as factors and keeps their digits.
    """
    _, spread = fp.loss.curvature_spread(fp.margins)
    if tilt is not None:
        spread = spread + (tilt.curvature - jnp.min(tilt.curvature))
    own = 1 + c * jnp.sum((root * root)[:, None] * U * U, axis=0)
    off = U.T @ (spread[:, None] * U) * (1 - jnp.eye(len(c), dtype=c.dtype))
    return (jnp.diag(source) - c[:, None] * (off @ matrix)) / own[:, None]


def starves(matrix: Float[Array, "k k"]) -> Bool[Array, "k k"]:
    """Where feature i starves feature j: `matrix[j, i] < 0` off the diagonal (P21-Def2)."""
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f"matrix must have shape (k, k), got {matrix.shape}")
    return (matrix < 0) & ~jnp.eye(matrix.shape[0], dtype=bool)


def sign_law(s1: ArrayLike, s2: ArrayLike, delta: ArrayLike) -> Array:
    """The sign of `d z_2*/d(s_1^2)` in the two-feature model, exact (P21-Thm2 *beyond* small delta).

        sign(d z_2*/d(s_1^2)) = -sign((1 - 2 delta^2)(s_1 - s_2)),    0 < delta < 1, any lam > 0

    for P21-Eq9 and P21-Eq10 alike: the weaker feature starves for every `delta < 1/sqrt(2)`. Arguments broadcast.
    """
    s1, s2 = _checks.nonnegative("s1", s1), _checks.nonnegative("s2", s2)
    delta = _checks.require("delta", delta, "in [0, 1)", lambda v: (v >= 0) & (v < 1))
    _checks.broadcastable(s1=s1, s2=s2, delta=delta)
    overlap = jnp.sign(delta) * jnp.sign(1 - 2 * delta * delta)
    return -overlap * jnp.sign(s1 - s2)
