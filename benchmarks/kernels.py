"""Infinite-width NTK: gsdyn against neural-tangents, interleaved in one run: time, error, memory."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console
from rich.table import Table

from gsdyn.data import digits
from gsdyn.kernels import _neural_tangents, infinite_ntk
from gsdyn.networks import Erf, FullyConnected, Relu

REPEATS = 7
CHECKED = 60  # examples whose kernel is compared with a recursion in extended precision
Row = dict[str, str]


def peer(net: FullyConnected) -> Callable:
    """neural-tangents' kernel of the same network, compiled whole."""
    stax = _neural_tangents.load().stax
    activation = stax.Relu() if net.activation == Relu() else stax.Erf()
    dense = stax.Dense(1, W_std=net.weight_scale, b_std=net.bias_scale)
    _, _, kernel = stax.serial(*[dense, activation] * (net.depth - 1), dense)
    return jax.jit(lambda x: kernel(x, None, "ntk"))


def seconds(functions: list[Callable], x: jax.Array) -> list[tuple[float, float]]:
    """Median and least time of each function, taken in turns."""
    for function in functions:
        function(x).block_until_ready()
    times = [[] for _ in functions]
    for _ in range(REPEATS):
        for function, record in zip(functions, times, strict=True):
            start = time.perf_counter()
            function(x).block_until_ready()
            record.append(time.perf_counter() - start)
    return [(statistics.median(record), min(record)) for record in times]


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


def compared(name: str, x: jax.Array, net: FullyConnected) -> Row:
    """One network on one data set."""
    functions = [lambda x: infinite_ntk(net, x), peer(net)]
    (ours, ours_least), (theirs, theirs_least) = seconds(functions, x)
    row = {
        "data": name,
        "dtype": str(x.dtype),
        "activation": type(net.activation).__name__,
        "depth": str(net.depth),
        "bias": str(net.b_std),
        "gsdyn ms": f"{ours * 1e3:.0f} ({ours_least * 1e3:.0f})",
        "neural-tangents ms": f"{theirs * 1e3:.0f} ({theirs_least * 1e3:.0f})",
        "ratio": f"{theirs / ours:.1f}",
        "gsdyn error": "",
        "neural-tangents error": "",
    }
    if net.activation == Relu():
        exact = reference(net, np.asarray(x[:CHECKED]))
        errors = [f"{worst(function(x), exact):.0e}" for function in functions]
        row["gsdyn error"], row["neural-tangents error"] = errors
    return row


def cases() -> Iterator[Row]:
    """Random inputs of 64 columns, and the digits."""
    for dtype in (np.float64, np.float32):
        with jax.enable_x64(dtype is np.float64):
            x = jnp.asarray(np.random.default_rng(0).standard_normal((5000, 64)), dtype)
            for depth in (2, 5):
                yield compared("5,000 x 64", x, FullyConnected(depth))
            images = digits().x
            for activation, depth, bias in ((Relu(), 3, 0.0), (Relu(), 5, 0.3), (Erf(), 3, 0.0), (Erf(), 5, 0.3)):
                yield compared("digits", images, FullyConnected(depth, activation=activation, b_std=bias))


def rows() -> list[Row]:
    """The table: times in ms, median and least, their ratio by medians, and the errors of ReLU kernels."""
    return list(cases())


def memory(n: int = 5000) -> float:
    """Peak memory of `infinite_ntk` above that of the process before it, over the kernel's own size (float64)."""
    code = f"import runpy; print(runpy.run_path({__file__!r})['peak']({n}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
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


def main() -> None:
    found = rows()
    table = Table(*found[0])
    for row in found:
        table.add_row(*row.values())
    console = Console(width=160)
    console.print(table)
    console.print(f"Median and least of {REPEATS} runs; errors are the largest relative ones among {CHECKED} examples.")
    console.print(f"Peak memory at n = 5,000: {memory():.2f} times the kernel.")


if __name__ == "__main__":
    main()
