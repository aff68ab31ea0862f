"""The theory in one figure (P21 appendix B.1, Fig 6): primal and dual dynamics, and spectral decoupling."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array, Float

from gsdyn import _checks
from gsdyn._progress import Progress, silent
from gsdyn.experiments._datasets import labelled
from gsdyn.experiments._training_runs import descend
from gsdyn.experiments.catalogue import TheoryInOneFigure
from gsdyn.features import FeatureBasis
from gsdyn.fixed_points import fixed_point
from gsdyn.flows import DualFlow, PrimalFlow
from gsdyn.integration import integrate
from gsdyn.losses import CrossEntropy
from gsdyn.penalties import Penalty, SpectralDecoupling, WeightDecay
from gsdyn.training import BinaryObjective, Penalised, Responses

LOSS = CrossEntropy()
STRENGTHS = (2.0, 3.0, 4.0, 5.0, 6.0)
S2, RECORDS, CONTRACTED = 2.0, 150, 12.0
ALPHA0 = 1e-8
"""Where the dual flow starts: the dual variables whose responses vanish, as the primal ones do."""
METHODS = ("primal, weight decay", "dual, weight decay", "primal, spectral decoupling")
RATE = 0.02

NAMES = {
    "method": "dynamics and penalty",
    "s1": "strength of feature 1",
    "feature": "number of the feature",
    "record": "number of the record",
    "time": "time, learning rate times steps",
    "z": "response",
    "end": "response at the fixed point",
    "distance": "distance of the flow's last responses from the fixed point",
    "trained": "response of the linear network trained by gradient descent",
    "trained_error": "largest distance of the trained responses from the flow's",
}


def theory_in_one_figure(
    *,
    lam: float = TheoryInOneFigure.lam,
    decoupling: float = TheoryInOneFigure.decoupling,
    delta: float = TheoryInOneFigure.delta,
    strengths: tuple[float, ...] = STRENGTHS,
    progress: Progress = silent,
) -> xr.Dataset:
    """Responses of two points and two features (P21-Eq15) from zero to their fixed points, as feature 1 grows.

    - `lam`: weight decay, > 0. `decoupling`: the strength of spectral decoupling alone, > 0.
    - `delta`: overlap of the features, in [0, 1). `strengths`: of feature 1, > 0; that of feature 2 is 2.

    Returns a dataset with the responses `z` (method, s1, record, feature) along the primal flow, the dual flow
    (P21-Eq9) and the primal flow of spectral decoupling, the fixed points `end`, and the responses of a linear network
    `trained` by gradient descent on its two weights.
    """
    _checks.positive("lam", lam, ndim=0)
    _checks.positive("decoupling", decoupling, ndim=0)
    _checks.positive("strengths", jnp.asarray(strengths), ndim=1)
    penalties = (WeightDecay(lam), WeightDecay(lam), SpectralDecoupling(decoupling))
    slowest = (lam, 1.0, decoupling * min(S2, *strengths) ** 2)
    last = [np.ceil(CONTRACTED / rate / RATE) for rate in slowest]
    steps = np.array([np.concatenate([[0], np.geomspace(1, count, RECORDS - 1)]).round() for count in last])
    times = RATE * steps
    paths, ends, trained = [], [], []
    for s1 in strengths:
        progress("theory in one figure", len(paths), len(strengths))
        basis = FeatureBasis.rotation(s1, S2, delta)
        flows = [PrimalFlow(basis, LOSS, penalties[0]), DualFlow(basis, LOSS, penalties[1], alpha0=ALPHA0),
                 PrimalFlow(basis, LOSS, penalties[2])]  # fmt: skip
        paths.append([integrate(f, t, rtol=1e-9, atol=1e-11).z for f, t in zip(flows, times, strict=True)])
        ends.append([fixed_point(basis, LOSS, penalty).z for penalty in penalties])
        decayed, decoupled = (_trained(basis, penalties[k], steps[k]) for k in (0, 2))
        trained.append([decayed, jnp.full_like(decayed, jnp.nan), decoupled])
    progress("theory in one figure", len(paths), len(strengths))
    z, end, run = (np.array(part).swapaxes(0, 1) for part in (paths, ends, trained))
    over = ("method", "s1", "record", "feature")
    dataset = xr.Dataset(
        {
            "z": (over, z),
            "end": (("method", "s1", "feature"), end),
            "distance": (("method", "s1"), np.abs(z[:, :, -1] - end).max(axis=-1)),
            "trained": (over, run),
            "trained_error": (("method", "s1"), np.abs(run - z).max(axis=(2, 3))),
        },
        coords={
            "method": list(METHODS),
            "s1": list(strengths),
            "feature": [1, 2],
            "record": np.arange(RECORDS),
            "time": (("method", "record"), times),
        },
        attrs={"title": "The theory in one figure", "lam": lam, "decoupling": decoupling, "delta": delta, "s2": S2,
               "learning_rate": RATE},
    )  # fmt: skip
    return labelled(dataset, NAMES)


def _linear(theta: Float[Array, " m"], phi: Float[Array, "n m"]) -> Float[Array, " n"]:
    return phi @ theta


OBJECTIVE = BinaryObjective(_linear, mean=False)


def _trained(basis: FeatureBasis, penalty: Penalty, steps: np.ndarray) -> Array:
    """Responses (T, 2) of the linear network `yhat = Phi theta` (P21-Eq3) with `Phi = U S`, both labels +1."""
    phi, y = basis.U * basis.s[None, :], jnp.ones(2)
    objective = Penalised(OBJECTIVE, penalty)
    look = Responses(OBJECTIVE, basis.U, phi, y, jnp.zeros(2))
    return descend(
        jnp.zeros(2), objective, objective.columns(phi, y), jnp.asarray(RATE), jnp.asarray(steps, int), look
    ).observed
