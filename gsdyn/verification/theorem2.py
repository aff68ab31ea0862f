"""Theorem 2 and its exact extension, on random two-feature problems (P21-Thm2, THEORY section 3).

A cell is one problem `(s_1, s_2, delta, lam)`. Its derivative `d z_2*/d(s_1^2)` comes from the starvation matrix at
the computed fixed point. Its sign is that of `w_1 - w_2`, with `w = -a'(f)` the curvature of the loss in each example.
A cell's margin is `|w_1 - w_2|` over its rounding error, which the certificate of the fixed point bounds:

    E = 8 eps |w_1 - w_2| + sum_i ( |dw/dalpha|_i e + e^2 ),    |alpha - alpha*| <= e

All other factors are sums of positive terms, so a margin above 1 makes the sign certain, and the margin is that of the
derivative too. Where it is 1 or less float64 cannot tell the sign. Those cells are settled in 80-digit
arithmetic, so that every cell is judged.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from gsdyn import _checks, closed_forms
from gsdyn._progress import Progress, silent
from gsdyn._traced import checked_beforehand
from gsdyn.features import FeatureBasis
from gsdyn.fixed_points import FixedPoint, fixed_point
from gsdyn.losses import CrossEntropy, FirstOrderCrossEntropy, Loss
from gsdyn.penalties import WeightDecay
from gsdyn.starvation import sign_law, starvation_matrix
from gsdyn.verification import _differences
from gsdyn.verification._claims import Claim, Finding

STRENGTHS, STRENGTH, OVERLAPS = (1e-2, 1e2), (1e-5, 1e2), (1e-3, 0.999)
BLOCK = 1 << 13
PROBLEMS = 1_000
SMALL_OVERLAPS = 1e-12, OVERLAPS[1], 300
LOST = 0.01
RANDOM = (
    f"random cells, s in [{STRENGTHS[0]:g}, {STRENGTHS[1]:g}], lam in [{STRENGTH[0]:g}, {STRENGTH[1]:g}] log-uniform, "
    f"delta in [{OVERLAPS[0]:g}, {OVERLAPS[1]:g}]"
)
METHOD = (
    f"the starvation matrix at the fixed point of {RANDOM}; margin: |d z_2*/d(s_1^2)| over its rounding error, "
    "a sign of margin 1 or less is settled in 80 digits"
)
FLOWS = {"Eq. 9": CrossEntropy(), "Eq. 10": FirstOrderCrossEntropy()}
CLAIMS = {
    "paper": Claim(
        "P21-Thm2",
        "d z_2*/d(s_1^2) < 0 for s_1 > s_2 and 0 < delta < 1/sqrt(2)",
        METHOD,
        "margin",
    ),
    "exact": Claim(
        "P21-Thm2-exact",
        "sign(d z_2*/d(s_1^2)) = -sign((1 - 2 delta^2)(s_1 - s_2)) for 0 < delta < 1",
        METHOD,
        "margin",
    ),
}


class Cells(NamedTuple):
    """Two-feature problems, one entry each."""

    s1: Any
    s2: Any
    delta: Any
    lam: Any


class Judged(NamedTuple):
    """The derivative in every cell, and how sure its sign is."""

    starvation: Any
    margin: Any
    converged: Any


def check_theorem2(
    cells: int = 200_000,
    seed: int = 0,
    *,
    law: Callable[..., Array] = sign_law,
    progress: Progress = silent,
) -> list[Finding]:
    """Check P21-Thm2 and its exact extension, under Eq. 9 and under Eq. 10, on random cells.

    - `cells`: how many, at least 1. `seed`: of the random cells.
    - `law`: from `(s1, s2, delta)` to the claimed sign; another one than the true law shows that this check can fail.

    Returns a finding for each claim and flow. A derivative of the wrong sign, or a fixed point that was not
    reached, is a violation; the first one is in the details. Raises `ValueError` in 32-bit mode.

        >>> findings = gs.verification.check_theorem2(cells=100)
        >>> print(sum(finding.violations for finding in findings if finding.claim.id == "P21-Thm2-exact"))
        0
    """
    cells, seed = _checks.integer("cells", cells, 1), _checks.integer("seed", seed, 0)
    if not jax.config.read("jax_enable_x64"):
        raise ValueError("precision must be 64 bits: call jax.config.update('jax_enable_x64', True)")
    problem = sample(cells, seed)
    claimed = np.asarray(law(*problem[:3]))
    findings = []
    for name, loss in FLOWS.items():
        told = functools.partial(progress, f"random cells, {name}")
        findings += _findings(name, problem, judge(loss, problem, told), claimed)
    return findings


def sample(count: int, seed: int | tuple[int, ...]) -> Cells:
    """Random cells: strengths and lam log-uniform, the overlap log-uniform towards 0 or, as often, towards 1."""
    random = np.random.default_rng(seed)

    def log_uniform(bounds: tuple[float, float]) -> np.ndarray:
        return np.exp(random.uniform(np.log(bounds[0]), np.log(bounds[1]), count))

    s1, s2, lam, small = (log_uniform(b) for b in (STRENGTHS, STRENGTHS, STRENGTH, OVERLAPS))
    delta = np.where(random.random(count) < 0.5, small, 1 - small)
    return Cells(s1, s2, delta, lam)


def judge(loss: Loss, cells: Cells, told: Callable[[int, int], None] = lambda done, total: None) -> Judged:
    """The derivative and its margin in every cell: one jitted vmap, run on blocks of one size."""
    count = len(cells.s1)
    starts = range(0, count, BLOCK)
    padded = Cells(*(np.resize(values, len(starts) * BLOCK) for values in cells))
    parts = []
    for done, start in enumerate(starts):
        told(done, len(starts))
        block = Cells(*(jnp.asarray(values[start : start + BLOCK]) for values in padded))
        with checked_beforehand():  # the cells were drawn where they are allowed
            parts.append(jax.block_until_ready(_judge(loss, block)))
    told(len(starts), len(starts))
    return Judged(*(np.concatenate(field)[:count] for field in zip(*parts, strict=True)))


@jax.jit
def _judge(loss: Loss, cells: Cells) -> Judged:
    def cell(s1: Array, s2: Array, delta: Array, lam: Array) -> Judged:
        basis = FeatureBasis.rotation(s1, s2, delta)
        fp = fixed_point(basis, loss, WeightDecay(lam))
        return Judged(starvation_matrix(basis, fp)[1, 0], _margin(fp), fp.converged)

    return jax.vmap(cell)(*cells)


def _margin(fp: FixedPoint) -> Float[Array, ""]:
    _, spread = fp.loss.curvature_spread(fp.margins)
    apart = jnp.abs(spread[0] - spread[1])
    a, e = fp.alpha, fp.error_bound
    slope = jnp.abs(1 - 2 * a) if isinstance(fp.loss, CrossEntropy) else 1 / (1 + a) ** 2
    error = 8 * jnp.finfo(a.dtype).eps * apart + jnp.sum(slope * e + e * e)
    return apart / error


def _findings(flow: str, cells: Cells, judged: Judged, claimed: np.ndarray) -> list[Finding]:
    unsure = ~(judged.margin > 1)
    sign = np.sign(judged.starvation)
    for i in np.flatnonzero(unsure & judged.converged):
        sign[i] = _differences.sign(*(float(x[i]) for x in cells), first_order=flow == "Eq. 10")
    wrong = (sign != claimed) | ~judged.converged
    paper = (cells.s1 > cells.s2) & (cells.delta < 2**-0.5)
    findings = []
    for key, inside in (("paper", paper), ("exact", np.ones_like(wrong))):
        if not inside.any():
            continue
        bad = wrong & inside
        details: dict[str, Any] = {
            "settled in 80 digits": int(np.sum(unsure & inside)),
            "not converged": int(np.sum(~judged.converged & inside)),
        }
        if bad.any():
            details["first violation"] = _describe(cells, judged, claimed, int(np.argmax(bad)))
        worst = float(np.min(np.nan_to_num(judged.margin[inside])))
        findings.append(Finding(CLAIMS[key], flow, int(inside.sum()), int(bad.sum()), worst, None, details))
    return findings


def _describe(cells: Cells, judged: Judged, claimed: np.ndarray, i: int) -> dict[str, float]:
    place = {name: float(values[i]) for name, values in cells._asdict().items()}
    return {
        **place,
        "derivative": float(judged.starvation[i]),
        "margin": float(judged.margin[i]),
        "claimed sign": float(claimed[i]),
    }


def small_overlap_limits(seed: int = 0) -> Mapping[str, float]:
    """Where the formula to first order in delta (P21-Eq16) loses 1% against the exact derivative of Eq. 9.

    For each random `(s_1, s_2, lam)` the smallest delta, of 300 spread evenly in log over [1e-12, 0.999], at which
    the two differ by more than 1%. Returns its smallest value, median and largest over the problems, and the share of
    problems that have lost 1% at delta = 0.01 and 0.1. Problems whose margin at the smallest delta is below 10^4, in
    which rounding could be mistaken for a loss, are left out and counted.

        >>> print(sorted(gs.verification.small_overlap_limits())[:1])
        ['largest']
    """
    seed = _checks.integer("seed", seed, 0)
    deltas = np.geomspace(*SMALL_OVERLAPS)
    drawn = sample(PROBLEMS, (seed, PROBLEMS))
    lost, margin = _lost(drawn, deltas)
    kept = margin[:, 0] > 1e4
    first = np.where(lost.any(axis=1), deltas[np.argmax(lost, axis=1)], 1.0)[kept]
    return {
        "problems": int(kept.sum()),
        "left out": int((~kept).sum()),
        "smallest": float(first.min()),
        "median": float(np.median(first)),
        "largest": float(first.max()),
        "share lost at delta = 0.01": float(np.mean(first <= 0.01)),
        "share lost at delta = 0.1": float(np.mean(first <= 0.1)),
    }


def _lost(problems: Cells, deltas: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where the formula has lost 1%, and the margin, for every problem (its own delta aside) at every delta."""
    shape = (len(problems.s1), len(deltas))
    s1, s2, lam = (np.repeat(values, shape[1]) for values in (problems.s1, problems.s2, problems.lam))
    cells = Cells(s1, s2, np.tile(deltas, shape[0]), lam)
    exact, margin, _ = judge(CrossEntropy(), cells)
    small = np.asarray(closed_forms.small_overlap_starvation(*cells))
    return (np.abs(small - exact) > LOST * np.abs(exact)).reshape(shape), margin.reshape(shape)
