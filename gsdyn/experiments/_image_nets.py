"""Small networks for images or rows of numbers, in single precision, and how a run of one is trained.

Images (n, h, w, channels) get two convolutions of 5 x 5 with 12 and 32 channels, each with leaky ReLU and the maximum
of 2 x 2 after it, and two hidden layers of 240 and 192 (P21's net); rows (n, d) get two hidden layers of 256. Every
entry starts uniform on `(-1, 1)/sqrt(fan_in)`, as PyTorch has it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, ArrayLike, Float, PRNGKeyArray

from gsdyn._traced import checked_beforehand
from gsdyn.experiments._moon_nets import Dense, Weights, dense
from gsdyn.training import Batches, Method, Run, train

SIDE, CHANNELS = 5, (12, 32)
AFTER_CONVOLUTIONS, FOR_ROWS = (240, 192), (256, 256)
SLOPE = 0.01


class Net(NamedTuple):
    """The parameters: convolutions, of which rows have none, as dense layers of 5 x 5 patches; and dense layers."""

    convolutions: Weights
    layers: Weights


def start(key: PRNGKeyArray, shape: tuple[int, ...]) -> Net:
    """The network for inputs of this shape, (d,) or (h, w, channels), before training."""
    if len(shape) == 1:
        return Net([], dense(key, (*shape, *FOR_ROWS, 1)))
    first, *keys = jax.random.split(key, 1 + len(CHANNELS))
    height, width, depth = shape
    convolutions = []
    for layer_key, channels in zip(keys, CHANNELS, strict=True):
        convolutions += dense(layer_key, (SIDE * SIDE * depth, channels))
        height, width, depth = (height - SIDE + 1) // 2, (width - SIDE + 1) // 2, channels
    if height < 1 or width < 1:
        raise ValueError(f"images must have at least 16 x 16 pixels for two convolutions, got {shape[0]} x {shape[1]}")
    return Net(convolutions, dense(first, (height * width * depth, *AFTER_CONVOLUTIONS, 1)))


def logits(net: Net, x: Float[Array, "n ..."]) -> Float[Array, " n"]:
    """The outputs of a network."""
    for layer in net.convolutions:
        x = _halved(jax.nn.leaky_relu(_convolved(layer, x), SLOPE))
    x = x.reshape(x.shape[0], -1)
    for i, (weight, bias) in enumerate(net.layers):
        x = (jax.nn.leaky_relu(x, SLOPE) if i else x) @ weight + bias[None, :]
    return x[:, 0]


def _convolved(layer: Dense, x: Float[Array, "n h w c"]) -> Float[Array, "n h2 w2 c2"]:
    """As a product with all patches: in compiled loops on a CPU ten times as fast as XLA's convolution."""
    height, width = (size - SIDE + 1 for size in x.shape[1:3])
    x = jnp.concatenate([x[:, :, j : j + width] for j in range(SIDE)], axis=-1)
    x = jnp.concatenate([x[:, i : i + height] for i in range(SIDE)], axis=-1)
    return x @ layer.weight + layer.bias[None, None, None, :]


def _halved(x: Float[Array, "n h w c"]) -> Float[Array, "n h2 w2 c"]:
    """The maximum of every 2 x 2; a last row or column that is left over is not used."""
    n, height, width, channels = x.shape
    even = x[:, : height // 2 * 2, : width // 2 * 2]
    return even.reshape(n, height // 2, 2, width // 2, 2, channels).max(axis=(2, 4))


def single(values: ArrayLike) -> Array:
    """In single precision."""
    return jnp.asarray(values, jnp.float32)


def trained(
    params: Any,
    method: Method | Callable[..., Array],
    data: tuple[Array, ...],
    optimizer: Callable[[Array], optax.GradientTransformation],
    rate: float,
    steps: ArrayLike,
    *,
    batches: Batches,
    key: PRNGKeyArray,
    observe: Callable[[Any], Any] = lambda params: jnp.zeros(()),
) -> Run:
    """`train`, compiled once for all learning rates, numbers of steps and numbers in the method.

    `optimizer` makes one of a learning rate; pass the same function again.
    """
    with checked_beforehand():
        return _trained(params, method, data, optimizer, single(rate), jnp.asarray(steps), batches, key, observe)


@eqx.filter_jit
def _trained(params, method, data, optimizer, rate, steps, batches, key, observe) -> Run:
    return train(params, method, data, optimizer(rate), steps, batches=batches, key=key, observe=observe)


@eqx.filter_jit
def outputs(net: Net, x: Float[Array, "n ..."]) -> Float[Array, " n"]:
    """`logits`, of few images at a time."""
    return jax.lax.map(lambda one: logits(net, one[None])[0], x, batch_size=256)
