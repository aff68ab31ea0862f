"""All that is solved for a report, stage by stage: features, flows, optima, starvation, the counterfactual."""

from __future__ import annotations

import dataclasses

import numpy as np

from gsdyn.diagnosis import counterfactual, features, groups, paths, starving, ties
from gsdyn.diagnosis.gram import Gram
from gsdyn.diagnosis.groups import Groups
from gsdyn.diagnosis.paths import Grids, Solver
from gsdyn.diagnosis.problem import Problem
from gsdyn.diagnosis.stages import Stages
from gsdyn.features import FeatureBasis

NAMES = ("features", "plain training", "weight decays", "decoupling", "held out", "starvation", "over time", "without")


@dataclasses.dataclass(frozen=True)
class Wishes:
    """What the user asked for, None where that is left to the report."""

    features: int
    ts: np.ndarray | None
    decays: np.ndarray | None
    switch_times: np.ndarray | None
    decouplings: np.ndarray | None
    level: float


@dataclasses.dataclass(frozen=True, eq=False)
class Solutions:
    """What was solved. `margins[path][split]`: (*path, m) of "time", "decay", "switch"; `without[split]`.

    `plain_at` is the number of the saved time at which plain training stops.
    """

    grids: Grids
    features: dict[str, np.ndarray]
    ties: dict[str, np.ndarray]
    groups: Groups
    margins: dict[str, dict[str, np.ndarray]]
    plain_at: int
    optima: dict[str, np.ndarray]
    starvation: dict[str, np.ndarray]
    over_time: dict[str, np.ndarray]
    removed: list[int]
    without: dict[str, np.ndarray]
    reached: dict[str, bool]
    contrasts: dict[str, np.ndarray]
    gap_share: np.ndarray

    def weights(self, split: str) -> np.ndarray | None:
        """What margins of a split are in the features, `U` or `y phi`: (m, k); None of examples held out."""
        return {"train": self.features["U"], "test": self.features.get("signed_phi")}.get(split)


def solve(problem: Problem, kernels: Gram, wishes: Wishes, stages: Stages) -> Solutions:
    """Everything, in the order in which each stage needs those before it."""
    y, new_y = problem.y, None if problem.test is None else problem.test.y
    solver = Solver(kernels.theta, y, kernels.new, new_y)
    rank = min(wishes.features, problem.n)
    leading = stages.do("features", lambda: features.leading(kernels.theta, y, rank, kernels.new))
    if new_y is not None:
        leading["signed_phi"] = new_y[:, None] * leading["phi"]
    s2 = float(leading["s"][0] ** 2)
    grids = _grids(kernels, s2, wishes)
    plain = stages.do("plain training", lambda: solver.plain(grids.ts))
    optima = stages.do("weight decays", lambda: solver.optima(grids.decays))
    switched = stages.do("decoupling", lambda: solver.switched(plain, grids))
    held = stages.do("held out", lambda: _held_out(solver, problem, grids))
    basis = FeatureBasis(leading["U"], leading["s"])
    starved = stages.do("starvation", lambda: starving.at_optima(_signed(solver), basis, optima["alpha"], grids.decays))
    over_time = stages.do("over time", lambda: starving.over_time(basis, grids, plain["margins"], switched["margins"]))

    found = groups.of(problem)
    tied = ties.ties(leading["U"], y, problem.attributes, wishes.level)
    finished = starved | solver.seen(starved["coefficients"])
    margins = {"time": _splits(plain), "decay": _splits(finished), "switch": _splits(switched)}
    for path in margins if held else ():
        margins[path]["held-out"] = held[path]
    plain_at = _plain_stop(margins["time"].get("held-out"), len(grids.ts))
    contrasts = {
        split: groups.contrasts(found, split, [a.name for a in problem.attributes]) for split in problem.splits
    }
    z = plain["margins"] @ leading["U"]
    judged = [found.judged_on(a.name) for a in problem.attributes]
    share = _gap_share(leading, contrasts, judged, margins["time"], z[plain_at], plain_at)
    removed = counterfactual.candidates(z[plain_at], tied["tied"], share)
    without = stages.do("without", lambda: counterfactual.solved_without(solver, leading, removed, grids.ts))
    without |= counterfactual.compared(grids.ts, z, without["response"], plain_at)
    reached = {"plain": bool(plain["reached"]), "decoupling": bool(switched["reached"].all())}
    reached |= {"held-out": bool(held["reached"])} if held else {}
    reached["without"] = bool(np.all(without["reached"]))
    return Solutions(
        grids, leading, tied, found, margins, plain_at, optima, starved, over_time, removed, without, reached,
        contrasts, share,
    )  # fmt: skip


def _grids(kernels: Gram, s2: float, wishes: Wishes) -> Grids:
    n = len(kernels.theta)
    ts = paths.times(kernels.theta, s2) if wishes.ts is None else wishes.ts
    decays = paths.decays(ts, s2, n) if wishes.decays is None else wishes.decays
    decouplings = paths.decouplings(n) if wishes.decouplings is None else wishes.decouplings
    if wishes.switch_times is None:
        late = ts[int(np.argmin(np.abs(ts - ts[-1] / 10)))]
        switches = np.unique([0.0, late, ts[-1]])
    else:
        switches = wishes.switch_times
        ts = np.unique(np.concatenate([ts, switches[switches > 0]]))
    return Grids(ts, decays, switches, decouplings)


def _signed(solver: Solver) -> np.ndarray:
    K = np.array(solver.theta, float)
    K *= solver.y[:, None]
    K *= solver.y[None, :]
    return K


def _held_out(solver: Solver, problem: Problem, grids: Grids) -> dict[str, np.ndarray]:
    """The same paths for the examples left out, from a solution of the others; nothing where none are."""
    if not problem.held_out.any():
        return {}
    part = paths.rest(solver, problem.held_out)
    plain = part.plain(grids.ts)
    switched = part.switched(plain, grids)
    reached = plain["reached"] & switched["reached"].all()
    return {
        "time": plain["new"],
        "decay": part.optima(grids.decays)["new"],
        "switch": switched["new"],
        "reached": np.asarray(reached),
    }


def _splits(run: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {split: run[name] for split, name in (("train", "margins"), ("test", "new")) if name in run}


def _plain_stop(held: np.ndarray | None, count: int) -> int:
    """The time of the least mean loss on held-out examples; the last where there are none."""
    if held is None:
        return count - 1
    loss = np.logaddexp(0.0, -held).mean(axis=1)
    return int(np.argmin(np.where(np.isfinite(loss), loss, np.inf)))


def _gap_share(
    leading: dict[str, np.ndarray],
    contrasts: dict[str, np.ndarray],
    judged: list[str],
    margins: dict[str, np.ndarray],
    z: np.ndarray,
    at: int,
) -> np.ndarray:
    """What part of each attribute's gap each feature carries at a saved time, (features, attributes), on the split on
    which it is judged; for those held out, on which features are not functions of the examples, on the training set."""
    shares = np.full((len(z), len(judged)), np.nan)
    for i, split in enumerate(judged):
        split = "test" if split == "test" else "train"
        rows = leading["signed_phi"] if split == "test" else leading["U"]
        contrast = contrasts[split][i]
        total = float(contrast @ margins[split][at])
        if np.isfinite(total) and total != 0:
            shares[:, i] = z * (contrast @ rows) / total
    return shares
