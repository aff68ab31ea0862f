"""Theory against training: responses, fixed points and starvation of networks of finite width (P21 section 3).

On two moons and on handwritten digits networks of one hidden layer follow their gradient flow beside the primal flow of
the theory, with the NTK at infinite width and with that of the network at its start. Then the first moons again where
the theory is not meant to hold: in the standard parameterisation, and with large learning rates.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from scipy.special import stdtrit

from gsdyn import _checks
from gsdyn._progress import Progress, silent
from gsdyn.experiments import _width_runs as runs_of
from gsdyn.experiments._datasets import labelled
from gsdyn.experiments._kept import folder_of, kept
from gsdyn.experiments._width_runs import LOSS, Problem
from gsdyn.experiments.catalogue import Width
from gsdyn.features import FeatureBasis
from gsdyn.fixed_points import fixed_point
from gsdyn.starvation import starvation_matrix

PROBLEMS = ("moons", "digits")
WIDTHS = tuple(2**k for k in range(6, 14))
BIAS, STRONGER, LEADING = 1.0, 0.2, 5
RATE_WIDTH = 1024
RATES = tuple(2.0**k for k in range(-4, 4))
"""Learning rates as shares of the largest stable one at the start, `8/s_1^2` for cross-entropy."""
FAR = 1e3
"""Errors beyond this are told as this: gradient descent that diverges."""

NAMES = {
    "problem": "data",
    "width": "width of the hidden layer",
    "seed": "seed of the start",
    "feature": "rank of the feature by the size of its predicted response",
    "record": "number of the record",
    "prediction": "NTK that the prediction is made with",
    "rate": "learning rate over the largest stable one at the start",
    "time": "time, learning rate times steps",
    "number": "number of the feature by strength",
    "strength": "strength of the feature at infinite width",
    "theory": "predicted response, infinite width",
    "optimum": "predicted response at the fixed point, infinite width",
    "trained": "response of the trained network",
    "feature_error": "largest error of a response along the path over its largest size",
    "path_error": "largest error of all responses along the path over their largest size",
    "end_error": "error of the responses at the end against the fixed point, over their size",
    "strong_error": "as the error of a response, for the features of greatest strength",
    "exponent": "fitted exponent of the path error in the width",
    "exponent_low": "lower end of the exponent's 95% confidence interval",
    "exponent_high": "upper end of the exponent's 95% confidence interval",
    "change": "change of the trained response where one feature was made stronger",
    "change_theory": "predicted change of the response, fixed point against fixed point",
    "change_slope": "predicted change of the response, by the starvation matrix",
    "change_error": "error of the changes of all responses over their size",
    "standard_error": "path error in the standard parameterisation",
    "rate_error": "path error of gradient descent, against infinite width",
}


def width(
    *,
    seeds: int = Width.seeds,
    widths: tuple[int, ...] = WIDTHS,
    problems: tuple[str, ...] = PROBLEMS,
    digits_widest: int = Width.digits_widest,
    lam: float = Width.lam,
    runs: str | Path | None = None,
    progress: Progress = silent,
) -> xr.Dataset:
    """How far networks of finite width are from the theory: along the path, at its end, and in who starves whom.

    - `seeds`: networks of each width. `widths`: at least two, ascending. `problems`: of "moons" and "digits".
    - `digits_widest`: the largest width on the digits, whose widest networks take most of the time; NaN beyond.
    - `lam`: weight decay to the weights at the start, > 0.
    - `runs`: a folder in which every finished network is kept, so that an interrupted experiment goes on where it was.

    Returns a dataset whose features are the five with the largest predicted response, in that order, with the errors
    of each (`feature_error`), of all together (`path_error`), its fitted `exponent` in the width, and the changes
    where the first of them is made stronger by a fifth of its `s^2`.
    """
    _checks.integer("seeds", seeds, 1)
    _checks.positive("lam", lam, ndim=0)
    if len(widths) < 2 or list(widths) != sorted({_checks.integer("widths", w, 1) for w in widths}):
        raise ValueError(f"widths must be at least two ascending integers, got {widths}")
    if not problems or set(problems) - set(PROBLEMS):
        raise ValueError(f"problems must be some of {PROBLEMS}, got {problems}")
    folder = folder_of(runs, "width")
    tasks = {name: runs_of.problem(name, lam, BIAS) for name in problems}
    plans = [
        (name, w, seed)
        for seed in range(seeds)
        for w in widths
        for name in problems
        if name != "digits" or w <= digits_widest
    ]
    known = {name: theory(task) for name, task in tasks.items()}
    results = {}
    for plan in plans:
        progress("networks of every width", len(results), len(plans))
        results[plan] = _one(tasks[plan[0]], known[plan[0]], plan, folder)
    progress("networks of every width", len(plans), len(plans))
    first = tasks[problems[0]], known[problems[0]], problems[0]
    beyond = {
        "standard": _standard(*first, widths, seeds, folder, progress),
        "rate": _large_steps(*first, seeds, folder, progress),
    }
    return labelled(_dataset(tasks, known, results, beyond, widths, seeds), NAMES)


class Theory(NamedTuple):
    """The prediction at infinite width."""

    path: np.ndarray
    optimum: np.ndarray
    order: np.ndarray
    change: np.ndarray
    slope: np.ndarray


def theory(task: Problem) -> Theory:
    """Responses along the path and at its end, features by size of response, and what follows from a stronger first."""
    basis = task.basis
    fixed = fixed_point(basis, LOSS, task.penalty)
    z = np.asarray(fixed.z)
    order = np.argsort(-np.abs(z))
    cause = int(order[0])
    more = STRONGER * float(basis.s[cause]) ** 2
    moved = FeatureBasis(basis.U, basis.s.at[cause].set(jnp.sqrt(basis.s[cause] ** 2 + more)))
    slope = np.asarray(starvation_matrix(basis, fixed))[:, cause] * more
    path = np.asarray(task.flow(basis) @ basis.U)
    return Theory(path, z, order, np.asarray(task.optimum(moved)) - z, slope)


def _one(task: Problem, know: Theory, plan: tuple[str, int, int], folder: Path | None) -> dict[str, np.ndarray]:
    """One network: its path, the path predicted from its start, and its path with the first feature stronger."""
    name, size, seed = plan

    def compute() -> dict[str, np.ndarray]:
        network = runs_of.start(task, size, seed)
        cause = int(know.order[0])
        column = task.y * task.basis.U[:, cause] * jnp.sqrt(STRONGER) * task.basis.s[cause]
        return {
            "path": runs_of.followed(task, network),
            "from_start": runs_of.predicted_from_start(task, network),
            "stronger": runs_of.followed(task, network, column)[-1],
        }

    return kept(_file(folder, f"{name}-{size}-{seed}"), _settings(task, name, size, seed), compute)


def _standard(
    task: Problem, know: Theory, name: str, widths: tuple[int, ...], seeds: int, folder: Path | None, progress: Progress
) -> np.ndarray:
    """Path errors in the standard parameterisation (width, seed, prediction)."""

    def one(size: int, seed: int) -> dict[str, np.ndarray]:
        network = runs_of.start(task, size, seed, standard=True)
        path = runs_of.followed(task, network)
        return {"errors": np.array([off(path, know.path), off(path, runs_of.predicted_from_start(task, network))])}

    errors = []
    for size in widths:
        progress("standard parameterisation", len(errors), len(widths))
        at = [
            (_settings(task, name, size, seed), _file(folder, f"{name}-standard-{size}-{seed}"))
            for seed in range(seeds)
        ]
        errors.append([kept(path, words, partial(one, size, words["seed"]))["errors"] for words, path in at])
    progress("standard parameterisation", len(widths), len(widths))
    return np.array(errors)


def _large_steps(
    task: Problem, know: Theory, name: str, seeds: int, folder: Path | None, progress: Progress
) -> np.ndarray:
    """Path errors of gradient descent (rate, seed)."""
    stable = 8 / float(task.basis.s[0]) ** 2

    def one(rate: float, seed: int) -> dict[str, np.ndarray]:
        path = runs_of.stepped(task, runs_of.start(task, RATE_WIDTH, seed), rate * stable)
        return {"error": np.array(off(np.nan_to_num(path, nan=np.inf), know.path))}

    errors = []
    for rate in RATES:
        progress("large steps", len(errors), len(RATES))
        words = [{**_settings(task, name, RATE_WIDTH, seed), "rate": rate} for seed in range(seeds)]
        files = [_file(folder, f"{name}-rate-{rate:g}-{seed}") for seed in range(seeds)]
        errors.append([kept(f, w, partial(one, rate, w["seed"]))["error"] for f, w in zip(files, words, strict=True)])
    progress("large steps", len(RATES), len(RATES))
    return np.array(errors)


def _settings(task: Problem, name: str, size: int, seed: int) -> dict[str, Any]:
    return {"problem": name, "width": size, "seed": seed, "lam": task.lam, "step_tolerance": runs_of.TOLERANCE}


def _file(folder: Path | None, name: str) -> Path | None:
    return None if folder is None else folder / f"{name}.npz"


def off(path: np.ndarray, prediction: np.ndarray) -> float:
    """The largest distance of two paths of responses (T, k) over the largest size of the predicted ones."""
    far = np.linalg.norm(path - prediction, axis=1).max() / np.linalg.norm(prediction, axis=1).max()
    return FAR if far >= FAR else float(far)


def fitted_exponent(widths: np.ndarray, errors: np.ndarray) -> tuple[float, float, float]:
    """The slope of log error (width, seed) against log width by least squares, and its 95% confidence interval."""
    x = np.repeat(np.log(np.asarray(widths, float)), errors.shape[1])
    y = np.log(errors).ravel()
    x, y = x[np.isfinite(y)], y[np.isfinite(y)]
    x, y = x - x.mean(), y - y.mean()
    slope = x @ y / (x @ x)
    free = len(x) - 2
    spread = np.sqrt(np.sum((y - slope * x) ** 2) / free / (x @ x)) if free else np.inf
    half = stdtrit(max(free, 1), 0.975) * spread
    return float(slope), float(slope - half), float(slope + half)


def _dataset(
    tasks: dict[str, Problem],
    known: dict[str, Theory],
    results: dict,
    beyond: dict[str, np.ndarray],
    widths: tuple[int, ...],
    seeds: int,
) -> xr.Dataset:
    parts = []
    for name, task in tasks.items():
        missing = jax.tree.map(lambda part: np.full_like(part, np.nan), results[name, widths[0], 0])
        grid = [[results.get((name, w, seed), missing) for seed in range(seeds)] for w in widths]
        parts.append(_part(task, known[name], grid, np.array(widths)))
    joined = {name: (parts[0][name][0], np.stack([part[name][1] for part in parts])) for name in parts[0]}
    return xr.Dataset(
        {
            **{name: (("problem", *dims), values) for name, (dims, values) in joined.items()},
            "standard_error": (("width", "seed", "prediction"), beyond["standard"]),
            "rate_error": (("rate", "seed"), beyond["rate"]),
        },
        coords={
            "problem": list(tasks),
            "width": list(widths),
            "seed": np.arange(seeds),
            "feature": np.arange(1, LEADING + 1),
            "record": np.arange(parts[0]["time"][1].size),
            "prediction": ["infinite width", "at the start"],
            "rate": list(RATES),
        },
        attrs={
            "title": "Theory against training",
            "examples": [len(task.y) for task in tasks.values()],
            "lam": next(iter(tasks.values())).lam,
            "training_precision": "float32",
            "rate_width": RATE_WIDTH,
            "stronger": STRONGER,
        },
    )


def _part(task: Problem, know: Theory, grid: list[list[dict[str, np.ndarray]]], widths: np.ndarray) -> dict[str, Any]:
    """Everything about one problem, as (dims, values)."""
    top = know.order[:LEADING]
    path, start, strong = (
        np.array([[cell[k] for cell in row] for row in grid]) for k in ("path", "from_start", "stronger")
    )
    paths = {"infinite width": np.broadcast_to(know.path, path.shape), "at the start": start}

    def by_feature(number: np.ndarray) -> np.ndarray:
        return np.stack(
            [np.abs(path - p)[..., number].max(axis=2) / np.abs(p)[..., number].max(axis=2) for p in paths.values()],
            axis=2,
        )

    every = np.array(
        [[[off(path[i, j], p[i, j]) for p in paths.values()] for j in range(path.shape[1])] for i in range(len(path))]
    )
    fits = np.array([fitted_exponent(widths, every[..., k]) for k in range(2)])
    change = strong - path[:, :, -1]
    size = np.linalg.norm(know.change)
    return {
        "time": (("record",), np.asarray(task.ts)),
        "number": (("feature",), top + 1),
        "strength": (("feature",), np.asarray(task.basis.s)[top]),
        "theory": (("record", "feature"), know.path[:, top]),
        "optimum": (("feature",), know.optimum[top]),
        "trained": (("width", "seed", "record", "feature"), path[..., top]),
        "feature_error": (("width", "seed", "prediction", "feature"), by_feature(top)),
        "strong_error": (("width", "seed", "prediction", "feature"), by_feature(np.arange(LEADING))),
        "path_error": (("width", "seed", "prediction"), every),
        "end_error": (
            ("width", "seed"),
            np.linalg.norm(path[:, :, -1] - know.optimum, axis=-1) / np.linalg.norm(know.optimum),
        ),
        "exponent": (("prediction",), fits[:, 0]),
        "exponent_low": (("prediction",), fits[:, 1]),
        "exponent_high": (("prediction",), fits[:, 2]),
        "change": (("width", "seed", "feature"), change[..., top]),
        "change_theory": (("feature",), know.change[top]),
        "change_slope": (("feature",), know.slope[top]),
        "change_error": (("width", "seed"), np.linalg.norm(change - know.change, axis=-1) / size),
    }
