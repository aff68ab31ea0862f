"""Errors in one line, progress with an estimate: what every command shares."""

from __future__ import annotations

import contextlib
import gc
import io
import logging
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType, TracebackType
from typing import NoReturn, Protocol

from gsdyn import _options
from gsdyn._outputs import Outputs

BAD_INPUT, FAILED, INTERRUPTED = 2, 1, 130
REPEATED = ("--axis",)
"""Options that make a list, one entry each time."""
_stopping = threading.Event()


class Command(Protocol):
    """A command after its options are parsed."""

    def run(self) -> int:
        """Do it, and return the exit code."""
        ...


def execute(parse: Callable[[Sequence[str]], Command], words: Sequence[str], whole: bool = False) -> int:
    """Parse a command, run it, and return its exit code: 2 with one line on stderr for bad input.

    A `ValueError` counts as bad input where gsdyn itself raised it, and so does a check that failed inside compiled
    code; anything else is a fault and keeps its traceback. `whole` says that the process does nothing else.
    """
    try:
        command = _parsed(parse, words)
        with _stoppable():
            code = command.run()
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # whoever read the output, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except OSError as error:
        return _complain(error, FAILED)
    except KeyboardInterrupt as stop:
        code = _complain(str(stop) or "interrupted, nothing was written", INTERRUPTED)
        if whole:
            os._exit(code)  # an orderly exit may crash in what is left of an interrupted compilation
        return code
    except Exception as error:
        told = _told(error)
        if told is None:
            raise
        return _complain(told, BAD_INPUT)


def start_jax() -> None:
    """JAX as every command wants it: 64 bits, compiled programs kept for the next time, failed checks in one line.

    The library never decides on these; whoever starts it does. The collector of garbage seldom looks through what
    tracing leaves, nearly all of which stays: that took a seventh of the time of tracing.
    """
    import jax

    from gsdyn.cache import VARIABLE, enable_cache

    gc.set_threshold(20_000, 20, 20)
    jax.config.update("jax_enable_x64", True)
    logging.getLogger("jax._src.callback").setLevel(logging.CRITICAL)
    try:
        enable_cache()
    except ValueError:
        if os.environ.get(VARIABLE):
            raise  # a home that cannot be written to costs time and nothing else, but this was asked for


@contextlib.contextmanager
def writable(**folders: Path | None) -> Iterator[dict[str, Path]]:
    """Folders of options, which can be written to: that shows before the work and whatever it imports.

    Those that had to be made go again after a failure.
    """
    with Outputs() as outputs:
        yield {name: outputs.folder(name, folder) for name, folder in folders.items() if folder is not None}


def _told(error: Exception) -> str | None:
    """What bad input is told in; None for a fault."""
    if isinstance(error, ValueError) and _raised_here(error.__traceback__):
        return str(error)
    if "jax" not in sys.modules:
        return None
    from gsdyn._checks import failed_check

    return failed_check(error)


@contextlib.contextmanager
def progress() -> Iterator[Callable[[str, int, int], None]]:
    """A callback that shows how far each stage is: bars on a terminal, lines elsewhere."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    if not console.is_terminal:
        yield _stopped_by_signals(_Lines())
        return
    columns = (
        "[progress.description]{task.description}",
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, TextColumn("left:"), TimeRemainingColumn(), console=console) as bars:
        tasks = {}

        def report(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=total)
            bars.update(tasks[stage], completed=done)

        yield _stopped_by_signals(report)


def _stopped_by_signals(report: Callable[[str, int, int], None]) -> Callable[[str, int, int], None]:
    """`report`, which also stops the work when a signal came while Python could not raise what it means."""

    def checked(stage: str, done: int, total: int) -> None:
        if _stopping.is_set():
            raise KeyboardInterrupt
        report(stage, done, total)

    return checked


class _Lines:
    """Progress for a log: a line when a stage starts and ends, and at least a quarter of it apart between."""

    def __init__(self) -> None:
        self._stage, self._shown, self._start, self._from = "", 0.0, time.monotonic(), (0.0, 0.0)

    def __call__(self, stage: str, done: int, total: int) -> None:
        now, share = time.monotonic(), done / total
        if stage != self._stage:
            # a stage that begins with some of the work done goes on with the one before it, or with an earlier run
            self._start = self._start if done else now
            self._from = (0.0, self._start) if self._stage else (share, now)
            self._stage, self._shown = stage, -1.0
        if share < 1 and share - self._shown < 0.25:
            return
        self._shown, spent = share, now - self._start
        first, since = self._from
        left = f", about {(now - since) * (1 - share) / (share - first):.0f} s left" if first < share < 1 else ""
        print(f"{stage}: {done}/{total}, {spent:.0f} s{left}", file=sys.stderr, flush=True)


def _parsed(parse: Callable[[Sequence[str]], Command], arguments: Sequence[str]) -> Command:
    """Parse with tyro, whose boxed errors become one line."""
    _once(arguments)
    boxed = io.StringIO()
    try:
        with contextlib.redirect_stderr(boxed):
            return parse(arguments)
    except SystemExit as stop:
        if stop.code:
            _complain(_unboxed(boxed.getvalue(), arguments), BAD_INPUT)
        raise


def _once(arguments: Sequence[str]) -> None:
    """Refuse an option that is given twice, of which only the last one would count."""
    seen: dict[str, str] = {}
    for word in arguments[: arguments.index("--") if "--" in arguments else None]:
        option = word.split("=")[0].replace("_", "-")
        if not option.startswith("--") or option in REPEATED:
            continue
        plain = option.replace("--no-", "--", 1)
        if plain in seen:
            told = "twice" if seen[plain] == option else f"as {seen[plain]} too"
            raise ValueError(f"{option} must be given once, got it {told}")
        seen[plain] = option


def _meant(lines: Sequence[str], arguments: Sequence[str]) -> str | None:
    """The option of this very command that the parser thinks was meant."""
    option = None
    for line in lines:
        if line.startswith("--"):
            option = line.split()[0]
        elif line.startswith("in ") and line.endswith(" --help"):
            command = line.split()[2:-1]
            if list(arguments[: len(command)]) == command:
                return option
    return None


def _unboxed(text: str, arguments: Sequence[str] = ()) -> str:
    """The first paragraph below the title, in a box of line-drawing characters or in plain text, and what was meant."""
    lines = [line.strip("│╭╮╰╯ ") for line in text.splitlines()]
    body = " ".join("\n" if set(line) in ({"─"}, {"-"}) else line for line in lines[1:] if line)
    parts = [part.strip() for part in body.split("\n") if part.strip()]
    told = parts[0] if parts else text.strip()
    commands = next((part for part in parts[1:] if "Available subcommands: " in part), "")
    unknown = re.match(r"Unrecognized[\w ]* options: ([^-]\S*)", told)
    if commands and unknown:
        return _options.unknown_command(unknown[1], commands.split(": ", 1)[1].split(", "))
    if meant := _meant(lines, arguments):
        return f"{told}: did you mean {meant}?"
    told = re.sub(r"^Error parsing \W*([\w-]+)\W*: it must", lambda found: f"{found[1].lower()} must", told)
    return f"{told}. {commands}" if commands else told


def _complain(message: object, code: int) -> int:
    line = " ".join(str(message).split())
    print(f"gsdyn: error: {line}", file=sys.stderr)
    return code


def _raised_here(trace: TracebackType | None) -> bool:
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and trace.tb_frame.f_globals.get("__name__", "").startswith("gsdyn")


@contextlib.contextmanager
def _stoppable() -> Iterator[None]:
    """A polite kill cleans up as Ctrl-C does, and neither is lost.

    A handler that happens to run inside a callback of the garbage collector raises in vain: hence the event.
    """

    def stop(number: int, frame: FrameType | None) -> NoReturn:
        _stopping.set()
        raise KeyboardInterrupt

    _stopping.clear()
    if threading.current_thread() is not threading.main_thread():  # which alone gets signals
        yield
        return
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
