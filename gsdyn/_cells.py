"""Two features in two examples, by the million: the fixed points of a whole grid at the speed of its exponentials.

Under `vmap` a cell's Newton iteration would keep all cells waiting for the slowest one, over arrays too large for the
cache. Instead every chunk of cells takes a few Halley steps (third order, one evaluation of the loss each), and the few
cells that need more are gathered and finished by the Newton method that serves every other problem.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.custom_batching import custom_vmap
from jaxtyping import Array, Float

from gsdyn import _certificate, _newton
from gsdyn.losses import CrossEntropy, FirstOrderCrossEntropy

CHUNK = 1024
STEPS = 3
MORE = 12
LEAST = STEPS + MORE  # fewer iterations than these are for the method that counts them one by one
SUPPORTED = (CrossEntropy, FirstOrderCrossEntropy)

CellLoss = CrossEntropy | FirstOrderCrossEntropy
Pair = tuple[Array, Array]
Cell = tuple[Array, Array, Array, Array]
Fields = tuple[Array, ...]


@functools.cache
def solver(loss: CellLoss, limit: int) -> Callable[..., tuple[Array, ...]]:
    """The certified fixed point of one cell, given and answered entry by entry, fast under any nesting of `vmap`.

    The six arguments are the rows of `U` and the filter `c`; the answer is `(z_1, z_2, gap, error_bound, iterations,
    converged)`.
    """

    @custom_vmap
    def one(*cell: Float[Array, ""]) -> tuple[Array, ...]:
        return tuple(x[0] for x in many(*(x[None] for x in cell)))

    @custom_vmap
    def many(*cells: Float[Array, " m"]) -> tuple[Array, ...]:
        return _all(loss, limit, cells)

    @one.def_vmap
    def _(size: int, batched: list[bool], *cells: Array):
        return many(*_broadcast(size, batched, cells)), (True,) * 6

    @many.def_vmap
    def _(size: int, batched: list[bool], *cells: Array):
        flat = many(*(x.reshape(-1) for x in _broadcast(size, batched, cells)))
        return tuple(x.reshape(size, -1) for x in flat), (True,) * 6

    return one


def _broadcast(size: int, batched: list[bool], b: tuple[Array, ...]) -> list[Array]:
    return [
        x if is_batched else jnp.broadcast_to(x[None], (size, *x.shape))
        for x, is_batched in zip(b, batched, strict=True)
    ]


def _all(loss: CellLoss, limit: int, cells: Fields) -> Fields:
    """A few Halley steps for every cell, more for those that need them, Newton's method for what is left."""
    out = _in_chunks(functools.partial(_quick, loss), cells, cells[0].size)
    out = _finish(functools.partial(_longer, loss), cells, out)
    return _finish(functools.partial(_thorough, loss, limit), cells, out)


def _finish(solve: Callable[..., Fields], cells: Fields, out: Fields) -> Fields:
    """`out`, the cells that are not done gathered, solved again and put back."""
    m = cells[0].size
    room = min(m, max(CHUNK, m // 8))

    def again(state: tuple[Fields, Array]) -> tuple[Fields, Array]:
        out, todo = state
        (index,) = jnp.nonzero(todo, size=room, fill_value=m)
        some = tuple(jnp.take(x, index, mode="fill", fill_value=1.0) for x in cells)
        new = _in_chunks(solve, some, jnp.sum(todo))
        out = tuple(x.at[index].set(y, mode="drop") for x, y in zip(out, new, strict=True))
        return out, todo.at[index].set(False, mode="drop")

    return jax.lax.while_loop(lambda s: jnp.any(s[1]), again, (out, ~out[-1]))[0]


def _in_chunks(solve: Callable[..., Fields], cells: Fields, count: Array | int) -> Fields:
    """`solve` for the first `count` cells, in chunks that fit the cache; the last one overlaps the one before it."""
    m = cells[0].size
    size = min(CHUNK, m) if jax.default_backend() == "cpu" else m
    zeros = jnp.zeros_like(cells[0])
    out = *(zeros,) * 4, zeros.astype(jnp.int32), zeros.astype(bool)

    def place(i: Array, out: Fields) -> Fields:
        start = jnp.minimum(i * size, m - size)
        part = [jax.lax.dynamic_slice_in_dim(x, start, size) for x in cells]
        return tuple(
            jax.lax.dynamic_update_slice_in_dim(whole, piece, start, axis=0)
            for whole, piece in zip(out, solve(*part), strict=True)
        )

    return jax.lax.fori_loop(0, -(-jnp.minimum(count, m) // size), place, out)


def _quick(loss: CellLoss, *cells: Float[Array, " m"]) -> Fields:
    b, r = _scaled(cells)
    y, size = _start(loss, b), r[0]
    for _ in range(STEPS):
        y, size = _halley(loss, b, y)
    return _certified(loss, cells, r, y, jnp.full(size.shape, STEPS, jnp.int32), size <= _small(size.dtype))


def _longer(loss: CellLoss, *cells: Float[Array, " m"]) -> Fields:
    b, r = _scaled(cells)
    small = _small(r[0].dtype)

    def go(state: tuple[Pair, Array, Array]) -> Array:
        return ~jnp.all(state[1] <= small) & (state[2] < MORE)

    def step(state: tuple[Pair, Array, Array]) -> tuple[Pair, Array, Array]:
        return (*_halley(loss, b, state[0]), state[2] + 1)

    start = _start(loss, b), jnp.full_like(r[0], jnp.inf), jnp.zeros((), jnp.int32)
    y, size, steps = jax.lax.while_loop(go, step, start)
    return _certified(loss, cells, r, y, jnp.broadcast_to(steps, size.shape), size <= small)


def _small(dtype: jnp.dtype) -> float:
    """The step after which a third-order method has converged: its error is of the order of the step's cube."""
    return (float(jnp.finfo(dtype).eps) / 4) ** (1 / 3)


def _scaled(cells: Fields) -> tuple[Cell, Pair]:
    u11, u12, u21, u22, c1, c2 = cells
    r1, r2 = jnp.sqrt(c1), jnp.sqrt(c2)
    return (u11 * r1, u12 * r2, u21 * r1, u22 * r2), (r1, r2)


def _thorough(loss: CellLoss, limit: int, *cells: Float[Array, " m"]) -> Fields:
    b, r = _scaled(cells)

    @jax.vmap
    def solve(b: Cell) -> tuple[Array, Array, Array]:
        return _newton.minimise(loss, None, jnp.stack(b).reshape(2, 2), limit - STEPS)

    y, steps, done = solve(b)
    return _certified(loss, cells, r, (y[:, 0], y[:, 1]), steps + STEPS, done)


def _certified(loss: CellLoss, cells: Fields, r: Pair, y: Pair, steps: Array, done: Array) -> Fields:
    @jax.vmap
    def bounds(u: Fields, c: Fields, z: Pair) -> Pair:
        return _certificate.bounds(jnp.stack(u).reshape(2, 2), jnp.stack(c), loss, None, jnp.stack(z))

    z = r[0] * y[0], r[1] * y[1]
    return (*z, *bounds(cells[:4], cells[4:], z), steps, done)


def _start(loss: CellLoss, b: Cell) -> Pair:
    """Margins of the weaker example alone, then of the stronger one beside it, and a least-squares fit to both."""
    b11, b12, b21, b22 = b
    one, two = b11 * b11 + b12 * b12, b21 * b21 + b22 * b22
    first = one <= two
    weak = _alone(jnp.where(first, one, two))
    push = (b11 * b21 + b12 * b22) * loss.derivatives(weak)[0]
    strong = push + _alone(jnp.where(first, two, one) * jnp.exp(-jnp.maximum(push, -30.0)))
    f1, f2 = jnp.where(first, weak, strong), jnp.where(first, strong, weak)
    (a1, w1, _), (a2, w2, _) = loss.derivatives(f1), loss.derivatives(f2)
    t1, t2 = a1 + w1 * f1, a2 + w2 * f2
    return _solve(b, (w1, w2), (b11 * t1 + b21 * t2, b12 * t1 + b22 * t2))


def _alone(strength: Array) -> Array:
    """Near the root of `f = strength / (1 + e^f)`; a start needs no `log1p`."""
    return jnp.log(1 + strength / (1 + jnp.log(1 + strength)))


def _halley(loss: CellLoss, b: Cell, y: Pair) -> tuple[Pair, Array]:
    """One damped Halley step and the largest change of a margin in it."""
    b11, b12, b21, b22 = b
    f1, f2 = b11 * y[0] + b12 * y[1], b21 * y[0] + b22 * y[1]
    (a1, w1, v1), (a2, w2, v2) = loss.derivatives(f1), loss.derivatives(f2)
    g = b11 * a1 + b21 * a2 - y[0], b12 * a1 + b22 * a2 - y[1]
    d = _solve(b, (w1, w2), g)
    h1, h2 = b11 * d[0] + b12 * d[1], b21 * d[0] + b22 * d[1]
    bent = w1 * jnp.maximum(1 + v1 * h1 / 2, 0.3), w2 * jnp.maximum(1 + v2 * h2 / 2, 0.3)
    d = _solve(b, bent, g)
    h1, h2 = b11 * d[0] + b12 * d[1], b21 * d[0] + b22 * d[1]
    m = jnp.maximum(jnp.abs(h1), jnp.abs(h2))
    t = 4 / jnp.maximum(m, 4)
    return (y[0] + t * d[0], y[1] + t * d[1]), m


def _solve(b: Cell, w: Pair, g: Pair) -> Pair:
    """`(I + B^T W B)^-1 g` by Cramer's rule; the determinant is a sum of positive terms."""
    b11, b12, b21, b22 = b
    w1, w2 = w
    s11 = 1 + w1 * b11 * b11 + w2 * b21 * b21
    s22 = 1 + w1 * b12 * b12 + w2 * b22 * b22
    s12 = w1 * b11 * b12 + w2 * b21 * b22
    area = b11 * b22 - b12 * b21
    scale = 1 / (s11 + (s22 - 1) + (w1 * area) * (w2 * area))
    return (s22 * scale) * g[0] - (s12 * scale) * g[1], (s11 * scale) * g[1] - (s12 * scale) * g[0]
