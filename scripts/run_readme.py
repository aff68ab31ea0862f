"""Run the README as a reader of an installed package would: its Python one after the other, then its commands.

`run_readme.py README.md` needs nothing but the installed package; what `make` does is left out. It stops at the first
failure.
"""

import os
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path


def main(path: str) -> int:
    text = Path(path).resolve().read_text()
    program = "\n".join(re.findall(r"```python\n(.*?)```", text, re.DOTALL))
    shell = "\n".join(re.findall(r"```sh\n(.*?)```", text, re.DOTALL))
    lines = [line.split("#")[0].strip() for line in shell.splitlines()]
    runs = [[sys.executable, "-W", "error", "-c", program]]
    runs += [[sys.executable, "-m", *shlex.split(line)] for line in lines if line.startswith("gsdyn ")]
    with tempfile.TemporaryDirectory() as folder:  # not the checkout, whose gsdyn would come first
        for run in runs:
            print("$", *run[:2], *run[2:] if len(run[-1]) < 80 else ["the README's Python"], flush=True)
            code = subprocess.run(run, cwd=folder, env=os.environ, check=False).returncode
            if code:
                return code
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
