"""Two ways to the empirical NTK, and what each costs."""

from __future__ import annotations

import abc
import math

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from gsdyn.kernels import _layers
from gsdyn.kernels._model import Model, Outputs

WORKSPACE = 2**29
"""Bytes that the work on one tile may take for each of its two sides."""


class Method(eqx.Module):
    """A way to compute a tile of the empirical NTK."""

    @abc.abstractmethod
    def operations(self, model: Model, x: Array, outputs: Outputs, shape: tuple[int, int], trace: bool) -> float:
        """Floating-point operations, about, for a kernel of `shape` between examples like `x[0]`."""

    @abc.abstractmethod
    def tile(self, model: Model, x: Array, outputs: Outputs) -> tuple[int, int]:
        """Rows and columns to work on at a time, to stay within `WORKSPACE`."""

    @abc.abstractmethod
    def block(self, model: Model, x1: Array, x2: Array, trace: bool) -> Array:
        """The NTK between two small sets of examples, shape (n1, n2, C, C), or (n1, n2) of mean traces."""


class VectorProducts(Method):
    """NTK-vector products: one gradient for each column and one directional derivative for each entry of it.

    It costs about `n1 n2 C` derivatives of the network, each as much as two evaluations, whatever the number of
    parameters, and holds the gradients of one tile of columns. Best for many outputs and few operations on each
    parameter.
    """

    def operations(self, model: Model, x: Array, outputs: Outputs, shape: tuple[int, int], trace: bool) -> float:
        n1, n2 = shape
        forward = _layers.forward_operations(model, x)
        return outputs.count * forward * (2.0 * n1 * n2 + 3.0 * n2)

    def tile(self, model: Model, x: Array, outputs: Outputs) -> tuple[int, int]:
        size = outputs.itemsize
        columns = WORKSPACE // (2 * size * outputs.count * model.size)
        columns = int(min(max(columns, 1), 256))
        held = size * outputs.count * columns * _layers.activation_count(model, x)
        return int(min(max(WORKSPACE // held, 1), 4096)), columns

    def block(self, model: Model, x1: Array, x2: Array, trace: bool) -> Array:
        def column(x: Array) -> Array:
            value, pull = jax.vjp(lambda leaves: model.one(leaves, x), model.leaves)
            gradients = jax.vmap(pull)(jnp.eye(value.size, dtype=value.dtype))
            return jax.vmap(push)(*gradients)  # (C', n1, C)

        def push(gradient: list[Array]) -> Array:
            def along(x: Array) -> Array:
                return jax.jvp(lambda leaves: model.one(leaves, x), (model.leaves,), (gradient,))[1]

            return jax.vmap(along)(x1)

        theta = jax.vmap(column)(x2).transpose(2, 0, 3, 1)
        return jnp.trace(theta, axis1=2, axis2=3) / theta.shape[-1] if trace else theta


class LayerContraction(Method):
    """Jacobians contracted parameter by parameter.

    It costs about `2 n1 n2 m C^2` operations for `m` parameters, and holds the Jacobians of one tile of examples.
    """

    def operations(self, model: Model, x: Array, outputs: Outputs, shape: tuple[int, int], trace: bool) -> float:
        n1, n2 = shape
        pairs = outputs.count if trace else outputs.count**2
        forward = _layers.forward_operations(model, x)
        return 2.0 * pairs * n1 * n2 * model.size + 3.0 * outputs.count * forward * (n1 + n2)

    def tile(self, model: Model, x: Array, outputs: Outputs) -> tuple[int, int]:
        size = outputs.itemsize
        row = size * outputs.count * (model.size + _layers.activation_count(model, x))
        square = math.isqrt(WORKSPACE // (size * outputs.count**2))
        tile = int(min(max(WORKSPACE // row, 1), max(square, 1)))
        return tile, tile

    def block(self, model: Model, x1: Array, x2: Array, trace: bool) -> Array:
        sides = [jax.vmap(lambda x: _layers.jacobian(model, x))(x) for x in (x1, x2)]
        total = jnp.asarray(sum(_contract(a, b, trace) for a, b in zip(*sides, strict=True)))
        return total / sides[0][0].shape[1] if trace else total.swapaxes(1, 2)


def _contract(a: Array, b: Array, trace: bool) -> Array:
    """Products over the parameters of `a` (n1, C, m) and `b` (n2, C, m): (n1, C, n2, C), or summed over equal c."""
    dims = ((1, 2), (1, 2)) if trace else ((2,), (2,))
    return jax.lax.dot_general(a, b, (dims, ((), ())), precision=jax.lax.Precision.HIGHEST)
