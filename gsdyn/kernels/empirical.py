"""The NTRF matrix and the NTK of networks of finite width, at given parameters (P21-Eq2)."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Bool, Float, Int

from gsdyn import _checks, _files
from gsdyn._numerics.precision import full_precision
from gsdyn.kernels import _layers, _memory, _model, _tiles
from gsdyn.kernels._model import Model
from gsdyn.kernels._tile_store import TileStore, digest, made
from gsdyn.kernels.methods import WORKSPACE, LayerContraction, Method, VectorProducts


@full_precision
def ntrf(
    net: Any,
    params: Any,
    x: ArrayLike,
    *,
    batch: int | None = None,
    progress: _tiles.Progress = _tiles.silent,
) -> Float[Array, "n m"] | Float[Array, "n C m"]:
    """The NTRF matrix `Phi = d yhat / d theta` of a network at given parameters (P21-Eq2).

    - `net`: the network. An object with a method `apply(params, x)`, such as a network of `gsdyn.networks` or a Flax
      module; a function of `params` and `x`; or an Equinox module, which takes one example and holds its parameters.
      `apply` and functions take examples in rows and give outputs of shape (n,) or (n, C); what they give for one
      example must not depend on the others.
    - `params`: a pytree; its floating-point arrays are the parameters `theta`. For an Equinox module None, or another
      module of the same make, trained for example.
    - `x`: one example a row, shape (n, ...), finite or of integers.
    - `batch`: examples at a time; by default as many as half a gibibyte holds.
    - `progress`: called with "NTRF", the batches done and how many there are.

    Returns shape (n, m), or (n, C, m) for outputs of shape (n, C): a column for every entry of `theta`, in the order of
    `jax.flatten_util.ravel_pytree`. Its dtype, and that of all work, is the widest of parameters, inputs and outputs,
    float32 at least. Then `FeatureBasis.from_ntrf(phi, y)` has the features.

    Raises `ValueError` for what is no network, for outputs of other shapes or of one example that change with the rest
    of the batch, and, before it starts, for too little memory. Reference: Pezeshki et al. 2021, section 3.1.

        >>> print(gs.kernels.ntrf(net, params, x).shape)
        (4, 24)
    """
    _checks.progress(progress)
    model, (x,), outputs = _model.prepare(net, params, x=x)
    n, shape = x.shape[0], (*outputs.shape, model.size)
    row = outputs.itemsize * math.prod(shape)
    limit = max(WORKSPACE // row, 1) if batch is None else _checks.integer("batch", batch, 1)
    if not _checks.is_concrete((model, x)):
        return _rows(model, x, jnp.asarray(0), n).reshape(n, *shape).astype(outputs.dtype)
    batch = _tiles.even(n, min(limit, n))
    what = f"an NTRF matrix of {n} examples, {outputs.count} outputs and {model.size} parameters"
    _memory.require((n + 2 * batch) * row, what)
    phi = jnp.zeros((n, *shape), outputs.dtype)
    starts = range(0, n, batch)  # the last is moved back, to end with the rows
    for done, i in enumerate(starts, 1):
        phi = _tiles.place_rows(phi, _rows(model, x, jnp.asarray(i), batch).reshape(batch, *shape).astype(phi.dtype), i)
        progress("NTRF", done, len(starts))
    return phi


@eqx.filter_jit
def _rows(model: Model, x: Array, i: Int[Array, ""], batch: int) -> Float[Array, "batch C m"]:
    rows = jax.lax.dynamic_slice_in_dim(x, i, batch)
    return jax.vmap(lambda x: jnp.concatenate(_layers.jacobian(model, x), axis=1))(rows)


@full_precision
def empirical_ntk(
    net: Any,
    params: Any,
    x1: ArrayLike,
    x2: ArrayLike | None = None,
    *,
    trace: bool = False,
    method: Method | None = None,
    tile: int | None = None,
    out: str | Path | None = None,
    progress: _tiles.Progress = _tiles.silent,
) -> Float[Array, "n1 n2"] | Float[Array, "n1 n2 C C"]:
    """The NTK `Theta = Phi Phi^T` of a network at given parameters (P21-Eq2), without its NTRF matrix `Phi`.

    - `net`, `params`: as in `ntrf`.
    - `x1`, `x2`: one example a row, shapes (n1, ...), (n2, ...). None means `x1`; the result is then exactly symmetric.
    - `trace`: for outputs of shape (n, C), the mean of the diagonal over outputs, shape (n1, n2), in place of all
      pairs. As the width grows, `Theta` tends to `theta (x) I_C`, of which this is the estimate of `theta`: the kernel
      that the multi-class theory takes (Eqs 29-30).
    - `method`: `LayerContraction()` or `VectorProducts()`; by default the one of fewer operations, counted from shapes.
    - `tile`: rows and columns at a time; by default as many as half a gibibyte for each side of a tile holds.
    - `out`: a Zarr store that keeps finished tiles, as in `infinite_ntk`.
    - `progress`: called with "empirical NTK", the tiles done and how many there are.

    Returns shape (n1, n2), or for outputs of shape (n, C) shape (n1, n2, C, C), with `[i, j, c, d]` the product of the
    gradients of output `c` at `x1[i]` and output `d` at `x2[j]`. Its dtype is that of `ntrf`.

    Raises `ValueError` as `ntrf` does. Reference: Novak, Sohl-Dickstein and Schoenholz, Fast finite width neural
    tangent kernel (2022).

        >>> phi = gs.kernels.ntrf(net, params, x)
        >>> print(np.allclose(gs.kernels.empirical_ntk(net, params, x), phi @ phi.T))
        True
    """
    _checks.progress(progress)
    out = None if out is None else _files.as_path("out", out)
    trace, symmetric = _checks.flag("trace", trace), x2 is None
    model, both, outputs = _model.prepare(net, params, x1=x1, x2=x2)
    x1, x2 = both[0], both[-1]
    if x2.shape[1:] != x1.shape[1:] or x2.dtype != x1.dtype:
        raise ValueError(
            f"x2 must have examples of shape {x1.shape[1:]} and {x1.dtype} like x1, got {x2.shape[1:]} and {x2.dtype}"
        )
    n1, n2 = x1.shape[0], x2.shape[0]
    if method is None:
        methods = (LayerContraction(), VectorProducts())
        method = min(methods, key=lambda method: method.operations(model, x1, outputs, (n1, n2), trace))
    _checks.instance("method", method, Method)
    pair = () if trace else outputs.shape * 2
    if out is not None and not _checks.is_concrete((model, x1, x2)):
        raise ValueError("out must be None inside jit, vmap or grad, where no tile is finished")
    if not _checks.is_concrete((model, x1, x2)):
        theta = _block(method, (model, x1, x2), jnp.zeros(2, int), (n1, n2), trace)[0].reshape(n1, n2, *pair)
        return (theta + _tiles.mirrored(theta)) / 2 if symmetric else theta
    shape = method.tile(model, x1, outputs) if tile is None else (_checks.integer("tile", tile, 1),) * 2
    shape = (min(shape), min(shape)) if symmetric else shape  # a diagonal of tiles that is symmetric
    height, width = _tiles.even(n1, shape[0]), _tiles.even(n2, shape[1])
    grid = _tiles.Grid(n1, n2, height, width, symmetric, pair, outputs.dtype)
    grid.require_memory("an empirical NTK", 0)
    inputs = (model, _tiles.padded(x1, height), _tiles.padded(x2, width))

    def block(inputs: Any, i: int, j: int) -> tuple[Array, Bool[Array, ""]]:
        theta, finite = _block(method, inputs, jnp.asarray([i, j]), (height, width), trace)
        return theta.reshape(height, width, *pair), finite

    store = None
    if out is not None:
        made_by = _made(net, model, x1, None if symmetric else x2, trace)
        store = TileStore(out, made_by, (n1, n2, *pair), (height, width, *pair), symmetric)
    return _tiles.assemble(grid, inputs, block, store=store, progress=progress, stage="empirical NTK")


def _made(net: Any, model: Model, x1: Array, x2: Array | None, trace: bool) -> dict[str, Any]:
    probe = LayerContraction().block(model, x1[:2], x1[:2], True)
    return {
        "kind": "empirical NTK, mean over outputs" if trace else "empirical NTK",
        "inputs": digest(*model.leaves, x1, *([] if x2 is None else [x2])),
        **made(net, probe),
    }


@eqx.filter_jit
def _block(
    method: Method,
    inputs: tuple[Model, Array, Array],
    start: Int[Array, "2"],
    shape: tuple[int, int],
    trace: bool,
) -> tuple[Array, Bool[Array, ""]]:
    """The tile that starts at `start`, and whether it is finite."""
    model, x1, x2 = inputs
    rows = jax.lax.dynamic_slice_in_dim(x1, start[0], shape[0])
    columns = jax.lax.dynamic_slice_in_dim(x2, start[1], shape[1])
    theta = method.block(model, rows, columns, trace)
    return theta, jnp.all(jnp.isfinite(theta))
