"""Losses and their conjugates (P21 Fig 8, Table 4): the figures and data of `gsdyn reproduce legendre`."""

import sys

from gsdyn.cli import run_script
from gsdyn.cli.reproduce_p21 import Legendre

if __name__ == "__main__":
    sys.exit(run_script(Legendre, "reproduce_legendre.py"))
