"""States that know how they change in time: solvers end at a time without saying so to derivatives."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
from jaxtyping import Array

from gsdyn._numerics.precision import full_precision


def moving(velocity: Callable[[Any, Any], Any], args: Any, y: Any, t: Array) -> Any:
    """The state `y` at time `t`, of a flow `y' = velocity(args, y)`, with the derivatives by `t` that it has.

    They are right up to the fourth order, those by `args` and `t` together included.
    """
    arrays, rest = eqx.partition(args, eqx.is_array)
    return _moving(lambda arrays, y: velocity(eqx.combine(arrays, rest), y), arrays, y, t)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _moving(velocity: Callable[[Any, Any], Any], args: Any, y: Any, t: Array) -> Any:
    del velocity, args, t
    return y


@_moving.defjvp
@full_precision
def _moving_jvp(velocity: Callable[[Any, Any], Any], given: tuple, tangents: tuple) -> tuple[Any, Any]:
    return jax.jvp(functools.partial(_step, velocity), given, tangents)


def _step(velocity: Callable[[Any, Any], Any], args: Any, y: Any, t: Array) -> Any:
    """A step of Runge and Kutta whose length is 0 and has a derivative."""
    h = t - jax.lax.stop_gradient(t)

    def after(part: float, k: Any) -> Any:
        return velocity(args, jax.tree.map(lambda a, b: a + part * h * b, y, k))

    first = velocity(args, y)
    second = after(0.5, first)
    third = after(0.5, second)
    fourth = after(1.0, third)
    return jax.tree.map(lambda y, a, b, c, d: y + h / 6 * (a + 2 * b + 2 * c + d), y, first, second, third, fourth)
