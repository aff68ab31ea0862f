"""Programs in which factorisations run at the same time; each in a process of its own, with XLA's default threads.

python _many_at_once.py PROGRAM REPEATS
"""

import functools
import sys
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np

import gsdyn as gs

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_num_cpu_devices", 2)

DECAYS = jnp.logspace(-3, 1, 20)
HINGE = gs.Hinge()
SEEDS = jnp.arange(64.0)


def problem(seed, n, signed=True):
    rows = jnp.sin((1.0 + seed) * jnp.arange(1.0, n * n + 1).reshape(n, n))
    return gs.FeatureBasis.from_kernel(rows @ rows.T, jnp.where(jnp.arange(n) % 2 == 0, 1, -1) if signed else None)


def starvation(seed, lam, n=12, loss=None):
    basis = problem(seed, n)
    fp = gs.fixed_point(basis, loss or gs.CrossEntropy(), gs.WeightDecay(lam))
    return {"z": fp.z, "G": gs.starvation_matrix(basis, fp)}


def softmax(seed, lam, n=12):
    labels = jnp.arange(n) % 3
    return gs.fixed_point(problem(seed, n, signed=False), gs.Softmax(labels, 3), gs.WeightDecay(lam)).z


def trajectories(seed, lam):
    basis, ts = problem(seed, 6), jnp.linspace(0.0, 2.0, 5)
    flows = gs.DualFlow, gs.PrimalFlow
    return [gs.integrate(flow(basis, gs.CrossEntropy(), gs.WeightDecay(lam)), ts).z for flow in flows]


def truncation(seed, lam):
    rows = jnp.sin((1.0 + seed) * jnp.arange(1.0, 401.0).reshape(20, 20))
    y = jnp.where(jnp.arange(20) % 2 == 0, 1, -1)
    basis = gs.FeatureBasis.from_kernel(rows @ rows.T, y, rank=8)
    fp = gs.fixed_point(basis, gs.CrossEntropy(), gs.WeightDecay(lam))
    return gs.truncation_bound(basis, fp, rows @ rows.T, y).z


@functools.cache
def compiled(f, **options):
    return jax.jit(jax.vmap(lambda seed, lam: f(seed, lam, **options)))


def many(f, **options):
    for _ in range(5):
        out = jax.block_until_ready(compiled(f, **options)(SEEDS, jnp.resize(DECAYS, len(SEEDS))))
    return out


def sweep():
    ds = gs.sweep(starvation, {"seed": jnp.arange(500.0), "lam": DECAYS})
    return ds["z"].values, ds["G"].values


def beside(*functions):
    with ThreadPoolExecutor(len(functions)) as threads:
        return [f.result() for f in [threads.submit(f) for f in functions]]


def hinge():
    return many(starvation, n=20, loss=HINGE)


PROGRAMS = {
    "sweep": sweep,
    "sweep beside hinge and softmax": lambda: beside(sweep, hinge, lambda: many(softmax)),
    "trajectories": lambda: many(trajectories),
    "two threads": lambda: beside(lambda: many(starvation, n=40), lambda: many(starvation, n=24)),
    "truncation": lambda: beside(lambda: many(truncation), lambda: many(truncation)),
}

if __name__ == "__main__":
    for _ in range(int(sys.argv[2])):
        out = jax.block_until_ready(PROGRAMS[sys.argv[1]]())
        assert all(np.all(np.isfinite(x)) for x in jax.tree.leaves(out)), sys.argv[1]
