"""A function of your own over a grid of any size: `gsdyn sweep function`."""

import sys

from gsdyn.cli import run_script
from gsdyn.cli.sweep import Function

if __name__ == "__main__":
    sys.exit(run_script(Function, "sweep_function.py"))
