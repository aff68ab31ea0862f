"""One large kernel over many devices, of one process or of many: rows are shared out, and stay where they are."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, ArrayLike, Float, Int

from gsdyn import _checks
from gsdyn._numerics.precision import full_precision
from gsdyn.kernels.infinite import InfiniteWidth

ROWS = "rows"


@full_precision
def sharded_ntk(
    net: InfiniteWidth,
    x1: ArrayLike,
    x2: ArrayLike | None = None,
    *,
    devices: Sequence[Any] | None = None,
    tile: int = 512,
) -> Float[Array, "n1 n2"]:
    """The kernel of `infinite_ntk` with its rows spread over devices, for what no single memory holds.

        Theta(x1, x2) = E[(d yhat/d theta)(x1) . (d yhat/d theta)(x2)]

    After `jax.distributed.initialize(...)` in every process, all of them call this with the same arguments, and each
    computes the rows of its own devices; `jax.jit` then works on the result as on any array. No process holds all
    of it: see its own part in `.addressable_shards`.

    - `net`, `x1`, `x2`: as in `infinite_ntk`; `x1` has a number of rows that the number of devices divides. With
      `x2` None the result is symmetric up to rounding.
    - `devices`: default all, of all processes.
    - `tile`: rows and columns worked on at a time on one device.

    Returns shape (n1, n2). Raises `ValueError` as `infinite_ntk` does, and for rows that cannot be shared out evenly.

        >>> print(np.allclose(gs.kernels.sharded_ntk(net, x), theta))
        True
    """
    if not isinstance(net, InfiniteWidth):
        raise ValueError(f"net must be a network such as FullyConnected(depth=3), got {_checks.in_short(net)}")
    tile = _checks.integer("tile", tile, 1)
    first = net.check("x1", _checks.finite("x1", x1, ndim=2))
    second = first if x2 is None else net.check("x2", _checks.finite("x2", x2, ndim=2))
    if 0 in first.shape or 0 in second.shape or (first.shape[1], first.dtype) != (second.shape[1], second.dtype):
        raise ValueError(
            "x1 and x2 must have rows, equally many columns and one dtype, "
            f"got {first.shape} of {first.dtype} and {second.shape} of {second.dtype}"
        )
    mesh = Mesh(np.asarray(_devices(devices)), (ROWS,))
    if first.shape[0] % mesh.size:
        raise ValueError(f"x1 must have a number of rows that {mesh.size} devices divide, got {first.shape[0]}")
    # as NumPy arrays they belong to no device, which every process can share
    return _sharded(net, mesh, tile, x2 is None, np.asarray(first), np.asarray(second))


def _devices(devices: Sequence[Any] | None) -> Sequence[Any]:
    if devices is None:
        return jax.devices()
    _checks.devices("devices", devices)
    return devices


@functools.partial(jax.jit, static_argnums=(0, 1, 2, 3))
def _sharded(
    net: InfiniteWidth, mesh: Mesh, tile: int, symmetric: bool, x1: Float[Array, "n1 d"], x2: Float[Array, "n2 d"]
) -> Float[Array, "n1 n2"]:
    share = x1.shape[0] // mesh.size

    def part(x1: Array, x2: Array) -> Array:
        return _rows(net, jax.lax.axis_index(ROWS) * np.int32(share), share, tile, symmetric, x1, x2)

    spread = jax.shard_map(
        part, mesh=mesh, in_specs=PartitionSpec(), out_specs=PartitionSpec(ROWS, None), check_vma=False
    )
    return spread(x1, x2)


def _rows(
    net: InfiniteWidth,
    start: Int[Array, ""],
    count: int,
    tile: int,
    symmetric: bool,
    x1: Float[Array, "n1 d"],
    x2: Float[Array, "n2 d"],
) -> Float[Array, "count n2"]:
    """Rows `start` to `start + count` of the kernel, tile by tile. Rows of zeros fill the last tiles."""
    columns = x2.shape[0]
    height, width = min(tile, count), min(tile, columns)
    x1 = jnp.pad(x1, ((0, height), (0, 0)))
    x2 = jnp.pad(x2, ((0, -columns % width), (0, 0)))

    def block(i: Array, j: Array) -> Array:
        rows = jax.lax.dynamic_slice_in_dim(x1, i, height)
        others = jax.lax.dynamic_slice_in_dim(x2, j, width)
        same = (
            (i + jnp.arange(height, dtype=i.dtype))[:, None] == (j + jnp.arange(width, dtype=i.dtype))[None, :]
            if symmetric
            else None
        )
        return net.kernel(rows, others, same)

    def band(i: Array) -> Array:
        tiles = jax.lax.map(lambda j: block(i, j), jnp.arange(0, x2.shape[0], width, dtype=start.dtype))
        return jnp.moveaxis(tiles, 0, 1).reshape(height, -1)[:, :columns]

    bands = jax.lax.map(band, start + jnp.arange(0, count, height, dtype=start.dtype))
    return bands.reshape(-1, columns)[:count]
