"""Starvation matrices over a grid of any size: `gsdyn sweep starvation`."""

import sys

from gsdyn.cli import run_script
from gsdyn.cli.sweep import Starvation

if __name__ == "__main__":
    sys.exit(run_script(Starvation, "sweep_starvation.py"))
