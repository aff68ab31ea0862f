"""One look for every figure: legible in print, in grey and for colour-blind readers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

PAGE = 7.0  # width in inches
BLACK = "#000000"
COLOURS = (BLACK, "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F7F7F")
DASHES = ("-", (0, (5, 1.5)), (0, (1, 1.2)), (0, (6, 1.5, 1, 1.5)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
ROUNDING = 1e-12  # numbers this small beside what they belong to are rounding, and have no sign to show
# without the darkest ends, on which neither hatches nor signs would show
DIVERGING = ListedColormap(matplotlib.colormaps["PuOr"](np.linspace(0.13, 0.87, 256)), "diverging")
UNDATED = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}
SETTINGS: dict[str, Any] = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "legend.fontsize": 7.5,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "lines.linewidth": 1.2,
    "lines.markersize": 3.5,
    "hatch.linewidth": 0.4,
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
    "savefig.dpi": 144,
    "svg.hashsalt": "gsdyn",  # the same figure is the same file
    "mathtext.fontset": "dejavusans",
}


@contextmanager
def styled() -> Iterator[None]:
    """The look, for as long as the context lasts."""
    with matplotlib.rc_context(SETTINGS):  # pyright: ignore[reportArgumentType]
        yield


def save(figure: Figure, path: Path) -> None:
    """Write a figure as its suffix says, without the date that would make every run's file another.

    >>> import pathlib, tempfile
    >>> from matplotlib.figure import Figure
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder) / "empty.svg"
    ...     gs.plotting.save(Figure(), path)
    ...     print(path.exists())
    True
    """
    with styled():
        figure.savefig(path, metadata=UNDATED.get(path.suffix))


def above_rounding(values: xr.DataArray) -> xr.DataArray:
    """Errors for a logarithmic axis, without what is rounding in them, which is another on every machine.

    They are drawn at 1e-12 at least, and to a thousandth of a decade: so the same results make the same figure.
    """
    return 10 ** xr.apply_ufunc(np.log10, values.clip(min=ROUNDING)).round(3)


def spread(values: xr.DataArray) -> xr.DataArray:
    """The standard deviation over seeds, by n - 1 as in the tables; NaN, which draws no bar, of one seed."""
    return values.astype(float).std("seed", ddof=1)


def label(variable: xr.DataArray, symbol: str = "") -> str:
    """An axis label from a variable's `long_name` and `units`, where it has any; `symbol` in place of the name."""
    units, name = variable.attrs["units"], symbol or variable.attrs["long_name"]
    return name if units == "1" else f"{name} ({units})"


def letter(axes: Axes, index: int, title: str = "") -> None:
    """The letter of a panel, and its title beside it."""
    axes.set_title(f"({'abcdefghijkl'[index]})  {title}".rstrip(), loc="left")


def made_on(dataset: xr.Dataset) -> str:
    """The data of a dataset and how many seeds it has, in one line."""
    count = dataset.sizes["seed"]
    return f"{dataset.attrs['data']}; {count} seed{'s' if count > 1 else ''}"


def problem(dataset: xr.Dataset) -> str:
    """The two-feature problem of a dataset, in one line."""
    settings = dataset.attrs
    words = ("".join(f" {c.lower()}" if c.isupper() else c for c in settings[k]).strip() for k in ("loss", "penalty"))
    return f"$s_1 = {settings['s1']:g}$, $s_2 = {settings['s2']:g}$, {', '.join(words)}"
