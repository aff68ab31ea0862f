"""Learning at depth N (C18 Fig 3): the figures and data of `gsdyn reproduce depth`."""

import sys

from gsdyn.cli import run_script
from gsdyn.cli.reproduce import Depth

if __name__ == "__main__":
    sys.exit(run_script(Depth, "reproduce_depth.py"))
