"""Infinite-width NTK of the 1,797 digits: gsdyn against neural-tangents, interleaved, in one run."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import jax
import numpy as np
from rich.console import Console
from rich.table import Table

from gsdyn.data import digits
from gsdyn.kernels import _neural_tangents, infinite_ntk
from gsdyn.networks import Erf, FullyConnected, Relu

REPEATS = 9


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


def main() -> None:
    table = Table("dtype", "activation", "depth", "bias", "gsdyn ms", "neural-tangents ms", "ratio")
    for dtype in (np.float64, np.float32):
        with jax.enable_x64(dtype is np.float64):
            x = digits().x
            for activation in (Relu(), Erf()):
                for depth, bias in ((2, 0.0), (3, 0.0), (5, 0.0), (5, 0.3)):
                    net = FullyConnected(depth, activation=activation, b_std=bias)
                    ours, theirs = seconds([lambda x, net=net: infinite_ntk(net, x), peer(net)], x)
                    table.add_row(
                        dtype.__name__,
                        type(activation).__name__,
                        str(depth),
                        str(bias),
                        *(f"{median * 1e3:.0f} ({least * 1e3:.0f})" for median, least in (ours, theirs)),
                        f"{theirs[0] / ours[0]:.1f}",
                    )
    console = Console()
    console.print(table)
    console.print(f"{x.shape[0]} digits; median and least of {REPEATS} runs.")


if __name__ == "__main__":
    main()
