"""When to stop, and which penalty to take: by the worst group of examples that were held out."""

from __future__ import annotations

import numpy as np

from gsdyn.diagnosis.groups import Groups, worst

STRATEGIES = ("plain", "stopped", "decay", "switch")
_AXES = {"plain": ("time",), "stopped": ("time",), "decay": ("decay",), "switch": ("switch", "decoupling", "after")}
_PATH = {"plain": "time", "stopped": "time", "decay": "decay", "switch": "switch"}


def choose(
    found: Groups, accuracies: dict[str, dict[str, np.ndarray]], attributes: list[str], select: str, plain: int
) -> dict[str, np.ndarray]:
    """The best point of every path for each attribute.

    - `accuracies`: of each path ("time", "decay", "switch") and split, (g, *path).
    - `select`: the split that decides. `plain`: the time of the plain stop.

    `index` (attribute, strategy, 3): places along the path's axes, -1 where it has fewer; `worst`, `average`
    (attribute, strategy, split). Of those with equal worst cells the best average counts, and of these the first: the
    earliest time, the smallest decay.
    """
    splits = list(accuracies["time"])
    index = np.full((len(attributes), len(STRATEGIES), 3), -1)
    values = np.full((2, len(attributes), len(STRATEGIES), len(splits)), np.nan)
    for i, name in enumerate(attributes):
        for j, strategy in enumerate(STRATEGIES):
            path = accuracies[_PATH[strategy]]
            score = worst(found, path[select], select, name)
            if not np.isfinite(score).any() or not score.size:
                continue
            score = np.where(np.isfinite(score), score, -np.inf)
            best = np.argmax(np.where(score == score.max(), path[select][0], -np.inf))
            place = (plain,) if strategy == "plain" else np.unravel_index(best, score.shape)
            index[i, j, : len(place)] = place
            for k, split in enumerate(splits):
                values[0, i, j, k] = worst(found, path[split], split, name)[place]
                values[1, i, j, k] = path[split][0][place]
    return {"index": index, "worst": values[0], "average": values[1]}


def axes(strategy: str) -> tuple[str, ...]:
    """The dimensions that a strategy chooses along."""
    return _AXES[strategy]
