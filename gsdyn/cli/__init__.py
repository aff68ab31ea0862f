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
from gsdyn.cli.reproduce import reproduce
from gsdyn.cli.sweep import sweep
from gsdyn.cli.verify import Theorem2, Verify

__all__ = ["Curves", "Theorem2", "Verify", "main", "run_script"]

app = SubcommandApp()
app.command(name="curves")(Curves)
app.command(reproduce, name="reproduce", help="Experiments of the papers, with their figures.")
app.command(sweep, name="sweep", help="One quantity over a grid of any size, in a store that loses nothing.")
app.command(name="verify")(Verify)

DESCRIPTION = "Gradient starvation: which features of your data starve which, and what a regulariser changes."


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `gsdyn`; returns the exit code."""
    return execute(_parse, arguments)


def _parse(words: Sequence[str]) -> Any:
    # the one claim with a command of its own, beside `verify` with the IDs of any claims
    if list(words[:2]) == ["verify", "thm2"]:
        return tyro.cli(Theorem2, prog="gsdyn verify thm2", args=words[2:])
    return app.cli(prog="gsdyn", description=DESCRIPTION, args=words)


def run_script(command: Any, prog: str, arguments: Sequence[str] | None = None) -> int:
    """Run one command as a script of its own; returns the exit code."""
    return execute(lambda words: tyro.cli(command, prog=prog, args=words), arguments)
