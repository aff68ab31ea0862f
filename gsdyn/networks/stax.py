"""Any network that neural-tangents can take to infinite width: convolutions, pooling, attention, residual paths."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

from jaxtyping import Array, Bool, Float, PRNGKeyArray

from gsdyn import _checks
from gsdyn.kernels import _neural_tangents


def stax() -> Any:
    """neural-tangents' module of layers, `stax`, on current JAX and without TensorFlow.

        layers = gs.networks.stax()
        net = gs.networks.Stax(
            layers.serial(layers.Conv(64, (3, 3)), layers.Relu(), layers.GlobalAvgPool(), layers.Dense(1)),
            "conv 3x3, relu, mean, dense",
        )

    Raises `ImportError`, with the command that installs it, where neural-tangents is missing.

        >>> layers = gs.networks.stax()
        >>> net = gs.networks.Stax(layers.serial(layers.Dense(8), layers.Relu(), layers.Dense(1)), "dense, relu, dense")
        >>> print(net.apply(net.init(jax.random.key(0), (2,)), x).shape)
        (4, 1)
    """
    return _neural_tangents.load().stax


@dataclasses.dataclass(frozen=True, eq=False)
class Stax:
    """A network made of neural-tangents' layers: `init`, `apply` and the NTK at infinite width.

    - `layers`: the triple `(init, apply, kernel)` that `stax().serial(...)` or one layer gives. It must not centre or
      normalise over the batch, as the NTK needs.
    - `name`: what the network is, for stores of its kernel and for readers.

    Its kernel is neural-tangents': right to about the root of `eps` where two examples are nearly one, on the diagonal
    of ReLU networks too, so that eigenvalues of that size below zero are no fault of the data: `from_kernel` and
    `kernel_fixed_point` take them for zero, and warn unless `tolerance` says so. `FullyConnected` is better and faster
    for what it can express.
    Reference: Novak et al., Neural tangents (2020).

        >>> layers = gs.networks.stax()
        >>> net = gs.networks.Stax(layers.serial(layers.Dense(8), layers.Relu(), layers.Dense(1)), "dense, relu, dense")
        >>> print(gs.kernels.infinite_ntk(net, x).shape)
        (4, 4)
    """

    layers: tuple[Callable, Callable, Callable] = dataclasses.field(repr=False)
    name: str

    def __post_init__(self) -> None:
        if not isinstance(self.layers, tuple) or len(self.layers) != 3 or not all(map(callable, self.layers)):
            raise ValueError("layers must be a triple (init, apply, kernel), as stax().serial(...) gives")
        if not isinstance(self.name, str) or not self.name:
            raise ValueError(f"name must say what the network is, got {_checks.in_short(self.name)}")

    def init(self, key: PRNGKeyArray, shape: tuple[int, ...]) -> Any:
        """Standard normal parameters for examples of that shape, for example (8, 8, 1) for grey images."""
        return self.layers[0](key, (1, *shape))[1]

    def apply(self, params: Any, x: Float[Array, "n ..."]) -> Float[Array, "n C"]:
        """The outputs `yhat`, not centred."""
        return self.layers[1](params, x)

    def check(self, name: str, x: Float[Array, "n ..."]) -> Float[Array, "n ..."]:
        """`x`, the argument called `name`, for which `kernel` must be able to answer."""
        if x.ndim < 2:
            raise ValueError(f"{name} must have at least 2 dimensions, got shape {x.shape}")
        return x

    def entries(self, x: Float[Array, "n ..."]) -> int:
        """Numbers that the kernel holds for a pair of examples: one for each pair of pixels."""
        return math.prod(x.shape[1:-1]) ** 2

    def kernel(
        self,
        x1: Float[Array, "n1 ..."],
        x2: Float[Array, "n2 ..."],
        same: Bool[Array, "n1 n2"] | None = None,
    ) -> Float[Array, "n1 n2"]:
        """The infinite-width NTK in one block, without checks: see `gsdyn.kernels.infinite_ntk`."""
        theta = self.layers[2](x1, None if same is not None else x2, "ntk")
        if theta.shape != (x1.shape[0], x2.shape[0]):
            raise ValueError(
                f"layers must end in one vector for each example, got a kernel of shape {theta.shape} for "
                f"{x1.shape[0]} and {x2.shape[0]} of them: flatten or pool"
            )
        return theta.astype(x1.dtype)  # it computes in the default dtype
