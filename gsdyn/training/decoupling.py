"""Spectral decoupling as public code has it: a mean of squares beside the loss, for all examples or by class.

`Penalised` with `SpectralDecoupling` is the theory's form (P21-Eq17): a sum over examples, with a factor of one half,
of centred margins. Here every mean and factor is that of the experiments' code, and outputs are not centred.
"""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from gsdyn import _checks
from gsdyn.training.objectives import BinaryObjective, NetworkLoss, Objective


class Decoupled(Objective):
    """A loss with `c mean(yhat^2)` beside it: no half, and a mean whatever the loss is.

    - `objective`: a `BinaryObjective` or `SoftmaxObjective`. For classes the square is that of the length of an
      example's logits, `mean_i |F_i|^2`.
    - `coefficient`: c, finite and >= 0, a scalar. `c = lam/2` beside a mean loss is P21-Eq17.

        >>> objective = gs.training.Decoupled(gs.training.BinaryObjective(lambda w, x: x @ w), 0.1)
        >>> print(f"{objective(np.ones(2), x, y):.4f}")
        0.4290
    """

    objective: NetworkLoss
    coefficient: Float[Array, ""]

    def __init__(self, objective: NetworkLoss, coefficient: ArrayLike):
        _checks.instance("objective", objective, NetworkLoss)
        self.objective = objective
        self.coefficient = _checks.nonnegative("coefficient", coefficient, ndim=0)

    def check(self, params: Any, *data: Array) -> tuple[Array, ...]:
        return self.objective.check(params, *data)

    def value(self, params: Any, x: Array, y: Array) -> Float[Array, ""]:
        outputs = self.objective.outputs(params, x)
        loss = self.objective.shared(self.objective.total(self.objective.margins(outputs, y), y), x.shape[0])
        return loss + self.coefficient.astype(outputs.dtype) * jnp.sum(outputs * outputs) / x.shape[0]


class DecoupledByClass(Objective):
    """A loss with the mean squared distance from a target beside it, a mean for each class:

        L + sum_k c_k mean_(i in class k) (t_i - gamma_k)^2,   t = y yhat (margins) or yhat (raw logits)

    A class that a batch lacks adds nothing. P21's code for CelebA is `on_logits=True` with `coefficient=0.1` and
    `target=(0.44, 2.5)`: dark hair (-1) is then pulled to a logit of +0.44, the side of blond. The theory's variant
    (section 4.4), on margins and summed over examples, is `Penalised` with `SpectralDecoupling.by_class`.

    - `objective`: a `BinaryObjective`.
    - `coefficient`: finite and >= 0, a scalar or a pair, for the classes -1 and +1.
    - `target`: finite, likewise.
    - `on_logits`: whether targets are of raw logits instead of margins.

        >>> inner = gs.training.BinaryObjective(lambda w, x: x @ w)
        >>> objective = gs.training.DecoupledByClass(inner, 0.1, target=(0.44, 2.5), on_logits=True)
        >>> print(f"{objective(np.ones(2), x, y):.4f}")
        0.7973
    """

    objective: BinaryObjective
    coefficient: Float[Array, "2"]
    target: Float[Array, "2"]
    on_logits: bool = eqx.field(static=True)

    def __init__(
        self, objective: BinaryObjective, coefficient: ArrayLike, target: ArrayLike = 0.0, *, on_logits: bool = False
    ):
        _checks.instance("objective", objective, BinaryObjective)
        self.objective, self.on_logits = objective, _checks.flag("on_logits", on_logits)
        self.coefficient = _pair("coefficient", _checks.nonnegative("coefficient", coefficient))
        self.target = _pair("target", _checks.finite("target", target))

    def check(self, params: Any, *data: Array) -> tuple[Array, ...]:
        return self.objective.check(params, *data)

    def value(self, params: Any, x: Array, y: Array) -> Float[Array, ""]:
        outputs = self.objective.outputs(params, x)
        f = self.objective.margins(outputs, y)
        loss = self.objective.shared(self.objective.total(f, y), x.shape[0])
        member = jnp.stack([y < 0, y > 0]).astype(f.dtype)
        away = (outputs if self.on_logits else f)[None, :] - self.target.astype(f.dtype)[:, None]
        means = jnp.sum(member * away * away, axis=1) / jnp.maximum(jnp.sum(member, axis=1), 1)
        return loss + jnp.sum(self.coefficient.astype(f.dtype) * means)


def _pair(name: str, value: Array) -> Float[Array, "2"]:
    if value.shape not in ((), (2,)):
        raise ValueError(f"{name} must be a number or a pair, one for each class, got shape {value.shape}")
    return jnp.broadcast_to(value, (2,))
