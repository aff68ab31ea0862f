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


def with_late_slopes(time: Callable[[M, Array], Array]) -> Callable[[M, Array], Array]:
    """`time(mode, u)`, elementwise, with derivatives that are infinite, and never NaN, where they have no float."""

    safe = jax.custom_jvp(time)

    @partial(safe.defjvp, symbolic_zeros=True)
    def slopes(primals, tangents):
        mode, u = primals
        value = safe(mode, u)
        leaves, tree = jax.tree.flatten(primals)
        changes = jax.tree.leaves(tangents)
        moving = [k for k, change in enumerate(changes) if not isinstance(change, SymbolicZero)]
        scale, nearer = _nearer(mode, u, value)

        def root(*moved):
            values = list(leaves)
            for k, x in zip(moving, moved, strict=True):
                values[k] = x
            return time(*nearer(*jax.tree.unflatten(tree, values)))

        _, push = jax.linearize(root, *(leaves[k] for k in moving))
        # one direction at a time, all in one program
        axes = jnp.eye(len(moving)).reshape((len(moving),) * 2 + (1,) * value.ndim)
        partials = jax.vmap(push)(
            *(jnp.broadcast_to(axes[:, i], axes.shape[:1] + leaves[k].shape).astype(leaves[k].dtype)
              for i, k in enumerate(moving))
        )  # fmt: skip
        half = jnp.exp(scale / 2)
        tangent = jnp.zeros_like(value)
        for k, slope in zip(moving, partials, strict=True):
            # in this order whichever way derivatives go, so that 0 stays 0
            tangent = tangent + changes[k].astype(value.dtype) * half * slope * half
        return value, tangent

    return safe


def _nearer(mode: M, u: Array, value: Array) -> tuple[Array, Callable[[M, Array], tuple[M, Array]]]:
    """`s`, and what makes the mode and the logit of `T e^-s` of those of `T`.

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

    def nearer(mode: M, u: Array) -> tuple[M, Array]:
        mode, fixed = mode._slowed(scale, shrink), jax.lax.stop_gradient(u)
        return mode, jax.lax.stop_gradient(jnp.where(fixed > start, lowered, mode.start)) + (u - fixed)

    return scale, nearer
