"""The command line. Nothing heavy is imported before a command runs.

A new command is a frozen dataclass with its options as fields and a method `run() -> int`, registered below.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tyro
from tyro.extras import SubcommandApp

from gsdyn.cli._console import execute
from gsdyn.cli.curves import Curves
from gsdyn.cli.verify import Theorem2

__all__ = ["Curves", "Theorem2", "main", "run_script"]

verify = SubcommandApp()
verify.command(name="thm2")(Theorem2)

app = SubcommandApp()
app.command(name="curves")(Curves)
app.command(verify, name="verify", help="Check the papers' claims numerically.")

DESCRIPTION = "Gradient starvation: which features of your data starve which, and what a regulariser changes."


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `gsdyn`; returns the exit code."""
    return execute(lambda words: app.cli(prog="gsdyn", description=DESCRIPTION, args=words), arguments)


def run_script(command: Any, prog: str, arguments: Sequence[str] | None = None) -> int:
    """Run one command as a script of its own; returns the exit code."""
    return execute(lambda words: tyro.cli(command, prog=prog, args=words), arguments)
