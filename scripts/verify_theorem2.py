"""Theorem 2 and its exact extension on random cells: the check of `gsdyn verify thm2`."""

import sys

from gsdyn.cli import Theorem2, run_script

if __name__ == "__main__":
    sys.exit(run_script(Theorem2, "verify_theorem2.py"))
