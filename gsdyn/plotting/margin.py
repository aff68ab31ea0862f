"""Margins in input space: how many decisions a perturbation changes, and where attacks disagree."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gsdyn.plotting import style


def draw_margin(dataset: xr.Dataset) -> Figure:
    """The dataset of `experiments.margin`: (a) the share of images whose decision is wrong or becomes so within a
    perturbation, by the best of all attacks, (b) the same for ERM and the largest coefficient by each attack, all seeds
    together; (c) how much more than the best of all each attack needs."""
    with style.styled():
        figure = Figure(figsize=(style.PAGE, 3.0))
        first, second, third = figure.subplots(1, 3)
        limit = float(dataset["distance"].min("attack").quantile(0.97)) * 1.15
        for i, coefficient in enumerate(dataset["coefficient"].values):
            part = dataset.sel(coefficient=coefficient)
            _share(first, part, part["distance"].min("attack"), limit, i, "-", _name(coefficient))
        for k in (0, -1):
            part = dataset.isel(coefficient=k)
            for j, attack in enumerate(part["attack"].values):
                colour = k % dataset.sizes["coefficient"]
                _share(second, part, part["distance"].sel(attack=attack), limit, colour, style.DASHES[j])
        for j, attack in enumerate(dataset["attack"].values):
            second.plot([], [], color="0.4", linestyle=style.DASHES[j], label=str(attack))
        first.legend(fontsize=6.5, loc="lower right")
        second.legend(fontsize=6.5, loc="upper left")
        _disagreement(third, dataset)
        for i, (axes, title) in enumerate(
            zip((first, second, third), ("best of all attacks", "each attack", "where attacks disagree"), strict=True)
        ):
            style.letter(axes, i, title)
        figure.suptitle(style.made_on(dataset), fontsize=7, color="0.35")
    return figure


def _name(coefficient: float) -> str:
    return f"SD {coefficient:g}" if coefficient else "ERM"


def _share(
    axes: Axes, part: xr.Dataset, distance: xr.DataArray, limit: float, i: int, dash: Any, text: str = ""
) -> None:
    needed = np.sort(np.where(part["right"], distance, 0.0).ravel())
    share = np.arange(1, len(needed) + 1) / len(needed)
    axes.step([0, *needed, limit], [0, *share, share[-1]], where="post", color=style.COLOURS[i], linestyle=dash,
              label=text or None, linewidth=1.0)  # fmt: skip
    axes.set_xlim(0, limit)
    axes.set_ylim(0, 1.02)
    axes.set_xlabel("perturbation (L2)")
    axes.set_ylabel("share of images with a wrong decision")


def _disagreement(axes: Axes, dataset: xr.Dataset) -> None:
    place = np.arange(dataset.sizes["coefficient"])
    for j, attack in enumerate(dataset["attack"].values):
        values = dataset["ratio"].sel(attack=attack)
        axes.errorbar(place, values.mean("seed"), style.spread(values), color="0.3", marker=style.MARKERS[j],
                      elinewidth=0.8, linestyle=style.DASHES[j], label=str(attack))  # fmt: skip
    axes.set_xticks(place, [f"{value:g}" for value in dataset["coefficient"].values])
    axes.set_xlabel("coefficient of SD; 0 is ERM")
    axes.set_ylabel("median perturbation over the least of all")
    axes.set_ylim(bottom=0.9)
    axes.legend(fontsize=6.5, loc="center right", bbox_to_anchor=(1.0, 0.36))
