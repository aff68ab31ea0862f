"""`gsdyn verify`: check the papers' claims numerically."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from gsdyn._options import Allowed, Count, Seed
from gsdyn.cli._claims import IDS
from gsdyn.cli._console import FAILED, progress, start_jax, writable

if TYPE_CHECKING:
    from gsdyn.verification import Report


_KNOWN = {name.lower() for name in IDS}
Claim = Annotated[
    str, Allowed("IDs such as P21-Thm2 or C18-Eq4 (see --list)", lambda name: name.lower() in _KNOWN, IDS)
]


@dataclasses.dataclass(frozen=True)
class Verify:
    """Check the claims of both papers numerically, all or by ID, each against an independent oracle.

    A claim that is false as stated is listed as such with a counter-example. The exit code is 1 if a claim fails that
    should hold, or a counter-example is gone. `gsdyn verify thm2` checks Theorem 2 alone, on more cells.
    """

    claims: tyro.conf.Positional[tuple[Claim, ...]] = ()
    """IDs such as P21-Thm2 or C18-Eq4; none means all."""
    seed: Seed = 0
    """Seed of the random problems."""
    samples: Count | None = None
    """How many problems for each claim; by default as many as each claim says."""
    out: Path | None = None
    """Also write claims.json and claims.md into this folder."""
    list: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Print every ID and claim, and check nothing."""

    def run(self) -> int:
        with writable(out=None if self.list else self.out) as places:
            start_jax()
            from gsdyn.verification import checks, verify_claims

            if self.list:
                for check in checks().values():
                    print(f"{check.claim.id}: {check.claim.statement}")
                return 0
            with progress() as report:
                done = verify_claims(self.claims, self.seed, samples=self.samples, progress=report)
            return _tell(done, places["out"] / "claims" if places else None)


@dataclasses.dataclass(frozen=True)
class Theorem2:
    """Check Theorem 2 and its exact extension on random cells; the exit code is 1 if one violates them."""

    cells: Count = 200_000
    """How many random two-feature problems."""
    seed: Seed = 0
    """Seed of the random problems."""
    out: Path | None = None
    """Also write the report to OUT.json and OUT.md."""

    def run(self) -> int:
        with writable(out=self.out and self.out.parent) as places:
            start_jax()
            from gsdyn.verification import Report, check_theorem2, small_overlap_limits

            with progress() as report:
                findings = check_theorem2(self.cells, self.seed, progress=report)
                limits = small_overlap_limits(seed=self.seed)
            done = Report(
                "Theorem 2: which feature starves",
                findings,
                {"delta at which the small-delta formula loses 1%": limits},
                {"cells": self.cells, "seed": self.seed},
            )
            return _tell(done, places["out"] / self.out.name if self.out else None)


def _tell(done: Report, stem: Path | None) -> int:
    """Print a report, write it to `stem.json` and `stem.md`, and return the exit code."""
    from rich.console import Console

    table = done.table()
    console = Console(soft_wrap=True)
    # whole rows, which a narrow terminal wraps, rather than cut cells
    needed = console.measure(table, options=console.options.update(max_width=1000)).maximum
    console = Console(soft_wrap=True, width=max(console.width, needed))
    console.print(table)
    for note in done.notes():
        console.print(note, highlight=False, markup=False)
    if stem is not None:
        for path in done.save(stem):
            print(path)
    return 0 if done.holds else FAILED
