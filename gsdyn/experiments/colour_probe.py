"""The colour probe (P21 section 4.3): what the networks of coloured digits make of four versions of the test images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xarray as xr

from gsdyn._progress import Progress, silent
from gsdyn.experiments._colour_runs import MEASURES, ROWS, SOURCES
from gsdyn.experiments._datasets import labelled
from gsdyn.experiments.catalogue import ColourProbe
from gsdyn.experiments.colour_digits import authors_courses, authors_stop, task_of

VARIANTS = {"gray digit": "gray digit", "colour digit": "test, all", "gray blank": "gray blank",
            "colour blank": "colour blank"}  # fmt: skip
"""The row of what was measured for each of the four."""

NAMES = {
    "run": "method of training",
    "seed": "seed of images, colours and networks",
    "variant": "version of the test images",
    "accuracy": "share of right decisions",
    "entropy": "mean entropy of the predictions, in nats",
}


def colour_probe(
    *,
    seeds: int = ColourProbe.seeds,
    source: str = "mnist",
    train: int = 4000,
    test: int = 1000,
    pace: int = 1,
    runs: str | Path | None = None,
    progress: Progress = silent,
) -> xr.Dataset:
    """Accuracy and mean entropy of every method on gray and coloured digits, and on gray and coloured blanks.

    The networks are those of `colour_digits` at the authors' settings, where the authors stop; the arguments are its
    own, and runs that it kept are not done again. Returns a dataset with `accuracy` and `entropy` (run, seed, variant).
    """
    task = task_of(seeds, source, train, test, pace, runs)
    courses = authors_courses(task, seeds, progress)
    rows = [ROWS.index(row) for row in VARIANTS.values()]
    at_stop = np.array(
        [
            [course.measured[authors_stop(task, name, course)][:, rows] for course in of_run]
            for name, of_run in courses.items()
        ]
    )
    dims = ("run", "seed", "variant")
    dataset = xr.Dataset(
        {name: (dims, at_stop[:, :, MEASURES.index(name)]) for name in ("accuracy", "entropy")},
        coords={"run": list(courses), "seed": np.arange(seeds), "variant": list(VARIANTS)},
        attrs={
            "title": "Colour probe of networks trained on coloured digits",
            "data": f"{SOURCES[source]}: {train:,} to train on and {test:,} to test, drawn anew for every seed",
            "training_precision": "float32",
        },
    )
    return labelled(dataset, NAMES)
