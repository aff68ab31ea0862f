"""Responses on two moons (P21 Fig 2): the figures and data of `gsdyn reproduce moons-responses`."""

import sys

from gsdyn.cli import run_script
from gsdyn.cli.reproduce_p21 import MoonsResponses

if __name__ == "__main__":
    sys.exit(run_script(MoonsResponses, "reproduce_moons_responses.py"))
