"""What the C18 experiments share: many small networks trained at once by gradient descent, and their errors."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, ArrayLike

from gsdyn._traced import checked_beforehand
from gsdyn.training import Run, train


def _beforehand(compiled: Callable[..., Run]) -> Callable[..., Run]:
    """`compiled`, whose callers have made rates and steps that need no check, so that it can be kept between runs."""

    @functools.wraps(compiled)
    def call(*arguments: Any) -> Run:
        with checked_beforehand():
            return compiled(*arguments)

    return call


@_beforehand
@eqx.filter_jit
def descend(
    weights: Any, objective: Callable[..., Array], data: tuple[Array, ...], rate: Array, steps: Array, observe: Callable
) -> Run:
    """`train` by full-batch gradient descent; recompiled for no other learning rate or number of steps."""
    return train(weights, objective, data, optax.sgd(rate), steps, observe=observe)


@_beforehand
@eqx.filter_jit
def descend_each(
    weights: Any, objective: Callable[..., Array], data: tuple[Array, ...], rate: Array, steps: Array, observe: Callable
) -> Run:
    """`descend` for many networks at once, each with its data: every array of both has a leading axis."""

    def one(weights, data):
        return train(weights, objective, data, optax.sgd(rate), steps, observe=observe)

    return jax.vmap(one)(weights, data)


def record_steps(times: ArrayLike, rate: float) -> Array:
    """The steps at which learning rate times steps is nearest to each time."""
    return jnp.asarray(np.round(np.asarray(times) / rate).astype(int))


def check_steps(times: np.ndarray, rate: float) -> None:
    """The times must be whole numbers of steps."""
    if not np.allclose(np.round(times / rate) * rate, times, rtol=1e-9, atol=1e-9 * rate):
        raise ValueError(f"rate must divide the time between records, {times[1] - times[0]:g}, got {rate:g}")


def fitted_order(rates: np.ndarray, errors: np.ndarray) -> np.ndarray:
    """The slope of log error against log learning rate, the last axis of `errors`; NaN where an error is zero."""
    x = np.log(rates) - np.log(rates).mean()
    with np.errstate(divide="ignore", invalid="ignore"):
        y = np.log(errors)
        return (y - y.mean(axis=-1, keepdims=True)) @ x / (x @ x)
