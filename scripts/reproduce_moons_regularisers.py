"""Ten ways to train on two moons (P21 Fig 7): the figures and data of `gsdyn reproduce moons-regularisers`."""

import sys

from gsdyn.cli import run_script
from gsdyn.cli.reproduce_p21 import MoonsRegularisers

if __name__ == "__main__":
    sys.exit(run_script(MoonsRegularisers, "reproduce_moons_regularisers.py"))
