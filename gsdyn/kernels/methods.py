"""Two ways to the empirical NTK, and what each costs."""

from __future__ import annotations

import abc
import math

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from gsdyn.kernels import _layers, _program
from gsdyn.kernels._layers import Factors, Whole
from gsdyn.kernels._model import Model, Outputs

WORKSPACE = 2**29
"""Bytes that the work on one tile may take for each of its two sides."""


class Method(eqx.Module):
    """A way to compute a tile of the empirical NTK.

    >>> method = gs.kernels.VectorProducts()
    >>> print(gs.kernels.empirical_ntk(net, params, x, method=method).shape)
    (4, 4)
    """

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
    parameter. Not for networks with `jax.custom_vjp` inside, which JAX does not differentiate forward.

        >>> print(gs.kernels.empirical_ntk(net, params, x, method=gs.kernels.VectorProducts()).shape)
        (4, 4)
    """

    def operations(self, model: Model, x: Array, outputs: Outputs, shape: tuple[int, int], trace: bool) -> float:
        if _program.reverse_only(model, x):
            return math.inf
        n1, n2 = shape
        forward = _program.forward_operations(model, x)
        return outputs.count * forward * (2.0 * n1 * n2 + 3.0 * n2)

    def tile(self, model: Model, x: Array, outputs: Outputs) -> tuple[int, int]:
        size = outputs.itemsize
        columns = WORKSPACE // (2 * size * outputs.count * model.size)
        columns = int(min(max(columns, 1), 256))
        held = size * outputs.count * columns * _program.activation_count(model, x)
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
    """Jacobians contracted parameter by parameter, a weight matrix as the product of two vectors.

    A matrix that multiplies one vector costs about `2 (K + F C^2)` operations for each pair of examples, with `K` and
    `F` its sides; any other parameter (a convolution, a bias, a matrix used twice or on several positions) of `m`
    entries `2 m C^2`. It holds the gradients, so taken apart, of one tile of examples.

        >>> print(gs.kernels.empirical_ntk(net, params, x, method=gs.kernels.LayerContraction()).shape)
        (4, 4)
    """

    def operations(self, model: Model, x: Array, outputs: Outputs, shape: tuple[int, int], trace: bool) -> float:
        n1, n2 = shape
        pairs = outputs.count if trace else outputs.count**2
        parts = eqx.filter_eval_shape(_layers.factored, model, x[0])
        each = sum(
            part.left.size + part.right.shape[-1] * pairs if isinstance(part, Factors) else part.rows.shape[-1] * pairs
            for part in parts
        )
        return 2.0 * n1 * n2 * each + 3.0 * outputs.count * _program.forward_operations(model, x) * (n1 + n2)

    def tile(self, model: Model, x: Array, outputs: Outputs) -> tuple[int, int]:
        parts = eqx.filter_eval_shape(_layers.factored, model, x[0])
        held = sum(array.size for array in jax.tree.leaves(parts))
        held += outputs.count * _program.activation_count(model, x)
        square = math.isqrt(WORKSPACE // (outputs.itemsize * outputs.count**2))
        tile = int(min(max(WORKSPACE // (outputs.itemsize * held), 1), max(square, 1)))
        return tile, tile

    def block(self, model: Model, x1: Array, x2: Array, trace: bool) -> Array:
        sides = [jax.vmap(lambda x: _layers.factored(model, x))(x) for x in (x1, x2)]
        total = jnp.asarray(sum(_contract(a, b, trace) for a, b in zip(*sides, strict=True)))
        return total / jax.tree.leaves(sides[0])[-1].shape[1] if trace else total.swapaxes(1, 2)


def _contract(a: Whole | Factors, b: Whole | Factors, trace: bool) -> Array:
    """What one parameter adds to the kernel: (n1, C, n2, C), or (n1, n2) summed over equal outputs."""
    if isinstance(a, Factors) and isinstance(b, Factors):
        left, right = _inner(a.left, b.left, (1,)), _inner(a.right, b.right, (1, 2) if trace else (2,))
        return right * (left if trace else left[:, None, :, None])
    assert isinstance(a, Whole)
    assert isinstance(b, Whole)
    return _inner(a.rows, b.rows, (1, 2) if trace else (2,))


def _inner(a: Array, b: Array, axes: tuple[int, ...]) -> Array:
    return jax.lax.dot_general(a, b, ((axes, axes), ((), ())), precision=jax.lax.Precision.HIGHEST)
