"""The networks of P21's two-moons experiments, with the start their framework gives, in single precision.

Every entry of a dense layer starts uniform on `(-1, 1)/sqrt(fan_in)`, weights and biases alike (PyTorch's default).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from gsdyn.losses import CrossEntropy


class Dense(NamedTuple):
    """The parameters of one layer."""

    weight: Float[Array, "fan_in fan_out"]
    bias: Float[Array, " fan_out"]


Weights = list[Dense]
EPS = 1e-5  # what batch normalisation adds to a variance


class Normalised(NamedTuple):
    """A network of one hidden layer with batch normalisation before its ReLU."""

    layers: Weights
    scale: Float[Array, " width"]
    shift: Float[Array, " width"]


def dense(key: PRNGKeyArray, sizes: Sequence[int]) -> Weights:
    """The layers of a network of these sizes, inputs first, at the start."""
    layers = []
    for layer_key, fan_in, fan_out in zip(jax.random.split(key, len(sizes) - 1), sizes[:-1], sizes[1:], strict=True):
        weight, bias = jax.random.split(layer_key)
        bound = fan_in**-0.5
        layers.append(
            Dense(
                jax.random.uniform(weight, (fan_in, fan_out), jnp.float32, -bound, bound),
                jax.random.uniform(bias, (fan_out,), jnp.float32, -bound, bound),
            )
        )
    return layers


def outputs(layers: Weights, x: Float[Array, "n d"]) -> Float[Array, "n outputs"]:
    """All outputs of a plain network, ReLU between its layers."""
    for i, (weight, bias) in enumerate(layers):
        x = (jax.nn.relu(x) if i else x) @ weight + bias[None, :]
    return x


def logits(layers: Weights, x: Float[Array, "n d"]) -> Float[Array, " n"]:
    """The outputs of a plain network that has one."""
    return outputs(layers, x)[:, 0]


class DropoutLoss(eqx.Module):
    """The mean cross-entropy of a network of one hidden layer whose hidden units are dropped with probability `rate`
    and scaled up by `1/(1 - rate)` where they are kept. Needs `Keyed` batches."""

    rate: float = eqx.field(static=True)

    def __call__(self, layers: Weights, x: Array, y: Array, key: PRNGKeyArray) -> Float[Array, ""]:
        first, last = layers
        before = x @ first.weight + first.bias[None, :]
        kept = jax.random.bernoulli(key, 1 - self.rate, before.shape)
        hidden = jax.nn.relu(jnp.where(kept, before / (1 - self.rate), 0))
        f = y * (hidden @ last.weight + last.bias[None, :])[:, 0]
        return CrossEntropy().value(f) / len(f)


def normalised(key: PRNGKeyArray, sizes: Sequence[int]) -> Normalised:
    """The start of a network with batch normalisation: scale 1 and shift 0."""
    return Normalised(dense(key, sizes), jnp.ones(sizes[1], jnp.float32), jnp.zeros(sizes[1], jnp.float32))


def normalised_logits(params: Normalised, x: Float[Array, "n d"]) -> Float[Array, " n"]:
    """The outputs in training: means and variances are those of the batch."""
    first, last = params.layers
    before = x @ first.weight + first.bias[None, :]
    centred = before - jnp.mean(before, axis=0)[None, :]
    spread = jnp.mean(centred**2, axis=0) + EPS
    hidden = jax.nn.relu(centred * (params.scale / jnp.sqrt(spread))[None, :] + params.shift[None, :])
    return (hidden @ last.weight + last.bias[None, :])[:, 0]


def plain(params: Weights | Normalised, x: Float[Array, "n d"]) -> Weights:
    """The network to be judged, as plain layers: batch normalisation by the statistics of the training inputs `x`.

    Those are what its running averages tend to under full batches; the variance is the unbiased one, as there.
    """
    if not isinstance(params, Normalised):
        return params
    first, last = params.layers
    before = x @ first.weight + first.bias[None, :]
    factor = params.scale / jnp.sqrt(jnp.var(before, axis=0, ddof=1) + EPS)
    bias = (first.bias - jnp.mean(before, axis=0)) * factor + params.shift
    return [Dense(first.weight * factor[None, :], bias), last]
