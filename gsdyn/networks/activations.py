"""Nonlinearities that know the NTK of a fully connected network made with them."""

from __future__ import annotations

import abc
import dataclasses
import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from gsdyn import _checks
from gsdyn.kernels import _erf, _kinked, _neural_tangents


class Activation(abc.ABC):
    """A nonlinearity that knows the NTK of a fully connected network made with it.

    >>> print(gs.networks.Relu()(np.array([-1.0, 2.0])), f"{gs.networks.Relu().w_std:.4f}")
    [0. 2.] 1.4142
    """

    @property
    @abc.abstractmethod
    def w_std(self) -> float:
        """The weight scale that keeps the mean square of a pre-activation of unit variance."""

    @abc.abstractmethod
    def __call__(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        """The nonlinearity, elementwise."""

    @abc.abstractmethod
    def kernel(
        self,
        x1: Float[Array, "n1 d"],
        x2: Float[Array, "n2 d"],
        same: Bool[Array, "n1 n2"] | None,
        *,
        depth: int,
        w_std: float,
        b_std: float,
    ) -> Float[Array, "n1 n2"]:
        """The infinite-width NTK of `depth` dense layers; see `FullyConnected.kernel`."""


class _Kinked(Activation):
    """`x` for x > 0, a multiple of `x` below; its kernel by gsdyn's own recursion, right to rounding everywhere."""

    @property
    @abc.abstractmethod
    def _left(self) -> float:
        """The slope below 0."""

    @property
    def w_std(self) -> float:
        return math.sqrt(2 / (1 + self._left**2))

    def kernel(self, x1, x2, same, *, depth, w_std, b_std):
        return _kinked.kinked_ntk(x1, x2, same, left=self._left, depth=depth, w_std=w_std, b_std=b_std)


@dataclasses.dataclass(frozen=True)
class Relu(_Kinked):
    """`max(x, 0)`.

    >>> print(gs.networks.Relu()(np.array([-1.0, 2.0])))
    [0. 2.]
    """

    @property
    def _left(self) -> float:
        return 0.0

    def __call__(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        return jax.nn.relu(x)


@dataclasses.dataclass(frozen=True)
class LeakyRelu(_Kinked):
    """`x` for x > 0, `alpha x` below, `alpha` in [-1e6, 1e6].

    >>> print(gs.networks.LeakyRelu(0.1)(np.array([-1.0, 2.0])))
    [-0.1  2. ]
    """

    alpha: float = 0.01

    def __post_init__(self) -> None:
        _checks.number("alpha", self.alpha, "a number in [-1e6, 1e6]", lambda v: -1e6 <= v <= 1e6)

    @property
    def _left(self) -> float:
        return float(self.alpha)

    def __call__(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        return jnp.where(x > 0, x, self._left * x)


@dataclasses.dataclass(frozen=True)
class Abs(_Kinked):
    """`|x|`.

    >>> print(gs.networks.Abs()(np.array([-1.0, 2.0])))
    [1. 2.]
    """

    @property
    def _left(self) -> float:
        return -1.0

    def __call__(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        return jnp.abs(x)


@dataclasses.dataclass(frozen=True)
class Erf(Activation):
    """`erf(x)`; its kernel by gsdyn's own recursion, right to a few `eps max(1, w_std) max(1, |x|)`.

    >>> print(gs.networks.Erf()(np.array([-1.0, 2.0])))
    [-0.843  0.995]
    """

    @property
    def w_std(self) -> float:
        return 1 / math.sqrt(2 / math.pi * math.asin(2 / 3))

    def __call__(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        return jax.lax.erf(x)

    def kernel(self, x1, x2, same, *, depth, w_std, b_std):
        return _erf.erf_ntk(x1, x2, same, depth=depth, w_std=w_std, b_std=b_std)


class _Stax(Activation):
    """A nonlinearity and its kernel by neural-tangents, right to about the root of eps beside the diagonal."""

    @abc.abstractmethod
    def _layer(self, stax: Any) -> Any:
        """The layer of neural-tangents."""

    @property
    def w_std(self) -> float:
        return _unit_scale(self)

    def __call__(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        _, apply, _ = self._layer(_neural_tangents.load().stax)
        return apply((), x)

    def kernel(self, x1, x2, same, *, depth, w_std, b_std):
        stax = _neural_tangents.load().stax
        dense = stax.Dense(1, W_std=w_std, b_std=b_std)
        _, _, kernel = stax.serial(*[dense, self._layer(stax)] * (depth - 1), dense)
        # It computes in the default dtype, and knows examples that are the same only by None.
        return kernel(x1, None if same is not None else x2, "ntk").astype(x1.dtype)


@functools.cache
def _unit_scale(activation: Activation) -> float:
    """`1/sqrt(E[phi(u)^2])` of a standard normal `u`, by the trapezoidal rule, which is spectrally accurate here."""
    with jax.ensure_compile_time_eval(), jax.enable_x64(True):
        u = np.linspace(-12, 12, 4801)
        value = np.asarray(activation(jnp.asarray(u)), float)
    weight = np.exp(-u * u / 2) / math.sqrt(2 * math.pi)
    return 1 / math.sqrt(float(np.sum(value * value * weight)) * (u[1] - u[0]))


@dataclasses.dataclass(frozen=True)
class Gelu(_Stax):
    """`x Phi(x)`, with `Phi` the normal distribution function.

    >>> print(gs.networks.Gelu()(np.array([-1.0, 2.0])))
    [-0.159  1.954]
    """

    def _layer(self, stax: Any) -> Any:
        return stax.Gelu()


@dataclasses.dataclass(frozen=True)
class Sin(_Stax):
    """`sin(frequency x)`.

    >>> print(gs.networks.Sin(2.0)(np.array([-1.0, 2.0])))
    [-0.909 -0.757]
    """

    frequency: float = 1.0

    def __post_init__(self) -> None:
        _checks.number("frequency", self.frequency, "finite", math.isfinite)

    def _layer(self, stax: Any) -> Any:
        return stax.Sin(b=self.frequency)


@dataclasses.dataclass(frozen=True)
class Cos(_Stax):
    """`cos(frequency x)`.

    >>> print(gs.networks.Cos(2.0)(np.array([-1.0, 2.0])))
    [-0.416 -0.654]
    """

    frequency: float = 1.0

    def __post_init__(self) -> None:
        _checks.number("frequency", self.frequency, "finite", math.isfinite)

    def _layer(self, stax: Any) -> Any:
        return stax.Cos(b=self.frequency)


@dataclasses.dataclass(frozen=True)
class Gaussian(_Stax):
    """`exp(-x^2)`.

    >>> print(gs.networks.Gaussian()(np.array([-1.0, 2.0])))
    [0.368 0.018]
    """

    def _layer(self, stax: Any) -> Any:
        return stax.Gaussian()


@dataclasses.dataclass(frozen=True)
class Monomial(_Stax):
    """`x^degree`, `degree` of 1 to 5.

    >>> print(gs.networks.Monomial(3)(np.array([-1.0, 2.0])))
    [-1.  8.]
    """

    degree: int = 2

    def __post_init__(self) -> None:
        _checks.integer("degree", self.degree, 1, 5)

    def _layer(self, stax: Any) -> Any:
        return stax.Monomial(self.degree)
