"""The counterfactual: the same examples learnt without a strong feature, and what those it starved gain."""

from __future__ import annotations

import numpy as np

from gsdyn.diagnosis.features import half_times
from gsdyn.diagnosis.paths import Solver

REMOVED = 3


def candidates(z: np.ndarray, tied: np.ndarray, share: np.ndarray) -> list[int]:
    """Which features to take out: of each attribute the tied one that carries most of its gap, then the strongest by
    their responses `z`, at most `REMOVED`.

    - `tied`, `share`: (features, attributes): what is tied, and what part of the gap it carries.
    """
    found: list[int] = []
    weight = np.where(tied & np.isfinite(share), share, -np.inf)
    for i in np.argsort(-weight.max(axis=0, initial=-np.inf), kind="stable"):
        if weight.shape[0] and weight[:, i].max() > -np.inf:
            found.append(int(np.argmax(weight[:, i])))
    found += [int(j) for j in np.argsort(-np.abs(z), kind="stable")[:2]]
    return list(dict.fromkeys(found))[:REMOVED]


def solved_without(
    solver: Solver, features: dict[str, np.ndarray], removed: list[int], ts: np.ndarray
) -> dict[str, np.ndarray]:
    """Plain training without each of the features: responses (removed, t, k), margins (removed, t, n), at new inputs
    (removed, t, m), whether all was reached."""
    U, s2, phi = features["U"], features["s"] ** 2, features.get("phi")
    kept: dict[str, list[np.ndarray]] = {}
    for j in removed:
        run = solver.without(U[:, j], float(s2[j]), None if phi is None else phi[:, j]).plain(ts)
        run["response"] = run["margins"] @ U
        for name in ("response", "margins", "new", "reached"):
            if name in run:
                kept.setdefault(name, []).append(run[name])
    return {name: np.stack(runs) for name, runs in kept.items()}


def compared(ts: np.ndarray, z: np.ndarray, without: np.ndarray, at: int) -> dict[str, np.ndarray]:
    """How much earlier and stronger features are learnt: times to half of the end that they have with all features,
    (removed, k), and responses without over responses with all, at the saved time number `at`."""
    with np.errstate(divide="ignore", invalid="ignore"):
        gain = np.where(z[at] != 0, without[:, at] / z[at], np.nan)
    half = np.stack([half_times(ts, one, z[-1]) for one in without])
    return {"half_time": half, "gain": gain}
