"""A frequent feature starves a rare one (C18-§5, D, Figs 5 and 7, Table 1): bounds, Eq. 7 integrated, and training."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array

from gsdyn import _checks
from gsdyn._progress import Progress, silent
from gsdyn.experiments import _relu_net as net
from gsdyn.experiments import catalogue
from gsdyn.experiments._datasets import labelled
from gsdyn.experiments._training_runs import descend_each
from gsdyn.modes import RareFeature, rare_feature_bound
from gsdyn.training import BinaryObjective

FRACTIONS = (0.5, 0.2, 0.1, 0.01)
EXAMPLES = 100
RECORDS = 160
TABLE = (0.01, 0.0001)
"""One less the confidence on the data of the paper's Table 1."""
STARTS = ("b0 = q a0", "b0 = a0")

NAMES = {
    "start": "start of the rare feature's weight",
    "fraction": "share q of the examples that have the rare feature",
    "eps": "one less the confidence on the data",
    "confidence": "confidence on the data",
    "bound": "bound of the confidence on the rare feature alone (Thm 5.1, or D.2 where b0 > q a0)",
    "simple_bound": "bound of Thm 5.1",
    "paper_bound": "bound of Thm D.2 with z_T = a_T, as the paper draws it",
    "integrated": "confidence on the rare feature alone, Eq. 7 integrated",
    "looseness": "bound less the integrated confidence",
    "table_eps": "one less the confidence on the data in Table 1",
    "table_bound": "bound of Thm 5.1 (Table 1), or D.2 where b0 > q a0",
    "table_integrated": "confidence on the rare feature alone, Eq. 7 integrated",
    "table_trained": "confidence on the rare feature alone of the trained network",
    "time": "time of the first class, learning rate times steps times its share",
    "data_trained": "confidence of the trained network on the example it is least sure of",
    "rare_trained": "confidence of the trained network on the rare feature alone",
    "error": "largest error of a logit of the trained network against Eq. 7",
    "violation": "largest excess of the trained confidence on the rare feature over the bound",
}


def rare_feature(
    *,
    a0: float = catalogue.RareFeature.a0,
    z0: float = catalogue.RareFeature.z0,
    fractions: tuple[float, ...] = FRACTIONS,
    rate: float = catalogue.RareFeature.rate,
    smallest: float = 1e-4,
    progress: Progress = silent,
) -> xr.Dataset:
    """What a network learns of a feature that only a fraction of a class has (C18-Eq6, Eq7, Thm 5.1, Thm D.2, Table 1).

    - `a0`, `z0`: the frequent feature's weight and the output weight at the start; the rare feature's is `q a0`, where
      Thm 5.1 holds, or `a0`, the fair start of appendix D.
    - `fractions`: q, whole hundredths. `rate`: learning rate. `smallest`: the least `eps = 1 - confidence` on the data.

    Networks are trained on 100 examples of the class and as many of another one that is orthogonal to both features.
    Returns a dataset with the bounds and the `integrated` confidence (start, fraction, eps), and along training (start,
    fraction, time) the confidence on the data and on the rare feature alone. Raises `ValueError` for values outside
    their domain.
    """
    for name, value in (("a0", a0), ("z0", z0), ("rate", rate)):
        _checks.positive(name, value, ndim=0)
    _checks.require("smallest", smallest, "inside (0, 0.01]", lambda v: (v > 0) & (v <= 0.01), ndim=0)
    q = np.asarray(fractions, float)
    counts = np.round(q * EXAMPLES).astype(int)
    if (counts < 1).any() or (counts >= EXAMPLES).any() or (np.abs(counts / EXAMPLES - q) > 1e-9).any():
        raise ValueError(f"fractions must be whole hundredths between 0 and 1, got {fractions}")
    b0 = np.stack([q * a0, np.full_like(q, a0)])
    progress("rare feature", 0, 3)
    modes = RareFeature(q[None, :, None], a0, b0[:, :, None], z0)
    eps = np.geomspace(min(0.45, 0.9 * (1 / (1 + np.exp(a0 * z0)))), smallest, 60)
    curve = _by_theory(modes, eps)
    progress("rare feature", 1, 3)
    stop = float(np.asarray(modes.stop(smallest).t).max())
    steps = np.unique(np.round(np.geomspace(1, 2.04 * stop / rate, RECORDS)).astype(int))
    steps = np.append(0, steps)
    trained = _trained(counts, a0, b0, z0, rate, steps)
    times = rate * steps / 2
    progress("rare feature", 2, 3)
    dataset = _dataset(q, eps, times, curve, trained, modes)
    progress("rare feature", 3, 3)
    dataset.attrs = {"title": "A rare feature starved by a frequent one", "a0": a0, "z0": z0, "rate": rate}
    return labelled(dataset, NAMES)


def _by_theory(modes: RareFeature, eps: np.ndarray) -> dict[str, np.ndarray]:
    e = jnp.asarray(eps)[None, None]
    stop = modes.stop(e)
    bound, simple, holds = _bounds(modes, e)
    drawn = modes.relaxed_bound(e, z_stop=jnp.sqrt(jnp.log1p(-e) - jnp.log(e)))
    return {
        "bound": bound,
        "simple_bound": simple,
        "paper_bound": np.where(holds, simple, drawn),
        "integrated": np.asarray(stop.rare),
        "looseness": bound - np.asarray(stop.rare),
    }


def _bounds(modes: RareFeature, eps: Array) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The bound that applies (Thm 5.1 or D.2), that of Thm 5.1, and where it is the one."""
    relaxed = np.asarray(modes.relaxed_bound(eps))
    simple = np.broadcast_to(rare_feature_bound(modes.fraction, eps), relaxed.shape)
    holds = np.asarray(modes.fraction * modes.a0 >= modes.b0)
    return np.where(holds, simple, relaxed), simple, holds


OBJECTIVE = BinaryObjective(net.relu_net)
PROBES = jnp.asarray([[1.0, 0.0, 0.0], [1.0, 1.0, 0.0], [0.0, 1.0, 0.0]])
"""The frequent feature alone, both, and the rare one alone."""


def _observe(params: net.Weights) -> Array:
    return net.relu_net(params, PROBES)


def _trained(counts: np.ndarray, a0: float, b0: np.ndarray, z0: float, rate: float, steps: np.ndarray) -> np.ndarray:
    """Logits on the probes, shape (start, fraction, probe, T)."""
    starts, fractions = b0.shape
    has = np.arange(EXAMPLES)[None, :] < counts[:, None]
    x = np.zeros((fractions, 2 * EXAMPLES, 3))
    x[:, :EXAMPLES, 0], x[:, :EXAMPLES, 1], x[:, EXAMPLES:, 2] = 1.0, has, 1.0
    y = np.repeat([1.0, -1.0], EXAMPLES)
    first = np.zeros((starts, fractions, 2, 3))
    first[..., 0, 0], first[..., 0, 1], first[..., 1, 2] = a0, b0, a0
    count = starts * fractions
    data = (jnp.asarray(np.tile(x, (starts, 1, 1))), jnp.asarray(np.tile(y, (count, 1))))
    weights = [jnp.asarray(first.reshape(count, 2, 3)), jnp.asarray(np.tile([z0, -z0], (count, 1)))]
    run = descend_each(weights, OBJECTIVE, data, jnp.asarray(rate), jnp.asarray(steps), _observe)
    return np.moveaxis(np.asarray(run.observed), 1, 2).reshape(starts, fractions, 3, len(steps))


def _dataset(
    q: np.ndarray,
    eps: np.ndarray,
    times: np.ndarray,
    curve: dict[str, np.ndarray],
    trained: np.ndarray,
    modes: RareFeature,
) -> xr.Dataset:
    common, both, rare = np.moveaxis(trained, 2, 0)
    numbers = RareFeature(*(v[..., 0] for v in (modes.fraction, modes.a0, modes.b0, modes.z0)))
    state = numbers.integrate(jnp.asarray(times))
    a, b, z = (np.asarray(v) for v in (state.a, state.b, state.z))
    theory = np.stack([z * a, z * (a + b), z * b], axis=2)
    data = np.minimum(common, both)
    # the bound at the confidence that the network has on its data
    allowed = q[None, :, None] * data + np.abs(z) * np.maximum(b[..., :1] - q[None, :, None] * a[..., :1], 0)
    table = np.asarray(TABLE)
    e = jnp.asarray(table)[None, None]
    level = np.log1p(-table) - np.log(table)
    met = np.array([[np.interp(level, data[i, j], rare[i, j]) for j in range(len(q))] for i in range(len(STARTS))])
    over = ("start", "fraction")
    return xr.Dataset(
        {
            **{name: ((*over, "eps"), value) for name, value in curve.items()},
            "table_bound": ((*over, "table_eps"), _bounds(modes, e)[0]),
            "table_integrated": ((*over, "table_eps"), np.asarray(modes.stop(e).rare)),
            "table_trained": ((*over, "table_eps"), _sigma(met)),
            "data_trained": ((*over, "time"), _sigma(data)),
            "rare_trained": ((*over, "time"), _sigma(rare)),
            "error": (over, np.abs(trained - theory).max(axis=(2, 3))),
            "violation": (over, np.max(_sigma(rare) - _sigma(allowed), axis=2)),
        },
        coords={
            "start": list(STARTS),
            "fraction": q,
            "eps": eps,
            "confidence": ("eps", 1 - eps),
            "table_eps": table,
            "time": times,
        },
    )


def _sigma(u: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-u))
