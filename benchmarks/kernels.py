"""Infinite-width NTK: gsdyn against neural-tangents, interleaved in one run: time, error, memory."""

from __future__ import annotations

import dataclasses
import functools
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks._race import Entry, Result, race
from gsdyn.data import digits
from gsdyn.kernels import _neural_tangents, infinite_ntk
from gsdyn.networks import Erf, FullyConnected, Relu

REPEATS = 7
CHECKED = 60  # examples whose kernel is compared with a recursion in extended precision


def peer(net: FullyConnected) -> Callable:
    """neural-tangents' kernel of the same network, compiled whole."""
    stax = _neural_tangents.load().stax
    activation = stax.Relu() if net.activation == Relu() else stax.Erf()
    dense = stax.Dense(1, W_std=net.weight_scale, b_std=net.bias_scale)
    _, _, kernel = stax.serial(*[dense, activation] * (net.depth - 1), dense)
    return jax.jit(lambda x: kernel(x, None, "ntk"))


def reference(net: FullyConnected, x: np.ndarray) -> np.ndarray:
    """The NTK of a ReLU network by arc-cosines in extended precision, the diagonal's correlation exactly 1."""
    x = x.astype(np.longdouble)
    w2, b2 = np.longdouble(net.weight_scale) ** 2, np.longdouble(net.bias_scale) ** 2
    sigma = w2 * x @ x.T / x.shape[1] + b2
    theta, pi = sigma, np.longdouble("3.14159265358979323846264338327950288")
    for _ in range(net.depth - 1):
        root = np.sqrt(np.diag(sigma))
        scale = np.outer(root, root)
        c = np.clip(sigma / scale, -1, 1)
        np.fill_diagonal(c, 1)
        angle = np.arccos(c)
        sigma = w2 * scale * (np.sin(angle) + (pi - angle) * c) / (2 * pi) + b2
        theta = sigma + w2 * (pi - angle) / (2 * pi) * theta
    return theta


def worst(theta: jax.Array, exact: np.ndarray) -> float:
    """The largest error, relative to the entry, or to a hundredth of its row and column where that is more."""
    root = np.sqrt(np.diag(exact))
    scale = np.maximum(np.abs(exact), np.outer(root, root) / 100)
    return float(np.max(np.abs(np.asarray(theta)[:CHECKED, :CHECKED] - exact) / scale))


def compared(name: str, x: jax.Array, net: FullyConnected) -> list[Result]:
    """One network on one data set."""
    functions = {"gsdyn": lambda x: infinite_ntk(net, x), "neural-tangents": peer(net)}
    exact = reference(net, np.asarray(x[:CHECKED])) if net.activation == Relu() else None
    entries = []
    for label, function in functions.items():
        note = "" if exact is None else f"error {worst(function(x), exact):.0e}"
        entries.append(Entry(label, functools.partial(function, x), note=note))
    title = f"NTK, {name}, {type(net.activation).__name__}, depth {net.depth}, bias {net.b_std:g}, {x.dtype}"
    return race(title, entries, REPEATS)


def rows() -> list[Result]:
    """Random inputs of 64 columns, and the digits; errors are those of ReLU kernels among a few examples."""
    results = []
    for dtype in (np.float64, np.float32):
        with jax.enable_x64(dtype is np.float64):
            x = jnp.asarray(np.random.default_rng(0).standard_normal((5000, 64)), dtype)
            for depth in (2, 5):
                results += compared("5,000 x 64", x, FullyConnected(depth))
            images = digits().x
            for activation, depth, bias in ((Relu(), 3, 0.0), (Relu(), 5, 0.3), (Erf(), 3, 0.0), (Erf(), 5, 0.3)):
                net = FullyConnected(depth, activation=activation, b_std=bias)
                results += compared("1,797 digits", images, net)
    results[0] = dataclasses.replace(results[0], note=f"{results[0].note}, peak memory {memory():.2f} times the kernel")
    return results


def memory(n: int = 5000) -> float:
    """Peak memory of `infinite_ntk` above that of the process before it, over the kernel's own size (float64)."""
    code = f"from benchmarks import kernels; print(kernels.peak({n}))"
    root = Path(__file__).parent.parent
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    return float(done.stdout)


def peak(n: int) -> float:
    """In a process of its own, because a peak does not go down again."""
    jax.config.update("jax_enable_x64", True)
    x = np.random.default_rng(0).standard_normal((n, 64))
    net = FullyConnected(5)
    infinite_ntk(net, x[: 2 * (n // 10)], tile=n // 10).block_until_ready()
    before = high_water()
    infinite_ntk(net, x, tile=n // 10).block_until_ready()
    return (high_water() - before) / (8 * n * n)


def high_water() -> int:
    """Peak memory of this process, in bytes; `ru_maxrss` counts that of the parent before it, too."""
    rows = Path("/proc/self/status").read_text().splitlines()
    return next(int(row.split()[1]) * 1024 for row in rows if row.startswith("VmHWM:"))
