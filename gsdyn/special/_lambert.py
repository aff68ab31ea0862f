"""Lambert W and the r-Lambert function, of c or of log c (P21-Eq12, Eq13 and their exact forms).

Every root `w` here satisfies `log c = log w + (a smooth function of w)`, an equation whose residual keeps its
accuracy however large or small `c` is. Two steps of high order, from a start good to a few percent, solve it
to the last digit: there is no loop to stop, so nothing for `vmap` to wait for.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from gsdyn.special._arguments import on_reals
from gsdyn.special._expansion import polynomial

# 1/e, and what the double nearest to it leaves.
_INVERSE_E = 0.36787944117144233
_INVERSE_E_REST = -1.2428753672788363e-17
_E = 2.718281828459045
_LOG2 = 0.6931471805599453

# exp(-W(c)) in powers of 2 sqrt(e c + 1) - 1, lowest first, for c in [-1/e, 0]: interpolated in
# Chebyshev points with 60 digits, relative error 2e-17.
_EXP_MINUS_W = (
    1.5217615844909445, -0.7342473430088268, 0.2924880581120205, -0.10903535635318946,
    0.03935206684355263, -0.013938546226561507, 0.004877743629574047, -0.0016927447150287566,
    0.0005838782743670625, -0.0002004721960111542, 6.858450226689284e-05, -2.3396038469902835e-05,
    7.962422037596271e-06, -2.7057580527786662e-06, 9.177030826562314e-07, -3.0883807406684223e-07,
    1.0430457382819825e-07, -3.740944287207776e-08, 1.2745343213415967e-08, -2.7788429526595404e-09,
    8.874648901482667e-10, -9.070224202797085e-10, 3.14294950518985e-10,
)  # fmt: skip

# (1 + W(c))/sqrt(e c + 1), made in the same way: from 1 + W itself no digit is left near the branch point
_TO_BRANCH = (
    1.1602627980519542, -0.19526624341170204, 0.043663626781992024, -0.01095273558353502,
    0.0029258167651214305, -0.00081337649319635, 0.0002324476762347244, -6.77893958318444e-05,
    2.007898652427952e-05, -6.0208188510166526e-06, 1.8234470196403933e-06, -5.568153488215324e-07,
    1.7123862745725426e-07, -5.296968721839672e-08, 1.6424377241756616e-08, -5.125129905933377e-09,
    1.659372063264e-09, -5.252050749453606e-10, 1.265676918294552e-10, -3.864820058063e-11,
    2.8756800203672453e-11, -9.41204403941339e-12,
)  # fmt: skip


@on_reals
def lambertw(c: ArrayLike) -> Float[Array, "..."]:
    """The principal branch of Lambert W: the root `w >= -1` of `w e^w = c` (P21-Eq12, Eq13).

    `dw/dc = e^-w / (1 + w)`; at the branch point `c = -1/e` that is infinite.

    **Arguments:** `c`: any shape, `c >= -1/e`; the float nearest to `-1/e` counts as `-1/e`.

    **Returns:** `W(c)`, with the shape and dtype of `c`, within 2 units in the last place (3 for
    `c < 0`); NaN for `c < -1/e`.

    **Reference:** Corless, Gonnet, Hare, Jeffrey, Knuth, *On the Lambert W function*, 1996; the step is
    Fritsch, Shafer, Crowley, CACM 16, 1973.

        >>> print(gs.special.lambertw(np.array([0.0, 1.0, np.e])))
        [0.    0.567 1.   ]
    """
    return _lambertw(c)


@on_reals
def wright_omega(x: ArrayLike) -> Float[Array, "..."]:
    """The Wright omega function `W(e^x)`, the root of `w + log w = x`, without forming `e^x`.

    `omega(-f)` is the dual variable `a` of the first-order loss (P21-Eq10) at margin `f`, which solves
    `-log a - a = f`. `dw/dx = w / (1 + w)`.

    **Arguments:** `x`: any shape, any finite real.

    **Returns:** `omega(x)`, with the shape and dtype of `x`, within 2 units in the last place. It is 0 where
    `e^x` underflows.

        >>> print(gs.special.wright_omega(np.array([0.0, 1.0, 1000.0])))
        [  0.567   1.    993.099]
    """
    return _wright_omega(x)


@on_reals
def r_lambertw(c: ArrayLike) -> Float[Array, "..."]:
    """The r-Lambert function for r = 1: the root `x` of `x e^x + x = c` (the exact P21-Eq12, Eq13).

    It is the margin at which cross-entropy balances one feature, `sigma(-x) = x / c`. The left side rises
    with slope above 0.86 for every real `x`, so there is one root for every real `c`.
    `dx/dc = 1 / (1 + (1 + x) e^x)`.

    **Arguments:** `c`: any shape, any real.

    **Returns:** `x`, with the shape and dtype of `c`, within 3 units in the last place.

    **Reference:** Mezo, Baricz, *On the generalization of the Lambert W function*, 2017.

        >>> print(gs.special.r_lambertw(np.array([0.0, 1.0, 100.0])))
        [0.    0.401 3.359]
    """
    return _r_lambertw(c)


@on_reals
def r_wright_omega(x: ArrayLike) -> Float[Array, "..."]:
    """`r_lambertw(e^x)`, the root of `log w + log(1 + e^w) = x`, without forming `e^x`.

    `dw/dx = w / (1 + w sigma(w))`.

    **Arguments:** `x`: any shape, any finite real.

    **Returns:** `w`, with the shape and dtype of `x`, within 3 units in the last place. It is 0 where `e^x`
    underflows.

        >>> print(gs.special.r_wright_omega(np.array([0.0, 1000.0])))
        [  0.401 993.099]
    """
    return _r_wright_omega(x)


@jax.custom_jvp
def _lambertw(c: Array) -> Array:
    rising = (c >= jnp.finfo(c.dtype).tiny) & (c < jnp.inf)
    safe = jnp.where(rising, c, 1)
    w = _lambert_root(safe, jnp.zeros_like(c), jnp.log1p(safe))
    return jnp.where(rising, w, jnp.where(c > 0, c, _lambertw_falling(jnp.minimum(c, 0))))


@_lambertw.defjvp
def _lambertw_jvp(primals, tangents):
    (c,) = primals
    w = _lambertw(c)
    above = _above_branch(jnp.minimum(c, 0))
    near = (c < 0) & (above > 0)
    root = jnp.sqrt(_E * jnp.where(near, above, 1))
    one_more = jnp.where(near, root * polynomial(_TO_BRANCH, 2 * root - 1), 1 + w)
    return w, tangents[0] * _decay(c, w, c) / one_more


@jax.custom_jvp
def _wright_omega(x: Array) -> Array:
    # e^x carries no rounding of x for x < 0, and x itself none for x > 0
    c, offset = jnp.exp(jnp.minimum(x, 0)), jnp.maximum(x, 0)
    start = jnp.log1p(jnp.exp(-jnp.abs(x))) + offset
    solvable = (c >= jnp.finfo(c.dtype).tiny) & (x < jnp.inf)
    w = _lambert_root(jnp.where(solvable, c, 1), offset, jnp.where(solvable, start, 1))
    return jnp.where(solvable, w, offset)


@_wright_omega.defjvp
def _wright_omega_jvp(primals, tangents):
    w = _wright_omega(*primals)
    return w, tangents[0] * _saturating(w, 1)


@jax.custom_jvp
def _r_lambertw(c: Array) -> Array:
    solvable = (jnp.abs(c) > _least(c)) & (jnp.abs(c) < jnp.inf)
    safe = jnp.where(solvable, c, 1)
    rising = _r_lambert_start(jnp.log1p(jnp.maximum(safe, 0) / 2))
    # below zero x = c sigma(-x) contracts, by a factor of 0.28 at worst
    falling = safe * jax.nn.sigmoid(-safe * jax.nn.sigmoid(-safe / 2))
    x = _r_lambert_root(safe, jnp.zeros_like(c), jnp.where(safe > 0, rising, falling))
    return jnp.where(solvable, x, c / 2)


@_r_lambertw.defjvp
def _r_lambertw_jvp(primals, tangents):
    (c,) = primals
    x = _r_lambertw(c)
    # 1 / (1 + (1 + x) e^x) without overflow; x is 0 on the side that is not taken
    above, below = jnp.where(x > 0, x, 0), jnp.where(x > 0, 0, jnp.maximum(x, -1e3))
    decay = _decay(c, above, c - above)
    return x, tangents[0] * jnp.where(x > 0, decay / (1 + x + decay), 1 / (1 + (1 + below) * jnp.exp(below)))


def _decay(c: Array, w: Array, whole: Array) -> Array:
    """`e^-w`, by the equation `w/whole` where `c > 1`: a rounding of a large `w` is multiplied by it in `e^-w`."""
    large = (c > 1) & (c < jnp.inf)
    return jnp.where(large, w / jnp.where(large, whole, 1), jnp.exp(-w))


@jax.custom_jvp
def _r_wright_omega(x: Array) -> Array:
    c, offset = jnp.exp(jnp.minimum(x, 0)), jnp.maximum(x, 0)
    start = _r_lambert_start(jnp.log1p(jnp.exp(-jnp.abs(x - _LOG2))) + jnp.maximum(x - _LOG2, 0))
    solvable = (c > _least(c)) & (x < jnp.inf)
    w = _r_lambert_root(jnp.where(solvable, c, 1), offset, jnp.where(solvable, start, 1))
    return jnp.where(solvable, w, jnp.where(x > 0, offset, c / 2))


@_r_wright_omega.defjvp
def _r_wright_omega_jvp(primals, tangents):
    w = _r_wright_omega(*primals)
    return w, tangents[0] * _saturating(w, jax.nn.sigmoid(w))


def _saturating(w: Array, slope: ArrayLike) -> Array:
    """`w / (1 + slope w)`, whose derivatives too are right from `w = 0` to infinity."""
    small = w < 1
    low, high = jnp.where(small, w, 0), jnp.where(small, 1, w)
    return jnp.where(small, low / (1 + slope * low), 1 / (slope + 1 / high))


def _least(c: Array) -> float:
    """Where `x (1 + e^x) = c` has the root `c/2` to the last digit, and below which a residual may underflow."""
    limits = jnp.finfo(c.dtype)
    return float(limits.tiny) / float(limits.eps)


def _lambert_root(c: Array, offset: Array, log1p_c: Array) -> Array:
    """The root of `w e^w = c e^offset` for `c > 0`, given about `log(1 + c e^offset)`."""
    # Winitzki's start, within 2%; then Fritsch's step, of fourth order.
    w = log1p_c * (1 - jnp.log1p(log1p_c) / (2 + log1p_c))
    for _ in range(2):
        step = ((offset - w) - jnp.log(w / c)) / (1 + w)
        q, z = 2 + step * (4 / 3), step / (1 + w)
        w = w + w * step * ((q - z) / (q - 2 * z))
    return w


def _above_branch(c: Array) -> Array:
    """`c + 1/e` for c in [-1/e, 0], to its last digit; NaN below."""
    high = float(np.asarray(_INVERSE_E, c.dtype))
    rest = (_INVERSE_E - high) + _INVERSE_E_REST
    # in two parts, of which the second is multiplied by -e c, which is 1 where it counts, because XLA
    # would add two constants before it adds either to c
    above = (c + high) - (rest * _E) * c
    return jnp.where(c >= -high, jnp.maximum(above, 0), jnp.nan)


def _lambertw_falling(c: Array) -> Array:
    """`W(c)` for c in [-1/e, 0]."""
    above = _above_branch(c)
    return jnp.where(above == 0, -1, c * polynomial(_EXP_MINUS_W, 2 * jnp.sqrt(_E * above) - 1))


def _r_lambert_start(log1p_half_c: Array) -> Array:
    """`r_lambertw(c)` within 0.1% for `c > 0`, fitted as a function of `log(1 + c/2)`."""
    s = log1p_half_c
    bend = jnp.log1p(0.5306 * s) * ((0.0079 + 0.1422 * s) / (1 + s * (0.2982 + 0.1422 * s)))
    return s - s * bend


def _r_lambert_root(c: Array, offset: Array, x: Array) -> Array:
    """The root of `x (1 + e^x) = c e^offset` from a start with the sign of `c`: Halley's step on the logarithm."""
    for _ in range(2):
        decay = jnp.exp(-jnp.abs(x))
        up = jnp.where(x > 0, 1, decay) / (1 + decay)
        reached = x * (1 + decay)
        # below zero the slope is less than 1: the plain residual loses no digit there
        miss = ((c - x) - x * decay) / reached
        falling = miss * (1 - miss * (0.5 - miss / 3))
        z = jnp.where(x > 0, (offset - x) - jnp.log(reached / c), falling)
        slope = 1 + x * up
        curvature = (x * up) * (x * (1 - up)) - 1
        x = x + x * (z / (slope + curvature * z / (2 * slope)))
    return x
