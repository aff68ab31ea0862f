"""Run one sweep again and again, each run killed at a random moment, until it is done; then extend it in the same way.

`python _kills.py FOLDER KILLS SEED CHUNK` fails unless every file of the store is what it is without kills. It starts
over until there were as many kills as asked for. Runs are forked before JAX has started, so that each starts at once.
"""

import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

import gsdyn as gs
import gsdyn._provenance
import gsdyn.sweeps

gsdyn._provenance.git_commit = lambda: None  # which may change while this runs
LAMS, DELTAS = np.geomspace(1e-3, 10, 40), np.linspace(0.0, 0.9, 30)
MORE_LAMS = np.append(LAMS, [20.0, 30.0, 40.0])


def cell(lam, delta):
    path = jnp.cumsum(jnp.exp(-lam * jnp.arange(3.0)) + delta)
    return {"path": path, "root": jnp.sqrt(lam + delta), "large": lam > 1}


def run(out: Path, lams: np.ndarray, chunk: int) -> None:
    jax.config.update("jax_enable_x64", True)
    gs.sweep(cell, {"lam": lams, "delta": DELTAS}, out, chunk=chunk, extend=True)


def forked(*arguments) -> int:
    child = os.fork()
    if child == 0:
        try:
            run(*arguments)
        except BaseException as error:
            print(repr(error), flush=True)
            os._exit(1)
        os._exit(0)
    return child


def ended(child: int) -> bool:
    """Wait for a run; whether it was killed."""
    status = os.waitpid(child, 0)[1]
    if os.WIFSIGNALED(status):
        return True
    assert os.WEXITSTATUS(status) == 0
    return False


def contents(store: Path) -> dict[str, bytes]:
    return {str(path.relative_to(store)): path.read_bytes() for path in store.rglob("*") if path.is_file()}


def main(folder: Path, kills: int, seed: int, chunk: int) -> None:
    choose, start = random.Random(seed), time.monotonic()
    whole, killed = folder / "whole.zarr", folder / "killed.zarr"
    for lams in (LAMS, MORE_LAMS):
        assert not ended(forked(whole, lams, chunk))
    longest = (time.monotonic() - start) / 2
    expected = contents(whole)
    done = rounds = 0
    while done < kills:
        shutil.rmtree(killed, ignore_errors=True)
        for lams in (LAMS, MORE_LAMS):
            while True:
                child = forked(killed, lams, chunk)
                if done < kills:
                    time.sleep(choose.uniform(0, 0.7 * longest))
                    os.kill(child, signal.SIGKILL)
                if not ended(child):
                    break
                done += 1
        rounds += 1
        assert contents(killed) == expected
    print(f"{done} kills, {rounds} sweeps")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
