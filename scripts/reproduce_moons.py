"""Decision boundaries on two moons (P21 Fig 1): the figures and data of `gsdyn reproduce moons`."""

import sys

from gsdyn.cli import run_script
from gsdyn.cli.reproduce_p21 import Moons

if __name__ == "__main__":
    sys.exit(run_script(Moons, "reproduce_moons.py"))
