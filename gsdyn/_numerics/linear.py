"""The one linear system of the library: `(I + B^T W B) x = b` with `W = R^T R`, symmetric and >= I.

`B = U sqrt(c)` holds all of basis and penalty, `W` the curvature of the loss. Newton steps, implicit derivatives
and starvation matrices all solve it.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from gsdyn._numerics import dense
from gsdyn._numerics.pairs import entries, pair

QR_LIMIT = 64
DENSE_LIMIT = 512
GRAM_LIMIT = 512


def product(matrix: Float[Array, "p q"], v: Array) -> Array:
    """`matrix @ v`; for (2, 2) written out, so that a batch is elementwise work and not a million small products."""
    if matrix.shape != (2, 2) or v.ndim != 1:
        return matrix @ v
    m11, m12, m21, m22 = entries(matrix)
    return pair(m11 * v[0] + m12 * v[1], m21 * v[0] + m22 * v[1])


def adjoint(matrix: Float[Array, "p q"], v: Array) -> Array:
    """`matrix^T @ v` as `v @ matrix`, which reads the matrix in order (XLA is 20 times slower otherwise)."""
    if v.ndim != 1 or matrix.shape != (2, 2):
        return v @ matrix if v.ndim == 1 else matrix.T @ v
    m11, m12, m21, m22 = entries(matrix)
    return pair(m11 * v[0] + m21 * v[1], m12 * v[0] + m22 * v[1])


def gram(A: Float[Array, "k n"]) -> Float[Array, "k k"]:
    """`A A^T`; beyond `GRAM_LIMIT` rows by halves, which spares nearly half the operations of a product."""
    half = A.shape[0] // 2
    if A.shape[0] <= GRAM_LIMIT:
        return A @ A.T
    upper, lower = A[:half], A[half:]
    across = upper @ lower.T
    rows = [gram(upper), across], [across.T, gram(lower)]
    return jnp.concatenate([jnp.concatenate(row, axis=1) for row in rows])


def weighted(root: Array, B: Float[Array, "n k"]) -> Float[Array, "p q"]:
    """`R B` as one matrix, so that `B^T W B` is its Gram matrix; with C classes of shape (n C, k C)."""
    if root.ndim == 1:
        return root[:, None] * B
    n, classes, _ = root.shape
    k = B.shape[1]
    return jnp.einsum("iab,ij->iajb", root, B).reshape(n * classes, k * classes)


def dense_solver(root: Array, B: Float[Array, "n k"]) -> Callable[[Array], Array]:
    """A function that solves `(I + B^T W B) X = b` for a matrix `b` of right-hand sides, shape (p, m).

    By the closed form for two features in two examples, by QR of the stacked `[I; R B]` where that is cheap
    (its accuracy does not suffer from the square of the condition number), else by Cholesky.
    """
    g = weighted(root, B)
    unknowns = g.shape[1]
    if g.shape == (2, 2):
        return _two_by_two(g)
    if unknowns <= QR_LIMIT:
        return dense.shifted_gram_solver(g)
    return dense.spd_solver(jnp.eye(unknowns, dtype=g.dtype) + gram(g.T))


def dense_response_solver(root: Array, B: Float[Array, "n k"]) -> Callable[[Array], Array]:
    """`dense_solver` for one `b` shaped like a response, (k,) or (k, C)."""
    solve = dense_solver(root, B)
    return lambda b: solve(b.reshape(-1, 1)).reshape(b.shape)


def solver(root: Array, B: Float[Array, "n k"], rtol: Float[Array, ""] | float = 0.0) -> Callable[[Array], Array]:
    """A function that solves `(I + B^T W B) x = b` for one `b` shaped like a response, (k,) or (k, C).

    By `dense_solver` up to `DENSE_LIMIT` unknowns, beyond by preconditioned conjugate gradients to the relative
    residual `rtol` (0: what rounding allows).
    """
    unknowns = B.shape[1] * (root.shape[1] if root.ndim == 3 else 1)
    if unknowns > DENSE_LIMIT:
        return lambda b: _conjugate_gradient(root, B, b, rtol)
    return dense_response_solver(root, B)


def _two_by_two(g: Float[Array, "2 2"]) -> Callable[[Array], Array]:
    """`(I + G^T G)^-1` by elimination along the longer row, so that the other keeps its digits however short it is."""
    size = g[:, 0] ** 2 + g[:, 1] ** 2
    turned = size[1] > size[0]
    long, short = jnp.where(turned, g[1], g[0]), jnp.where(turned, g[0], g[1])
    # not `jnp.max`, whose derivative looks for the entry that is equal: XLA may compute `size` twice, a last bit apart
    most = jnp.where(turned, size[1], size[0])
    length = jnp.sqrt(jnp.where(most > 0, most, 1.0))
    e = jnp.where(most > 0, long / length, jnp.asarray([1.0, 0.0], g.dtype))
    along, across = e[0] * short[0] + e[1] * short[1], e[0] * short[1] - e[1] * short[0]
    first = 1 + most + along * along
    second = 1 + across * across * ((1 + most) / first)

    def solve(b: Array) -> Array:
        b1, b2 = e[0] * b[0] + e[1] * b[1], e[0] * b[1] - e[1] * b[0]
        x2 = (b2 - (along / first) * across * b1) / second
        x1 = (b1 - along * across * x2) / first
        return jnp.stack([e[0] * x1 - e[1] * x2, e[1] * x1 + e[0] * x2])

    return solve


def curvature_product(root: Array, v: Array) -> Array:
    """`W v` for `W = R^T R`, one example at a time."""
    if root.ndim == 1:
        return (root * root).reshape((-1,) + (1,) * (v.ndim - 1)) * v
    return jnp.einsum("iba,ibc,ic->ia", root, root, v)


def _conjugate_gradient(root: Array, B: Float[Array, "n k"], b: Array, rtol: Float[Array, ""] | float) -> Array:
    rows = root.shape[0] * (root.shape[1] if root.ndim == 3 else 1)
    diagonal = 1 + jnp.sum(root * root) / rows * jnp.sum(B * B, axis=0)
    diagonal = diagonal.reshape((-1,) + (1,) * (b.ndim - 1))

    def matvec(x: Array) -> Array:
        return x + adjoint(B, curvature_product(root, B @ x))

    def solve(matvec: Callable[[Array], Array], b: Array) -> Array:
        return _pcg(matvec, b, diagonal, rtol)

    return jax.lax.custom_linear_solve(matvec, b, solve, symmetric=True)


def _pcg(matvec: Callable[[Array], Array], b: Array, diagonal: Array, rtol: Float[Array, ""] | float) -> Array:
    limit = 4 * b.size
    stop = jnp.maximum(rtol, 4 * jnp.finfo(b.dtype).eps) ** 2 * jnp.sum(b * b)

    def go(state: tuple[Array, ...]) -> Array:
        _, r, _, _, i = state
        return (jnp.sum(r * r) > stop) & (i < limit)

    def step(state: tuple[Array, ...]) -> tuple[Array, ...]:
        x, r, p, rz, i = state
        q = matvec(p)
        t = rz / jnp.sum(p * q)
        x, r = x + t * p, r - t * q
        s = r / diagonal
        new = jnp.sum(r * s)
        return x, r, s + (new / rz) * p, new, i + 1

    s = b / diagonal
    state = (jnp.zeros_like(b), b, s, jnp.sum(b * s), jnp.zeros((), jnp.int32))
    return jax.lax.while_loop(go, step, state)[0]
