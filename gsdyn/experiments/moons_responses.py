"""Responses on the two moons (P21 Fig 2): which features a network learns, with and without spectral decoupling.

Networks are trained in single precision; features come from the NTK at the start in double.
"""

from __future__ import annotations

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array, Float

from gsdyn._progress import Progress, silent
from gsdyn.experiments import _moon_nets as nets
from gsdyn.experiments._datasets import labelled
from gsdyn.experiments._kept import folder_of
from gsdyn.experiments._moon_runs import PLAIN, Variant, check, each_run, trained
from gsdyn.experiments.catalogue import MoonsResponses
from gsdyn.features import FeatureBasis
from gsdyn.training import Responses

DECAY, DECOUPLING = 2e-4, 0.003
FEATURES, FOLLOWED, RECORDS = 10, (2, 7), 200
"""The paper follows the second and the seventh feature."""
VARIANTS = tuple(
    Variant(f"{method} {margin:+g}", margin=margin, decay=DECAY, decoupling=coefficient)
    for margin in (-0.1, 0.1)
    for method, coefficient in (("ERM", 0.0), ("SD", DECOUPLING))
)

NAMES = {
    "variant": "way of training and margin of the data along the first coordinate",
    "step": "steps of gradient descent",
    "seed": "seed of data and start",
    "feature": "number of the feature, strongest first",
    "response": "response of the feature, counted from the start",
    "raw_response": "response of the feature with the outputs of the start in it",
    "strength": "strength of the feature at the start",
}


def moons_responses(
    *,
    seeds: int = MoonsResponses.seeds,
    steps: int = MoonsResponses.steps,
    runs: str | Path | None = None,
    progress: Progress = silent,
) -> xr.Dataset:
    """Responses of the ten strongest features of the NTK at the start (P21-Eq2, Def1, Eq4) along training.

    At the settings of `moons`, with the weight decay 2e-4 of the paper for all.

    - `seeds`: how many; each has its own data and start. `steps`: at least 1.
    - `runs`: a folder in which every run is kept, so that an interrupted experiment goes on where it was.

    Returns a dataset with the `response` of every feature (variant, seed, step, feature), as the theory counts it from
    the start, and the `raw_response`, whose size is what the paper draws.
    """
    check(seeds, steps)
    at = np.unique(np.concatenate([[0], np.geomspace(1, steps, RECORDS).round()])).astype(int)
    folder = folder_of(runs, "moons_responses")

    def one(variant: Variant, seed: int) -> tuple[np.ndarray, np.ndarray]:
        x, y = variant.data(seed)
        basis = start_features(variant.start(seed), x, y)
        count = Responses(PLAIN, jnp.asarray(basis.U[:, :FEATURES], jnp.float32), x, y, jnp.zeros_like(y))
        run = trained(variant, seed, [int(step) for step in at], count, folder)
        return np.asarray(run.observed), np.asarray(basis.s[:FEATURES])

    results = each_run("moons-responses", VARIANTS, seeds, progress, one)
    raw = np.array([[response for response, _ in runs] for runs in results])
    dataset = xr.Dataset(
        {
            "response": (("variant", "seed", "step", "feature"), raw - raw[:, :, :1]),
            "raw_response": (("variant", "seed", "step", "feature"), raw),
            "strength": (("variant", "seed", "feature"), np.array([[s for _, s in runs] for runs in results])),
        },
        coords={
            "variant": [v.name for v in VARIANTS],
            "seed": np.arange(seeds),
            "step": at,
            "feature": np.arange(1, raw.shape[-1] + 1),
        },
        attrs={"title": "Responses on two moons", "training_precision": "float32", "followed": list(FOLLOWED)},
    )
    return labelled(dataset, NAMES)


def start_features(
    layers: nets.Weights | nets.Normalised, x: Float[Array, "n 2"], y: Float[Array, " n"]
) -> FeatureBasis:
    """The features of a network's NTK, with the Jacobian of its outputs in the default precision."""
    wide = jax.tree.map(lambda part: part.astype(float), layers)
    jacobian = jax.jacrev(nets.logits)(wide, x.astype(float))
    phi = jnp.concatenate([part.reshape(len(x), -1) for part in jax.tree.leaves(jacobian)], axis=1)
    return FeatureBasis.from_kernel(phi @ phi.T, y.astype(float))
