"""The phase plane of one mode (C18 Fig 2): the figures and data of `gsdyn reproduce phase-plane`."""

import sys

from gsdyn.cli import run_script
from gsdyn.cli.reproduce import PhasePlane

if __name__ == "__main__":
    sys.exit(run_script(PhasePlane, "reproduce_phase_plane.py"))
