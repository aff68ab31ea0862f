"""The theory in one figure (P21 Fig 6): the figures and data of `gsdyn reproduce theory-in-one-figure`."""

import sys

from gsdyn.cli import run_script
from gsdyn.cli.reproduce_p21 import TheoryInOneFigure

if __name__ == "__main__":
    sys.exit(run_script(TheoryInOneFigure, "reproduce_theory_in_one_figure.py"))
