"""Theory against training at finite width (P21 section 3): the figures and data of `gsdyn reproduce width`."""

import sys

from gsdyn.cli import run_script
from gsdyn.cli.reproduce_p21 import Width

if __name__ == "__main__":
    sys.exit(run_script(Width, "reproduce_width.py"))
