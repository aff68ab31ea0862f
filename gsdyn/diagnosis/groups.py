"""Groups of examples by label and attribute: who is classified well, and which features carry the gap between them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from gsdyn import groups
from gsdyn.diagnosis.attributes import CUT, RARE, Attribute
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


@dataclasses.dataclass(frozen=True, eq=False)
class Examples:
    """What groups are made of: the `label` of every example, 0.., (m,); of every attribute its value's `code`, 0.. or
    -1 where unknown, and whether it `agrees` with the label: 1, -1, or 0 where unknown, (A, m)."""

    label: np.ndarray
    code: np.ndarray
    agrees: np.ndarray


def examples(problem: Problem, split: str) -> Examples:
    """Those of a split of a problem."""
    y, columns = problem.examples(split)
    shape = (len(columns), len(y))
    code, agrees = np.full(shape, -1), np.zeros(shape, int)
    for i, known in enumerate(columns):
        if known is not None:
            code[i], agrees[i] = known[0], known[1] * y
    return Examples((y > 0).astype(int), code, agrees)


def of(problem: Problem) -> Groups:
    """The groups of a problem."""
    return made(problem.names, problem.attributes, {split: examples(problem, split) for split in problem.splits})


def made(names: Sequence[str], attributes: Sequence[Attribute], seen: Mapping[str, Examples]) -> Groups:
    """The groups: all examples; for each attribute the cells of label and value, the aligned, and the conflicting.

    - `names`: of the labels. `seen`: the examples of each split.
    """
    found = [Group("all", "all")]
    for a in attributes:
        for label in names:
            for value in a.values:
                named = f"{a.name} {value}" if value.startswith(CUT) else f"{a.name} = {value}"
                found.append(Group(f"{named}, y = {label}", "cell", a.name, label, value))
        found += [Group(f"{a.name}: {kind}", kind, a.name) for kind in ("aligned", "conflicting")]
    sizes = [len(a.values) for a in attributes]
    return Groups(found, {split: _members(part, len(names), sizes) for split, part in seen.items()})


def _members(seen: Examples, labels: int, sizes: Sequence[int]) -> np.ndarray:
    rows = [np.ones(len(seen.label), bool)]
    for code, agrees, size in zip(seen.code, seen.agrees, sizes, strict=True):
        rows += [(seen.label == label) & (code == i) for label in range(labels) for i in range(size)]
        rows += [agrees == 1, agrees == -1]
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
