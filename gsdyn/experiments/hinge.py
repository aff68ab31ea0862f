"""The hinge loss (C18-Thm4.1, C.2, Figs 4 right and 6): learning stops in finite time, by theory and by training."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array

from gsdyn import _checks
from gsdyn._progress import Progress, silent
from gsdyn.experiments import _relu_net as net
from gsdyn.experiments._datasets import labelled
from gsdyn.experiments._training_runs import check_steps, descend, descend_each, fitted_order, record_steps
from gsdyn.experiments.catalogue import HingeLoss
from gsdyn.losses import CrossEntropy, Hinge, Loss
from gsdyn.modes import HingePoints, Mode, TwoClasses
from gsdyn.training import BinaryObjective

CURVES = ((0.01, 0.7), (0.2, 0.7), (0.01, 1.5), (0.2, 1.5))
"""`(c, r)` of the paper's Fig. 6."""
RECORDS = 120
LONG = 4000
"""Records of the runs from which times to a confidence are read."""
CONFIDENCES = np.concatenate([np.linspace(0.55, 0.95, 9), [0.97, 0.98, 0.985, 0.99]])
POINTS = np.array([[1.0, 0.0, 0.2], [0.6, 0.5, 0.0], [0.9, -0.3, 0.3], [0.4, 0.8, -0.1]])
"""Three training points with positive inner products, and one that is held out."""
LOSSES: dict[str, Loss] = {"hinge": Hinge(), "cross-entropy": CrossEntropy()}

NAMES = {
    "curve": "number of the curve",
    "c": "invariant c = y^2 - r^2 z^2",
    "norm": "norm of the input r",
    "time": "time, learning rate times steps",
    "learning_rate": "learning rate",
    "y": "pre-activation y by theory",
    "u": "logit u by theory",
    "y_trained": "pre-activation y of the trained network",
    "u_trained": "logit u of the trained network",
    "error": "largest error of u over the whole curve",
    "order": "fitted order of the error in the learning rate",
    "loss": "loss",
    "share": "share p of the class in the data",
    "confidence": "confidence in the right class",
    "learnt": "confidence by theory at a time",
    "learnt_trained": "confidence of the trained network at a time",
    "time_to": "time to a confidence by theory",
    "time_to_trained": "time to a confidence of the trained network",
    "input": "number of the input; the last is held out",
    "margin": "margin of an input by theory",
    "free_margin": "margin of an input as if no point ever stopped",
    "margin_trained": "margin of an input of the trained network",
    "points_error": "largest error of a margin over the whole curve, many points",
    "points_order": "fitted order of the error in the learning rate, many points",
    "stop": "time at which a training point reaches its margin",
}


def hinge(
    *,
    z0: float = HingeLoss.z0,
    u0: float = HingeLoss.u0,
    share: float = HingeLoss.share,
    horizon: float = 6.0,
    rate: float = HingeLoss.rate,
    halvings: int = HingeLoss.halvings,
    progress: Progress = silent,
) -> xr.Dataset:
    """Learning under hinge beside cross-entropy (C18-Thm4.1, Eq5, Eq25, C.2, Figs 4 and 6).

    - `z0`: output weight at the start of Fig. 6's curves, whose `(c, r)` are the paper's.
    - `u0`: logit at the start of both classes, of norm 1 and shares `share` and `1 - share`, where the losses are
      compared (Fig. 4).
    - `horizon`: of the curves. `rate`: the largest learning rate, which divides `horizon / 120`; it is halved
      `halvings` times, at least once.

    Returns a dataset with `y` and `u` (curve, time) beside those of trained networks (curve, learning_rate, time); the
    time to a confidence (loss, share, confidence), read as `(1 + u)/2` under hinge, beside that of trained networks;
    and the margins of many points (input, time), one of them held out (C.2). Raises `ValueError` for values outside
    their domain.
    """
    for name, value in (("z0", z0), ("u0", u0), ("horizon", horizon), ("rate", rate)):
        _checks.positive(name, value, ndim=0)
    if halvings < 1:
        raise ValueError(f"halvings must be at least 1, got {halvings}")
    times = horizon / RECORDS * np.arange(RECORDS + 1)
    check_steps(times, rate)
    rates = rate / 2.0 ** np.arange(halvings + 1)
    copies = _copies(share)
    progress("hinge", 0, 3)
    curves = _curves(z0, rates, times)
    progress("hinge", 1, 3)
    points = _points(rates, times)
    progress("hinge", 2, 3)
    compared = _compared(u0, copies, float(rates[-1]), 2 * times)
    progress("hinge", 3, 3)
    dataset = xr.merge([curves, points, compared], join="exact", compat="no_conflicts")
    dataset.attrs = {"title": "Learning under the hinge loss", "z0": z0, "u0": u0}
    return labelled(dataset, NAMES)


def _curves(z0: float, rates: np.ndarray, times: np.ndarray) -> xr.Dataset:
    c, r = np.array(CURVES).T
    y0 = np.sqrt(c + (r * z0) ** 2)
    mode = Mode(r[:, None], loss=Hinge(), y0=y0[:, None], z0=np.full((4, 1), z0))
    t = jnp.asarray(times)[None]
    y, u = np.asarray(mode.weights(t)[0]), np.asarray(mode.logit(t))
    weights = [jnp.asarray(y0 / r)[:, None, None], jnp.full((4, 1), z0)]
    data = (jnp.asarray(r)[:, None, None], jnp.ones((4, 1)))
    runs = []
    for rate in rates:
        run = descend_each(weights, HINGE, data, jnp.asarray(rate), record_steps(times, rate), _neuron)
        w, z = map(np.asarray, run.observed)
        runs.append((r[:, None] * w, r[:, None] * w * z))
    y_trained, u_trained = np.moveaxis(np.array(runs), (1, 2), (0, 1))
    error = np.abs(u_trained - u[:, None]).max(axis=2)
    over = ("curve", "learning_rate", "time")
    return xr.Dataset(
        {
            "y": (("curve", "time"), y),
            "u": (("curve", "time"), u),
            "y_trained": (over, y_trained),
            "u_trained": (over, u_trained),
            "error": (over[:2], error),
            "order": ("curve", fitted_order(rates, error)),
        },
        coords={
            "curve": np.arange(1, len(c) + 1),
            "c": ("curve", c),
            "norm": ("curve", r),
            "learning_rate": rates,
            "time": times,
        },
    )


HINGE = BinaryObjective(net.relu_net, Hinge())
HINGE_SUM = BinaryObjective(net.relu_net, Hinge(), mean=False)
OBJECTIVES = {name: BinaryObjective(net.relu_net, loss) for name, loss in LOSSES.items()}


def _neuron(params: net.Weights) -> tuple[Array, Array]:
    return params[0][0, 0], params[1][0]


def _points(rates: np.ndarray, times: np.ndarray) -> xr.Dataset:
    """C.2: one neuron on three points of one class, full batch; the sum over them learns at rate 1."""
    x = jnp.asarray(POINTS)
    w0, z0 = 0.15 * jnp.asarray([1.0, 0.2, 0.1]), 0.2
    mode = HingePoints(x[:3], w0, z0)
    t = jnp.asarray(times)[None]
    theory, free = (np.asarray(of(x[:, None], t)) for of in (mode.logit, mode.free_logit))
    data, observe = (x[:3], jnp.ones(3)), net.Margins(x, jnp.zeros(4, int))
    runs = []
    for rate in rates:
        steps = record_steps(times, rate)
        runs.append(np.asarray(descend([w0[None], jnp.full(1, z0)], HINGE_SUM, data, jnp.asarray(rate), steps, observe)
                               .observed).T)  # fmt: skip
    trained = np.moveaxis(np.array(runs), 0, 1)
    error = np.abs(trained - theory[:, None]).max(axis=(0, 2))
    return xr.Dataset(
        {
            "margin": (("input", "time"), theory),
            "free_margin": (("input", "time"), free),
            "margin_trained": (("input", "learning_rate", "time"), trained),
            "points_error": ("learning_rate", error),
            "points_order": ((), fitted_order(rates, error)),
            "stop": ("input", np.append(np.asarray(mode.stops), np.nan)),
        },
        coords={"input": np.arange(1, 5), "learning_rate": rates, "time": times},
    )


def _compared(u0: float, copies: tuple[int, int], rate: float, times: np.ndarray) -> xr.Dataset:
    """Both losses from one start: two classes of norm 1 whose copies make up the share."""
    share = copies[0] / sum(copies)
    labels = jnp.repeat(jnp.arange(2), jnp.asarray(copies), total_repeat_length=sum(copies))
    points = net.at_angle((1.0, 1.0), -0.3)
    z = np.sqrt(u0)
    weights = [net.rows(points, jnp.diag(jnp.full(2, z)) - 0.1 * (1 - jnp.eye(2))), jnp.asarray([z, -z])]
    learnt, trained, time_to, crossing = [], [], [], []
    for name, loss in LOSSES.items():
        mode = TwoClasses(share, (1.0, 1.0), loss=loss, u0=u0)
        learnt.append(mode.confidences(jnp.asarray(times)))
        time_to.append(mode.times_to_confidence(jnp.asarray(CONFIDENCES)))
        last = 1.02 * np.max(time_to[-1])
        steps = np.unique(np.round(np.linspace(0, last, LONG) / rate).astype(int))
        steps = np.union1d(steps, np.asarray(record_steps(times, rate)))
        run = descend(weights, OBJECTIVES[name], (points[labels], net.signs(labels)), jnp.asarray(rate),
                      jnp.asarray(steps), net.Margins(points, jnp.arange(2)))  # fmt: skip
        reached = np.asarray(mode.first.reading.of(run.observed)).T
        crossing.append([_first_time(curve, rate * steps) for curve in reached])
        trained.append(reached[:, np.searchsorted(steps, np.asarray(record_steps(times, rate)))])
    shares = [share, 1 - share]
    return xr.Dataset(
        {
            "learnt": (("loss", "share", "long_time"), np.array(learnt)),
            "learnt_trained": (("loss", "share", "long_time"), np.array(trained)),
            "time_to": (("loss", "share", "confidence"), np.array(time_to)),
            "time_to_trained": (("loss", "share", "confidence"), np.array(crossing)),
        },
        coords={"loss": list(LOSSES), "share": shares, "confidence": CONFIDENCES, "long_time": times},
    )


NAMES["long_time"] = NAMES["time"]


def _first_time(curve: np.ndarray, times: np.ndarray) -> np.ndarray:
    """When a curve first reaches each confidence, between records by a straight line."""
    top = np.maximum.accumulate(curve)
    after = np.searchsorted(top, CONFIDENCES)
    found = np.full(len(CONFIDENCES), np.nan)
    for i, (k, level) in enumerate(zip(after, CONFIDENCES, strict=True)):
        if 0 < k < len(times):
            part = (level - top[k - 1]) / (top[k] - top[k - 1])
            found[i] = times[k - 1] + part * (times[k] - times[k - 1])
    return found


def _copies(share: float) -> tuple[int, int]:
    """Numbers of examples of both classes, at most 100 in all, in that proportion."""
    _checks.require("share", share, "inside (0, 1)", lambda v: (v > 0) & (v < 1), ndim=0)
    for total in range(2, 101):
        first = round(share * total)
        if 0 < first < total and abs(first - share * total) < 1e-9 * total:
            return first, total - first
    raise ValueError(f"share must be a fraction with a denominator of at most 100, got {share}")
