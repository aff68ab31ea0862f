"""Shortcuts that were planted, and whether the report finds them: recall and false alarms in one table.

Every problem has four attributes: those that were planted, and others that have nothing to do with the inputs.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gsdyn import _checks, data
from gsdyn._progress import Progress, silent
from gsdyn.diagnosis.diagnose import diagnose

ATTRIBUTES = 4
IMAGE = 8  # pixels a side of scikit-learn's digits


@dataclasses.dataclass(frozen=True, eq=False)
class Split:
    """Examples of one kind: inputs, labels and the attributes that were planted, -1 or +1, by name; `images` for eyes,
    shape (n, h, w, 3) in [0, 1], where there are any."""

    x: np.ndarray
    y: np.ndarray
    planted: dict[str, np.ndarray]
    images: np.ndarray | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class Planted:
    """A problem with shortcuts: examples to learn from, new ones in which they mislead, and how well they agree.

    `expected`: whether the attributes are shortcuts: not where they agree with half of the labels.
    """

    name: str
    train: Split
    test: Split
    agreement: float
    expected: bool = True


@dataclasses.dataclass(frozen=True)
class Case:
    """One problem by name: from n, seed and a generator of random numbers."""

    name: str
    agreement: float
    make: Callable[[int, float, np.random.Generator], Planted]


def _agreeing(y: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    return y * np.where(rng.random(len(y)) < share, 1.0, -1.0)


def _slabs(k: int) -> Callable[[int, float, np.random.Generator], Planted]:
    """One linear coordinate, the shortcut, beside four of k slabs; new points have it at random."""

    def make(n: int, agreement: float, rng: np.random.Generator) -> Planted:
        kinds = (2, *(k,) * 4)
        seeds = rng.integers(2**31, size=2)
        points = [data.slabs(n, kinds, noise=2 * (1 - agreement), seed=int(seed)) for seed in seeds]
        parts = []
        for part, mislead in zip(points, (False, True), strict=True):
            x, y = np.array(part.x), np.asarray(part.y)
            if mislead:
                x[:, 0] = x[rng.permutation(n), 0]
            parts.append(Split(x, y, {"linear coordinate": np.sign(x[:, 0])}))
        return Planted(f"one linear coordinate, four of {k} slabs", parts[0], parts[1], agreement)

    return make


def _perception(n: int, agreement: float, rng: np.random.Generator) -> Planted:
    parts = []
    for share in (agreement, 1 - agreement):
        part = data.linear_perception(n, 100, agreement=share, seed=int(rng.integers(2**31)))
        parts.append(Split(np.asarray(part.x), np.asarray(part.y), {"z": np.asarray(part.z)}))
    return Planted("x = (10 z, y, noise)", parts[0], parts[1], agreement)


def _digits(
    name: str, change: Callable[[np.ndarray, dict[str, np.ndarray]], np.ndarray], names: Sequence[str]
) -> Callable[[int, float, np.random.Generator], Planted]:
    """Digits, a tenth of whose labels is wrong, changed by attributes that agree with the labels."""

    def make(n: int, agreement: float, rng: np.random.Generator) -> Planted:
        images, labels, _ = data.digits()
        order = rng.permutation(len(labels))
        parts = []
        for rows, share in ((order[:n], agreement), (order[n : 2 * n], 1 - agreement)):
            x, y = np.asarray(images)[rows], np.asarray(labels)[rows]
            y = _agreeing(y, 0.9, rng)
            planted = {key: _agreeing(y, share, rng) for key in names}
            x = change(x, planted)
            parts.append(Split(x, y, planted, _for_eyes(x)))
        return Planted(f"digits: {name}", parts[0], parts[1], agreement, expected=agreement != 0.5)

    return make


def _for_eyes(x: np.ndarray) -> np.ndarray:
    """Red, green and blue of digits in one channel or in two."""
    channels = x.reshape(len(x), -1, IMAGE, IMAGE)
    if channels.shape[1] == 1:
        return np.repeat(channels[:, 0, :, :, None], 3, axis=-1)
    return np.stack([channels[:, 0], channels[:, 1], np.zeros_like(channels[:, 0])], axis=-1)


def _coloured(x: np.ndarray, planted: dict[str, np.ndarray]) -> np.ndarray:
    second = planted["colour"][:, None] > 0
    return np.concatenate([np.where(second, 0, x), np.where(second, x, 0)], axis=1)


def _patched(x: np.ndarray, planted: dict[str, np.ndarray]) -> np.ndarray:
    return np.asarray(data.corner_patch(x, planted["patch"], pixels=2))


def _bright(x: np.ndarray, planted: dict[str, np.ndarray]) -> np.ndarray:
    return np.asarray(data.brightness(x, planted["brightness"], shift=0.5))


def _both(x: np.ndarray, planted: dict[str, np.ndarray]) -> np.ndarray:
    return _coloured(_patched(x, planted), planted)


def _hospital(n: int, agreement: float, rng: np.random.Generator) -> Planted:
    """Breast cancer, standardised, with one more column that says at which of two hospitals it was diagnosed."""
    from sklearn.datasets import load_breast_cancer

    columns, labels = load_breast_cancer(return_X_y=True)
    columns, y = np.asarray(columns), np.where(np.asarray(labels) > 0, 1.0, -1.0)
    columns = (columns - columns.mean(axis=0)) / columns.std(axis=0)
    half, order = min(n, len(y) // 2), rng.permutation(len(y))
    parts = []
    for rows, share in ((order[:half], agreement), (order[half : 2 * half], 1 - agreement)):
        hospital = _agreeing(y[rows], share, rng)
        x = np.column_stack([columns[rows], 3 * hospital])
        parts.append(Split(x, y[rows], {"hospital": hospital}))
    return Planted("breast cancer: a column for the hospital", parts[0], parts[1], agreement, expected=agreement != 0.5)


_COLOUR = _digits("colour", _coloured, ["colour"])
_PATCH = _digits("corner patch", _patched, ["patch"])
CASES = (
    Case("slabs-5", 0.95, _slabs(5)),
    Case("slabs-7", 0.95, _slabs(7)),
    Case("perception", 0.9, _perception),
    *(Case(f"colour-{share:.0%}", share, _COLOUR) for share in (0.5, 0.6, 0.8, 0.95)),
    *(Case(f"patch-{share:.0%}", share, _PATCH) for share in (0.5, 0.6, 0.8, 0.95)),
    *(Case(f"brightness-{share:.0%}", share, _digits("brightness", _bright, ["brightness"])) for share in (0.5, 0.9)),
    *(Case(f"hospital-{share:.0%}", share, _hospital) for share in (0.5, 0.9)),
    Case("two at once", 0.85, _digits("colour and patch", _both, ["colour", "patch"])),
)
"""The problems, by name."""


def planted_shortcuts(
    cases: Sequence[Case] = CASES,
    *,
    n: int = 400,
    seeds: int = 3,
    other: Callable[[np.ndarray, np.ndarray], str] | None = None,
    progress: Progress = silent,
) -> list[dict[str, Any]]:
    """The report on every problem: what it found of what was planted, and how often it was wrong about the rest.

    - `cases`: problems. `n`: examples to learn from, and as many new ones. `seeds`: how often each is drawn.
    - `other`: what another tool says of the images, (n, h, w, 3), and labels of the first draw, in words.
    - `progress`: called with "reports", those made and how many there are.

    Returns a row for each case: `planted` attributes in all draws, those `found` to be shortcuts, those `undecided`,
    others (`innocent`) and how many of them were called shortcuts (`false_alarms`), and the mean `accuracy_aligned` and
    `accuracy_conflicting` of new examples. Where an attribute agrees with half of the labels it is an innocent one.
    """
    n, seeds = _checks.integer("n", n, 40), _checks.integer("seeds", seeds, 1)
    rows = []
    for number, case in enumerate(cases):
        row: dict[str, Any] = {"case": case.name, "problem": "", "agreement": case.agreement}
        row |= dict.fromkeys(("planted", "found", "undecided", "innocent", "false_alarms"), 0)
        aligned, conflicting = [], []
        for seed in range(seeds):
            progress("reports", number * seeds + seed, len(cases) * seeds)
            problem = case.make(n, case.agreement, np.random.default_rng([number, seed]))
            verdicts = _reported(problem, seed)
            for name, record in verdicts.items():
                guilty = name in problem.train.planted and problem.expected
                shortcut = record["verdict"] == "shortcut"
                row["planted" if guilty else "innocent"] += 1
                row["found" if guilty else "false_alarms"] += shortcut
                row["undecided"] += guilty and record["verdict"] == "undecided"
                if name in problem.train.planted:
                    aligned.append(record["accuracy_aligned"])
                    conflicting.append(record["accuracy_conflicting"])
            row["problem"] = problem.name
            if seed == 0:
                images = problem.train.images
                row["other"] = "no images" if other is None or images is None else other(images, problem.train.y)
        row |= {"accuracy_aligned": float(np.mean(aligned)), "accuracy_conflicting": float(np.mean(conflicting))}
        rows.append(row)
    progress("reports", len(cases) * seeds, len(cases) * seeds)
    return rows


def _reported(problem: Planted, seed: int) -> dict[str, dict[str, Any]]:
    """The verdict on each attribute."""
    rng = np.random.default_rng([seed, 1])
    known: list[dict[str, np.ndarray]] = []
    for part in (problem.train, problem.test):
        names = [f"random {i}" for i in range(ATTRIBUTES - len(part.planted))]
        known.append(part.planted | {name: rng.choice([-1.0, 1.0], len(part.y)) for name in names})
    test = {"x": problem.test.x, "y": problem.test.y, "attributes": known[1]}
    one: dict[str, Any] = {
        "decays": [1.0],
        "decouplings": [1.0],
        "switch_times": [0.0],
    }  # the verdict is on plain training
    report = diagnose(
        problem.train.x, problem.train.y, attributes=known[0], test=test, seed=seed, progress=False, **one
    )
    return {record["attribute"]: record for record in report.verdict.attributes}


def markdown(rows: Sequence[dict[str, Any]], seeds: int, n: int) -> str:
    """The rows as a table, with the sums below it."""
    lines = [
        "| case | problem | agreement | found | undecided | false alarms | aligned right | conflicting right | "
        "cleanlab's image score |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        found = f"{row['found']} of {row['planted']}" if row["planted"] else "nothing planted"
        lines.append(
            f"| {row['case']} | {row['problem']} | {row['agreement']:.0%} | {found} | {row['undecided']} | "
            f"{row['false_alarms']} of {row['innocent']} | {row['accuracy_aligned']:.0%} | "
            f"{row['accuracy_conflicting']:.0%} | {row['other']} |"
        )
    times = "One draw" if seeds == 1 else f"{seeds} draws"
    sums = {key: sum(row[key] for row in rows) for key in ("planted", "found", "innocent", "false_alarms")}
    lines += [
        "",
        f"Found {sums['found']} of {sums['planted']} planted shortcuts; {sums['false_alarms']} false alarms on "
        f"{sums['innocent']} attributes that are none. {times} of each problem, {n} examples and as many new "
        "ones (breast cancer: at most half of it each); accuracies are predicted for plain training.",
    ]
    if any(row["agreement"] == 0.5 and row["false_alarms"] for row in rows):
        lines += [
            "",
            "An attribute that agrees with half of the labels counts as none, yet it is in the inputs: the network "
            "learns what agreement chance leaves in so few examples too, and false alarms at 50% are about that.",
        ]
    return "\n".join(lines) + "\n"
