"""The same calls on an accelerator and on the processor beside it, which works in a process of its own."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import gsdyn as gs
from benchmarks import batches, grids
from benchmarks._race import Entry, Result, race

NET = gs.networks.FullyConnected(depth=3, width=512)
EXAMPLES, FEATURES = 8000, 2000
LOSS, DECAY = gs.CrossEntropy(), gs.WeightDecay(1e-3)


def rows() -> list[Result]:
    """Nothing where there is no accelerator."""
    if jax.default_backend() == "cpu":
        print("no accelerator here: nothing to compare")
        return []
    here = times()
    environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
    code = "from benchmarks import accelerator; accelerator.tell()"
    root = Path(__file__).parent.parent
    done = subprocess.run([sys.executable, "-c", code], stdout=-1, text=True, check=True, cwd=root, env=environment)
    there = [Result(**row) for row in json.loads(done.stdout.splitlines()[-1])]
    return [row for one, other in zip(here, there, strict=True) for row in (one, _beside(one, other))]


def tell() -> None:
    """The times of this process as its last line."""
    jax.config.update("jax_enable_x64", True)
    print(json.dumps([dataclasses.asdict(row) for row in times()]))


def times() -> list[Result]:
    """Each piece of work on the device that JAX takes by itself."""
    name = f"{os.cpu_count()} cores" if jax.default_backend() == "cpu" else str(jax.devices()[0].device_kind)
    return [race(f"{title}, on an accelerator", [Entry(name, run)], 3)[0] for title, run in _work().items()]


def _beside(one: Result, other: Result) -> Result:
    return dataclasses.replace(other, ratio=other.median / one.median)


def _work() -> dict[str, Callable[[], Any]]:
    rng = np.random.default_rng(0)
    cells = [jnp.asarray(x) for x in grids._wide(grids.CELLS)]
    x = jnp.asarray(rng.standard_normal((EXAMPLES, 64)))
    y = np.where(rng.random(EXAMPLES) < 0.5, -1, 1)
    theta, ts = gs.kernels.infinite_ntk(NET, x), np.geomspace(1e-4, 1, 8)
    few, signs, single = theta[:FEATURES, :FEATURES], y[:FEATURES], x[:FEATURES].astype(jnp.float32)
    params = NET.init(jax.random.key(0), 64, jnp.float32)
    basis = gs.FeatureBasis.from_kernel(few, signs)
    flow = gs.KernelFlow(theta, y, LOSS, DECAY)
    solve, problems = batches.ours(LOSS), [jnp.asarray(part) for part in batches.problems(30)]
    all_of, some = f"{EXAMPLES:,} examples", f"{FEATURES:,} examples"
    return {
        f"{grids.CELLS:,} certified cells": lambda: grids.ours(*cells),
        f"NTK of {all_of}": lambda: gs.kernels.infinite_ntk(NET, x),
        f"empirical NTK of {some} in single precision": lambda: gs.kernels.empirical_ntk(NET.apply, params, single),
        f"fixed point from a kernel of {all_of}": lambda: gs.kernel_fixed_point(theta, y, LOSS, DECAY),
        f"flow of a kernel of {all_of}": lambda: gs.integrate(flow, ts, rtol=1e-6).margins,
        f"features of a kernel of {some}": lambda: gs.FeatureBasis.from_kernel(few, signs),
        f"fixed point of {some}": lambda: gs.fixed_point(basis, LOSS, DECAY),
        "64 fixed points of 30 examples": lambda: solve(*problems),
    }
