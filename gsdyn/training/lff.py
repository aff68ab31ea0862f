"""Learning from failure: a network that is let learn the shortcut says which examples the other should learn from."""

from __future__ import annotations

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, Int

from gsdyn import _checks
from gsdyn.losses import CrossEntropy
from gsdyn.training.batches import Data
from gsdyn.training.methods import Method
from gsdyn.training.objectives import BinaryObjective, NetworkLoss, columns_of, same_rows

SMALL = 1e-8
"""What the published code adds to the sum of both losses."""


class Twins(NamedTuple):
    """The parameters of both networks: what `train` takes and gives for `LfF`.

    >>> print(gs.training.Twins(jnp.zeros(2), jnp.ones(2)).debiased)
    [1. 1.]
    """

    biased: Any
    debiased: Any


class Averages(NamedTuple):
    """What LfF remembers: the moving average of both networks' losses of every example, and the examples' classes."""

    biased: Float[Array, " n"]
    debiased: Float[Array, " n"]
    classes: Int[Array, " n"]


class LfF(Method):
    """Learning from failure: the biased network descends the generalised cross-entropy, the other a weighted one,

        value = mean_i (1 - p_i^q)/q  +  mean_i w_i l_i,      w_i = b_i / (b_i + d_i + 1e-8)

    with `p_i` the biased network's probability of the label, so that its gradient is `p_i^q` times that of the
    cross-entropy (the published code has another factor q, which is a learning rate), and `b_i`, `d_i` the moving
    averages of both networks' losses, from zero, `m <- decay m + (1 - decay) l_i` when the example is drawn, this step
    included, divided by their largest value among all training examples of the same class. Weights are constants to
    the gradient.

    The data are `(x, y, index)`, the last `arange(n)`; `columns(x, y)` makes them. Parameters are `Twins(...)`; one
    optimiser serves both networks, which is two of them where it treats every parameter alone (SGD, Adam).

    - `objective`: a `BinaryObjective` with the cross-entropy, or a `SoftmaxObjective`; its `mean` plays no part.
    - `power`: q, in (0, 1]. `decay`: in [0, 1).
    - `classes`: how many, for a softmax.

    Reference: Nam, Cha, Ahn, Lee, Shin, Learning from failure (2020), and its published code.

        >>> method = gs.training.LfF(gs.training.BinaryObjective(lambda w, x: x @ w))
        >>> start, data = gs.training.Twins(jnp.zeros(2), jnp.zeros(2)), (x, y, np.arange(4))
        >>> print(gs.training.train(start, method, data, optax.sgd(0.1), [10]).params.debiased)
        [0.22 0.  ]
    """

    objective: NetworkLoss
    power: Float[Array, ""]
    decay: Float[Array, ""]
    classes: int = eqx.field(static=True)

    def __init__(self, objective: NetworkLoss, *, power: ArrayLike = 0.7, decay: ArrayLike = 0.7, classes: int = 2):
        _checks.instance("objective", objective, NetworkLoss)
        if isinstance(objective, BinaryObjective) and not isinstance(objective.loss, CrossEntropy):
            raise ValueError(f"objective must have the loss CrossEntropy(), got {_checks.in_short(objective.loss)}")
        self.objective = objective
        self.power = _checks.require("power", power, "in (0, 1]", lambda v: (v > 0) & (v <= 1), ndim=0)
        self.decay = _checks.require("decay", decay, "in [0, 1)", lambda v: (v >= 0) & (v < 1), ndim=0)
        self.classes = _checks.integer("classes", classes, 2)

    def columns(self, x: ArrayLike, y: ArrayLike) -> Data:
        """The data to train on: inputs, labels and the examples' numbers."""
        x = jnp.asarray(x)
        return x, *same_rows(x, y=self.objective.labels(y)), jnp.arange(x.shape[0])

    def check(self, params: Any, *data: Array) -> Data:
        _checks.instance("params", params, Twins)
        x, y, index = columns_of(data, "x, y, index")
        x, y = self.objective.check(params.debiased, x, y)
        if not isinstance(self.objective, BinaryObjective):
            y = _checks.classes("y", y, self.classes)
        (index,) = same_rows(x, index=_checks.classes("index", index, x.shape[0]))
        return x, y, index

    def start(self, params: Any, data: Data) -> Averages:
        x, y, index = data
        dtype = eqx.filter_eval_shape(self.objective.outputs, params.debiased, x).dtype
        numbers = jnp.zeros(y.shape, int).at[index].set(self._classes(y))
        return Averages(jnp.zeros(y.shape, dtype), jnp.zeros(y.shape, dtype), numbers)

    def remembered(self, params: Twins, memory: Averages, batch: Data) -> Averages:
        _, _, index = batch

        def averaged(average: Array, losses: Array) -> Array:
            decay = self.decay.astype(average.dtype)
            return average.at[index].set(decay * average[index] + (1 - decay) * losses)

        biased, debiased = self._losses(params, batch)
        return Averages(averaged(memory.biased, biased), averaged(memory.debiased, debiased), memory.classes)

    def value(self, params: Twins, memory: Averages, batch: Data) -> Float[Array, ""]:
        biased, debiased = self._losses(params, batch)
        power = self.power.astype(biased.dtype)
        return jnp.mean(-jnp.expm1(-power * biased) / power) + jnp.mean(self.weights(memory, batch) * debiased)

    def weights(self, memory: Averages, batch: Data) -> Float[Array, " n"]:
        """The weight of every example of a batch."""
        _, y, index = batch
        own = self._classes(y)

        def relative(average: Array) -> Array:
            top = jax.ops.segment_max(average, memory.classes, self.classes)[own]
            return average[index] / jnp.where(top > 0, top, 1)

        b, d = jax.lax.stop_gradient((relative(memory.biased), relative(memory.debiased)))
        return b / (b + d + SMALL)

    def _losses(self, params: Twins, batch: Data) -> tuple[Array, Array]:
        x, y, _ = batch
        f = [self.objective.margins(self.objective.outputs(part, x), y) for part in params]
        return self.objective.losses(f[0], y), self.objective.losses(f[1], y)

    def _classes(self, y: Array) -> Int[Array, " n"]:
        return (y > 0).astype(int) if isinstance(self.objective, BinaryObjective) else y.astype(int)
