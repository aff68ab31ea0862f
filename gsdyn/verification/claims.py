"""All claims of both papers, and how to check them or some of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import jax

from gsdyn import _checks, _options
from gsdyn._progress import Progress, silent
from gsdyn.verification import (
    beyond_time,
    c18_depth,
    c18_extensions,
    c18_modes,
    c18_rare,
    later_papers,
    p21_closed_forms,
    p21_decoupling,
    p21_dual,
    p21_starvation,
)
from gsdyn.verification._registry import Check, Group
from gsdyn.verification.report import Report

GROUPS: tuple[Group, ...] = (
    p21_starvation.GROUP,
    p21_dual.GROUP,
    p21_closed_forms.GROUP,
    p21_decoupling.GROUP,
    c18_modes.GROUP,
    c18_depth.GROUP,
    c18_extensions.GROUP,
    c18_rare.GROUP,
    beyond_time.GROUP,
    later_papers.GROUP,
)


def checks() -> Mapping[str, Check]:
    """Every claim's check by the claim's ID, in the order of the papers.

    >>> print(len(gs.verification.checks()) > 70)
    True
    """
    return {check.claim.id: check for group in GROUPS for check in group.checks}


def verify_claims(
    ids: Sequence[str] = (),
    seed: int = 0,
    *,
    samples: int | None = None,
    progress: Progress = silent,
) -> Report:
    """Check claims of P21 and C18 on random problems, each against an oracle that shares no code with the library.

    - `ids`: of the claims, as in "P21-Thm2"; none means all. `seed`: of the random problems.
    - `samples`: how many problems for each claim, at least 1; by default as many as each claim says.

    A claim that is false as stated is expected to be refuted again, with a counter-example in its details.
    Raises `ValueError` for an unknown ID, and in 32-bit mode.

        >>> report = gs.verification.verify_claims(["P21-Eq12"], samples=5)
        >>> print(report.findings[0].verdict)
        holds
    """
    seed = _checks.integer("seed", seed, 0)
    samples = None if samples is None else _checks.integer("samples", samples, 1)
    if not jax.config.read("jax_enable_x64"):
        raise ValueError("precision must be 64 bits: call jax.config.update('jax_enable_x64', True)")
    chosen = _chosen(ids)
    findings = []
    for group in GROUPS:
        mine = [check for check in group.checks if check.claim.id in chosen]
        for done, check in enumerate(mine):
            progress(group.name, done, len(mine))
            findings += check.run(seed, samples)
        if mine:
            progress(group.name, len(mine), len(mine))
    settings = {"claims": " ".join(chosen) if ids else "all", "seed": seed, "samples": samples or "each claim's own"}
    return Report("Claims of both papers" if not ids else "Claims", findings, settings=settings)


def _chosen(ids: Sequence[str]) -> list[str]:
    known = {name.lower(): name for name in checks()}
    for name in ids:
        if name.lower() not in known:
            told = _options.nearest(name, known.values())
            raise ValueError(f"claims must be IDs such as P21-Thm2 or C18-Eq4 (see checks), got {told}")
    return [known[name.lower()] for name in ids] or list(known.values())
