"""The tables of the experiments on images: mean and standard deviation over seeds."""

from __future__ import annotations

import xarray as xr

from gsdyn.experiments._tables import over_seeds
from gsdyn.experiments.catalogue import Table


def table_brightness(dataset: xr.Dataset) -> Table:
    """Every model at every shift, either class dark."""
    sets = [str(name) for name in dataset["set"].values]
    columns = ("model", "dark class", "shift", "seeds", *(f"{n}{w}" for n in sets for w in ("", " sd")), "called dark")
    rows: list[tuple[str | float, ...]] = []
    for model in dataset["model"].values:
        for dark in dataset["dark"].values:
            for shift in dataset["shift"].values:
                part = dataset.sel(model=model, dark=dark, shift=shift)
                both = [number for name in sets for number in over_seeds(part["accuracy"].sel(set=name))]
                rows.append((str(model), f"{int(dark):+d}", float(shift), dataset.sizes["seed"], *both,
                             float(part["called_dark"].mean())))  # fmt: skip
    return Table(columns, rows)


def table_celeba(dataset: xr.Dataset) -> Table:
    """Every method where training stops; the ends of Wilson's interval are means over seeds."""
    columns = ("method", "stop", "seeds", "average", "average sd", "worst group", "worst group sd", "Wilson low",
               "Wilson high", "step", "published average", "published worst group")  # fmt: skip
    rows: list[tuple[str | float, ...]] = []
    for choice in dataset["choice"].values:
        for method in dataset["run"].values:
            part = dataset.sel(run=method, choice=choice)
            ends = [float(part[name].mean()) for name in ("worst_low", "worst_high", "stop")]
            paper = [float(part[name]) for name in ("published_average", "published_worst")]
            rows.append((str(method), str(choice), dataset.sizes["seed"], *over_seeds(part["average"]),
                         *over_seeds(part["worst"]), *ends, *paper))  # fmt: skip
    return Table(columns, rows)


def table_margin(dataset: xr.Dataset) -> Table:
    """Every coefficient: accuracy, unperturbed and under the worst perturbations found, and where attacks disagree."""
    radii = [f"L2 {float(radius):g}" for radius in dataset["radius"]]
    levels = [f"largest {float(level):.3g}" for level in dataset["level"]]
    behind = [f"{name} {word}" for word in ("behind", "over least") for name in dataset["attack"].values]
    columns = ("coefficient", "seeds", "train", "test", "test sd", "output", "median L2", "median L2 sd",
               *radii, *levels, *behind, "gradients masked")  # fmt: skip
    rows: list[tuple[str | float, ...]] = []
    for coefficient in dataset["coefficient"].values:
        part = dataset.sel(coefficient=coefficient)
        median = part["distance"].min("attack").where(part["right"], 0).median("example")
        means = [
            float(v) for name in ("perturbed", "perturbed_inf", "behind", "ratio") for v in part[name].mean("seed")
        ]
        rows.append((float(coefficient), dataset.sizes["seed"], float(part["train_accuracy"].mean()),
                     *over_seeds(part["accuracy"]), float(part["size"].mean()), *over_seeds(median), *means,
                     float(part["masked"].mean())))  # fmt: skip
    return Table(columns, rows)
