"""Groups of examples by label and attribute: who is classified well, and which features carry the gap between them."""

from __future__ import annotations

import dataclasses

import numpy as np

from gsdyn import groups
from gsdyn.diagnosis.attributes import RARE
from gsdyn.diagnosis.problem import Problem


@dataclasses.dataclass(frozen=True)
class Group:
    """One group: its name, kind ("all", "cell", "aligned", "conflicting"), and what makes it, in words."""

    name: str
    kind: str
    attribute: str = ""
    label: str = ""
    value: str = ""


@dataclasses.dataclass(frozen=True, eq=False)
class Groups:
    """All groups of a problem, and which examples of each split belong to each: `members[split]` (g, m), bool."""

    all: list[Group]
    members: dict[str, np.ndarray]

    def count(self, split: str) -> np.ndarray:
        return self.members[split].sum(axis=1)

    def where(self, kind: str, attribute: str = "") -> np.ndarray:
        """The numbers of the groups of one kind and attribute."""
        return np.array([i for i, g in enumerate(self.all) if g.kind == kind and g.attribute == attribute], int)

    def one(self, kind: str, attribute: str = "") -> int:
        return int(self.where(kind, attribute)[0])

    def judged_on(self, attribute: str) -> str:
        """The split on which an attribute is judged: "test" where it has examples enough, aligned and conflicting, else
        "held-out", else "train"."""
        for split in ("test", "held-out"):
            if split in self.members:
                count = self.count(split)
                if min(count[self.one(kind, attribute)] for kind in ("aligned", "conflicting")) >= RARE:
                    return split
        return "train"

    def deciding(self, split: str, attribute: str) -> np.ndarray:
        """The cells of an attribute that are large enough in a split to decide anything."""
        cells = self.where("cell", attribute)
        return cells[self.count(split)[cells] >= RARE]


def of(problem: Problem) -> Groups:
    """The groups: all examples; for each attribute the cells of label and value, the aligned, and the conflicting."""
    found = [Group("all", "all")]
    for a in problem.attributes:
        for i, label in enumerate(problem.names):
            for value in a.values:
                found.append(Group(f"{a.name} = {value}, y = {problem.names[i]}", "cell", a.name, label, value))
        found += [Group(f"{a.name}: {kind}", kind, a.name) for kind in ("aligned", "conflicting")]
    return Groups(found, {split: _members(problem, split) for split in problem.splits})


def _members(problem: Problem, split: str) -> np.ndarray:
    y, columns = problem.examples(split)
    rows = [np.ones(len(y), bool)]
    for a, known in zip(problem.attributes, columns, strict=True):
        code, b = (np.full(len(y), -1), np.zeros(len(y))) if known is None else known
        rows += [(y == sign) & (code == i) for sign in (-1, 1) for i in range(len(a.values))]
        rows += [b == y, b == -y]
    return np.stack(rows)


def metrics(found: Groups, split: str, margins: np.ndarray) -> dict[str, np.ndarray]:
    """Accuracy with Wilson's interval and mean margin of every group, (g, ...), from margins (..., m)."""
    member = found.members[split].astype(float)
    count = member.sum(axis=1)
    shape = (len(count),) + (1,) * (margins.ndim - 1)
    known = (count > 0).reshape(shape)
    size = np.maximum(count, 1).reshape(shape)
    right = np.moveaxis((margins > 0).astype(float) @ member.T, -1, 0) / size
    mean = np.moveaxis(margins @ member.T, -1, 0) / size
    reached = np.isfinite(margins).all(axis=-1)
    low, high = groups.wilson(np.asarray(right), np.broadcast_to(size, right.shape))  # pyright: ignore
    values = {"accuracy": right, "low": np.asarray(low), "high": np.asarray(high), "margin": mean}
    return {name: np.where(known & reached, value, np.nan) for name, value in values.items()}


def contrasts(found: Groups, split: str, attributes: list[str]) -> np.ndarray:
    """For each attribute the weights whose product with margins is mean over aligned less mean over conflicting
    examples, (A, m); NaN where there are none of either."""
    rows = []
    for name in attributes:
        aligned, other = (found.members[split][found.one(kind, name)] for kind in ("aligned", "conflicting"))
        counts = aligned.sum(), other.sum()
        rows.append(aligned / counts[0] - other / counts[1] if min(counts) else np.full(len(aligned), np.nan))
    return np.array(rows).reshape(len(attributes), found.members[split].shape[1])


def gap(contrast: np.ndarray, margins: np.ndarray) -> np.ndarray:
    """The gap between aligned and conflicting examples, (A, ...), from margins (..., m)."""
    return np.moveaxis(margins @ contrast.T, -1, 0)


def worst(found: Groups, accuracy: np.ndarray, split: str, attribute: str) -> np.ndarray:
    """The accuracy of the worst cell of an attribute, from those of all groups (g, ...); NaN where none decides."""
    cells = found.deciding(split, attribute)
    if not len(cells):
        return np.full(accuracy.shape[1:], np.nan)
    return accuracy[cells].min(axis=0)
