"""Leading features of real images: responses and starvation against lambda, weight decay beside spectral decoupling."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import SymLogNorm
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from gsdyn.plotting import style

SENSITIVITY = "$s_i^2\\,\\mathrm{d}z_j^*/\\mathrm{d}(s_i^2)$"
PAIRS = 3  # of either sign
PANELS = 3


def draw_responses(dataset: xr.Dataset) -> Figure:
    """Responses of the leading features against lambda, and below the pairs of features that interact most.

    One column per penalty. The interaction is the change of one response per relative change of another feature's
    squared strength, from the starvation matrix of `experiments.digits_curves`; where it is negative the one starves.

        >>> from gsdyn.experiments.digits_curves import digits_curves
        >>> ds = digits_curves([0.01, 0.1, 1.0], features=3, images=40)
        >>> print(len(gs.plotting.draw_responses(ds).axes))
        4
    """
    penalties = [str(name) for name in dataset["penalty"].values]
    with style.styled():
        figure = Figure(figsize=(style.PAGE * (0.3 + 0.35 * len(penalties)), 5.0))
        grid = figure.subplots(2, len(penalties), sharex=True, sharey="row", squeeze=False)
        pairs = _telling_pairs(dataset)
        for j, name in enumerate(penalties):
            part = dataset.sel(penalty=name)
            for i, feature in enumerate(dataset["feature"].values):
                _line(grid[0, j], part["z"].sel(feature=feature), i, f"feature {feature}")
            for i, (feature, cause) in enumerate(pairs):
                entry = _sensitivity(part).sel(feature=feature, cause=cause)
                _line(grid[1, j], entry, i, f"feature {feature}, as {cause} grows")
            for i, axes in enumerate(grid[:, j]):
                axes.axhline(0, color="0.6", linewidth=0.6, zorder=0)
                style.letter(axes, i * len(penalties) + j, name if i == 0 else "")
            grid[1, j].set_xlabel(style.label(dataset["lam"], "regularisation strength $\\lambda$"))
        figure.suptitle(_title(dataset), fontsize=8)
        grid[0, 0].set_ylabel("response $z_j^*$")
        grid[1, 0].set_ylabel(SENSITIVITY)
        for row in grid:
            row[-1].legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def draw_matrices(dataset: xr.Dataset) -> Figure:
    """The starvation matrix among the leading features at three strengths of weight decay.

    In the same units as `draw_responses`, with the sign of every entry that is not negligible printed on it.

        >>> from gsdyn.experiments.digits_curves import digits_curves
        >>> ds = digits_curves([0.01, 0.1, 1.0], features=3, images=40)
        >>> print(len(gs.plotting.draw_matrices(ds).axes) > 1)
        True
    """
    matrices = _sensitivity(dataset.isel(penalty=0))
    places = np.unique(np.linspace(0, dataset.sizes["lam"] - 1, PANELS).round().astype(int))
    chosen = matrices.isel(lam=places)
    top = float(np.abs(chosen).max()) or 1.0
    scale = SymLogNorm(linthresh=top / 1e3, vmin=-top, vmax=top)
    with style.styled():
        figure = Figure(figsize=(style.PAGE, 2.9))
        grid = figure.subplots(1, len(places), sharey=True, squeeze=False)[0]
        for i, (axes, matrix) in enumerate(zip(grid, chosen.transpose("lam", "feature", "cause"), strict=True)):
            image = axes.imshow(matrix, norm=scale, cmap=style.DIVERGING)
            _signs(axes, image, matrix.values, top / 1e3)
            number = [str(k) for k in dataset["feature"].values]
            axes.set_xticks(range(len(number)), number)
            axes.set_yticks(range(len(number)), number)
            axes.set_xlabel("stronger feature $i$")
            style.letter(axes, i, f"$\\lambda = {float(matrix['lam']):.3g}$")
        grid[0].set_ylabel("responding feature $j$")
        figure.colorbar(image, ax=list(grid), label=SENSITIVITY, shrink=0.9)
        change = f"{dataset['penalty'].values[0]}: change of response $j$ as feature $i$ grows"
        figure.suptitle(f"{_title(dataset)}\n{change}", fontsize=8)
    return figure


def _title(dataset: xr.Dataset) -> str:
    return f"{dataset.attrs['images']:,} digits, below 5 against the rest; {dataset.attrs['kernel']}"


def _sensitivity(dataset: xr.Dataset) -> xr.DataArray:
    s2 = (dataset["s"] ** 2).rename(feature="cause")
    return dataset["starvation"] * s2


def _telling_pairs(dataset: xr.Dataset) -> list[tuple[int, int]]:
    """The pairs of features that starve most at any lambda under the first penalty, then those that help most."""
    matrices = _sensitivity(dataset.isel(penalty=0)).transpose("lam", "feature", "cause")
    number = dataset["feature"].values
    off = ~np.eye(len(number), dtype=bool)
    least = np.where(off, matrices.min("lam"), np.inf).ravel()
    most = np.where(off, matrices.max("lam"), -np.inf).ravel()
    starved = [k for k in np.argsort(least)[:PAIRS] if least[k] < 0]
    helped = [k for k in np.argsort(-most)[:PAIRS] if most[k] > 0]
    return [(int(number[k // len(number)]), int(number[k % len(number)])) for k in starved + helped]


def _line(axes: Axes, values: xr.DataArray, i: int, name: str) -> None:
    looks = {
        "color": style.COLOURS[i % 8],
        "marker": style.MARKERS[i % 8],
        "linestyle": style.DASHES[i % 4],
    }
    axes.plot(values["lam"], values, label=name, markevery=(i % 3, 3), **looks)
    axes.set_xscale("log")


def _signs(axes: Axes, image: AxesImage, matrix: np.ndarray, negligible: float) -> None:
    """A sign on every entry, in a tone that shows on its cell."""
    grey = image.to_rgba(matrix)[..., :3].mean(axis=-1)
    for j, i in np.argwhere(np.abs(matrix) > negligible):
        sign = "+" if matrix[j, i] > 0 else "−"
        axes.text(i, j, sign, ha="center", va="center", color="white" if grey[j, i] < 0.5 else "black")
