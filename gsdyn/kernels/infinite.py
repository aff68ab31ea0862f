"""The neural tangent kernel of an infinitely wide network, tile by tile."""

from __future__ import annotations

import functools
from typing import Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Bool, Float, Int

from gsdyn import _checks


@runtime_checkable
class InfiniteWidth(Protocol):
    """A hashable network that knows its NTK at infinite width: `gsdyn.networks.FullyConnected`."""

    def check(self, name: str, x: Float[Array, "n d"]) -> Float[Array, "n d"]:
        """`x`, the argument called `name`, or an error where `kernel` could not answer for it."""
        ...

    def kernel(
        self,
        x1: Float[Array, "n1 d"],
        x2: Float[Array, "n2 d"],
        same: Bool[Array, "n1 n2"] | None = None,
    ) -> Float[Array, "n1 n2"]:
        """The NTK between `x1` and `x2`; `same` marks the pairs known to be one example twice."""
        ...


def infinite_ntk(
    net: InfiniteWidth, x1: ArrayLike, x2: ArrayLike | None = None, *, tile: int = 512
) -> Float[Array, "n1 n2"]:
    """The NTK `Theta(x1, x2) = E[(d yhat/d theta)(x1) . (d yhat/d theta)(x2)]` at infinite width.

    This is `Phi Phi^T` of P21-Eq2 as the width grows; the features of P21-Def1 are then
    `FeatureBasis.from_kernel(infinite_ntk(net, x), y)`.

    - `net`: the architecture, for example `gsdyn.networks.FullyConnected(depth=3)`, whose docstring
      has the equation.
    - `x1`: shape (n1, d), one example a row, finite. The result has its dtype.
    - `x2`: shape (n2, d), of the same dtype. None means `x1`; the result is then exactly symmetric.
    - `tile`: rows and columns worked on at a time, so that beside the result only some 10 tile^2
      numbers are held. Inside `jit`, `vmap` or `grad` the whole kernel is one tile.

    Returns shape (n1, n2). Raises `ValueError` for inputs that are not finite matrices with equally
    many columns, or that are too large for the network's kernel to be right (only `Erf`).

    Reference: Jacot, Gabriel and Hongler, Neural tangent kernel (2018).
    """
    if not isinstance(net, InfiniteWidth):
        raise ValueError(f"net must be a network such as FullyConnected(depth=3), got {net!r}")
    symmetric = x2 is None
    x1 = net.check("x1", _checks.finite("x1", x1, ndim=2))
    x2 = x1 if x2 is None else net.check("x2", _checks.finite("x2", x2, ndim=2))
    _check_pair(x1, x2, tile)
    n1, n2 = x1.shape[0], x2.shape[0]
    if not _checks.is_concrete((x1, x2)):
        return _block(net, x1, x2, 0, 0, (n1, n2), symmetric)
    height, width = _even(n1, tile), _even(n2, tile)
    # All tiles get one shape, so that the kernel compiles once; rows of zeros fill the last.
    x1 = jnp.pad(x1, ((0, -n1 % height), (0, 0)))
    x2 = jnp.pad(x2, ((0, -n2 % width), (0, 0)))
    theta = jnp.zeros((n1, n2), x1.dtype)
    for i in range(0, n1, height):
        for j in range(i if symmetric else 0, n2, width):
            twin = symmetric and i == j
            block = _block(net, x1, x2, i, j, (height, width), twin)
            shape = (min(height, n1 - i), min(width, n2 - j))
            theta = _place(theta, block, i, j, shape, symmetric and not twin)
    return theta


def _check_pair(x1: Array, x2: Array, tile: int) -> None:
    for name, x in (("x1", x1), ("x2", x2)):
        if 0 in x.shape:
            raise ValueError(f"{name} must have at least one row and column, got shape {x.shape}")
    if x2.shape[1] != x1.shape[1]:
        raise ValueError(f"x2 must have {x1.shape[1]} columns like x1, got {x2.shape[1]}")
    if x2.dtype != x1.dtype:
        raise ValueError(f"x2 must be {x1.dtype} like x1, got {x2.dtype}")
    if tile < 1:
        raise ValueError(f"tile must be at least 1, got {tile}")


def _even(n: int, tile: int) -> int:
    """The size of equal tiles, at most `tile`, that cover `n` rows."""
    return -(-n // -(-n // tile))


@functools.partial(jax.jit, static_argnums=(0, 5, 6))
def _block(
    net: InfiniteWidth,
    x1: Float[Array, "n1 d"],
    x2: Float[Array, "n2 d"],
    i: Int[ArrayLike, ""],
    j: Int[ArrayLike, ""],
    shape: tuple[int, int],
    twin: bool,
) -> Float[Array, "height width"]:
    """The tile at (i, j); `twin` says that it lies on the diagonal of a symmetric kernel."""
    rows = jax.lax.dynamic_slice_in_dim(x1, i, shape[0])
    columns = jax.lax.dynamic_slice_in_dim(x2, j, shape[1])
    if not twin:
        return net.kernel(rows, columns)
    theta = net.kernel(rows, columns, jnp.eye(*shape, dtype=bool))
    return (theta + theta.T) / 2


@functools.partial(jax.jit, static_argnums=(4, 5), donate_argnums=0)
def _place(
    theta: Float[Array, "n1 n2"],
    block: Float[Array, "height width"],
    i: Int[ArrayLike, ""],
    j: Int[ArrayLike, ""],
    shape: tuple[int, int],
    mirror: bool,
) -> Float[Array, "n1 n2"]:
    """Write the tile into the kernel, in its own memory, and where asked its mirror image too."""
    block = block[: shape[0], : shape[1]]
    theta = jax.lax.dynamic_update_slice(theta, block, (i, j))
    return jax.lax.dynamic_update_slice(theta, block.T, (j, i)) if mirror else theta
