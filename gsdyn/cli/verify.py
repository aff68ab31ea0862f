"""`gsdyn verify`: check the papers' claims numerically."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from gsdyn.cli._console import FAILED, progress, use_float64


@dataclasses.dataclass(frozen=True)
class Theorem2:
    """Check Theorem 2 and its exact extension on random cells; the exit code is 1 if one violates them."""

    cells: int = 200_000
    """How many random two-feature problems."""
    seed: int = 0
    """Seed of the random problems."""
    out: Path | None = None
    """Also write the report to OUT.json and OUT.md."""

    def run(self) -> int:
        use_float64()
        from rich.console import Console

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
        console = Console(soft_wrap=True)
        console.print(done.table())
        for note in done.notes():
            console.print(note, highlight=False, markup=False)
        if self.out is not None:
            for path in done.save(self.out):
                print(path)
        return 0 if done.holds else FAILED
