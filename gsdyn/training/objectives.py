"""What training minimises: a gsdyn loss of a network's outputs on a batch, as a mean or as a sum, and its penalty.

Losses of gsdyn are **sums** over examples (P21). C18's theory counts samples instead: a class that makes up a share p
of the data learns at rate p. That is the **mean** over the batch, the default, for full batches and for SGD of any
batch size alike; time is then learning rate times steps. Under the sum a class of m examples learns at rate m.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, Int

from gsdyn import _checks
from gsdyn.losses import CrossEntropy, Loss, Softmax
from gsdyn.penalties import Penalty

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
        value = self.total(self.margins(self.apply(params, x), y), y)
        return value / x.shape[0] if self.mean else value

    def margins(self, outputs: Float[Array, " n"], y: Float[Array, " n"]) -> Float[Array, " n"]:
        """What the loss is a function of."""
        return y * outputs

    def total(self, f: Float[Array, " n"], y: Float[Array, " n"]) -> Float[Array, ""]:
        """The sum of the losses of margins `f`."""
        del y
        return self.loss.value(f)


class SoftmaxObjective(eqx.Module):
    """The softmax cross-entropy of a network with one output per class.

    - `apply`: from parameters and inputs (n, d) to logits (n, C).
    - `mean`: whether to divide by the size of the batch.
    """

    apply: Apply = eqx.field(static=True)
    mean: bool = eqx.field(static=True, default=True)

    def __call__(self, params: Any, x: Float[Array, "n d"], y: Int[Array, " n"]) -> Float[Array, ""]:
        """The objective on inputs `x` with classes `y`, integers 0..C-1."""
        value = self.total(self.apply(params, x), y)
        return value / x.shape[0] if self.mean else value

    def margins(self, outputs: Float[Array, "n C"], y: Int[Array, " n"]) -> Float[Array, "n C"]:
        """What the loss is a function of: the logits."""
        del y
        return outputs

    def total(self, f: Float[Array, "n C"], y: Int[Array, " n"]) -> Float[Array, ""]:
        """The sum of the losses of logits `f`."""
        return Softmax(jnp.asarray(y), f.shape[1]).value(f)


class Penalised(eqx.Module):
    """A loss with a penalty of the theory (P21-Eqs 5 and 17, and both mixed), for a network of finite width.

        L(theta) = sum_i l(f_i) + (lam_1/2) |theta - centre|^2 + sum_i (lam_2i/2) f_i^2 - lam_2i gamma_i f_i

    with the margins `f = y (yhat(theta) - origin)`; the constant `lam_2 gamma^2/2` is left out. All of it is divided by
    the number of examples where the inner objective is a mean; a batch carries its share of the weight decay.

        objective = Penalised(BinaryObjective(net.apply, mean=False), WeightDecay(0.1), centre=params)
        train(params, objective, objective.columns(x, y, origin=net.apply(params, x)), optax.sgd(rate), steps)

    - `objective`: a `BinaryObjective` or `SoftmaxObjective`, which says whether this one is a mean or a sum.
    - `penalty`: any `gsdyn` penalty. A term `c mean(yhat^2)` beside a mean loss is `SpectralDecoupling(2 c)`, an
      optimiser's `weight_decay=c` beside a mean loss of n examples `WeightDecay(n c)`.
    - `centre`: the weights that weight decay pulls to: those at the start for the theory's centring, None for zero.
    """

    objective: BinaryObjective | SoftmaxObjective
    penalty: Penalty
    centre: Any = None

    def columns(self, x: ArrayLike, y: ArrayLike, origin: ArrayLike | None = None) -> tuple[Array, ...]:
        """The data to train on: inputs, labels, `origin`, and the strength and pull of the penalty in every example.

        - `x`, `y`: one row for each of the n examples.
        - `origin`: the outputs to count from, of the network at the start for the theory's centring; None for zero.
        """
        x, y = jnp.asarray(x), jnp.asarray(y)
        _checks.same_length("y", y, "x", x)
        n = x.shape[0]
        origin = jnp.zeros((n,), x.dtype) if origin is None else _checks.finite("origin", origin)
        _checks.same_length("origin", origin, "x", x)
        lam1, lam2 = (part.astype(x.dtype) for part in self.penalty.decay())
        strength, pull = jnp.full((n,), lam2), jnp.zeros((n,), x.dtype)
        tilt = self.penalty.tilt(n)
        if tilt is not None:
            if isinstance(self.objective, SoftmaxObjective):
                raise ValueError("penalty must be the same for every example beside a softmax, got one by example")
            strength, pull = lam2 + tilt.curvature.astype(x.dtype), tilt.pull.astype(x.dtype)
        return x, y, origin, strength, pull, jnp.full((n,), lam1 / n)

    def __call__(
        self, params: Any, x: Array, y: Array, origin: Array, strength: Array, pull: Array, share: Array
    ) -> Float[Array, ""]:
        """The objective on a batch of `columns`."""
        outputs = self.objective.apply(params, x)
        f = self.objective.margins(outputs - _beside(outputs, origin), y)
        held = jnp.sum(_beside(f, strength) * f * f) / 2 - jnp.sum(_beside(f, pull) * f)
        away = params if self.centre is None else jax.tree.map(jnp.subtract, params, self.centre)
        squares = sum(jnp.sum(part * part) for part in jax.tree.leaves(away))
        value = self.objective.total(f, y) + held + jnp.sum(share) * squares / 2
        return value / x.shape[0] if self.objective.mean else value


class Responses(eqx.Module):
    """Observes the responses of a network in training, `z = U^T Y (yhat - origin)` (P21-Eq4); `U^T (F - origin)` for
    the logits F of several classes, where `y` holds their numbers and the basis is unsigned.

    - `objective`: the `BinaryObjective` or `SoftmaxObjective` in training.
    - `U`: the features in the examples, shape (n, k), from a `FeatureBasis`.
    - `x`, `y`, `origin`: as in `Penalised.columns`.
    """

    objective: BinaryObjective | SoftmaxObjective
    U: Float[Array, "n k"]
    x: Array
    y: Array
    origin: Array

    def __call__(self, params: Any) -> Float[Array, " k"] | Float[Array, "k C"]:
        """The responses, shape (k,) or (k, C)."""
        outputs = self.objective.apply(params, self.x)
        f = self.objective.margins(outputs - _beside(outputs, self.origin), self.y)
        return f @ self.U if f.ndim == 1 else self.U.T @ f


def _beside(outputs: Array, column: Array) -> Array:
    """A column of the data, shaped to meet outputs (n,) or (n, C)."""
    return column if column.ndim == outputs.ndim else column[:, None]
