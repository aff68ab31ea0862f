"""Logit adjustment: the loss is told how frequent the classes are, so that the network need not be."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Array, ArrayLike, Float

from gsdyn import _checks
from gsdyn.training.objectives import BinaryObjective, Objective


class LogitAdjusted(Objective):
    """The loss of outputs moved by the logarithm of the classes' odds, `L(y (yhat + offset))`.

    With `offset = tau log(p_+/p_-)`, the classes' shares of the training data, and tau = 1, the sign of `yhat` itself
    is the decision that is right most often when both classes are equally frequent. The penalty of P21's code for
    CelebA, `DecoupledByClass` on raw logits with a lower target for the frequent class, moves outputs likewise.

    - `objective`: a `BinaryObjective`.
    - `offset`: finite, a scalar; `LogitAdjusted.of(objective, y)` takes it from labels.

    Reference: Menon et al., Long-tail learning via logit adjustment (2021).

    >>> plain = gs.training.BinaryObjective(lambda w, x: x @ w)
    >>> print(round(float(gs.training.LogitAdjusted.of(plain, [1, -1, -1, -1]).offset), 4))
    -1.0986
    """

    objective: BinaryObjective
    offset: Float[Array, ""]

    def __init__(self, objective: BinaryObjective, offset: ArrayLike):
        _checks.instance("objective", objective, BinaryObjective)
        self.objective, self.offset = objective, _checks.finite("offset", offset, ndim=0)

    @classmethod
    def of(cls, objective: BinaryObjective, y: ArrayLike, tau: float = 1.0) -> LogitAdjusted:
        """With the odds among the labels `y`, -1 and +1, of which both must occur, to the power of `tau`, finite."""
        labels = _checks.labels("y", y)
        up = float(np.mean(np.asarray(labels) > 0))
        if not 0 < up < 1:
            raise ValueError(f"y must have examples of both classes, got {labels.size} of one")
        tau = _checks.number("tau", tau, "finite", lambda v: abs(v) < float("inf"))
        return cls(objective, tau * float(np.log(up / (1 - up))))

    def check(self, params: Any, *data: Array) -> tuple[Array, ...]:
        return self.objective.check(params, *data)

    def value(self, params: Any, x: Array, y: Array) -> Float[Array, ""]:
        outputs = self.objective.outputs(params, x)
        f = self.objective.margins(outputs + self.offset.astype(outputs.dtype), y)
        return self.objective.shared(self.objective.total(f, y), x.shape[0])
