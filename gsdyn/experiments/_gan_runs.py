"""Generators and discriminators trained against each other on eight Gaussians, in single precision."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, PRNGKeyArray

from gsdyn.data import ring, ring_centres
from gsdyn.experiments import _moon_nets as nets
from gsdyn.probes import coverage

Loss = Literal["cross-entropy", "hinge"]
LOSSES: tuple[Loss, ...] = ("cross-entropy", "hinge")
NOISE, HIDDEN = 128, (256, 256, 256, 256)
SAMPLES = 2500
ADAM = optax.adam(1e-4, b1=0.5, b2=0.9)


class Plan(NamedTuple):
    """How a pair of networks is trained: steps of the generator, how often it is judged on the way, points a step,
    steps of the discriminator to every one of the generator, and the width of each Gaussian."""

    steps: int
    records: int
    batch: int
    discriminator_steps: int
    width: float

    @property
    def at(self) -> np.ndarray:
        """The steps at which it is judged."""
        return self.steps // self.records * np.arange(1, self.records + 1)


class Players(NamedTuple):
    """Both networks and what Adam remembers of each."""

    generator: nets.Weights
    discriminator: nets.Weights
    generator_state: Any
    discriminator_state: Any


class Watched(NamedTuple):
    """What is recorded of a run: how the samples cover the modes, and the samples themselves."""

    covered: np.ndarray
    good: np.ndarray
    divergence: np.ndarray
    samples: np.ndarray


def start(key: PRNGKeyArray) -> Players:
    """Both networks before training, four hidden layers of 256 ReLU each."""
    generator, discriminator = (
        nets.dense(k, sizes)
        for k, sizes in zip(jax.random.split(key), ((NOISE, *HIDDEN, 2), (2, *HIDDEN, 1)), strict=True)
    )
    return Players(generator, discriminator, ADAM.init(generator), ADAM.init(discriminator))  # pyright: ignore[reportArgumentType]


def discriminator_loss(loss: Loss, real: Array, fake: Array) -> Array:
    """Mean loss over logits of real and of generated points: `log(1 + e^(-y f))`, or `max(0, 1 - y f)`."""
    each = jax.nn.softplus if loss == "cross-entropy" else lambda v: jax.nn.relu(1 + v)
    return jnp.mean(each(-real)) + jnp.mean(each(fake))


def generator_loss(loss: Loss, fake: Array) -> Array:
    """What the generator minimises: `log(1 + e^-f)` against cross-entropy, `-f` against the hinge."""
    return jnp.mean(jax.nn.softplus(-fake)) if loss == "cross-entropy" else -jnp.mean(fake)


def step(loss: Loss, players: Players, key: PRNGKeyArray, batch: int, width: float, rounds: int = 1) -> Players:
    """`rounds` steps of the discriminator and then one of the generator, each on points of its own."""
    keys = jax.random.split(key, 1 + 2 * rounds)
    generator, discriminator, generator_state, discriminator_state = players

    def judged(judge: tuple[nets.Weights, Any], both: PRNGKeyArray) -> tuple[tuple[nets.Weights, Any], None]:
        real = ring(batch, both[0], width=width).astype(jnp.float32)
        fake = nets.outputs(generator, jax.random.normal(both[1], (batch, NOISE), jnp.float32))

        def told_apart(discriminator: nets.Weights) -> Array:
            return discriminator_loss(loss, nets.logits(discriminator, real), nets.logits(discriminator, fake))

        return _moved(told_apart, *judge), None

    judge = (discriminator, discriminator_state)
    (discriminator, discriminator_state), _ = jax.lax.scan(judged, judge, keys[:-1].reshape(rounds, 2))
    noise = jax.random.normal(keys[-1], (batch, NOISE), jnp.float32)

    def fool(generator: nets.Weights) -> Array:
        return generator_loss(loss, nets.logits(discriminator, nets.outputs(generator, noise)))

    generator, generator_state = _moved(fool, generator, generator_state)
    return Players(generator, discriminator, generator_state, discriminator_state)


def _moved(objective: Any, params: nets.Weights, state: Any) -> tuple[nets.Weights, Any]:
    gradients = jax.grad(objective)(params)
    with jax.numpy_dtype_promotion("standard"):  # optax mixes its counts of steps with floats
        updates, state = ADAM.update(gradients, state, params)  # pyright: ignore[reportArgumentType]
    return optax.apply_updates(params, updates), state  # pyright: ignore[reportArgumentType, reportReturnType]


@eqx.filter_jit
def _stretch(loss: Loss, players: Players, keys: PRNGKeyArray, batch: int, width: Array, rounds: int, noise: Array):
    """One record's steps, one for each key, and what the generator then covers."""
    players, _ = jax.lax.scan(lambda p, key: (step(loss, p, key, batch, width, rounds), None), players, keys)  # pyright: ignore[reportArgumentType]
    samples = nets.outputs(players.generator, noise)
    return players, (*coverage(samples, ring_centres().astype(jnp.float32), width), samples)


def run(loss: Loss, seed: int, plan: Plan) -> Watched:
    """One pair of networks. The same seed has the same start and data for both losses."""
    first, data, noise = jax.random.split(jax.random.key(seed), 3)
    players = start(first)
    fixed = jax.random.normal(noise, (SAMPLES, NOISE), jnp.float32)
    found = []
    how = (plan.batch, jnp.float32(plan.width), plan.discriminator_steps)
    for record in range(plan.records):
        keys = jax.random.split(jax.random.fold_in(data, record), plan.at[0])
        players, seen = _stretch(loss, players, keys, *how, fixed)
        found.append([np.asarray(part) for part in seen])
    return Watched(*map(np.stack, zip(*found, strict=True)))
