"""Data and starts that satisfy C18's H1-H3 (H4-H6 for many classes), each with the theory that describes it.

A `Case` has distinct points, several copies of each, and a rule for random starts; its theory takes nothing but the
weights at the start.
"""

from __future__ import annotations

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from gsdyn.experiments import _relu_net as net
from gsdyn.modes import Mode, MultiClassMode, Neurons, orthogonal_points
from gsdyn.training import BinaryObjective, SoftmaxObjective

UNSEEN = -0.1
"""The pre-activation of a neuron on points of other classes at the start."""


class Case(eqx.Module):
    """One network on one data set on which the hypotheses hold.

    - `points`, `labels`, `copies`: the distinct inputs (m, d), the class of each, and how often each occurs.
    - `owner`: the class that every neuron of the first layer is active on, shape (h,).
    - `start`: random weights from a key.
    - `theory`: from the weights of several starts, each array with a leading axis of seeds, and the time that each
      point's class has been learnt for, shape (seeds, r, m, T), to the margins of that shape.
    """

    name: str = eqx.field(static=True)
    claim: str = eqx.field(static=True)
    points: Float[Array, "m d"]
    labels: Int[Array, " m"]
    copies: tuple[int, ...] = eqx.field(static=True)
    owner: Int[Array, " h"]
    classes: int = eqx.field(static=True)
    start: Callable[[Case, PRNGKeyArray], net.Weights] = eqx.field(static=True)
    theory: Callable[[Case, net.Weights, Array], Array] = eqx.field(static=True)

    @property
    def norms(self) -> Float[Array, " m"]:
        return jnp.linalg.norm(self.points, axis=1)

    @property
    def neuron_norms(self) -> Float[Array, " h"]:
        """The norm of the points that every neuron is active on."""
        return jax.vmap(lambda k: self.norms[jnp.argmax(self.labels == k)])(self.owner)

    @property
    def shares(self) -> Float[Array, " m"]:
        """The share of the examples that are of each point's class."""
        same = self.labels[:, None] == self.labels[None, :]
        return jnp.sum(jnp.where(same, jnp.asarray(self.copies)[None, :], 0), axis=1) / sum(self.copies)

    @property
    def data(self) -> tuple[Array, Array]:
        """All examples and their labels, as the objective takes them."""
        rows = np.repeat(np.arange(len(self.copies)), self.copies)
        labels = self.labels[rows]
        return self.points[rows], labels if self.classes > 2 else net.signs(labels)

    @property
    def objective(self) -> BinaryObjective | SoftmaxObjective:
        return SoftmaxObjective(net.relu_net) if self.classes > 2 else BinaryObjective(net.relu_net)

    @property
    def sees(self) -> Array:
        """Which neuron is to be active on which point, shape (m, h)."""
        return self.labels[:, None] == self.owner[None, :]


def _seen(case: Case, y: Array) -> Array:
    """Pre-activations with `y` of each neuron on the points of its class and `UNSEEN` on others, shape (h, m)."""
    return jnp.where(case.sees.T, y[:, None], UNSEEN)


def _signed(case: Case, z: Array) -> Array:
    return jnp.where(case.owner == 0, z, -z)


def _balanced_start(case: Case, key: PRNGKeyArray) -> net.Weights:
    """`y = r z`, so that c = 0 for every neuron."""
    size, unseen = jax.random.split(key)
    z = jax.random.uniform(size, case.owner.shape, minval=0.2, maxval=0.5)
    y = z * case.neuron_norms / jnp.sqrt(jnp.sum(case.sees, axis=0))
    return [net.rows(case.points, _seen(case, y), unseen), _signed(case, z)]


def _random_start(case: Case, key: PRNGKeyArray) -> net.Weights:
    """Any positive y and z: every neuron has its own invariant."""
    one, two, unseen = jax.random.split(key, 3)
    y = jax.random.uniform(one, case.owner.shape, minval=0.1, maxval=0.6)
    z = jax.random.uniform(two, case.owner.shape, minval=0.1, maxval=0.6)
    return [net.rows(case.points, _seen(case, y), unseen), _signed(case, z)]


def _softmax_start(case: Case, key: PRNGKeyArray) -> net.Weights:
    """Every neuron has a positive weight to its own class and the same negative one to all others (H6)."""
    one, two, unseen = jax.random.split(key, 3)
    y = jax.random.uniform(one, case.owner.shape, minval=0.2, maxval=0.6)
    z, v = jax.random.uniform(two, (2, *case.owner.shape), minval=0.1, maxval=0.5)
    own = jnp.arange(case.classes)[:, None] == case.owner[None, :]
    return [net.rows(case.points, _seen(case, y), unseen), jnp.where(own, z[None, :], -v[None, :])]


def _own(case: Case, weights: net.Weights) -> tuple[Array, Array]:
    """`y` and `|z|` of the first neuron that is active on every point, shapes (seeds, m)."""
    neuron = jnp.argmax(case.sees, axis=1)
    y = jnp.einsum("md,smd->sm", case.points, weights[0][:, neuron])
    return y, jnp.abs(weights[1])[:, neuron]


def _spread(x: Array) -> Array:
    """Over the seeds and points of times (seeds, r, m, T)."""
    return jnp.broadcast_to(x, (x.shape[0], x.shape[-1]))[:, None, :, None]


def _balanced_theory(case: Case, weights: net.Weights, times: Array) -> Array:
    norm = case.norms[None]
    z = _own(case, weights)[1]
    return Mode(_spread(norm), u0=_spread(norm * z**2)).logit(times)


def _orthogonal_theory(case: Case, weights: net.Weights, times: Array) -> Array:
    count = jnp.sum(case.labels[:, None] == case.labels[None, :], axis=1).astype(float)[None]
    y, z = _own(case, weights)
    mode = orthogonal_points(*map(_spread, (case.norms[None], count, y, z)), rate=_spread(1 / count))
    return mode.logit(times)


def _neurons_theory(case: Case, weights: net.Weights, times: Array) -> Array:
    seeds, runs, points, count = times.shape
    h = len(case.owner) // points
    first = weights[0].reshape(seeds, points, h, -1)
    y = jnp.einsum("md,smhd->smh", case.points, first)
    z = jnp.abs(weights[1]).reshape(seeds, points, h)
    flat = jnp.moveaxis(times, 2, 1).reshape(seeds, points, runs * count)
    logits = _neuron_logits(jnp.broadcast_to(case.norms, (seeds, points)), y, z, flat)
    return jnp.moveaxis(logits.reshape(seeds, points, runs, count), 1, 2)


@jax.jit
def _neuron_logits(norm: Array, y: Array, z: Array, times: Array) -> Array:
    return jax.vmap(jax.vmap(lambda r, y, z, t: Neurons(r, y, z).logit(t)))(norm, y, z, times)


def _softmax_theory(case: Case, weights: net.Weights, times: Array) -> Array:
    y = _own(case, weights)[0]
    z = jnp.diagonal(weights[1], axis1=1, axis2=2)
    v = -jnp.diagonal(jnp.roll(weights[1], 1, axis=1), axis1=1, axis2=2)
    return MultiClassMode(_spread(case.norms[None]), case.classes, *map(_spread, (y, z, v))).margin(times)


def cases(norms: tuple[float, float] = (1.0, 1.2), fraction: float = 0.7, examples: int = 10) -> list[Case]:
    """The cases: one neuron a class, several, orthogonal points in a class, three classes.

    `fraction` of the `examples` are of the first class; the angle between the classes is obtuse (H1).
    """
    many = round(fraction * examples)
    if not 0 < many < examples:
        raise ValueError(f"fraction must leave both classes an example of {examples}, got {fraction}")
    two, labels = net.at_angle(norms, -0.3, width=5), jnp.arange(2)
    copies = (many, examples - many)
    one = Case(
        "one neuron", "C18-Thm3.2, Eq3", two, labels, copies, jnp.arange(2), 2, _balanced_start, _balanced_theory
    )
    several = Case(
        "four neurons a class", "C18-A.3, A.4", two, labels, copies, jnp.repeat(jnp.arange(2), 4), 2,
        _random_start, _neurons_theory,
    )  # fmt: skip
    axes = norms[0] * jnp.eye(3, 5)
    other = norms[1] * jnp.asarray([-0.2, -0.2, -0.2, np.sqrt(0.88), 0.0])
    orthogonal = Case(
        "three orthogonal points", "C18-A.8", jnp.vstack([axes, other[None]]), jnp.asarray([0, 0, 0, 1]),
        (2, 2, 2, 4), jnp.arange(2), 2, _balanced_start, _orthogonal_theory,
    )  # fmt: skip
    simplex = jnp.hstack([jnp.eye(3) - 0.4, jnp.zeros((3, 2))])
    simplex = simplex / jnp.linalg.norm(simplex, axis=1, keepdims=True) * jnp.asarray([1.0, 1.3, 0.8])[:, None]
    three = Case(
        "three classes", "C18-A.2", simplex, jnp.arange(3), (5, 3, 2), jnp.arange(3), 3,
        _softmax_start, _softmax_theory,
    )  # fmt: skip
    return [one, several, orthogonal, three]
