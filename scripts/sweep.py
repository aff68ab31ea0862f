"""`gsdyn sweep` as a script: `sweep.py starvation --extend`, or the quantity in the name of a link to it."""

import sys
from pathlib import Path

from gsdyn.cli import run_script
from gsdyn.cli.sweep import sweep

if __name__ == "__main__":
    name = Path(__file__).stem.removeprefix("sweep").strip("_").replace("_", "-")
    sys.exit(run_script(sweep, "sweep.py", [*filter(None, [name]), *sys.argv[1:]]))
