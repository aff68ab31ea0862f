"""Draw every committed figure again, from full runs: hours, unless the trained networks below results/runs are there.

`figures.py depth legendre` draws those alone. The same versions on the same kind of machine give the same files. What
each command says of its numbers is kept in figures/results.json, and its tables beside the figures: the gallery of the
documentation shows both.
"""

import contextlib
import io
import json
import shutil
import sys
from pathlib import Path

from gsdyn.cli import main
from gsdyn.experiments.catalogue import EXPERIMENTS

FIGURES = Path(__file__).parents[1] / "figures"
RESULTS = FIGURES / "results.json"
COMMANDS = {"curves": ["curves"], **{kind.command: ["reproduce", kind.command] for kind in EXPERIMENTS}}


def draw(name: str) -> int:
    """Run one command and keep what it says, without the paths of what it wrote; returns its exit code."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        code = main([*COMMANDS[name], "--figures", str(FIGURES)])
    print(said.getvalue(), end="")
    written = [line for line in said.getvalue().splitlines() if line.startswith(("results/", str(FIGURES)))]
    lines = [line for line in said.getvalue().splitlines() if line not in written]
    if code == 0 and lines and name != "curves":
        for table in (path for path in written if path.endswith((".csv", ".md"))):
            shutil.copy(table, FIGURES)
        told = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
        told[name] = lines
        RESULTS.write_text(json.dumps({key: told[key] for key in COMMANDS if key in told}, indent=1) + "\n")
    return code


if __name__ == "__main__":
    wanted = sys.argv[1:] or list(COMMANDS)
    unknown = sorted(set(wanted) - set(COMMANDS))
    if unknown:
        sys.exit(f"figures.py: error: there are {', '.join(COMMANDS)}, got {', '.join(unknown)}")
    for name in wanted:
        code = draw(name)
        if code:
            sys.exit(code)
