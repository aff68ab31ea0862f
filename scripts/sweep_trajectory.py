"""Trajectories of the dual flow over a grid of any size: `gsdyn sweep trajectory`."""

import sys

from gsdyn.cli import run_script
from gsdyn.cli.sweep import Trajectory

if __name__ == "__main__":
    sys.exit(run_script(Trajectory, "sweep_trajectory.py"))
