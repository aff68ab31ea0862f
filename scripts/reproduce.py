"""`gsdyn reproduce` as a script: `reproduce.py depth --quick`, or the experiment in the name of a link to it."""

import sys
from pathlib import Path

from gsdyn.cli import run_script
from gsdyn.cli.reproduce import reproduce

if __name__ == "__main__":
    name = Path(__file__).stem.removeprefix("reproduce").strip("_").replace("_", "-")
    sys.exit(run_script(reproduce, "reproduce.py", [*filter(None, [name]), *sys.argv[1:]]))
