"""Starvation curves over (lambda, delta) and of the digits: the figures and data of `gsdyn curves`."""

import sys

from gsdyn.cli import Curves, run_script

if __name__ == "__main__":
    sys.exit(run_script(Curves, "starvation_curves.py"))
