"""What `gsdyn sweep` computes in a cell: functions of scalars, with the labels of their results."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from gsdyn import _checks
from gsdyn._integration.asked import checked_times
from gsdyn.features import FeatureBasis
from gsdyn.fixed_points import fixed_point
from gsdyn.flows import DualFlow
from gsdyn.integration import integrate
from gsdyn.losses import Loss
from gsdyn.modes import Mode
from gsdyn.penalties import Penalty
from gsdyn.starvation import starvation_matrix
from gsdyn.sweeps.labels import Label

MakePenalty = Callable[[Array], Penalty]
Results = dict[str, Array]

TWO_FEATURES = {
    "lam": Label("regularisation strength lambda"),
    "delta": Label("overlap of the features delta"),
    "s1": Label("strength of feature 1"),
    "s2": Label("strength of feature 2"),
    "feature": Label("feature"),
    "example": Label("example"),
}
CERTIFICATE = {
    "gap": Label("duality gap at the computed optimum (upper bound)"),
    "error_bound": Label("bound of the error of the dual variables"),
    "iterations": Label("Newton steps"),
    "converged": Label("whether the last Newton step was within rounding", None),
}


class Quantity(NamedTuple):
    """A function of one cell for `gsdyn.sweep`, with the `labels` and `coords` of its results."""

    fn: Callable[..., Results]
    labels: dict[str, Label]
    coords: dict[str, np.ndarray]


def optima(loss: Loss, penalty: MakePenalty) -> Quantity:
    """The fixed point of two features (P21-Eqs 9, 15): a function of `lam`, `delta`, `s1`, `s2`."""
    _require(loss, penalty)

    def optimum(lam: Array, delta: Array, s1: Array, s2: Array) -> Results:
        fp = fixed_point(FeatureBasis.rotation(s1, s2, delta), loss, penalty(lam))
        found = {name: getattr(fp, name) for name in CERTIFICATE}
        return {"alpha": fp.alpha, "z": fp.z, "margins": fp.margins, **found}

    labels = {
        "alpha": Label("dual variables alpha*", dims=("example",)),
        "z": Label("response at the optimum z*", dims=("feature",)),
        "margins": Label("margin at the optimum", dims=("example",)),
    }
    return Quantity(optimum, {**TWO_FEATURES, **CERTIFICATE, **labels}, _numbered("feature", "example"))


def starvation(loss: Loss, penalty: MakePenalty) -> Quantity:
    """The starvation matrix of two features (P21-Def2): a function of `lam`, `delta`, `s1`, `s2`."""
    _require(loss, penalty)

    def matrix(lam: Array, delta: Array, s1: Array, s2: Array) -> Results:
        basis = FeatureBasis.rotation(s1, s2, delta)
        fp = fixed_point(basis, loss, penalty(lam))
        return {
            "starvation": starvation_matrix(basis, fp),
            "z": fp.z,
            "error_bound": fp.error_bound,
            "converged": fp.converged,
        }

    labels = {
        **{name: TWO_FEATURES[name] for name in ("lam", "delta", "s1", "s2", "feature")},
        **{name: CERTIFICATE[name] for name in ("error_bound", "converged")},
        "strength_of": Label("feature whose strength is changed"),
        "starvation": Label("derivative of the response by the squared strength", dims=("feature", "strength_of")),
        "z": Label("response at the optimum z*", dims=("feature",)),
    }
    return Quantity(matrix, labels, _numbered("feature", "strength_of"))


def trajectories(loss: Loss, penalty: MakePenalty, times: ArrayLike) -> Quantity:
    """The dual flow of two features at `times` (P21-Eq9): a function of `lam`, `delta`, `s1`, `s2`."""
    _require(loss, penalty)
    ts = np.asarray(checked_times(times, "times"), float)

    def trajectory(lam: Array, delta: Array, s1: Array, s2: Array) -> Results:
        flow = DualFlow(FeatureBasis.rotation(s1, s2, delta), loss, penalty(lam))
        path = integrate(flow, jnp.asarray(ts))
        return {"alpha": path.alpha, "z": path.z, "succeeded": path.succeeded}

    labels = {
        **TWO_FEATURES,
        "time": Label("learning rate times steps"),
        "alpha": Label("dual variables", dims=("time", "example")),
        "z": Label("responses", dims=("time", "feature")),
        "succeeded": Label("whether every time was reached", None),
    }
    return Quantity(trajectory, labels, {**_numbered("feature", "example"), "time": ts})


def mode_times(loss: Loss) -> Quantity:
    """When one mode of learning is confident (C18-Thm3.2, Eq4): a function of `norm`, `depth`, `u0`, `confidence`."""
    _checks.instance("loss", loss, Loss)

    def mode_time(norm: Array, depth: Array, u0: Array, confidence: Array) -> Results:
        mode = Mode(norm, depth=depth, loss=loss, u0=u0)
        return {"time": mode.time_to_confidence(confidence)}

    labels = {
        "norm": Label("norm of the input"),
        "depth": Label("depth of the network"),
        "u0": Label("logit at the start"),
        "confidence": Label("confidence to reach"),
        "time": Label("learning rate times steps until then"),
    }
    return Quantity(mode_time, labels, {})


def _require(loss: Loss, penalty: MakePenalty) -> None:
    _checks.instance("loss", loss, Loss)
    _checks.function("penalty", penalty)


def _numbered(*names: str) -> dict[str, Float[np.ndarray, " 2"]]:
    return {name: np.array([1, 2]) for name in names}
