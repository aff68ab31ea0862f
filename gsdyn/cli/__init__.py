"""The command line. Nothing heavy is imported before a command runs.

A new command is a frozen dataclass with its options as fields and a method `run() -> int`, registered below.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import tyro
from tyro.extras import SubcommandApp

from gsdyn import __version__, _options
from gsdyn.cli._console import Command, execute
from gsdyn.cli._words import REGISTRY
from gsdyn.cli.curves import Curves
from gsdyn.cli.diagnose import Diagnose
from gsdyn.cli.explore import Explore
from gsdyn.cli.reproduce import Reproduce, reproduce
from gsdyn.cli.sweep import SWEEPS, sweep
from gsdyn.cli.verify import Theorem2, Verify
from gsdyn.experiments.catalogue import EXPERIMENTS, Experiment

__all__ = ["Curves", "Diagnose", "Explore", "Theorem2", "Verify", "main", "run_script"]

app = SubcommandApp()
app.command(name="diagnose")(Diagnose)
app.command(name="explore")(Explore)
app.command(name="curves")(Curves)
app.command(reproduce, name="reproduce", help="Experiments of the papers, with their figures.")
app.command(sweep, name="sweep", help="One quantity over a grid of any size, in a store that loses nothing.")
app.command(name="verify")(Verify)

DESCRIPTION = (
    "Gradient starvation: which features of your data starve which, and what a regulariser changes. "
    f"This is version {__version__} (--version)."
)
GROUPS: dict[tuple[str, ...], tuple[str, ...]] = {
    (): ("diagnose", "explore", "curves", "reproduce", "sweep", "verify"),
    ("reproduce",): tuple(kind.command for kind in EXPERIMENTS),
    ("sweep",): SWEEPS,
}
"""What has commands of its own, which, and alone means a question for help."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `gsdyn`; returns the exit code."""
    words = tuple(sys.argv[1:] if arguments is None else arguments)
    if words == ("--version",):
        print(f"gsdyn {__version__}")
        return 0
    return execute(_parse, words, whole=arguments is None)


def _parse(words: Sequence[str]) -> Command:
    # the one claim with a command of its own, beside `verify` with the IDs of any claims
    if tuple(words[:2]) == ("verify", "thm2"):
        return _runnable(tyro.cli(Theorem2, prog="gsdyn verify thm2", args=words[2:], registry=REGISTRY))
    for group, known in GROUPS.items():  # the parser looks for a long time for what may have been meant
        first = words[len(group) : len(group) + 1]
        if tuple(words[: len(group)]) == group and first and not first[0].startswith("-") and first[0] not in known:
            raise ValueError(_options.unknown_command(first[0], known))
    asked = [*words, "--help"] if tuple(words) in GROUPS else words
    return _runnable(app.cli(prog="gsdyn", description=DESCRIPTION, args=asked, registry=REGISTRY))


def _runnable(command: Any) -> Command:
    _options.check(command)
    return Reproduce(command) if isinstance(command, Experiment) else command


def run_script(command: Callable[..., Any] | SubcommandApp, prog: str, arguments: Sequence[str] | None = None) -> int:
    """Run one command, or a group of them, as a script of its own; returns the exit code."""

    def parse(words: Sequence[str]) -> Command:
        if isinstance(command, SubcommandApp):
            return _runnable(command.cli(prog=prog, args=words or ["--help"], registry=REGISTRY))
        return _runnable(tyro.cli(command, prog=prog, args=words, registry=REGISTRY))

    return execute(parse, sys.argv[1:] if arguments is None else arguments, whole=arguments is None)
