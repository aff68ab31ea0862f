"""Findings as a table for the terminal, as Markdown and as JSON."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.markup import escape
from rich.table import Table

from gsdyn._outputs import Outputs
from gsdyn._provenance import provenance
from gsdyn.verification._claims import Claim, Finding

COLUMNS = ("claim", "case", "samples", "violations", "worst", "tolerance", "verdict")


@dataclasses.dataclass(frozen=True)
class Report:
    """Findings, with what else was measured on the way.

    - `title`: what was verified. `findings`: one per claim and case.
    - `measurements`: named groups of numbers that no verdict hangs on.
    - `settings`: what the findings depend on.

        >>> report = gs.verification.verify_claims(["P21-Eq12"], samples=5)
        >>> print(report.holds)
        True
    """

    title: str
    findings: Sequence[Finding]
    measurements: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def holds(self) -> bool:
        """Whether there are findings and every one came out as expected: false ones too have to be seen to be false."""
        return bool(self.findings) and all(finding.expected for finding in self.findings)

    def table(self) -> Table:
        """The findings, one row each, for `rich`."""
        table = Table(title=self.title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, padding=0)
        for column in COLUMNS:
            right = column in ("samples", "violations", "worst", "tolerance")
            table.add_column(column, justify="right" if right else "left", no_wrap=True)
        for finding in self.findings:
            table.add_row(*map(escape, _row(finding)), style=_style(finding))
        return table

    def notes(self) -> list[str]:
        """What the table leaves out: statements, details that are not 0, and measurements, one line each."""
        claims = {finding.claim.id: finding.claim for finding in self.findings}
        lines = [_told(claim) for claim in claims.values()]
        for finding in self.findings:
            notable = {name: value for name, value in finding.details.items() if value != 0}
            if notable:
                lines.append(f"{finding.claim.id}, {finding.case}: {_listed(notable)}.")
        return lines + [f"{name}: {_listed(group)}." for name, group in self.measurements.items()]

    def markdown(self) -> str:
        """The whole report as Markdown."""
        head = [f"# {self.title}", "", f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|"]
        cells = ([cell.replace("|", r"\|") for cell in _row(finding)] for finding in self.findings)
        rows = [f"| {' | '.join(row)} |" for row in cells]
        notes = [f"- {note}" for note in self.notes()]
        origin = [f"- {name}: {value}" for name, value in provenance(self.settings).items()]
        return "\n".join([*head, *rows, "", *notes, "", "## Provenance", "", *origin, ""])

    def json(self) -> str:
        """The whole report as JSON, numbers in full."""
        content = {
            "title": self.title,
            "holds": self.holds,
            "findings": [{**dataclasses.asdict(f), "holds": f.holds, "verdict": f.verdict} for f in self.findings],
            "measurements": self.measurements,
            "provenance": provenance(self.settings),
        }
        return json.dumps(content, indent=2, allow_nan=False) + "\n"

    def save(self, stem: Path) -> list[Path]:
        """Write `stem.json` and `stem.md`, both or neither, and return their paths."""
        with Outputs() as outputs:
            for suffix, text in ((".json", self.json()), (".md", self.markdown())):
                outputs.path(stem.with_name(stem.name + suffix)).write_text(text)
        return outputs.targets


def _row(finding: Finding) -> list[str]:
    tolerance = "-" if finding.tolerance is None else f"{finding.tolerance:.3g}"
    numbers = (
        f"{finding.samples:,}",
        f"{finding.violations:,}",
        f"{finding.worst:.2g} {finding.claim.measure}",
        tolerance,
    )
    return [finding.claim.id, finding.case, *numbers, finding.verdict]


def _style(finding: Finding) -> str | None:
    return None if finding.expected else "bold red"


def _told(claim: Claim) -> str:
    line = f"{claim.id}: {claim.statement}. Checked by {claim.method}."
    return line if claim.instead is None else f"{line} False as stated; true is: {claim.instead}."


def _listed(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {_shown(value)}" for name, value in values.items())


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"({_listed(value)})"
    if isinstance(value, list):
        return f"[{', '.join(map(_shown, value))}]"
    return f"{value:.3g}" if isinstance(value, float) else f"{value}"
