"""Hinge beside cross-entropy (C18 Figs 4 right and 6): the figures and data of `gsdyn reproduce hinge`."""

import sys

from gsdyn.cli import run_script
from gsdyn.cli.reproduce import HingeLoss

if __name__ == "__main__":
    sys.exit(run_script(HingeLoss, "reproduce_hinge.py"))
