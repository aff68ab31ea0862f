"""The NTK of a finite network as an operator: products with it, and nothing of its size."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
from jaxtyping import Array, ArrayLike, Float

from gsdyn import _checks
from gsdyn._numerics.precision import full_precision
from gsdyn.kernels import _model
from gsdyn.kernels._model import Model


@full_precision
def ntk_product(net: Any, params: Any, x: ArrayLike) -> Callable[[ArrayLike], Float[Array, "n b"]]:
    """The function `V -> Theta V = Phi (Phi^T V)`, with neither `Theta` nor `Phi` ever formed (P21-Eq2).

    - `net`, `params`, `x`: as in `ntrf`, for a network of one output.

    The function takes shape (n, b) and costs for each column about two gradients of one pass over the data. It is what
    `FeatureBasis.from_product` takes: the features of a data set too large for its kernel.

        >>> product = gs.kernels.ntk_product(net, params, x)
        >>> print(np.allclose(product(np.eye(4)), gs.kernels.empirical_ntk(net, params, x)))
        True
    """
    model, (x,), outputs = _model.prepare(net, params, x=x)
    if outputs.count != 1:
        raise ValueError(f"net must have one output, got {outputs.count}")
    n, dtype = x.shape[0], outputs.dtype

    @full_precision
    def product(v: ArrayLike) -> Float[Array, "n b"]:
        v = _checks.real("v", v).astype(dtype)
        if v.ndim != 2 or v.shape[0] != n:
            raise ValueError(f"v must have shape ({n}, b), got {v.shape}")
        return _product(model, x, v)

    return product


@eqx.filter_jit
def _product(model: Model, x: Array, v: Array) -> Array:
    def run(leaves: list[Array]) -> Array:
        return jax.vmap(lambda x: model.one(leaves, x))(x)[:, 0]

    _, pull = jax.vjp(run, model.leaves)

    def column(v: Array) -> Array:
        return jax.jvp(run, (model.leaves,), pull(v))[1]

    return jax.lax.map(column, v.T).T
