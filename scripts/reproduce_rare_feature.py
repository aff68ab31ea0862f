"""A rare feature starved by a frequent one: the figures and data of `gsdyn reproduce rare-feature`."""

import sys

from gsdyn.cli import run_script
from gsdyn.cli.reproduce import RareFeature

if __name__ == "__main__":
    sys.exit(run_script(RareFeature, "reproduce_rare_feature.py"))
