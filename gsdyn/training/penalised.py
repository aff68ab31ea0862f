"""The penalties of the theory beside a network's loss, and the responses of the theory as observables."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from gsdyn import _checks
from gsdyn._numerics.precision import full_precision
from gsdyn.penalties import Penalty
from gsdyn.training._params import squared_norm, trainable
from gsdyn.training.objectives import (
    BinaryObjective,
    NetworkLoss,
    Objective,
    SoftmaxObjective,
    beside,
    columns_of,
    same_rows,
)

COLUMNS = "x, y, origin, strength, pull, share"


class Penalised(Objective):
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

        >>> inner = gs.training.BinaryObjective(net.apply, mean=False)
        >>> objective = gs.training.Penalised(inner, gs.WeightDecay(0.1), centre=params)
        >>> data = objective.columns(x, y, origin=net.apply(params, x))
        >>> run = gs.training.train(params, objective, data, optax.sgd(0.1), [20], observe=lambda p: net.apply(p, x))
        >>> print(run.observed.shape)
        (1, 4)
    """

    objective: BinaryObjective | SoftmaxObjective
    penalty: Penalty
    centre: Any = None

    def __check_init__(self) -> None:
        _checks.instance("objective", self.objective, NetworkLoss)
        _checks.instance("penalty", self.penalty, Penalty)

    def columns(self, x: ArrayLike, y: ArrayLike, origin: ArrayLike | None = None) -> tuple[Array, ...]:
        """The data to train on: inputs, labels, `origin`, and the strength and pull of the penalty in every example.

        - `x`, `y`: one row for each of the n examples.
        - `origin`: the outputs to count from, of the network at the start for the theory's centring, shape (n,) or
          (n, 1) for one output and (n, C) for classes; None for zero.
        """
        x = _checks.examples("x", x)
        (y,) = same_rows(x, y=self.objective.labels(y))
        n = x.shape[0]
        dtype = x.dtype if jnp.issubdtype(x.dtype, jnp.floating) else jnp.result_type(float)
        origin = jnp.zeros((n,), dtype) if origin is None else origins(self.objective, origin)
        same_rows(x, origin=origin)
        lam1, lam2 = (part.astype(dtype) for part in self.penalty.decay())
        strength, pull = jnp.full((n,), lam2), jnp.zeros((n,), dtype)
        tilt = self.penalty.tilt(n)
        if tilt is not None:
            if isinstance(self.objective, SoftmaxObjective):
                raise ValueError("penalty must be the same for every example beside a softmax, got one by example")
            strength, pull = lam2 + tilt.curvature.astype(dtype), tilt.pull.astype(dtype)
        return x, y, origin, strength, pull, jnp.full((n,), lam1 / n)

    def check(self, params: Any, *data: Array) -> tuple[Array, ...]:
        if len(data) == 2:
            raise ValueError("data must be what columns(x, y) of the penalised objective gives, got (x, y) alone")
        x, y, *rest = columns_of(data, COLUMNS)
        return *self.objective.check(params, x, y), *rest

    def value(
        self, params: Any, x: Array, y: Array, origin: Array, strength: Array, pull: Array, share: Array
    ) -> Float[Array, ""]:
        outputs = self.objective.outputs(params, x)
        f = self.objective.margins(outputs - beside(outputs, origin), y)
        held = jnp.sum(beside(f, strength) * f * f) / 2 - jnp.sum(beside(f, pull) * f)
        away = trainable(params)
        if self.centre is not None:
            away = jax.tree.map(jnp.subtract, away, trainable(self.centre))
        decay = jnp.sum(share).astype(f.dtype) * squared_norm(away).astype(f.dtype) / 2
        return self.objective.shared(self.objective.total(f, y) + held + decay, x.shape[0])


class Responses(eqx.Module):
    """Observes the responses of a network in training, `z = U^T Y (yhat - origin)` (P21-Eq4); `U^T (F - origin)` for
    the logits F of several classes, where `y` holds their numbers and the basis is unsigned.

    - `objective`: the `BinaryObjective` or `SoftmaxObjective` in training.
    - `U`: the features in the examples, shape (n, k), from a `FeatureBasis`.
    - `x`, `y`, `origin`: as in `Penalised.columns`.

        >>> U = gs.FeatureBasis.from_ntrf(gs.kernels.ntrf(net, params, x), y).U
        >>> origin = net.apply(params, x)
        >>> observe = gs.training.Responses(gs.training.BinaryObjective(net.apply), U, x, y, origin)
        >>> print(observe(params))
        [0. 0. 0. 0.]
    """

    objective: BinaryObjective | SoftmaxObjective
    U: Float[Array, "n k"]
    x: Array
    y: Array
    origin: Array

    def __init__(
        self,
        objective: BinaryObjective | SoftmaxObjective,
        U: ArrayLike,
        x: ArrayLike,
        y: ArrayLike,
        origin: ArrayLike,
    ):
        _checks.instance("objective", objective, NetworkLoss)
        self.objective = objective
        self.U, self.x = _checks.finite("U", U, ndim=2), _checks.examples("x", x)
        self.y, self.origin = objective.labels(y), origins(objective, origin)
        same_rows(self.x, U=self.U, y=self.y, origin=self.origin)

    @full_precision
    def __call__(self, params: Any) -> Float[Array, " k"] | Float[Array, "k C"]:
        """The responses, shape (k,) or (k, C)."""
        outputs = self.objective.outputs(params, self.x)
        f = self.objective.margins(outputs - beside(outputs, self.origin), self.y)
        U = self.U.astype(f.dtype)
        return f @ U if f.ndim == 1 else U.T @ f


def origins(objective: NetworkLoss, origin: ArrayLike) -> Array:
    """The outputs to count from, a column as the vector it holds where there is one output."""
    origin = _checks.finite("origin", origin)
    if isinstance(objective, BinaryObjective) and origin.ndim == 2 and origin.shape[1] == 1:
        return origin[:, 0]
    if origin.ndim not in (1, 2) or (isinstance(objective, BinaryObjective) and origin.ndim == 2):
        raise ValueError(f"origin must have the shape of the outputs, got {origin.shape}")
    return origin
