"""Derivatives of times that come near the end of the range of floats, or lie beyond it.

A time under cross-entropy grows as `T ~ e^u`, and what its derivatives go through may overflow though `T` does not,
or come to `0 * inf`. So they are those of `T e^-s`, about the root of `T`, and each meets `e^s` on its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Protocol, Self, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.custom_derivatives import SymbolicZero
from jaxtyping import Array

from gsdyn.special import largest_logit


class Late(Protocol):
    """A mode as its late times see it."""

    @property
    def start(self) -> Array: ...

    @property
    def _log_pace(self) -> Array:
        """The logarithm of the rate of its clock."""
        ...

    def _slowed(self, logarithm: Array, shrink: Array) -> Self:
        """This mode with its rate multiplied by `e^logarithm`, and its start by `shrink`."""
        ...


M = TypeVar("M", bound=Late)


def with_late_slopes(time: Callable[[M, Array], Array], shared: bool = False) -> Callable[[M, Array], Array]:
    """`time(mode, u)`, elementwise, with derivatives that are infinite, and never NaN, where they have no float.

    `shared`: one mode serves all of `u`, and its arrays have axes of their own; else they have the shape of `u`.
    """

    safe = jax.custom_jvp(time)

    @partial(safe.defjvp, symbolic_zeros=True)
    def slopes(primals, tangents):
        mode, u = primals
        value = safe(mode, u)
        leaves, tree = jax.tree.flatten(primals)
        changes = jax.tree.leaves(tangents)
        scale, *nearer = _nearer(mode, u, value)
        own = [leaf.shape if shared and leaf is not u else () for leaf in leaves]

        def widened(k: int, x: Array) -> Array:
            """`x`, of the shape of leaf k, for every entry of `value`."""
            if not shared or leaves[k] is u:
                return x
            return jnp.broadcast_to(x.reshape(own[k] + (1,) * value.ndim), own[k] + value.shape)

        wide = [widened(k, leaf) for k, leaf in enumerate(leaves)]
        moving = [k for k, change in enumerate(changes) if not isinstance(change, SymbolicZero)]

        def root(*moved):
            values = list(wide)
            for k, x in zip(moving, moved, strict=True):
                values[k] = x
            (mode, u), along = jax.tree.unflatten(tree, values), partial(_root, time)
            for _ in range(value.ndim if shared else 0):
                along = jax.vmap(along, -1, -1)
            return along(mode, u, *nearer)

        _, push = jax.linearize(root, *(wide[k] for k in moving))
        half, tangent = jnp.exp(scale / 2), jnp.zeros_like(value)
        for k, slope in zip(moving, _partials(push, [(own[k], wide[k]) for k in moving]), strict=True):
            # in this order whichever way derivatives go, so that 0 stays 0
            high = half.reshape((1,) * len(own[k]) + half.shape)
            parts = widened(k, changes[k]).astype(value.dtype) * high * slope * high
            tangent = tangent + jnp.sum(parts, axis=tuple(range(len(own[k]))))
        return value, tangent

    return safe


def _partials(push: Callable[..., Array], leaves: list[tuple[tuple[int, ...], Array]]) -> list[Array]:
    """The derivative in every direction, one at a time, all in one program: by leaf, with its own axes first."""
    ends = np.cumsum([0, *(math.prod(axes) for axes, _ in leaves)])
    eye = np.eye(ends[-1])
    directions = (
        np.broadcast_to(
            eye[:, low:high].reshape(ends[-1], *axes, *(1,) * (leaf.ndim - len(axes))), (ends[-1], *leaf.shape)
        )
        for low, high, (axes, leaf) in zip(ends[:-1], ends[1:], leaves, strict=True)
    )
    found = jax.vmap(push)(*(jnp.asarray(d, leaf.dtype) for d, (_, leaf) in zip(directions, leaves, strict=True)))
    return [
        found[low:high].reshape(*axes, *found.shape[1:])
        for low, high, (axes, _) in zip(ends[:-1], ends[1:], leaves, strict=True)
    ]


def _nearer(mode: Late, u: Array, value: Array) -> tuple[Array, Array, Array, Array]:
    """`s`; and `s`, what the start shrinks by and the logit, by which `_root` makes `T e^-s` of `T`.

    Where neither `T` nor its root have a float the logit, and the start with it, is as large as the root allows: what
    comes out is infinite all the same, with its sign.
    """
    top = math.log(float(jnp.finfo(value.dtype).max))
    start, pace, u = (jax.lax.stop_gradient(v) for v in (mode.start, mode._log_pace, u))
    cap = jnp.clip(1.8 * top + pace, 2, 0.98 * largest_logit(value.dtype))
    beyond = (u > cap) & ~((value > 0) & (value < jnp.inf))
    shrinks = beyond & (start > cap - 1)
    shrink = jnp.where(shrinks, (cap - 1) / jnp.where(shrinks, start, 1), 1)
    lowered = jnp.where(beyond, cap, u)
    scale = jnp.clip((lowered - pace) / 2, 0, jnp.maximum(0.98 * top - pace, 0))
    return scale, scale, shrink, lowered


def _root(time: Callable[[M, Array], Array], mode: M, u: Array, scale: Array, shrink: Array, lowered: Array) -> Array:
    """`T e^-s`."""
    start, fixed = jax.lax.stop_gradient((mode.start, u))
    slow = mode._slowed(scale, shrink)
    return time(slow, jax.lax.stop_gradient(jnp.where(fixed > start, lowered, slow.start)) + (u - fixed))
