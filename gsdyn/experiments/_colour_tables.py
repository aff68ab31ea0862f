"""The tables of coloured digits: mean and spread over seeds, the paper's numbers beside them.

The paper's are of 50,000 images of MNIST, these of fewer: see `docs/experiments.md`.
"""

from __future__ import annotations

import math

import numpy as np
import xarray as xr

from gsdyn.experiments._tables import over_seeds
from gsdyn.experiments.catalogue import Table

PAPER = {
    "ERM": (0.911, 0.237),
    "SD": (0.700, 0.684),
    "IRM": (0.705, 0.671),
    "V-REx": (0.715, 0.687),
    "oracle": (0.735, 0.730),
}
"""Accuracy on the training and on the test images (P21 Table 2)."""
PAPER_PROBE = {
    "ERM": ((0.633, 0.239, 0.499, 0.094), (0.54, 0.44, 0.63, 0.00)),
    "SD": ((0.683, 0.672, 0.500, 0.094), (0.66, 0.63, 0.66, 0.41)),
    "IRM": ((0.669, 0.666, 0.497, 0.496), (0.60, 0.59, 0.65, 0.64)),
}
"""Accuracy and entropy on gray digit, colour digit, gray blank and colour blank."""
NONE = math.nan


def table_colour_digits(dataset: xr.Dataset) -> Table:
    """Every method under every choice of settings; then the kernel, which has no settings but the switch."""
    columns = ("method", "settings chosen by", "seeds", "weight", "switch", "stop", "train", "train sd", "test",
               "test sd", "test aligned", "test conflicting", "paper train", "paper test")  # fmt: skip
    rows: list[tuple[str | float, ...]] = []
    for choice in dataset["choice"].values:
        for run in dataset["run"].values:
            part = dataset.sel(run=run, choice=choice).dropna("seed", subset=["stop"])
            if not part.sizes["seed"]:
                continue
            paper = PAPER.get(str(run), (NONE, NONE)) if choice == "authors" else (NONE, NONE)
            how = [_middle(part[name]) for name in ("weight", "switch", "stop")]
            rows.append((str(run), str(choice), part.sizes["seed"], *how, *_four(part["result"], "row"), *paper))
    return Table(columns, [*rows, *_kernel_rows(dataset)])


def _kernel_rows(dataset: xr.Dataset) -> list[tuple[str | float, ...]]:
    flow = dataset["flow"]
    best = flow.sel(kernel_row="test, all", drop=True).argmax("time")
    at = dataset["predicted"].dropna("step", how="all").isel(step=-1)
    places = {"at the networks' last step": at, "best time on test images": flow.isel(time=best),
              "end, least squares": dataset["end"]}  # fmt: skip
    blank = (NONE, NONE, NONE)
    return [
        ("SD, kernel flow", place, part.sizes["seed"], *blank, *_four(part, "kernel_row"), NONE, NONE)
        for place, part in places.items()
    ]


def _four(part: xr.DataArray, rows: str) -> tuple[float, ...]:
    """Mean and spread on the training and the test images, and the mean on the groups of the latter."""
    train, test, *groups = (
        part.sel({rows: name}) for name in ("train, all", "test, all", "test, aligned", "test, conflicting")
    )
    both = [number for values in (train, test) for number in over_seeds(values)]
    return *both, *map(_mean, groups)


def table_colour_probe(dataset: xr.Dataset) -> Table:
    """Accuracy and entropy of every method on every version of the test images."""
    columns = ("method", "images", "seeds", "accuracy", "accuracy sd", "entropy", "entropy sd", "paper accuracy",
               "paper entropy")  # fmt: skip
    rows: list[tuple[str | float, ...]] = []
    for run in dataset["run"].values:
        for number, variant in enumerate(dataset["variant"].values):
            part = dataset.sel(run=run, variant=variant)
            known = PAPER_PROBE.get(str(run))
            paper = (NONE, NONE) if known is None else (known[0][number], known[1][number])
            measured = [number for name in ("accuracy", "entropy") for number in over_seeds(part[name])]
            rows.append((str(run), str(variant), part.sizes["seed"], *measured, *paper))
    return Table(columns, rows)


def _mean(values: xr.DataArray) -> float:
    return float(values.mean())


def _middle(values: xr.DataArray) -> float:
    """The median, one of the values there are."""
    return float(np.sort(values)[len(values) // 2])
