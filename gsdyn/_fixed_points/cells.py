"""Two features in two examples, by the million: the fixed points of a whole grid at the speed of its exponentials.

Under `vmap` a cell's Newton iteration would keep all cells waiting for the slowest one, over arrays too large for the
cache. Instead every chunk of cells takes a few Halley steps (third order, one evaluation of the loss each) in single
precision: two for the margins, `f = A a(f)` with `A = B B^T`, the cheapest unknowns, more for the normalised responses
`y` where the terms of `A a` cancel. One step for `y` in double precision ends it. The few cells that need more are
gathered: all of it in double precision, and for what is left the Newton method that serves every other problem.

XLA computes a sum or product again in every place where it is used, but not a quotient: so solutions end with one.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array

from gsdyn._fixed_points import certificate
from gsdyn._numerics.batching import batched, finish, in_chunks
from gsdyn._numerics.pairs import Pair, Quad, gram, pair, scaled
from gsdyn._problem import Problem
from gsdyn.losses import CellLoss

CHUNK = 4096  # cells that fit the cache of one core
SHARED_CHUNK = 16 * CHUNK  # cells that are worth sharing between cores
REST = 256  # of the few that are gathered
STEPS = 2  # of every cell in single precision
EXTRA = 3  # of a chunk in which more than one cell in RARE is not yet where one step suffices
RARE = 25
MORE = 24  # for the gathered cells
POLISH = 3
LEAST = STEPS + MORE + POLISH + 2  # fewer iterations than these are for the method that counts them one by one
Cells = tuple[Quad, Pair]  # the rows of `U` and the filter `c`
Fields = tuple[Array, ...]
Rates = tuple[Array, Array, Array]
S = TypeVar("S")


@functools.cache
def solver(loss: CellLoss, limit: int) -> Callable[[Cells], Fields]:
    """The certified fixed point of one cell, given and answered entry by entry, fast under any nesting of `vmap`.

    A cell is the rows of `U` and the filter `c`; the answer is `(z, gap, error_bound, iterations, converged)`.
    """

    def alone(cell: Cells) -> Fields:
        u, c = cell
        return certificate.minimum(Problem(jnp.stack(u).reshape(2, 2), jnp.stack(c), loss, None), limit)

    return batched(alone, functools.partial(_all, loss, limit))


def _all(loss: CellLoss, limit: int, cells: Cells) -> Fields:
    """A few Halley steps for every cell, more for those that need them, Newton's method for what is left."""
    zeros = jnp.zeros_like(cells[1][0])
    empty = jnp.zeros((zeros.size, 2), zeros.dtype), zeros, zeros, zeros.astype(jnp.int32), zeros.astype(bool)
    # Inside `shard_map` the other cores have their own cells
    chunk = CHUNK if jax.sharding.get_abstract_mesh().manual_axes else SHARED_CHUNK
    out = in_chunks(functools.partial(_quick, loss), cells, empty, chunk)
    for method in functools.partial(_longer, loss), functools.partial(_thorough, loss, limit):
        out = finish(method, cells, out, ~out[-1], REST)
    return *out[:-1], out[-1] & (out[2] <= certificate.EMPTY)


def _quick(loss: CellLoss, cells: Cells) -> Fields:
    b, r = scaled(*cells)
    rough = b[0].astype(jnp.float32), b[1].astype(jnp.float32), b[2].astype(jnp.float32), b[3].astype(jnp.float32)
    y, steps = _rough(loss, rough, _tiny(r[0].dtype), r[0].size // RARE)
    return _polished(loss, b, r, (y[0].astype(r[0].dtype), y[1].astype(r[0].dtype)), steps)


def _rough(loss: CellLoss, b: Quad, small: float, most: int) -> tuple[Pair, Array]:
    """Responses whose margins are off by a `small` amount in all but `most` cells, and the number of steps."""
    f = _start(gram(b))
    for _ in range(STEPS):
        f, a, size = _margin_step(loss, gram(b), f)
    y = _adjoint(b, a)
    # What the last step leaves, and rounding where the terms of `A a` cancel
    error = size**3 / 12 + _largest((_margins(b, y)[0] - f[0], _margins(b, y)[1] - f[1]))

    def step(y: Pair) -> tuple[Pair, Array]:
        y, size = _response_step(loss, b, y)
        return y, size**3 / 12

    y, steps = _repeat(step, y, error, small, most, EXTRA)
    return y, STEPS + steps


def _longer(loss: CellLoss, cells: Cells) -> Fields:
    """Steps for the margins until all are small, then for the responses."""
    b, r = scaled(*cells)
    A, far, near = gram(b), jnp.full_like(r[0], jnp.inf), _near(r[0].dtype)

    def step(state: tuple[Pair, Pair]) -> tuple[tuple[Pair, Pair], Array]:
        f, a, size = _margin_step(loss, A, state[0])
        return (f, a), size

    f = _start(A)
    (_, a), steps = _repeat(step, (f, f), far, near, 0, MORE)
    y, more = _repeat(functools.partial(_response_step, loss, b), _adjoint(b, a), far, near, 0, POLISH)
    return _polished(loss, b, r, y, STEPS + steps + more)


def _repeat(
    step: Callable[[S], tuple[S, Array]], start: S, error: Array, small: float, most: int, limit: int
) -> tuple[S, Array]:
    """`step`, up to `limit` times, while the error is not `small` in more than `most` cells; and how often."""

    def go(state: tuple[S, Array, Array]) -> Array:
        return (jnp.sum(~(state[1] <= small), dtype=jnp.int32) > most) & (state[2] < limit)

    end, _, steps = jax.lax.while_loop(go, lambda s: (*step(s[0]), s[2] + 1), (start, error, jnp.asarray(0, jnp.int32)))
    return end, steps


def _polished(loss: CellLoss, b: Quad, r: Pair, y: Pair, steps: Array) -> Fields:
    """The last Halley step, for the responses, and its certificate from the same exponentials."""
    first, second, d, h, last = _response_halley(loss, b, y)
    y = y[0] + d[0], y[1] + d[1]
    gap, error = _bounds(loss, b, y, first, second, h)
    # Rounding can hide the step from a wrong point, not its gap: `sum_i (sqrt(a_i) - sqrt(a_i*))^2` is at most that
    done = (last <= _tiny(last.dtype)) & (gap <= jnp.maximum(first[0], second[0]))
    return pair(r[0] * y[0], r[1] * y[1]), gap, error, jnp.broadcast_to(steps + 1, last.shape), done


def _tiny(dtype: jnp.dtype) -> float:
    """The step after which the method has converged: a twelfth of its cube is below half a unit of rounding."""
    return 1.5 * float(jnp.finfo(dtype).eps) ** (1 / 3)


def _near(dtype: jnp.dtype) -> float:
    """The step after which the next one is `_tiny`."""
    return _tiny(dtype) ** (1 / 3)


def _thorough(loss: CellLoss, limit: int, cells: Cells) -> Fields:
    @jax.vmap
    def solve(u: Quad, c: Pair) -> Fields:
        return certificate.minimum(Problem(jnp.stack(u).reshape(2, 2), jnp.stack(c), loss, None), limit - STEPS)

    *solved, steps, done = solve(*cells)
    return *solved, steps + STEPS, done


def _bounds(loss: CellLoss, b: Quad, y: Pair, first: Rates, second: Rates, h: Pair) -> Pair:
    """The bounds of `certificate`, written out, for margins `h` away, at most 1, from where the weights are known."""
    eps = float(jnp.finfo(y[0].dtype).eps)
    unit = 20 * eps
    a, w = (_moved(first, h[0]), _moved(second, h[1])), (first[1], second[1])
    size = jnp.abs(y[0]), jnp.abs(y[1])
    by = jnp.abs(b[0]), jnp.abs(b[1]), jnp.abs(b[2]), jnp.abs(b[3])
    df = _margins(by, size)
    stored = [w[i] * (unit * df[i] + jnp.abs(h[i]) ** 3) + 8 * eps * a[i] for i in range(2)]
    slack = _adjoint(by, (stored[0] + 28 * eps * a[0], stored[1] + 28 * eps * a[1]))
    pulled = _adjoint(b, a)
    g = [jnp.abs(y[i] - pulled[i]) + unit * size[i] + slack[i] for i in range(2)]
    root = jnp.sqrt(g[0] * g[0] + g[1] * g[1])
    error = loss.largest_error(jnp.maximum(loss.edge(a[0]), loss.edge(a[1])), root)
    apart = [certificate.unpaired(stored[i], w[i]) for i in range(2)]
    return root * root / 2 + (apart[0] + apart[1]), error + stored[0] + stored[1]


def _moved(rates: Rates, h: Array) -> Array:
    """The weight at a margin `h` away from where `(a, w, w'/w)` are known, up to `w |h|^3` for `|h| <= 1`."""
    a, w, v = rates
    return a - w * h * (1 + v * h / 2)


def _start(A: Quad) -> Pair:
    """Margins to within one or two, from those of each example alone, `f1 = A11 a(f1)` and `f2 = A22 a(f2)`.

    The margins solve `f1 = A11 a(f1) + A12 a(f2)`. Where `A12 > 0` this is near the larger of `f1` alone and
    `A12 f2 / A22`. They also solve `f1 = (det A / A22) a(f1) + (A12 / A22) f2`, and where `A12 < 0` it is near
    the margin of that entry alone.
    """
    a11, a12, a22, area = A
    least = jnp.finfo(a11.dtype).tiny
    rivals, ally = a12 < 0, jnp.maximum(a12, 0)

    def alone(entry: Array) -> Array:
        """Lambert's W of the entry, to a few percent."""
        log = jnp.log(1 + entry)
        return log * (1 - jnp.log(1 + log) / (2 + log))

    def both(f: Array, other: Array) -> Array:
        return jnp.maximum(f, other) + 0.06 * jnp.minimum(f, other)

    r1, r2 = 1 / jnp.maximum(a11, least), 1 / jnp.maximum(a22, least)
    f1, f2 = alone(jnp.where(rivals, area * r2, a11)), alone(jnp.where(rivals, area * r1, a22))
    return both(f1, ally * r2 * f2), both(f2, ally * r1 * f1)


def _margins(b: Quad, y: Pair) -> Pair:
    """`B y`."""
    return b[0] * y[0] + b[1] * y[1], b[2] * y[0] + b[3] * y[1]


def _adjoint(b: Quad, a: Pair) -> Pair:
    """`B^T a`."""
    return b[0] * a[0] + b[2] * a[1], b[1] * a[0] + b[3] * a[1]


def _margin_step(loss: CellLoss, A: Quad, f: Pair) -> tuple[Pair, Pair, Array]:
    """One damped Halley step for `f = A a(f)`: the margins, their weights up to third order, and its size."""
    a11, a12, a22, _ = A
    p1, p2 = loss.weight(f[0]), loss.weight(f[1])
    (w1, v1), (w2, v2) = loss.rates(p1), loss.rates(p2)
    g = a11 * p1 + a12 * p2 - f[0], a12 * p1 + a22 * p2 - f[1]
    d = _answer(A, (w1, w2), g)
    d = _answer(A, (w1 * jnp.maximum(1 + v1 * d[0] / 2, 0.3), w2 * jnp.maximum(1 + v2 * d[1] / 2, 0.3)), g)
    a = _moved((p1, w1, v1), d[0]), _moved((p2, w2, v2), d[1])
    return (f[0] + jnp.clip(d[0], -4, 4), f[1] + jnp.clip(d[1], -4, 4)), a, _largest(d)


def _largest(d: Pair) -> Array:
    return jnp.maximum(jnp.abs(d[0]), jnp.abs(d[1]))


def _answer(A: Quad, w: Pair, g: Pair) -> Pair:
    """`(I + A W)^-1 g` by Cramer's rule; the determinant is a sum of positive terms."""
    a11, a12, a22, area = A
    w1, w2 = w
    det = 1 + a11 * w1 + a22 * w2 + area * (w1 * w2)
    d1 = (1 + a22 * w2) * g[0] - (a12 * w2) * g[1]
    d2 = (1 + a11 * w1) * g[1] - (a12 * w1) * g[0]
    return d1 / det, d2 / det


def _response_step(loss: CellLoss, b: Quad, y: Pair) -> tuple[Pair, Array]:
    """One damped Halley step for `y = B^T a(B y)`, and its size."""
    *_, d, _, size = _response_halley(loss, b, y)
    t = 4 / jnp.maximum(size, 4)
    return (y[0] + t * d[0], y[1] + t * d[1]), size


def _response_halley(loss: CellLoss, b: Quad, y: Pair) -> tuple[Rates, Rates, Pair, Pair, Array]:
    """`(a, w, w'/w)` of both margins, Halley's step for the responses, what it makes of the margins, and its size."""
    f = _margins(b, y)
    (a1, w1, v1), (a2, w2, v2) = loss.derivatives(f[0]), loss.derivatives(f[1])
    pulled = _adjoint(b, (a1, a2))
    g = pulled[0] - y[0], pulled[1] - y[1]
    h = _margins(b, _solve(b, (w1, w2), g))
    d = _solve(b, (w1 * jnp.maximum(1 + v1 * h[0] / 2, 0.3), w2 * jnp.maximum(1 + v2 * h[1] / 2, 0.3)), g)
    h = _margins(b, d)
    return (a1, w1, v1), (a2, w2, v2), d, h, _largest(h)


def _solve(b: Quad, w: Pair, g: Pair) -> Pair:
    """`(I + B^T W B)^-1 g` by Cramer's rule; the determinant is a sum of positive terms."""
    b11, b12, b21, b22 = b
    w1, w2 = w
    s11 = 1 + w1 * b11 * b11 + w2 * b21 * b21
    s22 = 1 + w1 * b12 * b12 + w2 * b22 * b22
    s12 = w1 * b11 * b12 + w2 * b21 * b22
    area = b11 * b22 - b12 * b21
    det = s11 + (s22 - 1) + (w1 * area) * (w2 * area)
    return (s22 * g[0] - s12 * g[1]) / det, (s11 * g[1] - s12 * g[0]) / det
