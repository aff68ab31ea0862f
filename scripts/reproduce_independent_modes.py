"""Independent modes in trained networks: the figures and data of `gsdyn reproduce independent-modes`."""

import sys

from gsdyn.cli import run_script
from gsdyn.cli.reproduce import IndependentModes

if __name__ == "__main__":
    sys.exit(run_script(IndependentModes, "reproduce_independent_modes.py"))
