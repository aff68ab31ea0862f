"""Losses as maxima of straight lines (P21 Lemma 2, Fig 8) and their conjugates (P21 Table 4)."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from gsdyn._progress import Progress, silent
from gsdyn.experiments._datasets import labelled
from gsdyn.experiments.catalogue import Legendre
from gsdyn.losses import CrossEntropy, Hinge, Loss, SquaredError

LOSSES: dict[str, Loss] = {"cross-entropy": CrossEntropy(), "hinge": Hinge(), "squared error": SquaredError()}
ENDS = {"cross-entropy": (0.0, 1.0), "hinge": (0.0, 1.0), "squared error": (-2.0, 4.0)}
"""The dual variables to show: the whole domain, or those of the margins to show."""

NAMES = {
    "loss": "loss",
    "margin": "margin f",
    "line": "number of the tangent line",
    "point": "number of the dual variable",
    "value": "loss l(f)",
    "bound": "greatest of the tangent lines, max over alpha of h(alpha) - alpha f",
    "gap": "loss minus the tangent line at its own dual variable",
    "tangent": "tangent line h(alpha) - alpha f",
    "alpha_line": "dual variable of the tangent line",
    "alpha": "dual variable",
    "conjugate": "conjugate h(alpha)",
}


def legendre(*, lines: int = Legendre.lines, points: int = 401, progress: Progress = silent) -> xr.Dataset:
    """Cross-entropy, hinge loss and squared error of the margin, their tangent lines and their conjugates.

        l(f) = max_alpha h(alpha) - alpha f      (P21-Eq6 and Table 4)

    - `lines`: how many tangent lines, at least 1. `points`: how many margins and dual variables, at least 2.

    Returns a dataset with the loss's `value`, the `bound` that the lines of all dual variables make together and the
    `gap` at the dual variable `a(f) = -l'(f)`, some lines (`tangent`), and the `conjugate`. Raises `ValueError`.
    """
    if lines < 1 or points < 2:
        raise ValueError(f"lines must be at least 1 and points at least 2, got {lines} and {points}")
    margin = np.linspace(-3.0, 3.0, points)
    parts: dict[str, list[np.ndarray]] = {
        name: [] for name in ("value", "bound", "gap", "tangent", "alpha_line", "alpha")
    }
    parts["conjugate"] = []
    for name, loss in LOSSES.items():
        progress("legendre", len(parts["value"]), len(LOSSES))
        low, high = ENDS[name]
        alpha = np.linspace(low, high, points)
        chosen = low + (high - low) * (np.arange(lines) + 0.5) / lines
        h, value = _each(loss.conjugate, alpha), _each(loss.value, margin)
        pull = np.asarray(loss.weight(jnp.asarray(margin)))
        found = {
            "value": value,
            "bound": (h[:, None] - alpha[:, None] * margin[None]).max(axis=0),
            "gap": value - (_each(loss.conjugate, pull) - pull * margin),
            "tangent": _each(loss.conjugate, chosen)[:, None] - chosen[:, None] * margin[None],
            "alpha_line": chosen,
            "alpha": alpha,
            "conjugate": h,
        }
        for key, values in found.items():
            parts[key].append(values)
    progress("legendre", len(LOSSES), len(LOSSES))
    dims = {"tangent": ("line", "margin"), "alpha_line": ("line",), "alpha": ("point",), "conjugate": ("point",)}
    dataset = xr.Dataset(
        {key: (("loss", *dims.get(key, ("margin",))), np.array(values)) for key, values in parts.items()},
        coords={
            "loss": list(LOSSES),
            "margin": margin,
            "line": np.arange(1, lines + 1),
            "point": np.arange(1, points + 1),
        },
        attrs={"title": "Losses and their conjugates"},
    )
    return labelled(dataset, NAMES)


def _each(function, values: np.ndarray) -> np.ndarray:
    """A sum over examples, of one example at a time."""
    return np.asarray(jax.vmap(lambda v: function(v[None]))(jnp.asarray(values)))
