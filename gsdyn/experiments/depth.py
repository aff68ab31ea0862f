"""Depth (C18-Eq4, Fig 3): the logit of deep ReLU networks with the paper's diagonal start, by theory and by training.

The paper lets the diagonal of every hidden layer be negative for neurons of the second class (appendix B). With a ReLU
between layers such a network gives 0 on that class for ever; `stated` shows it. The starts here are positive there,
and only the last layer is negative.
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array

from gsdyn import _checks
from gsdyn._progress import Progress, silent
from gsdyn.experiments import _relu_net as net
from gsdyn.experiments._datasets import labelled
from gsdyn.experiments._training_runs import check_steps, descend, fitted_order, record_steps
from gsdyn.experiments.catalogue import Depth
from gsdyn.modes import Mode
from gsdyn.training import BinaryObjective

CASES = ((4, 0.1), (4, 0.5), (8, 0.1), (3, 0.5))
"""`(N, r)`: those of the paper's figure, and one of depth 3."""
RECORDS = 100
OBJECTIVE = BinaryObjective(net.relu_net, mean=False)
"""The sum over one example of each class: both learn at rate 1."""
LABELS = jnp.arange(2)

NAMES = {
    "case": "number of the case",
    "depth": "depth N (N - 1 hidden layers)",
    "norm": "norm of the inputs r",
    "time": "time, learning rate times steps",
    "learning_rate": "learning rate",
    "point": "class of the input",
    "logit": "logit u by theory",
    "confidence": "confidence in the right class by theory",
    "margin": "margin of the trained network",
    "error": "largest relative error of the margin over both classes and the whole curve",
    "order": "fitted order of the error in the learning rate",
    "stated": "largest margin of the second class from the start that the paper states",
}


def depth(
    *,
    u0: float = Depth.u0,
    horizon: float = Depth.horizon,
    rate: float = Depth.rate,
    halvings: int = Depth.halvings,
    cases: tuple[tuple[int, float], ...] = CASES,
    progress: Progress = silent,
) -> xr.Dataset:
    """Logits and confidences of networks of any depth (C18-Eq4, Eq23, appendix B, Fig 3).

    - `u0`: the logit at the start, > 0, of the balanced start `y = r z_1 = ... = r z_(N-1)`.
    - `horizon`: how long to train. `rate`: the largest learning rate, which divides `horizon / 100`; it is halved
      `halvings` times, at least once.
    - `cases`: depths N >= 2 and norms r > 0.

    Networks have two neurons a layer, one for each class; every layer is trained in full. Returns a dataset with the
    theory's `logit` (case, time) beside `margin` (case, learning_rate, point, time), the largest relative `error` of
    the curve and its fitted `order`. Raises `ValueError` for values outside their domain.
    """
    for name, value in (("u0", u0), ("horizon", horizon), ("rate", rate)):
        _checks.positive(name, value, ndim=0)
    if halvings < 1:
        raise ValueError(f"halvings must be at least 1, got {halvings}")
    if any(n != int(n) or n < 2 for n, _ in cases):
        raise ValueError(f"cases must have whole depths of at least 2, got {cases}")
    times = horizon / RECORDS * np.arange(RECORDS + 1)
    check_steps(times, rate)
    rates = rate / 2.0 ** np.arange(halvings + 1)
    depths, norms = np.array(cases).T
    logit = np.asarray(Mode(norms[:, None], depths[:, None], u0=u0).logit(jnp.asarray(times)[None]))
    margins, stated = [], []
    for n, r in cases:
        progress("depth", len(margins), len(cases))
        start = _start(int(n), r, u0)
        margins.append([_trained(start, r, step, times) for step in rates])
        wrong = [start[0], *(jnp.diag(jnp.diag(z) * net.signs(LABELS)) for z in start[1:-1]), start[-1]]
        stated.append(np.abs(_trained(wrong, r, rates[0], times)[1]).max() if n > 2 else np.nan)
    progress("depth", len(cases), len(cases))
    margin = np.array(margins)
    error = np.max(np.abs(margin / logit[:, None, None] - 1), axis=(2, 3))
    dataset = xr.Dataset(
        {
            "logit": (("case", "time"), logit),
            "confidence": (("case", "time"), 1 / (1 + np.exp(-logit))),
            "margin": (("case", "learning_rate", "point", "time"), margin),
            "error": (("case", "learning_rate"), error),
            "order": ("case", fitted_order(rates, error)),
            "stated": ("case", np.array(stated)),
        },
        coords={
            "case": np.arange(1, len(cases) + 1),
            "depth": ("case", depths),
            "norm": ("case", norms),
            "learning_rate": rates,
            "point": [1, 2],
            "time": times,
        },
        attrs={"title": "Learning at depth N", "u0": u0},
    )
    return labelled(dataset, NAMES)


def _points(norm: float) -> Array:
    return net.at_angle((norm, norm), -0.3)


def _start(n: int, norm: float, u0: float) -> net.Weights:
    """The balanced diagonal start with logit `u0` on the first class and `-u0` on the second."""
    z = (u0 / norm) ** (1 / n)
    seen = jnp.diag(jnp.full(2, norm * z)) - 0.1 * norm * (1 - jnp.eye(2))
    hidden = [z * jnp.eye(2) for _ in range(n - 2)]
    return [net.rows(_points(norm), seen), *hidden, z * net.signs(LABELS)]


def _trained(start: net.Weights, norm: float, rate: float, times: np.ndarray) -> np.ndarray:
    """Margins of both classes, shape (2, T)."""
    points = _points(norm)
    data = (points, net.signs(LABELS))
    run = descend(start, OBJECTIVE, data, jnp.asarray(rate), record_steps(times, rate), net.Margins(points, LABELS))
    return np.asarray(run.observed).T
