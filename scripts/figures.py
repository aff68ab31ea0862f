"""Draw every committed figure again, from full runs: hours, unless the trained networks below results/runs are there.

`figures.py depth legendre` draws those alone. The same versions on the same kind of machine give the same files.
"""

import sys
from pathlib import Path

from gsdyn.cli import main
from gsdyn.experiments.catalogue import EXPERIMENTS

FIGURES = Path(__file__).parents[1] / "figures"
COMMANDS = {"curves": ["curves"], **{kind.command: ["reproduce", kind.command] for kind in EXPERIMENTS}}

if __name__ == "__main__":
    wanted = sys.argv[1:] or list(COMMANDS)
    unknown = sorted(set(wanted) - set(COMMANDS))
    if unknown:
        sys.exit(f"figures.py: error: there are {', '.join(COMMANDS)}, got {', '.join(unknown)}")
    for name in wanted:
        code = main([*COMMANDS[name], "--figures", str(FIGURES)])
        if code:
            sys.exit(code)
