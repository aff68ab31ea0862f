"""Generators on eight Gaussians: does the discriminator's loss decide how many modes they cover (C18 section 6)?"""

from __future__ import annotations

import functools
from pathlib import Path

import jax
import numpy as np
import xarray as xr

from gsdyn import _checks
from gsdyn._progress import Progress, silent
from gsdyn.data import ring, ring_centres
from gsdyn.experiments import _gan_runs as runs_of
from gsdyn.experiments._datasets import labelled
from gsdyn.experiments._kept import folder_of, kept
from gsdyn.experiments.catalogue import Gan

SHOWN = 500
"""How many samples of every pair are kept in the dataset."""

NAMES = {
    "loss": "loss of the discriminator",
    "seed": "number of the pair of networks",
    "step": "steps of the generator",
    "shown_step": "steps of the generator",
    "sample": "number of the sample",
    "axis": "coordinate",
    "covered": "modes with a sample within three widths",
    "good": "share of samples within three widths of a mode",
    "divergence": "Jensen-Shannon divergence from even shares of the modes (nats)",
    "samples": "generated points",
    "data": "points of the data",
    "centres": "centres of the modes",
    "mode": "number of the mode",
}


def gan(
    *,
    seeds: int = Gan.seeds,
    steps: int = Gan.steps,
    records: int = Gan.records,
    batch: int = Gan.batch,
    discriminator_steps: int = Gan.discriminator_steps,
    width: float = Gan.width,
    runs: str | Path | None = None,
    progress: Progress = silent,
) -> xr.Dataset:
    """Coverage of eight Gaussians on the unit circle by generators trained against two losses of the discriminator.

    Generator and discriminator have four hidden layers of 256 ReLU; noise of 128 normal numbers; Adam with rate 1e-4,
    (0.5, 0.9), so many steps of the discriminator and one of the generator in turn. Against cross-entropy the generator
    minimises `log(1 + e^(-D))` (the usual form, which does not saturate), against the hinge `max(0, 1 - y D)` it
    minimises `-D`.

    - `seeds`: pairs of networks for each loss, at least 1. `steps`, `records`: steps of the generator, and how often
      on the way it is judged on 2,500 samples; `records` divides `steps`.
    - `batch`: points a step, at least 1. `discriminator_steps`: to every step of the generator, at least 1. `width`:
      the standard deviation of each Gaussian, > 0. C18 states none of the three.
    - `runs`: a folder in which every run is kept, so that an interrupted experiment goes on where it was.

    Returns a dataset with `covered`, `good` and `divergence` (loss, seed, step) and `samples` (loss, seed, shown_step,
    sample, axis) at four steps. Raises `ValueError` for values outside their domain.

    Reference: C18 section 6 and appendix E.
    """
    seeds = _checks.integer("seeds", seeds, 1)
    given = {"steps": steps, "records": records, "batch": batch, "discriminator_steps": discriminator_steps}
    whole = {name: _checks.integer(name, value, 1) for name, value in given.items()}
    plan = runs_of.Plan(**whole, width=float(_checks.positive("width", width, ndim=0)))
    if plan.steps % plan.records:
        raise ValueError(f"records must divide the {plan.steps} steps, got {plan.records}")
    folder = folder_of(runs, "gan")
    shown = sorted({max(1, round(plan.records * share)) - 1 for share in (0.05, 0.2, 0.5, 1.0)})
    pairs: list[tuple[runs_of.Loss, int]] = [(loss, seed) for seed in range(seeds) for loss in runs_of.LOSSES]
    found: dict[tuple[str, int], dict[str, np.ndarray]] = {}
    for done, (loss, seed) in enumerate(pairs):
        progress("gan", done, len(pairs))
        name = f"{loss}-{plan.discriminator_steps}-{plan.batch}-{plan.width:g}-{seed}.npz"
        settings = {"loss": loss, "seed": seed, **plan._asdict()}
        compute = functools.partial(_seen, loss, seed, plan, shown)
        found[loss, seed] = kept(None if folder is None else folder / name, settings, compute)
    progress("gan", len(pairs), len(pairs))
    return _dataset(found, seeds, plan, shown)


def _seen(loss: runs_of.Loss, seed: int, plan: runs_of.Plan, shown: list[int]) -> dict[str, np.ndarray]:
    seen = runs_of.run(loss, seed, plan)
    return {**seen._asdict(), "samples": seen.samples[shown, :SHOWN]}


def _dataset(
    found: dict[tuple[str, int], dict[str, np.ndarray]], seeds: int, plan: runs_of.Plan, shown: list[int]
) -> xr.Dataset:
    over = {
        "covered": ("step",),
        "good": ("step",),
        "divergence": ("step",),
        "samples": ("shown_step", "sample", "axis"),
    }
    values = {
        name: (
            ("loss", "seed", *axes),
            np.stack([[found[loss, seed][name] for seed in range(seeds)] for loss in runs_of.LOSSES]),
        )
        for name, axes in over.items()
    }
    dataset = xr.Dataset(
        {
            **values,
            "data": (("sample", "axis"), np.asarray(ring(SHOWN, jax.random.key(0), width=plan.width))),
            "centres": (("mode", "axis"), np.asarray(ring_centres())),
        },
        coords={
            "loss": list(runs_of.LOSSES),
            "seed": np.arange(seeds),
            "step": plan.at,
            "shown_step": plan.at[shown],
            "axis": ["x1", "x2"],
        },
        attrs={"title": "Eight Gaussians and the loss of the discriminator", "data": "synthetic", **plan._asdict()},
    )
    return labelled(dataset, NAMES)
