"""What features look like: the direction of each in the space of inputs, as a picture or by the names of inputs."""

from __future__ import annotations

import base64
import html
import io
import json
import math
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.image import imsave

from gsdyn.plotting.pages import look

MOST = 20  # features shown
COLUMNS = 5
DIVERGING = LinearSegmentedColormap.from_list("direction", look.ORANGE_TO_PURPLE)
CHANNELS = 4
UNSIGNED: Any = {"Software": None}  # or every version of matplotlib would make another file
SMALLEST = 8  # pixels along the side of a square that is known by its number of inputs alone


def pictures(dataset: xr.Dataset) -> str:
    """One tile a feature: its direction, and the training examples that carry it most."""
    shape = image_shape(dataset)
    tiles = []
    for j in range(min(dataset.sizes["feature"], MOST)):
        seen = _picture(dataset, j, shape) if shape else _named(dataset, j)
        number = int(dataset["feature"].values[j])
        tiles.append(f'<figure class="tile"><b>feature {number}</b>{seen}{_carriers(dataset, j)}</figure>')
    return f'<div class="tiles">{"".join(tiles)}</div>'


def image_shape(dataset: xr.Dataset) -> tuple[int, int, int] | None:
    """Height, width and channels of the inputs where they are images, or None; channels that come first are negative.

    A single axis whose inputs are called pixels counts as a square, or as the two colours of one (`gs.data.coloured`),
    where it is as long as that.
    """
    if "input" not in dataset.dims or not dataset.sizes["input"]:
        return None
    shape = [int(n) for n in json.loads(str(dataset.attrs.get("input_shape", "[]")))]
    if math.prod(shape) != dataset.sizes["input"]:
        return None
    if len(shape) == 2:
        return shape[0], shape[1], 1
    if len(shape) == 3 and min(shape[0], shape[2]) <= CHANNELS:
        return (shape[0], shape[1], shape[2]) if shape[2] <= CHANNELS else (shape[1], shape[2], -shape[0])
    if len(shape) == 1 and str(dataset["input_name"].values[0]).startswith("pixel"):
        for colours in (1, 2):
            side = math.isqrt(shape[0] // colours)
            if side >= SMALLEST and colours * side * side == shape[0]:
                return side, side, -colours
    return None


def _picture(dataset: xr.Dataset, j: int, shape: tuple[int, int, int]) -> str:
    """The direction as a picture, its channels side by side."""
    height, width, channels = shape
    values = dataset["direction"].values[j]
    if not np.isfinite(values).any():
        return '<p class="none">no direction</p>'
    if channels < 0:  # channels first
        parts = values.reshape(-channels, height, width)
    else:
        parts = np.moveaxis(values.reshape(height, width, channels), -1, 0)
    joined = np.concatenate([np.pad(part, ((0, 0), (0, 1)), constant_values=np.nan) for part in parts], axis=1)[:, :-1]
    size = float(np.nanmax(np.abs(values))) or 1.0
    file = io.BytesIO()
    imsave(file, joined, cmap=DIVERGING, vmin=-size, vmax=size, format="png", metadata=UNSIGNED)
    code = base64.b64encode(file.getvalue()).decode()
    return f'<img alt="direction of feature {j + 1}" src="data:image/png;base64,{code}">'


def _named(dataset: xr.Dataset, j: int) -> str:
    """The inputs that move most with the feature, as bars of their correlation."""
    if "input" not in dataset.dims or not dataset.sizes["input"]:
        return ""
    spread = dataset["input_std"].values
    live = spread > 0
    share = np.where(live, dataset["direction"].values[j] / np.where(live, spread, 1.0), 0.0)
    share = np.nan_to_num(share)
    rows = [
        f"<tr><th>{html.escape(str(dataset['input_name'].values[i]))}</th><td>{bar(float(share[i]))}</td></tr>"
        for i in np.argsort(-np.abs(share))[:COLUMNS]
        if share[i] != 0
    ]
    return f'<table class="values small">{"".join(rows)}</table>'


def bar(share: float) -> str:
    """A number in [-1, 1] as a bar from the middle, and in digits."""
    length = min(abs(share), 1.0) * 50
    left = 50 if share >= 0 else 50 - length
    colour = look.ORANGE_TO_PURPLE[-3] if share >= 0 else look.ORANGE_TO_PURPLE[1]
    place = f"left:{left:.1f}%;width:{length:.1f}%;background:{colour}"
    return f'<span class="bar"><i style="{place}"></i></span> {share:+.2f}'


def _carriers(dataset: xr.Dataset, j: int) -> str:
    """The rows of the training data in which the feature weighs most, with their labels."""
    rows: list[Any] = []
    for c in range(min(dataset.sizes["carrier"], COLUMNS)):
        row, weight = int(dataset["carrier_example"].values[j, c]), float(dataset["carrier_weight"].values[j, c])
        if math.isfinite(weight):
            rows.append(f"{row} ({html.escape(str(dataset['carrier_label'].values[j, c]))}, {weight:+.2f})")
    return f"<figcaption>rows {', '.join(rows)}</figcaption>" if rows else ""
