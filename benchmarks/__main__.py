"""`python -m benchmarks [NAME ...]`: the named races, or all, as one table in benchmarks/results.md and .json."""

from __future__ import annotations

import ctypes
import dataclasses
import importlib
import importlib.metadata
import json
import os
import platform
import sys
from pathlib import Path

import jax
from rich.console import Console
from rich.table import Table

from benchmarks._race import Result

RACES = "grids", "batches", "trajectories", "large_n", "flows", "kernels", "descent", "accelerator"
VERSIONED = "jax", "jaxlib", "diffrax", "numpy", "scipy", "scikit-learn", "numba", "heyoka", "torch", "torchdiffeq"
FOLDER = Path(__file__).parent


def main(names: list[str]) -> None:
    unknown = set(names) - set(RACES)
    if unknown:
        sys.exit(f"name must be one of {', '.join(RACES)}, got {', '.join(sorted(unknown))}")
    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_num_cpu_devices", 2)
    _keep_freed_memory()
    run(names)


def run(names: list[str]) -> None:
    """Runs the named races beside the kept rows of the others, or all of them, and writes after each."""
    console = Console(width=150)
    results, made_with = _before() if names else [], _made_with()
    for name in names or RACES:
        console.rule(name)
        rows = importlib.import_module(f"benchmarks.{name}").rows()
        new = [dataclasses.replace(row, made_with=made_with) for row in rows]
        console.print(_table(new))
        titles = {result.race for result in new}
        results = [result for result in results if result.race not in titles] + new
        _write(results)
    console.print(f"written: {FOLDER / 'results.md'} and results.json")


def _keep_freed_memory() -> None:
    """Has the C library keep what is freed for the next run, as it keeps small arrays: else every competitor pays for
    fresh pages, 1.7 microseconds for each 4 KiB here."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:  # glibc alone has it
        for option, value in ((-1, 2**30), (-3, 2**30), (-8, 1)):  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX
            mallopt(option, value)


def _before() -> list[Result]:
    path = FOLDER / "results.json"
    return [Result(**row) for row in json.loads(path.read_text())["rows"]] if path.exists() else []


def _table(results: list[Result]) -> Table:
    table = Table("race", "", "median", "least..most", "ratio", "first call", "note")
    for r in results:
        table.add_row(
            r.race, r.name, _time(r.median), f"{_time(r.least)}..{_time(r.most)}", f"{r.ratio:.3g}", *_rest(r)
        )
    return table


def _rest(result: Result) -> tuple[str, str]:
    return _time(result.first), result.note


def _time(seconds: float) -> str:
    return f"{seconds:.3g} s" if seconds >= 1 else f"{seconds * 1e3:.3g} ms"


def _write(results: list[Result]) -> None:
    rows = [dataclasses.asdict(result) for result in results]
    (FOLDER / "results.json").write_text(json.dumps({"rows": rows}, indent=1) + "\n")
    lines = [
        "# Measured",
        "",
        "Times for the whole work; the ratio is each median over that of the first row of its race.",
        "`python -m benchmarks` writes this file; races that are named in the command replace their own rows alone.",
    ]
    made_with = ""
    for title in dict.fromkeys(result.race for result in results):
        of_race = [result for result in results if result.race == title]
        lines += ["", f"## {title}", ""]
        if of_race[0].made_with != made_with:
            made_with = of_race[0].made_with
            lines += [f"On {made_with}.", ""]
        lines += ["| | median | least..most | ratio | first call | note |", "|---|---|---|---|---|---|"]
        for r in of_race:
            spread = f"{_time(r.least)}..{_time(r.most)}"
            cells = r.name, _time(r.median), spread, f"{r.ratio:.3g}", *_rest(r)
            lines.append(f"| {' | '.join(cells)} |")
    (FOLDER / "results.md").write_text("\n".join(lines) + "\n")


def _made_with() -> str:
    """The machine and the versions of what is installed, in a line."""
    versions = [f"Python {platform.python_version()}"]
    for name in VERSIONED:
        try:
            versions.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    devices = f"{jax.device_count()} {jax.devices()[0].device_kind} device(s)"
    return f"{_processor()}, {os.cpu_count()} cores, {devices}: {', '.join(versions)}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


if __name__ == "__main__":
    main(sys.argv[1:])
