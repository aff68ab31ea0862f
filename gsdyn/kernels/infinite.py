"""The neural tangent kernel of an infinitely wide network, tile by tile."""

from __future__ import annotations

import functools
import math
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Bool, Float, Int

from gsdyn import _checks, _files
from gsdyn._numerics.precision import full_precision
from gsdyn.kernels import _tiles
from gsdyn.kernels._tile_store import TileStore, digest, made

TILE = 512
_SCRATCH = 10  # arrays of the size of a tile that a kernel's own work holds, about


@runtime_checkable
class InfiniteWidth(Protocol):
    """A hashable network that knows its NTK at infinite width: the networks of `gsdyn.networks`.

    It may also have a method `entries(x)`: the numbers that its kernel holds for each pair of examples like those of
    `x`, by default one; a convolutional network has one for every pair of pixels.
    """

    def check(self, name: str, x: Float[Array, "n ..."]) -> Float[Array, "n ..."]:
        """`x`, the argument called `name`, or an error where `kernel` could not answer for it."""
        ...

    def kernel(
        self,
        x1: Float[Array, "n1 ..."],
        x2: Float[Array, "n2 ..."],
        same: Bool[Array, "n1 n2"] | None = None,
    ) -> Float[Array, "n1 n2"]:
        """The NTK between `x1` and `x2`; `same` marks the pairs known to be one example twice."""
        ...


@full_precision
def infinite_ntk(
    net: InfiniteWidth,
    x1: ArrayLike,
    x2: ArrayLike | None = None,
    *,
    tile: int | None = None,
    out: str | Path | None = None,
    progress: _tiles.Progress = _tiles.silent,
) -> Float[Array, "n1 n2"]:
    """The NTK `Theta(x1, x2) = E[(d yhat/d theta)(x1) . (d yhat/d theta)(x2)]` at infinite width.

    This is `Phi Phi^T` of P21-Eq2 as the width grows; the features of P21-Def1 are then
    `FeatureBasis.from_kernel(infinite_ntk(net, x), y)`. A network of C outputs has the kernel `Theta (x) I_C`: its
    outputs do not interact at infinite width, and `Theta` is what the multi-class theory takes (Eqs 29-30).

    - `net`: the architecture, for example `gsdyn.networks.FullyConnected(depth=3)`, whose docstring
      has the equation, or `gsdyn.networks.Stax(...)` for convolutions, pooling and all else that neural-tangents has.
    - `x1`: shape (n1, d), one example a row, finite; (n1, h, w, c) for a network of images. The result has its dtype.
    - `x2`: shape (n2, ...), of the same dtype. None means `x1`; the result is then exactly symmetric.
    - `tile`: rows and columns worked on at a time, so that beside the result only some 10 tile^2
      numbers are held on each local device, over all of which tiles are spread; by default 512, and fewer for a
      network of images. Inside `jit`, `vmap` or `grad` the whole kernel is one tile.
    - `out`: a Zarr store that keeps every finished tile and what made it. The same call after an interruption takes
      them from there and computes the others only; `gsdyn.kernels.load` reads it.
    - `progress`: called with "infinite NTK", the tiles done and how many there are.

    Returns shape (n1, n2). Raises `ValueError` for inputs that are not finite arrays with equally
    many columns, for a kernel that overflows, for a store that another call made, and, before it starts, for too
    little memory.

    Reference: Jacot, Gabriel and Hongler, Neural tangent kernel (2018).

        >>> print(gs.kernels.infinite_ntk(gs.networks.FullyConnected(depth=2), x))
        [[ 2.08  -0.09   1.555 -0.013]
         [-0.09   2.02  -0.065  1.478]
         [ 1.555 -0.065  1.8   -0.104]
         [-0.013  1.478 -0.104  1.36 ]]
    """
    if not isinstance(net, InfiniteWidth):
        raise ValueError(f"net must be a network such as FullyConnected(depth=3), got {_checks.in_short(net)}")
    _checks.progress(progress)
    out = None if out is None else _files.as_path("out", out)
    symmetric = x2 is None
    x1 = net.check("x1", _checks.finite("x1", x1))
    x2 = x1 if x2 is None else net.check("x2", _checks.finite("x2", x2))
    _check_pair(x1, x2)
    n1, n2 = x1.shape[0], x2.shape[0]
    if not _checks.is_concrete((x1, x2)):
        if out is not None:
            raise ValueError("out must be None inside jit, vmap or grad, where no tile is finished")
        theta = _block(net, x1, x2, 0, 0, (n1, n2), symmetric)[0]
        return (theta + theta.T) / 2 if symmetric else theta
    entries = int(getattr(net, "entries", lambda x: 1)(x1))
    limit = max(TILE // math.isqrt(entries), 1) if tile is None else _checks.integer("tile", tile, 1)
    height, width = _tiles.even(n1, limit), _tiles.even(n2, limit)
    grid = _tiles.Grid(n1, n2, height, width, symmetric, (), x1.dtype)
    grid.require_memory("an infinite NTK", _SCRATCH * entries * height * width * x1.dtype.itemsize)
    store = None
    if out is not None:
        probe = _block(net, x1[:3], x1[:3], 0, 0, (min(3, n1),) * 2, True)[0]
        inputs = digest(x1) if symmetric else digest(x1, x2)
        made_by = {"kind": "infinite NTK", "inputs": inputs, **made(net, probe)}
        store = TileStore(out, made_by, (n1, n2), (height, width), symmetric)

    # All tiles get one shape, so that the kernel compiles once.
    inputs = (_tiles.padded(x1, height), _tiles.padded(x2, width))

    def block(inputs: Any, i: int, j: int) -> tuple[Array, Bool[Array, ""]]:
        return _block(net, *inputs, i, j, (height, width), symmetric and i == j)

    return _tiles.assemble(grid, inputs, block, store=store, progress=progress, stage="infinite NTK")


def _check_pair(x1: Array, x2: Array) -> None:
    for name, x in (("x1", x1), ("x2", x2)):
        if 0 in x.shape:
            raise ValueError(f"{name} must have at least one row and column, got shape {x.shape}")
    if x2.shape[1:] != x1.shape[1:]:
        if x1.ndim == x2.ndim == 2:
            raise ValueError(f"x2 must have {x1.shape[1]} columns like x1, got {x2.shape[1]}")
        raise ValueError(f"x2 must have examples of shape {x1.shape[1:]} like x1, got {x2.shape[1:]}")
    if x2.dtype != x1.dtype:
        raise ValueError(f"x2 must be {x1.dtype} like x1, got {x2.dtype}")


@functools.partial(jax.jit, static_argnums=(0, 5, 6))
def _block(
    net: InfiniteWidth,
    x1: Float[Array, "n1 ..."],
    x2: Float[Array, "n2 ..."],
    i: Int[ArrayLike, ""],
    j: Int[ArrayLike, ""],
    shape: tuple[int, int],
    twin: bool,
) -> tuple[Float[Array, "height width"], Bool[Array, ""]]:
    """The tile at (i, j), and whether it is finite; `twin`: it is on the diagonal of a symmetric kernel."""
    rows = jax.lax.dynamic_slice_in_dim(x1, i, shape[0])
    columns = jax.lax.dynamic_slice_in_dim(x2, j, shape[1])
    theta = net.kernel(rows, columns, jnp.eye(*shape, dtype=bool) if twin else None)
    return theta, jnp.all(jnp.isfinite(theta))
