"""Two moons (P21 section 4.1, Fig 1): the decision boundary that cross-entropy finds, and that of spectral decoupling.

Networks are trained in single precision.
"""

from __future__ import annotations

from pathlib import Path

import jax
import numpy as np
import xarray as xr

from gsdyn._progress import Progress, silent
from gsdyn.experiments._datasets import labelled
from gsdyn.experiments._kept import folder_of
from gsdyn.experiments._moon_runs import GRID, RATE, Judged, Variant, check, each_run, judged, trained
from gsdyn.experiments.catalogue import Moons

DECOUPLING = 0.003
VARIANTS = tuple(
    Variant(f"{method} {margin:+g}", margin=margin, decoupling=coefficient)
    for margin in (-0.1, 0.1)
    for method, coefficient in (("ERM", 0.0), ("SD", DECOUPLING))
)

NAMES = {
    "variant": "way of training and margin of the data along the first coordinate",
    "step": "steps of gradient descent",
    "seed": "seed of data and start",
    "steps_taken": "steps that a variant has taken then",
    "first": "first coordinate",
    "second": "second coordinate",
    "example": "number of the example",
    "coordinate": "coordinate of the inputs",
    "logit": "logit, mean over seeds",
    "logit_spread": "standard deviation of the logit over seeds",
    "margin": "signed distance of every example to the decision boundary",
    "mean_margin": "mean margin in input space",
    "least_margin": "least margin in input space",
    "accuracy": "accuracy on the training data",
    "loss": "mean cross-entropy on the training data",
    "runs": "number of networks trained",
    "input": "inputs of the first seed",
    "label": "labels of the first seed",
}


def moons(
    *, seeds: int = Moons.seeds, steps: int = Moons.steps, runs: str | Path | None = None, progress: Progress = silent
) -> xr.Dataset:
    """Decision boundaries on the two moons, separable by one coordinate (margin +0.1) or just not (-0.1).

    A network of 500 ReLU, full-batch gradient descent at rate 0.01 with momentum 0.9 on the mean cross-entropy;
    spectral decoupling adds 0.003 times the mean squared logit. Judged after a tenth of `steps` and after all.

    - `seeds`: how many; each has its own data and start. `steps`: at least 1.
    - `runs`: a folder in which every run is kept, so that an interrupted experiment goes on where it was.

    Returns a dataset with the `logit` on [-2, 2]^2 (variant, step, first, second) and the margins in input space.
    """
    check(seeds, steps)
    at = sorted({max(1, steps // 10), steps})
    folder = folder_of(runs, "moons")

    def one(variant: Variant, seed: int) -> list[Judged]:
        run = trained(variant, seed, at, _weights, folder)
        networks = (jax.tree.map(lambda part, i=i: part[i], run.observed) for i in range(len(at)))
        return [judged(variant, seed, step, params, folder) for step, params in zip(at, networks, strict=True)]

    return boundaries(VARIANTS, at, each_run("moons", VARIANTS, seeds, progress, one), "Two moons")


def _weights(params):
    return params


def boundaries(
    variants: tuple[Variant, ...], at: list[int], results: list[list[list[Judged] | None]], title: str
) -> xr.Dataset:
    """The dataset of judged networks (variant, seed, step), NaN where there is None."""
    first = next(run for run in results[0] if run is not None)
    missing = [Judged(*(np.full_like(part, np.nan) for part in judged)) for judged in first]
    known = [[missing if run is None else run for run in runs] for runs in results]

    def gather(name: str) -> np.ndarray:
        """One of the judgements, (variant, step, seed, ...)."""
        return np.array([[[getattr(judged, name) for judged in run] for run in runs] for runs in known]).swapaxes(1, 2)

    grid, margin = gather("grid"), gather("margin")
    over, plane = ("variant", "step", "seed"), ("variant", "step", "first", "second")
    dataset = xr.Dataset(
        {
            "logit": (plane, np.nanmean(grid, axis=2)),
            "logit_spread": (plane, xr.DataArray(grid).std("dim_2", ddof=1).values),
            "margin": ((*over, "example"), margin),
            "mean_margin": (over, margin.mean(axis=-1)),
            "least_margin": (over, margin.min(axis=-1)),
            "accuracy": (over, gather("accuracy")),
            "loss": (over, gather("loss")),
            "steps_taken": (("variant", "step"), np.outer([v.longer for v in variants], at)),
            "runs": ("variant", np.array([sum(run is not None for run in runs) for runs in results])),
            "input": (("variant", "example", "coordinate"), np.array([v.data(0)[0] for v in variants])),
            "label": (("variant", "example"), np.array([v.data(0)[1] for v in variants])),
        },
        coords={
            "variant": [v.name for v in variants],
            "step": at,
            "seed": np.arange(margin.shape[2]),
            "first": GRID,
            "second": GRID,
            "example": np.arange(1, margin.shape[-1] + 1),
            "coordinate": [1, 2],
        },
        attrs={"title": title, "learning_rate": RATE, "training_precision": "float32"},
    )
    return labelled(dataset, NAMES)
