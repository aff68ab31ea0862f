"""Several classes together: each has an output, learnt against the rest, and the largest output of an example decides.

The margin of an example is the output of its own class less the largest of the others. It is gathered class by class,
so that no more than two outputs of an example are held at a time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from gsdyn.diagnosis import _schema, groups
from gsdyn.diagnosis.assemble import choice_values, group_coordinates, group_values
from gsdyn.diagnosis.attributes import RARE
from gsdyn.diagnosis.choices import STRATEGIES
from gsdyn.diagnosis.groups import Examples, Groups
from gsdyn.diagnosis.problem import Problem
from gsdyn.diagnosis.sentences import about
from gsdyn.diagnosis.solutions import Solutions

if TYPE_CHECKING:
    import xarray as xr


class Together:
    """What the outputs of all `names` decide, once each class has been added, in this order."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self._names, self._number = names, 0
        self._own: dict[str, dict[str, np.ndarray]] = {}
        self._other: dict[str, dict[str, np.ndarray]] = {}
        self._seen: dict[str, Examples] = {}
        self._loss: Any = 0.0

    def add(self, problem: Problem, found: Solutions) -> None:
        """The next class: its problem against the rest, and the solution."""
        if self._number == 0:
            self._problem, self._grids = problem, found.grids
            self._seen = {split: _unknown(problem, split) for split in problem.splits}
            for path, by_split in found.margins.items():
                self._own[path] = {split: np.zeros_like(margins) for split, margins in by_split.items()}
                self._other[path] = {split: np.full_like(margins, -np.inf) for split, margins in by_split.items()}
        for split in set(self._seen) - set(problem.splits):  # a class of few examples holds none out
            del self._seen[split]
        for split, seen in self._seen.items():
            part, is_own = groups.examples(problem, split), problem.examples(split)[0] > 0
            seen.label[is_own], seen.agrees[:, is_own] = self._number, part.agrees[:, is_own]
            for path in self._own:
                margins = found.margins[path][split]
                self._own[path][split][..., is_own] = margins[..., is_own]
                rest = self._other[path][split]
                rest[..., ~is_own] = np.maximum(rest[..., ~is_own], -margins[..., ~is_own])
        if "held-out" in self._seen:
            self._loss = self._loss + np.logaddexp(0.0, -found.margins["time"]["held-out"]).mean(axis=1)
        self._number += 1

    def dataset(self, select: str) -> xr.Dataset:
        """The variables `all_...` of the schema; settings are chosen on the split `select`, or else on "train"."""
        import xarray as xr

        assert self._number == len(self._names)
        problem, grids, select = self._problem, self._grids, select if select in self._seen else "train"
        names, splits = [a.name for a in problem.attributes], list(self._seen)
        found = groups.made(self._names, problem.attributes, self._seen)
        margins = {
            path: {split: self._own[path][split] - self._other[path][split] for split in splits} for path in self._own
        }
        at = int(np.nanargmin(self._loss)) if "held-out" in splits else len(grids.ts) - 1
        values = group_values(found, margins, names)
        values |= choice_values(found, values, names, select, at, grids)
        variables = {f"all_{name}": _schema.variable(f"all_{name}", value) for name, value in values.items()}
        axes = {
            "attribute": np.array(names, str),
            "strategy": np.array(STRATEGIES),
            "split": np.array(splits),
            **grids.axes,
        }
        coords = group_coordinates("all_group", found) | _schema.coordinates(axes)
        stop = float(grids.ts[at])
        told = _sentences(found, values, names, at, stop)
        return xr.Dataset(variables, coords, {"all_plain_time": stop, "all_select": select, "all_told": told})


def _unknown(problem: Problem, split: str) -> Examples:
    """Examples of a split whose labels are not known yet."""
    part = groups.examples(problem, split)
    return Examples(np.full_like(part.label, -1), part.code, np.zeros_like(part.agrees))


def _sentences(found: Groups, values: dict[str, np.ndarray], names: list[str], at: int, stop: float) -> str:
    """What all classes together come to at the plain stop, on the last split, and whose groups differ most."""
    split = list(found.members)[-1]
    count = found.count(split)
    right, low, high = (values[f"accuracy_time{end}"][-1, :, at] for end in ("", "_low", "_high"))

    def told(group: int) -> str:
        return f"{right[group]:.0%} [{100 * low[group]:.0f}, {100 * high[group]:.0f}]"

    kind = "training" if split == "train" else split
    lines = [
        f"All classes together, the largest of their outputs deciding: plain training, stopped at time {about(stop)}, "
        f"classifies {told(0)} of the {kind} examples rightly"
    ]
    pairs = [(name, found.one("aligned", name), found.one("conflicting", name)) for name in names]
    known = [pair for pair in pairs if min(count[pair[1]], count[pair[2]]) >= RARE]
    if known:
        name, aligned, other = max(known, key=lambda pair: right[pair[1]] - right[pair[2]])
        lines.append(f"{told(aligned)} of those whose '{name}' agrees with their class, {told(other)} of the others")
        cells = found.deciding(split, name)
        if len(cells):
            cell = cells[int(np.argmin(right[cells]))]
            lines.append(f"and fewest, {right[cell]:.0%}, of the {count[cell]} with {found.all[cell].name}")
    return ", ".join(lines) + "."
