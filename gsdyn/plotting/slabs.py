"""Slabs: which coordinates networks and kernels go by (Shah et al. 2020)."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from gsdyn.plotting import style


def draw_slabs(dataset: xr.Dataset) -> Figure:
    """The dataset of `experiments.slabs`: the AUC of every model on new inputs, with the linear coordinate exchanged
    between them, and with all slabs exchanged. Lines: the paper's networks."""
    models = [str(name) for name in dataset["model"].values]
    with style.styled():
        figure = Figure(figsize=(style.PAGE, 2.9))
        panels = figure.subplots(1, dataset.sizes["slabs"], sharey=True, squeeze=False)[0]
        for i, (axes, kind) in enumerate(zip(panels, dataset["slabs"].values, strict=True)):
            for level in (0.5, 1.0):
                axes.axhline(level, color="0.7", linewidth=0.6, linestyle=style.DASHES[1])
            for j, variant in enumerate(dataset["variant"].values):
                values = dataset["auc"].sel(slabs=kind, variant=variant)
                centre = values.mean("seed")
                spread = np.abs(np.stack([values.min("seed"), values.max("seed")]) - centre.values)
                axes.errorbar(np.arange(len(models)) + 0.2 * (j - 1), centre, spread, fmt=style.MARKERS[j],
                              color=style.COLOURS[j], capsize=2, label=variant)  # fmt: skip
            axes.set_xticks(np.arange(len(models)), [name.replace(", ", "\n").replace(" d", "\nd") for name in models])
            axes.set_xlabel("model")
            axes.set_ylim(0.4, 1.05)
            style.letter(axes, i, f"one linear coordinate, 49 of {int(kind)} slabs")
        panels[0].set_ylabel(style.label(dataset["auc"], "AUC on new inputs"))
        panels[0].legend(loc="center left", bbox_to_anchor=(0.0, 0.6))
    return figure
