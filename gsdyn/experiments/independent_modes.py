"""Lemma 3.1 and Theorem 3.2 seen in real training: two-layer ReLU networks whose classes learn independently.

Networks are trained by gradient descent and by SGD at ever smaller learning rates, on data and from starts that satisfy
H1-H3; the theory is evaluated from their starts alone. Time is learning rate times steps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import xarray as xr
from jaxtyping import Array

from gsdyn import _checks
from gsdyn._progress import Progress, silent
from gsdyn.experiments import _relu_net as net
from gsdyn.experiments._datasets import labelled
from gsdyn.experiments._separable import Case, cases
from gsdyn.experiments._training_runs import fitted_order
from gsdyn.experiments.catalogue import IndependentModes
from gsdyn.training import Batches, Drawn, FullBatch, Shuffled, Watch, train

BATCHES: Mapping[str, Batches] = {
    "full batch": FullBatch(),
    "SGD, shuffled epochs": Shuffled(),
    "SGD, drawn with replacement": Drawn(),
}
SPACING = 2
"""Steps between records at the largest learning rate."""

NAMES = {
    "case": "network and data",
    "claim": "the theory that describes it",
    "batches": "how a step gets its examples",
    "learning_rate": "learning rate",
    "seed": "seed of the start and of the sampling",
    "point": "number of the input",
    "time": "time, learning rate times steps",
    "label": "class of the input, from 1",
    "margin": "margin of the trained network",
    "theory": "margin by theory",
    "error": "largest relative error of the margin over inputs, seeds and the whole curve",
    "counted_error": "the same, with the theory at the times counted from the examples drawn",
    "drift": "largest change of an invariant r^2 (|w|^2 - |z|^2)",
    "kept": "whether active sets and signs were those of the start after every step",
    "order": "fitted order of the error in the learning rate",
    "counted_order": "fitted order of the error at counted times in the learning rate",
    "drift_order": "fitted order of the drift in the learning rate",
}


def independent_modes(
    *,
    rate: float = IndependentModes.rate,
    halvings: int = IndependentModes.halvings,
    horizon: float = IndependentModes.horizon,
    seeds: int = IndependentModes.seeds,
    norms: tuple[float, float] = (1.0, 1.2),
    fraction: float = 0.7,
    only: Sequence[str] | None = None,
    progress: Progress = silent,
) -> xr.Dataset:
    """Trained networks against the theory of independent modes (C18-Lemma 3.1, Thm 3.2, A.2, A.4, A.8).

    - `rate`: the largest learning rate; it is halved `halvings` times, at least once.
    - `horizon`: how long to train, in units of learning rate times steps.
    - `seeds`: how many random starts of every case.
    - `norms`, `fraction`: of the two classes' inputs, and the share of the first class.
    - `only`: the names of some cases; by default all of them.

    Returns a dataset with `margin` (case, batches, learning_rate, seed, point, time) beside `theory`, and over
    (case, batches, learning_rate) the largest relative `error` of the whole curve, the `drift` of the invariants, and
    whether active sets and signs were `kept` after every single step; `order` is fitted over learning rates.
    `counted_error` takes as a class's time the examples of it that were in fact drawn. Where the case has fewer points
    than another the entries are NaN. Raises `ValueError` for values outside their domain.
    """
    _checks.positive("rate", rate, ndim=0)
    _checks.positive("horizon", horizon, ndim=0)
    if halvings < 1 or seeds < 1:
        raise ValueError(f"halvings and seeds must be at least 1, got {halvings} and {seeds}")
    spacing = SPACING * rate
    if horizon < 4 * spacing:
        raise ValueError(f"horizon must be at least {4 * spacing:g} at this rate, got {horizon}")
    times = spacing * np.arange(round(horizon / spacing) + 1)
    rates = rate / 2.0 ** np.arange(halvings + 1)
    every = cases(norms, fraction)
    if only is not None:
        known = [case.name for case in every]
        if not only or not set(only) <= set(known):
            raise ValueError(f"only must name some of {known}, got {list(only)}")
        every = [case for case in every if case.name in only]
    runs: list[dict[str, np.ndarray]] = []
    keys = jax.random.split(jax.random.key(0), seeds)
    for done, case in enumerate(every):
        progress("independent modes", done, len(every))
        runs.append(_over_rates(case, rates, times, keys))
    progress("independent modes", len(every), len(every))
    return _dataset(every, runs, rates, times)


def _over_rates(case: Case, rates: np.ndarray, times: np.ndarray, keys: Array) -> dict[str, np.ndarray]:
    """All runs of one case; the axes are batches, learning rates, seeds, and then what each has of its own."""
    starts = _starts(case, keys)
    results = []
    for batches in BATCHES.values():
        for rate in rates:
            steps = jnp.asarray(np.round(times / rate).astype(int))
            results.append(_run(case, starts, batches, jnp.asarray(rate), steps, keys))
    found = jax.tree.map(lambda *x: np.stack(x), *results)
    counted = np.moveaxis(found["counted"], 0, 1)
    theory = np.moveaxis(np.asarray(case.theory(case, starts, jnp.asarray(counted))), 1, 0)
    found["counted"] = theory
    shape = (len(BATCHES), len(rates))
    found = {name: value.reshape(*shape, *value.shape[1:]) for name, value in found.items()}
    # a full batch has every class at its share exactly
    return {**found, "theory": found["counted"][0, 0]}


@eqx.filter_jit
def _starts(case: Case, keys: Array) -> net.Weights:
    return jax.vmap(lambda key: case.start(case, key))(keys)


@eqx.filter_jit
def _run(case: Case, starts: net.Weights, batches: Batches, rate: Array, steps: Array, keys: Array) -> dict[str, Array]:
    x, y = case.data
    classes = case.labels if case.classes > 2 else net.signs(case.labels)

    def one(weights: net.Weights, key: Array) -> dict[str, Array]:
        def update(state, params, batch):
            kept, counts = state
            kept = kept & (net.active(params, case.points) == case.sees).all()
            kept = kept & (jnp.sign(params[-1]) == jnp.sign(weights[-1])).all()
            return kept, counts + jnp.sum(batch[1][None, :] == classes[:, None], axis=1)

        def observe(params):
            return net.margins(params, case.points, case.labels), _invariants(case, params)

        run = train(
            weights, case.objective, (x, y), optax.sgd(rate), steps,
            observe=observe, batches=batches, key=key,
            watch=Watch((jnp.asarray(True), jnp.zeros(len(classes), int)), update),
        )  # fmt: skip
        margins, invariants = run.observed
        kept, counts = run.watched
        size = x.shape[0] if isinstance(batches, FullBatch) else 1
        return {
            "margin": margins.T,
            "counted": rate / size * counts.T.astype(float),
            "drift": jnp.max(jnp.abs(invariants - _invariants(case, weights)[None])),
            "kept": kept[-1],
        }

    return jax.vmap(one)(starts, keys)


def _invariants(case: Case, weights: net.Weights) -> Array:
    """`r^2 (|w|^2 - |z|^2)` of every neuron: for one point `y^2 - r^2 z^2` and a constant, `m y^2 - r^2 z^2` in A.8."""
    first, last = weights
    squares = jnp.sum(jnp.square(jnp.atleast_2d(last)), axis=0)
    return case.neuron_norms**2 * (jnp.sum(jnp.square(first), axis=1) - squares)


def _dataset(every: list[Case], runs: list[dict[str, np.ndarray]], rates: np.ndarray, times: np.ndarray) -> xr.Dataset:
    points = max(len(case.labels) for case in every)

    def padded(name: str) -> np.ndarray:
        """Over all cases, with NaN for the points that a case lacks."""
        return np.stack([_longer(run[name], points, -2) for run in runs])

    over = ("case", "batches", "learning_rate")
    margin, theory = padded("margin"), padded("theory")
    labels = np.stack([_longer(1.0 + np.asarray(case.labels), points, 0) for case in every])
    error = np.nanmax(np.abs(margin / theory[:, None, None] - 1), axis=(-3, -2, -1))
    counted = np.nanmax(np.abs(margin / padded("counted") - 1), axis=(-3, -2, -1))
    drift = np.stack([run["drift"].max(axis=-1) for run in runs])
    dataset = xr.Dataset(
        {
            "margin": ((*over, "seed", "point", "time"), margin),
            "theory": (("case", "seed", "point", "time"), theory),
            "error": (over, error),
            "counted_error": (over, counted),
            "drift": (over, drift),
            "kept": (over, np.stack([run["kept"].all(axis=-1) for run in runs])),
            "order": (over[:2], fitted_order(rates, error)),
            "counted_order": (over[:2], fitted_order(rates, counted)),
            "drift_order": (over[:2], fitted_order(rates, drift)),
        },
        coords={
            "case": [case.name for case in every],
            "claim": ("case", [case.claim for case in every]),
            "batches": list(BATCHES),
            "learning_rate": rates,
            "seed": np.arange(theory.shape[1]),
            "point": np.arange(1, points + 1),
            "label": (("case", "point"), labels),
            "time": times,
        },
        attrs={"title": "Independent modes of learning in trained two-layer ReLU networks"},
    )
    return labelled(dataset, NAMES)


def _longer(values: np.ndarray | Array, length: int, axis: int) -> np.ndarray:
    """`values` with NaN appended along an axis up to a length."""
    values = np.asarray(values)
    width = [(0, 0)] * values.ndim
    width[axis] = (0, length - values.shape[axis])
    return np.pad(values, width, constant_values=np.nan)
