"""Two features in two examples, by the million: the fixed points of a whole grid at the speed of its exponentials.

Under `vmap` a cell's Newton iteration would keep all cells waiting for the slowest one, over arrays too large for the
cache. Instead every chunk of cells takes a few Halley steps (third order, one evaluation of the loss each) for the
margins, `f = A a(f)` with `A = B B^T`: the cheapest unknowns, good as long as the terms of `A a` do not cancel. The few
cells that need more, or better, are gathered: more of the same steps, then Halley steps for the normalised responses
`y`, in which nothing cancels, and for what is left the Newton method that serves every other problem.

XLA computes a sum or product again in every place where it is used, but not a quotient: so solutions end with one.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array

from gsdyn import _newton
from gsdyn._batching import batched, finish, in_chunks
from gsdyn._pairs import Pair, Quad, gram, pair, scaled
from gsdyn.losses import CrossEntropy, FirstOrderCrossEntropy

CHUNK = 1024  # cells that fit the cache of one core
SHARED_CHUNK = 64 * CHUNK  # cells that are worth sharing between cores
REST = 256  # of the few that are gathered
STEPS = 2  # of every cell in single precision
EXTRA = 3  # of a chunk in which more than one cell in RARE still takes steps that are not NEAR
NEAR = 0.1
RARE = 25
MORE = 24  # for the gathered cells
POLISH = 3
LEAST = STEPS + 2 * MORE + POLISH + 2  # fewer iterations than these are for the method that counts them one by one
SUPPORTED = (CrossEntropy, FirstOrderCrossEntropy)

CellLoss = CrossEntropy | FirstOrderCrossEntropy
Cells = tuple[Quad, Pair]  # the rows of `U` and the filter `c`
Fields = tuple[Array, ...]


@functools.cache
def solver(loss: CellLoss, limit: int) -> Callable[[Cells], Fields]:
    """The certified fixed point of one cell, given and answered entry by entry, fast under any nesting of `vmap`.

    A cell is the rows of `U` and the filter `c`; the answer is `(z, gap, error_bound, iterations, converged)`.
    """
    many = functools.partial(_all, loss, limit)

    def alone(cell: Cells) -> Fields:
        return jax.tree.map(lambda x: x[0], many(jax.tree.map(lambda x: x[None], cell)))

    return batched(alone, many)


def _all(loss: CellLoss, limit: int, cells: Cells) -> Fields:
    """A few Halley steps for every cell, more for those that need them, Newton's method for what is left."""
    zeros = jnp.zeros_like(cells[1][0])
    empty = jnp.zeros((zeros.size, 2), zeros.dtype), zeros, zeros, zeros.astype(jnp.int32), zeros.astype(bool)
    # Inside `shard_map` the other cores have their own cells
    chunk = CHUNK if jax.sharding.get_abstract_mesh().manual_axes else SHARED_CHUNK
    out = in_chunks(functools.partial(_quick, loss), cells, empty, chunk, zeros.size)
    for method in functools.partial(_longer, loss), functools.partial(_thorough, loss, limit):
        out = finish(method, cells, out, ~out[-1], REST)
    return out


def _quick(loss: CellLoss, cells: Cells) -> Fields:
    b, r = scaled(*cells)
    A = gram(b)
    f, steps = _rough(loss, A, EXTRA, r[0].size // RARE)
    _, a, _ = _margin_step(loss, A, f)
    return _polished(loss, b, r, _adjoint(b, a), steps + 1)


def _longer(loss: CellLoss, cells: Cells) -> Fields:
    b, r = scaled(*cells)
    A = gram(b)
    rough, before = _rough(loss, A, MORE, 0)
    # In single precision a large `A` overflows
    f = jnp.where(jnp.isfinite(rough[0] + rough[1]), jnp.stack(rough), jnp.stack(_start(A)))
    f, steps = _margin_steps(loss, A, ((f[0], f[1]), jnp.full_like(r[0], jnp.inf), 0), MORE, 0, _small(f.dtype))
    _, a, _ = _margin_step(loss, A, f)
    y = _adjoint(b, a)
    for _ in range(POLISH):
        y = _response_step(loss, b, y)
    return _polished(loss, b, r, y, before + steps + 1 + POLISH)


def _rough(loss: CellLoss, A: Quad, most: int, moving: int) -> tuple[Pair, Array]:
    """Margins to a few digits by steps in single precision, `STEPS` and up to `most` more, and the number of steps."""
    rough = A[0].astype(jnp.float32), A[1].astype(jnp.float32), A[2].astype(jnp.float32), A[3].astype(jnp.float32)
    f, size = _start(rough), rough[0]
    for _ in range(STEPS):
        f, _, size = _margin_step(loss, rough, f)
    f, steps = _margin_steps(loss, rough, (f, size, STEPS), most, moving, NEAR)
    return (f[0].astype(A[0].dtype), f[1].astype(A[0].dtype)), steps


def _polished(loss: CellLoss, b: Quad, r: Pair, y: Pair, steps: Array) -> Fields:
    """The last Newton step, for the responses, and its certificate from the same exponentials.

    At margins `f + h` the weights are `a - w h (1 + (w'/w) h / 2)` up to `w |h|^3` for `|h| <= 1`; where the step is
    longer, it is not taken.
    """
    f = _margins(b, y)
    (a1, w1, v1), (a2, w2, v2) = loss.derivatives(f[0]), loss.derivatives(f[1])
    pulled = _adjoint(b, (a1, a2))
    d = _solve(b, (w1, w2), (pulled[0] - y[0], pulled[1] - y[1]))
    h1, h2 = _margins(b, d)
    last = jnp.maximum(jnp.abs(h1), jnp.abs(h2))
    near = last <= 1
    h1, h2 = jnp.where(near, h1, 0), jnp.where(near, h2, 0)
    y = y[0] + jnp.where(near, d[0], 0), y[1] + jnp.where(near, d[1], 0)
    a = a1 - w1 * h1 * (1 + v1 * h1 / 2), a2 - w2 * h2 * (1 + v2 * h2 / 2)
    rest = w1 * jnp.abs(h1) ** 3, w2 * jnp.abs(h2) ** 3
    return (
        pair(r[0] * y[0], r[1] * y[1]),
        *_bounds(loss, b, y, a, (w1, w2), rest),
        steps + 1,
        last <= _tiny(last.dtype),
    )


def _tiny(dtype: jnp.dtype) -> float:
    """The step after which Newton's method has converged: its error is of the order of the step's square."""
    return float(jnp.finfo(dtype).eps) ** 0.5 / 2


def _small(dtype: jnp.dtype) -> float:
    """The step after which a third-order method leaves Newton's a last one: its error is of the order of the cube."""
    return _tiny(dtype) ** (1 / 3)


def _thorough(loss: CellLoss, limit: int, cells: Cells) -> Fields:
    b, r = scaled(*cells)

    @jax.vmap
    def solve(b: Quad) -> tuple[Array, Array, Array]:
        return _newton.minimise(loss, None, jnp.stack(b).reshape(2, 2), limit - STEPS)

    y, steps, done = solve(b)
    out = _polished(loss, b, r, (y[:, 0], y[:, 1]), steps + STEPS)
    return *out[:-1], done


def _bounds(loss: CellLoss, b: Quad, y: Pair, a: Pair, w: Pair, rest: Pair) -> Pair:
    """The bounds of `_certificate`, written out; `rest` is what the weights `a` may be off beyond rounding."""
    eps = float(jnp.finfo(y[0].dtype).eps)
    unit = 20 * eps
    size = jnp.abs(y[0]), jnp.abs(y[1])
    by = jnp.abs(b[0]), jnp.abs(b[1]), jnp.abs(b[2]), jnp.abs(b[3])
    df = _margins(by, size)
    stored = [unit * w[i] * df[i] + rest[i] + 8 * eps * a[i] for i in range(2)]
    slack = _adjoint(by, (stored[0] + 28 * eps * a[0], stored[1] + 28 * eps * a[1]))
    pulled = _adjoint(b, a)
    g = [jnp.abs(y[i] - pulled[i]) + unit * size[i] + slack[i] for i in range(2)]
    gap = (g[0] * g[0] + g[1] * g[1]) / 2
    error = loss.largest_error(jnp.maximum(loss.edge(a[0]), loss.edge(a[1])), gap)
    return gap, error + jnp.sqrt(stored[0] * stored[0] + stored[1] * stored[1])


def _start(A: Quad) -> Pair:
    """Margins near those of each example alone: Lambert's W of its entry, to a few percent."""

    def alone(entry: Array) -> Array:
        log = jnp.log(1 + entry)
        return log * (1 - jnp.log(1 + log) / (2 + log))

    return alone(A[0]), alone(A[2])


def _margins(b: Quad, y: Pair) -> Pair:
    """`B y`."""
    return b[0] * y[0] + b[1] * y[1], b[2] * y[0] + b[3] * y[1]


def _adjoint(b: Quad, a: Pair) -> Pair:
    """`B^T a`."""
    return b[0] * a[0] + b[2] * a[1], b[1] * a[0] + b[3] * a[1]


def _margin_steps(
    loss: CellLoss, A: Quad, start: tuple[Pair, Array, int], most: int, moving: int, small: float
) -> tuple[Pair, Array]:
    """From `(f, size of the last step, steps)`, Halley steps until at most `moving` cells take one that is not `small`;
    `f` and all steps."""
    f, size, steps = start

    def go(state: tuple[Pair, Array, Array]) -> Array:
        return (jnp.sum(~(state[1] <= small), dtype=jnp.int32) > moving) & (state[2] < steps + most)

    def step(state: tuple[Pair, Array, Array]) -> tuple[Pair, Array, Array]:
        f, _, size = _margin_step(loss, A, state[0])
        return f, size, state[2] + 1

    f, _, done = jax.lax.while_loop(go, step, (f, size, jnp.asarray(steps, jnp.int32)))
    return f, jnp.broadcast_to(done, size.shape)


def _margin_step(loss: CellLoss, A: Quad, f: Pair) -> tuple[Pair, Pair, Array]:
    """One damped Halley step for `f = A a(f)`: the margins, their weights up to third order, and its size."""
    a11, a12, a22, _ = A
    p1, p2 = loss.weight(f[0]), loss.weight(f[1])
    (w1, v1), (w2, v2) = loss.rates(p1), loss.rates(p2)
    g = a11 * p1 + a12 * p2 - f[0], a12 * p1 + a22 * p2 - f[1]
    d = _answer(A, (w1, w2), g)
    d = _answer(A, (w1 * jnp.maximum(1 + v1 * d[0] / 2, 0.3), w2 * jnp.maximum(1 + v2 * d[1] / 2, 0.3)), g)
    size = jnp.maximum(jnp.abs(d[0]), jnp.abs(d[1]))
    a = p1 - w1 * d[0] * (1 + v1 * d[0] / 2), p2 - w2 * d[1] * (1 + v2 * d[1] / 2)
    return (f[0] + jnp.clip(d[0], -4, 4), f[1] + jnp.clip(d[1], -4, 4)), a, size


def _answer(A: Quad, w: Pair, g: Pair) -> Pair:
    """`(I + A W)^-1 g` by Cramer's rule; the determinant is a sum of positive terms."""
    a11, a12, a22, area = A
    w1, w2 = w
    det = 1 + a11 * w1 + a22 * w2 + area * (w1 * w2)
    d1 = (1 + a22 * w2) * g[0] - (a12 * w2) * g[1]
    d2 = (1 + a11 * w1) * g[1] - (a12 * w1) * g[0]
    return d1 / det, d2 / det


def _response_step(loss: CellLoss, b: Quad, y: Pair) -> Pair:
    """One damped Halley step for `y = B^T a(B y)`."""
    f = _margins(b, y)
    (a1, w1, v1), (a2, w2, v2) = loss.derivatives(f[0]), loss.derivatives(f[1])
    pulled = _adjoint(b, (a1, a2))
    g = pulled[0] - y[0], pulled[1] - y[1]
    h = _margins(b, _solve(b, (w1, w2), g))
    d = _solve(b, (w1 * jnp.maximum(1 + v1 * h[0] / 2, 0.3), w2 * jnp.maximum(1 + v2 * h[1] / 2, 0.3)), g)
    h = _margins(b, d)
    t = 4 / jnp.maximum(jnp.maximum(jnp.abs(h[0]), jnp.abs(h[1])), 4)
    return y[0] + t * d[0], y[1] + t * d[1]


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
