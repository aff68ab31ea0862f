"""Factorisations that run at the same time never wait for each other, on two cores with XLA's default threads.

A batched LAPACK call of jaxlib 0.10 waits inside XLA's pool for parts of its own, so that two at a time can take all
threads and wait for ever (docs/lapack-deadlock.md).
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
PROGRAMS = ("sweep", "sweep beside hinge and softmax", "trajectories", "two threads", "truncation")


def run(program, repeats, limit):
    command = [sys.executable, "_many_at_once.py", program, str(repeats)]
    subprocess.run(command, cwd=HERE, env=environment(), check=True, timeout=limit)


def environment():
    kept = {name: value for name, value in os.environ.items() if name not in ("NPROC", "XLA_FLAGS")}
    return {**kept, "PYTHONPATH": str(HERE.parent)}


def test_a_sweep_on_two_devices_ends():
    run("sweep", 1, 300)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("program", PROGRAMS)
def test_twenty_runs_end(program):
    run(program, 20, 1700)
