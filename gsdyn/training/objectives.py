"""What training minimises: a gsdyn loss of a network's outputs on a batch, as a mean or as a sum.

Losses of gsdyn are **sums** over examples (P21). C18's theory counts samples instead: a class that makes up a share p
of the data learns at rate p. That is the **mean** over the batch, the default, for full batches and for SGD of any
batch size alike; time is then learning rate times steps. Under the sum a class of m examples learns at rate m.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from gsdyn.losses import CrossEntropy, Loss, Softmax

Apply = Callable[[Any, Array], Array]


class BinaryObjective(eqx.Module):
    """The loss of the margins `y f(x)` of a network with one output.

    - `apply`: from parameters and inputs (n, d) to outputs (n,).
    - `loss`: any binary `gsdyn` loss, default `CrossEntropy()`.
    - `mean`: whether to divide by the size of the batch.
    """

    apply: Apply = eqx.field(static=True)
    loss: Loss = eqx.field(default_factory=CrossEntropy)
    mean: bool = eqx.field(static=True, default=True)

    def __call__(self, params: Any, x: Float[Array, "n d"], y: Float[Array, " n"]) -> Float[Array, ""]:
        """The objective on inputs `x` with labels `y` of -1 and +1."""
        value = self.loss.value(y * self.apply(params, x))
        return value / x.shape[0] if self.mean else value


class SoftmaxObjective(eqx.Module):
    """The softmax cross-entropy of a network with one output per class.

    - `apply`: from parameters and inputs (n, d) to logits (n, C).
    - `mean`: whether to divide by the size of the batch.
    """

    apply: Apply = eqx.field(static=True)
    mean: bool = eqx.field(static=True, default=True)

    def __call__(self, params: Any, x: Float[Array, "n d"], y: Int[Array, " n"]) -> Float[Array, ""]:
        """The objective on inputs `x` with classes `y`, integers 0..C-1."""
        logits = self.apply(params, x)
        value = Softmax(jnp.asarray(y), logits.shape[1]).value(logits)
        return value / x.shape[0] if self.mean else value
