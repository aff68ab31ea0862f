"""Times at which a mode of learning is confident over a grid of any size: `gsdyn sweep mode-time`."""

import sys

from gsdyn.cli import run_script
from gsdyn.cli.sweep import ModeTime

if __name__ == "__main__":
    sys.exit(run_script(ModeTime, "sweep_mode_time.py"))
