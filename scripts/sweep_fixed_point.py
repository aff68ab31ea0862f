"""Certified fixed points over a grid of any size: `gsdyn sweep fixed-point`."""

import sys

from gsdyn.cli import run_script
from gsdyn.cli.sweep import FixedPoint

if __name__ == "__main__":
    sys.exit(run_script(FixedPoint, "sweep_fixed_point.py"))
