"""Planted shortcuts and what the report says of them: PLANTED.md and PLANTED.csv, recall and false alarms.

`planted_shortcuts.py --n 400 --seeds 3 --out results/planted_shortcuts`; half an hour on two cores.
"""

import csv
import dataclasses
import io
import sys
from pathlib import Path

from gsdyn.cli import run_script
from gsdyn.cli._console import progress, start_jax


@dataclasses.dataclass(frozen=True)
class PlantedShortcuts:
    """Recall and false alarms of the starvation report on shortcuts that were planted."""

    cases: tuple[str, ...] = ()
    """Names of problems; none means all."""
    n: int = 400
    """Examples to learn from."""
    seeds: int = 3
    """How often each problem is drawn."""
    out: Path = Path("results/planted_shortcuts")
    """The table goes to OUT.md and OUT.csv."""

    def run(self) -> int:
        start_jax()
        from _cleanlab import cleanlab_finding

        from gsdyn import _files
        from gsdyn._outputs import Outputs
        from gsdyn.diagnosis import planted

        unknown = set(self.cases) - {case.name for case in planted.CASES}
        if unknown:
            known = ", ".join(case.name for case in planted.CASES)
            raise ValueError(f"cases must be some of {known}, got {', '.join(sorted(unknown))}")
        chosen = [case for case in planted.CASES if not self.cases or case.name in self.cases]
        with Outputs() as outputs:
            paths = [outputs.path(self.out.with_name(self.out.name + suffix)) for suffix in (".md", ".csv")]
            with progress() as report:
                rows = planted.planted_shortcuts(
                    chosen, n=self.n, seeds=self.seeds, other=cleanlab_finding, progress=report
                )
            table = planted.markdown(rows, self.seeds, self.n)
            text = io.StringIO()
            writer = csv.DictWriter(
                text, ["case", "problem", *(key for key in rows[0] if key not in ("case", "problem"))]
            )
            writer.writeheader()
            writer.writerows(rows)
            for path, content in zip(paths, (table, text.getvalue()), strict=True):
                _files.write(path, content.encode())
        print(table, end="")
        return 0


if __name__ == "__main__":
    sys.exit(run_script(PlantedShortcuts, "planted_shortcuts.py"))
