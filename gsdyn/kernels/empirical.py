"""The NTRF matrix and the NTK of networks of finite width, at given parameters (P21-Eq2)."""

from __future__ import annotations

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, Int

from gsdyn import _checks
from gsdyn.kernels import _layers, _memory, _model, _tiles
from gsdyn.kernels._model import Model, Outputs
from gsdyn.kernels.methods import WORKSPACE, LayerContraction, Method, VectorProducts


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
    `jax.flatten_util.ravel_pytree`. It has the dtype of the outputs. Then `FeatureBasis.from_ntrf(phi, y)` has the
    features.

    Raises `ValueError` for what is no network, for outputs of other shapes, and, before it starts, for too little
    memory. Reference: Pezeshki et al. 2021, section 3.1.
    """
    model, x = _model.model(net, params), _model.inputs("x", x)
    outputs = _model.outputs(model, x)
    n, shape = x.shape[0], (*outputs.shape, model.size)
    row = outputs.itemsize * math.prod(shape)
    limit = max(WORKSPACE // row, 1) if batch is None else _checks.integer("batch", batch, 1)
    if not _checks.is_concrete((model, x)):
        return _rows(model, x, jnp.asarray(0), n).reshape(n, *shape)
    batch = _tiles.even(n, min(limit, n))
    what = f"an NTRF matrix of {n} examples, {outputs.count} outputs and {model.size} parameters"
    _memory.require((n + 2 * batch) * row, what)
    phi = jnp.zeros((n, *shape), outputs.dtype)
    starts = _tiles.starts(n, batch)
    for done, i in enumerate(starts, 1):
        phi = _tiles.place_rows(phi, _rows(model, x, jnp.asarray(i), batch).reshape(batch, *shape), i)
        progress("NTRF", done, len(starts))
    return phi


@eqx.filter_jit
def _rows(model: Model, x: Array, i: Int[Array, ""], batch: int) -> Float[Array, "batch C m"]:
    rows = jax.lax.dynamic_slice_in_dim(x, i, batch)
    return jax.vmap(lambda x: jnp.concatenate(_layers.jacobian(model, x), axis=1))(rows)


def empirical_ntk(
    net: Any,
    params: Any,
    x1: ArrayLike,
    x2: ArrayLike | None = None,
    *,
    trace: bool = False,
    method: Method | None = None,
    tile: int | None = None,
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
    - `progress`: called with "empirical NTK", the tiles done and how many there are.

    Returns shape (n1, n2), or for outputs of shape (n, C) shape (n1, n2, C, C), with `[i, j, c, d]` the product of the
    gradients of output `c` at `x1[i]` and output `d` at `x2[j]`.

    Raises `ValueError` as `ntrf` does. Reference: Novak, Sohl-Dickstein and Schoenholz, Fast finite width neural
    tangent kernel (2022).
    """
    symmetric = x2 is None
    model, x1 = _model.model(net, params), _model.inputs("x1", x1)
    x2 = x1 if x2 is None else _model.inputs("x2", x2)
    if x2.shape[1:] != x1.shape[1:] or x2.dtype != x1.dtype:
        raise ValueError(
            f"x2 must have examples of shape {x1.shape[1:]} and {x1.dtype} like x1, got {x2.shape[1:]} and {x2.dtype}"
        )
    outputs = _model.outputs(model, x1)
    n1, n2 = x1.shape[0], x2.shape[0]
    if method is None:
        methods = (LayerContraction(), VectorProducts())
        method = min(methods, key=lambda method: method.operations(model, x1, outputs, (n1, n2), trace))
    _checks.instance("method", method, Method)
    pair = () if trace else outputs.shape * 2
    if not _checks.is_concrete((model, x1, x2)):
        return _block(method, model, x1, x2, jnp.zeros(2, int), (n1, n2), trace).reshape(n1, n2, *pair)
    height, width = _shape(method, model, outputs, x1, x2, tile, symmetric)
    what = f"an empirical NTK of {n1} x {n2} pairs of examples and {math.prod(pair)} entries each"
    _memory.require((n1 * n2 + 2 * height * width) * math.prod(pair) * outputs.itemsize, what)
    theta = jnp.zeros((n1, n2, *pair), outputs.dtype)
    tiles = list(_tiles.grid(n1, n2, (height, width), symmetric))
    for done, (i, j) in enumerate(tiles, 1):
        block = _block(method, model, x1, x2, jnp.asarray([i, j]), (height, width), trace)
        theta = _tiles.place(theta, block.reshape(height, width, *pair), i, j, symmetric)
        progress("empirical NTK", done, len(tiles))
    return theta


def _shape(
    method: Method, model: Model, outputs: Outputs, x1: Array, x2: Array, tile: int | None, symmetric: bool
) -> tuple[int, int]:
    """Rows and columns of a tile: the same where a diagonal of tiles is to be symmetric."""
    shape = method.tile(model, x1, outputs) if tile is None else (_checks.integer("tile", tile, 1),) * 2
    shape = (min(shape), min(shape)) if symmetric else shape
    n1, n2 = x1.shape[0], x2.shape[0]
    return _tiles.even(n1, min(shape[0], n1)), _tiles.even(n2, min(shape[1], n2))


@eqx.filter_jit
def _block(
    method: Method,
    model: Model,
    x1: Array,
    x2: Array,
    start: Int[Array, "2"],
    shape: tuple[int, int],
    trace: bool,
) -> Array:
    """The tile that starts at `start`."""
    rows = jax.lax.dynamic_slice_in_dim(x1, start[0], shape[0])
    columns = jax.lax.dynamic_slice_in_dim(x2, start[1], shape[1])
    return method.block(model, rows, columns, trace)
