"""Ten ways to train on the two moons (P21 appendix B.2, Fig 7): which of them bend the decision boundary?

Networks are trained in single precision.
"""

from __future__ import annotations

import functools
from pathlib import Path

import xarray as xr

from gsdyn import _checks
from gsdyn._progress import Progress, silent
from gsdyn.experiments._kept import folder_of
from gsdyn.experiments._moon_runs import Judged, Variant, adam, check, each_run, judged, trained
from gsdyn.experiments.catalogue import MoonsRegularisers
from gsdyn.experiments.moons import boundaries

VARIANTS = (
    Variant("no regularisation"),
    Variant("weight decay", decay=0.01),
    Variant("10 times longer", longer=10),
    Variant("Adam, small rate", optimizer=functools.partial(adam, 1e-4)),
    Variant("Adam, large rate", optimizer=functools.partial(adam, 3e-3)),
    Variant("rotated by 45 degrees", rotation=45.0),
    Variant("dropout", dropout=0.7),
    Variant("batch normalisation", normalise=True),
    Variant("five layers", sizes=(2, 500, 500, 500, 500, 1)),
    Variant("spectral decoupling", decoupling=0.003),
)


def moons_regularisers(
    *,
    seeds: int = MoonsRegularisers.seeds,
    costly_seeds: int | None = MoonsRegularisers.costly_seeds,
    steps: int = MoonsRegularisers.steps,
    runs: str | Path | None = None,
    progress: Progress = silent,
) -> xr.Dataset:
    """Decision boundaries and margins in input space of ten ways to train on the separable moons (margin +0.1).

    All by full batches, at the settings of `moons` but for what their names say: weight decay 0.01 to zero, ten times
    the steps, Adam at rates 1e-4 and 3e-3, the data turned by 45 degrees, dropout of 0.7 of the hidden units, batch
    normalisation, four hidden layers of 500 instead of one, spectral decoupling 0.003.

    - `seeds`: how many; each has its own data and start. `steps`: at least 1.
    - `costly_seeds`: as many, at least 1, for the longer variant and the deeper one, which take most of the time; None
      for `seeds`.
    - `runs`: a folder in which every run is kept, so that an interrupted experiment goes on where it was.

    Returns the dataset of `moons`, with one `step`, which counts a tenth of those of the longer variant.
    """
    check(seeds, steps)
    if costly_seeds is not None:
        _checks.integer("costly_seeds", costly_seeds, 1)
    folder = folder_of(runs, "moons_regularisers")

    def one(variant: Variant, seed: int) -> list[Judged]:
        return [judged(variant, seed, steps, trained(variant, seed, [steps], _nothing, folder).params, folder)]

    results = each_run("moons-regularisers", VARIANTS, seeds, progress, one, costly_seeds)
    return boundaries(VARIANTS, [steps], results, "Two moons and regularisers")


def _nothing(params):
    return ()
