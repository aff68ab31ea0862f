"""Dense factorisations and solves that can neither wait for each other nor cost a batch its speed.

A batched LAPACK call of jaxlib hands parts of itself to XLA's pool of threads and waits for them inside that pool, so
that two such calls at a time can wait for ever (docs/lapack-deadlock.md). So no call here is ever batched. Under `vmap`
small systems are factored by loops of our own, all at once, and larger ones by LAPACK, one after the other, as many
abreast as there are cores. Derivatives of every order come from the equations that are solved, not from the factors.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.custom_batching import custom_vmap
from jaxtyping import Array, Float

from gsdyn._numerics.batching import batched, spread
from gsdyn._numerics.precision import full_precision

OWN_LIMIT = 16  # unknowns up to which our own loops, all systems at once, are as fast as LAPACK
NARROW = 7  # columns up to which OpenBLAS solves in one thread; its threads would wait actively for those of others
SLIGHT = 900  # numbers of right-hand sides up to which it does so for more columns
LANES = min(8, os.cpu_count() or 1)

Solver = Callable[[Array], Array]


def spd_solver(matrix: Float[Array, "k k"]) -> Solver:
    """A function that solves `A x = b` for a symmetric positive definite `A`; `b` has shape (k,) or (k, m)."""
    return _solver(lambda x: matrix @ x, _cholesky(jax.lax.stop_gradient(matrix)))


def shifted_gram_solver(g: Float[Array, "q k"]) -> Solver:
    """A function that solves `(I + G^T G) x = b` by the QR factors of `[I; G]`; `b` has shape (k,) or (k, m).

    Its accuracy does not suffer from the square of the condition number of `[I; G]`.
    """
    return _solver(lambda x: x + g.T @ (g @ x), _shifted_factor(jax.lax.stop_gradient(g)))


def _solver(product: Solver, factor: Float[Array, "k k"]) -> Solver:
    def apply(_: Solver, b: Array) -> Array:
        x = b if b.ndim == 2 else b[:, None]
        x = _upper_solve(factor, _lower_solve(factor, x))
        return x if b.ndim == 2 else x[:, 0]

    return lambda b: jax.lax.custom_linear_solve(product, b, apply, symmetric=True)


def lower_solve(factor: Float[Array, "k k"], b: Float[Array, "k m"]) -> Float[Array, "k m"]:
    """`L^-1 b` for a lower triangular `L`."""
    return jax.lax.custom_linear_solve(
        lambda x: factor @ x,
        b,
        lambda _, b: _lower_solve(jax.lax.stop_gradient(factor), b),
        lambda _, b: _upper_solve(jax.lax.stop_gradient(factor), b),
    )


@jax.custom_jvp
def cholesky(matrix: Float[Array, "k k"]) -> Float[Array, "k k"]:
    """The lower triangular `L` with `L L^T = A`."""
    return _cholesky(matrix)


@cholesky.defjvp
@full_precision
def _cholesky_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    factor = cholesky(*primals)
    change = lower_solve(factor, lower_solve(factor, tangents[0]).T)
    half = jnp.tril(change) - jnp.diag(jnp.diagonal(change)) / 2
    return factor, factor @ half


def eigh(matrix: Float[Array, "n n"]) -> tuple[Float[Array, " n"], Float[Array, "n n"]]:
    """Eigenvalues, ascending, and eigenvectors of a symmetric matrix; for derivatives see `gsdyn._numerics.eigen`."""
    return one_at_a_time(lambda problem: tuple(jnp.linalg.eigh(*problem, symmetrize_input=False)))((matrix,))


def inverse(matrix: Float[Array, "m m"]) -> Float[Array, "m m"]:
    """The inverse of a matrix."""

    def lapack(problem: tuple[Array]) -> Array:
        lu, _, order = jax.lax.linalg.lu(*problem)

        def columns(b: Array) -> Array:
            b = jax.lax.linalg.triangular_solve(lu, b, left_side=True, lower=True, unit_diagonal=True)
            return jax.lax.linalg.triangular_solve(lu, b, left_side=True)

        return _by_columns(columns, jnp.eye(len(lu), dtype=lu.dtype)[order])

    return one_at_a_time(lapack)((matrix,))


def spd_inverse(matrix: Float[Array, "k k"]) -> Float[Array, "k k"]:
    """The inverse of a symmetric positive definite matrix, NaN of any other."""

    def lapack(problem: tuple[Array]) -> Array:
        root = _lower_inverse(jax.lax.linalg.cholesky(*problem, symmetrize_input=False), 2)
        return root.T @ root

    def own(problems: tuple[Array]) -> Array:
        return jnp.moveaxis(spd_inverses(jnp.moveaxis(problems[0], 0, -1)), -1, 0)

    return one_at_a_time(lapack, own if len(matrix) <= OWN_LIMIT else None)((matrix,))


def spd_inverses(x: Float[Array, "k k m"]) -> Float[Array, "k k m"]:
    """The inverses of small symmetric positive definite matrices, side by side along the last axis, NaN of any other.

    By Gauss and Jordan: their pivots need no choice. The row and the column of the next pivot are carried, not read
    from what changes, so that it changes in place.
    """
    at = jnp.arange(len(x))[:, None]

    def exchange(j: Array, state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        x, row, column = state
        pivot = jax.lax.dynamic_slice_in_dim(row, j, 1)
        part = 1 / jnp.where(pivot > 0, pivot, jnp.nan)
        row = jnp.where(at == j, 1.0, row) * part
        x = x - column[:, None] * row[None]
        x = jax.lax.dynamic_update_slice_in_dim(x, -(column * part)[:, None], j, axis=1)
        x = jax.lax.dynamic_update_slice_in_dim(x, row[None], j, axis=0)
        return x, *(jax.lax.dynamic_index_in_dim(x, j + 1, axis, keepdims=False) for axis in (0, 1))

    return jax.lax.fori_loop(0, len(x), exchange, (x, x[0], x[:, 0]))[0]


def _lower_inverse(factor: Float[Array, "k k"], halvings: int) -> Float[Array, "k k"]:
    """`L^-1` by halves, whose products are quicker than solving for columns."""
    k = len(factor)
    if halvings == 0 or k * k <= SLIGHT:
        solve = functools.partial(jax.lax.linalg.triangular_solve, factor, left_side=True, lower=True)
        return _by_columns(solve, jnp.eye(k, dtype=factor.dtype))
    half = k // 2
    first, last = _lower_inverse(factor[:half, :half], halvings - 1), _lower_inverse(factor[half:, half:], halvings - 1)
    below = -last @ (factor[half:, :half] @ first)
    return jnp.block([[first, jnp.zeros((half, k - half), factor.dtype)], [below, last]])


def _by_columns(solve: Solver, b: Float[Array, "m m"]) -> Float[Array, "m m"]:
    """`solve(b)`, by as many columns at a time as OpenBLAS solves for in one thread."""
    m = len(b)
    width = min(m, max(NARROW, SLIGHT // m))
    if width == m:
        return solve(b)
    parts = jnp.pad(b, ((0, 0), (0, -m % width))).reshape(m, -1, width)
    return jnp.moveaxis(jax.lax.map(solve, jnp.moveaxis(parts, 1, 0)), 0, 1).reshape(m, -1)[:, :m]


def one_at_a_time(lapack: Callable, own: Callable | None = None, in_batch: Callable | None = None) -> Callable:
    """`lapack`, a function of one tuple of arrays, in a form that `vmap` never turns into one batched LAPACK call.

    A batch is worked off in a loop, as many systems abreast as there are cores, each by `in_batch` (default `lapack`);
    by `own`, where it is given, which takes all at once. An accelerator takes the batch as it is.
    """

    def many(problems: tuple) -> Array:
        size = jax.tree.leaves(problems)[0].shape[0]
        if own is not None or jax.default_backend() != "cpu":
            return (own or jax.vmap(lapack))(problems)
        lanes = min(size, LANES)
        filled = jax.tree.map(lambda x: jnp.concatenate([x, x[: -size % lanes]]), problems)
        rows = jax.tree.map(lambda x: x.reshape(-1, lanes, *x.shape[1:]), filled)

        def row(problems: tuple) -> Array:
            each = [(in_batch or lapack)(jax.tree.map(lambda x: x[i], problems)) for i in range(lanes)]  # noqa: B023
            return jax.tree.map(lambda *x: jnp.stack(x), *each)

        return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:])[:size], jax.lax.map(row, rows))

    return batched(lapack, many)


def _shifted_factor(g: Float[Array, "q k"]) -> Float[Array, "k k"]:
    def lapack(problem: tuple[Array]) -> Array:
        (g,) = problem
        return jnp.linalg.qr(jnp.concatenate([jnp.eye(g.shape[1], dtype=g.dtype), g]), mode="r").T

    return one_at_a_time(lapack, jax.vmap(_own_shifted_factor) if g.shape[1] <= OWN_LIMIT else None)((g,))


def _cholesky(matrix: Float[Array, "k k"]) -> Float[Array, "k k"]:
    own = jax.vmap(_own_cholesky) if len(matrix) <= OWN_LIMIT else None
    return one_at_a_time(lambda problem: jax.lax.linalg.cholesky(*problem, symmetrize_input=False), own)((matrix,))


def _lower_solve(factor: Array, b: Array) -> Array:
    return _triangular(factor, b, False)


def _upper_solve(factor: Array, b: Array) -> Array:
    return _triangular(factor, b, True)


def _triangular(factor: Array, b: Array, transpose: bool) -> Array:
    """`L^-1 b` or `L^-T b`; of a batch of `b` with one `L`, all at once as columns."""

    def lapack(problem: tuple[Array, Array]) -> Array:
        factor, b = problem
        return jax.lax.linalg.triangular_solve(factor, b, left_side=True, lower=True, transpose_a=transpose)

    def own(problem: tuple[Array, Array]) -> Array:
        factor, b = problem
        if not transpose:
            return _own_substitution(factor, b)
        return _own_substitution(factor.T[::-1, ::-1], b[::-1])[::-1]

    def narrow(problem: tuple[Array, Array]) -> Array:
        factor, b = problem
        k, m = b.shape
        if m <= NARROW:
            return lapack(problem)
        filled = jnp.pad(b, ((0, 0), (0, -m % NARROW))).reshape(k, -1, NARROW)
        x = jax.lax.map(lambda b: lapack((factor, b)), jnp.moveaxis(filled, 1, 0))
        return jnp.moveaxis(x, 0, 1).reshape(k, -1)[:, :m]

    alone = full_precision(one_at_a_time(lapack, jax.vmap(own) if len(factor) <= OWN_LIMIT else None, narrow))

    @custom_vmap
    def solve(factor: Array, b: Array) -> Array:
        return alone((factor, b))

    @solve.def_vmap
    def _(size: int, in_batched: list, factor: Array, b: Array) -> tuple[Array, bool]:
        if in_batched[0]:
            factor, b = spread(size, tuple(in_batched), (factor, b))
            return jax.vmap(lambda *problem: alone(problem))(factor, b), True
        k, m = b.shape[1:]
        x = solve(factor, jnp.moveaxis(b, 0, 1).reshape(k, size * m))
        return jnp.moveaxis(x.reshape(k, size, m), 1, 0), True

    return solve(factor, b)


def _own_shifted_factor(problem: tuple[Float[Array, "q k"]]) -> Float[Array, "k k"]:
    """Householder's reflections of `[I; G]`: column j meets only row j of the upper half, which is still `e_j`."""
    (g,) = problem
    k = g.shape[1]
    at = jnp.arange(k)

    def reflect(j: Array, state: tuple[Array, Array]) -> tuple[Array, Array]:
        g, rows = state
        own = jax.lax.dynamic_slice_in_dim(g, j, 1, axis=1)[:, 0]
        along, length = own @ g, jnp.sqrt(1 + own @ own)
        row = jnp.where(at > j, along / length, jnp.where(at == j, length, 0.0))
        rows = jax.lax.dynamic_update_slice_in_dim(rows, row[None, :], j, axis=0)
        return g - own[:, None] * (along / (length * (1 + length)))[None, :], rows

    return jax.lax.fori_loop(0, k, reflect, (g, jnp.zeros((k, k), g.dtype)))[1].T


def _own_cholesky(problem: tuple[Float[Array, "k k"]]) -> Float[Array, "k k"]:
    (matrix,) = problem
    at = jnp.arange(len(matrix))

    def eliminate(j: Array, state: tuple[Array, Array]) -> tuple[Array, Array]:
        rest, rows = state
        row = jax.lax.dynamic_slice_in_dim(rest, j, 1, axis=0)[0]
        row = jnp.where(at >= j, row / jnp.sqrt(row[j]), 0.0)
        rows = jax.lax.dynamic_update_slice_in_dim(rows, row[None, :], j, axis=0)
        return rest - row[:, None] * row[None, :], rows

    return jax.lax.fori_loop(0, len(matrix), eliminate, (matrix, jnp.zeros_like(matrix)))[1].T


def _own_substitution(factor: Float[Array, "k k"], b: Float[Array, "k m"]) -> Float[Array, "k m"]:
    at = jnp.arange(len(factor))[:, None]

    def eliminate(j: Array, x: Array) -> Array:
        column = jax.lax.dynamic_slice_in_dim(factor, j, 1, axis=1)
        own = jax.lax.dynamic_slice_in_dim(x, j, 1, axis=0) / column[j, 0]
        return jnp.where(at > j, x - column * own, jnp.where(at == j, own, x))

    return jax.lax.fori_loop(0, len(factor), eliminate, b)
