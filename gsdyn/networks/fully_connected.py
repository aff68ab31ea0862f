"""Fully connected networks as init, apply and kernel: a finite net to train, and the same net infinitely wide."""

from __future__ import annotations

import dataclasses
import math
import numbers
from typing import NamedTuple

import jax
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from gsdyn import _checks
from gsdyn.networks.activations import Activation, Relu


class Layer(NamedTuple):
    """The parameters of one dense layer.

    >>> print(net.init(jax.random.key(0), 2)[0].weight.shape)
    (2, 8)
    """

    weight: Float[Array, "fan_in fan_out"]
    bias: Float[Array, " fan_out"] | None


@dataclasses.dataclass(frozen=True)
class FullyConnected:
    """A fully connected network in the NTK parameterisation (P21-Eq1), `depth` dense layers deep.

        h_1 = w W_1 x/sqrt(d) + b beta_1,   h_l = w W_l phi(h_(l-1))/sqrt(width) + b beta_l

    with `yhat = h_depth` and all entries of `W_l` and `beta_l` standard normal at initialisation:
    neural-tangents' `Dense(width, W_std=w, b_std=b, parameterization="ntk")` with the activation
    between layers. At infinite width the network at initialisation is a Gaussian process of
    covariance `Sigma_depth`, and its NTK is `Theta_depth`:

        Sigma_1 = w^2 x.x'/d + b^2                                      Theta_1 = Sigma_1
        Sigma_l = w^2 E[phi(u) phi(u')] + b^2                           (u, u') ~ N(0, Sigma_(l-1))
        Theta_l = Sigma_l + w^2 E[phi'(u) phi'(u')] Theta_(l-1)

    - `depth`: dense layers, at least 1 (a linear model); `depth - 1` of them are hidden.
    - `width`: neurons in each hidden layer.
    - `activation`: `Relu()`, `LeakyRelu()`, `Abs()` or `Erf()`, whose kernels are right to rounding everywhere, or
      another of `gsdyn.networks`, whose kernels are neural-tangents'.
    - `w_std`: the weight scale `w` > 0; by default the activation's, which keeps the norm of a unit
      signal (the `gamma` of P21-Eq1): sqrt(2) for ReLU, 1.467 for erf.
    - `b_std`: the bias scale `b` >= 0; with 0 there are no bias parameters.
    - `outputs`: None for one output, shape (n,); a number of classes C for shape (n, C).

    Reference: Jacot, Gabriel and Hongler, Neural tangent kernel (2018).

        >>> net = gs.networks.FullyConnected(depth=2, width=8)
        >>> params = net.init(jax.random.key(0), 2)
        >>> print(net.apply(params, x).shape)
        (4,)
    """

    depth: int
    width: int = 512
    activation: Activation = dataclasses.field(default_factory=Relu)
    w_std: float | None = None
    b_std: float = 0.0
    outputs: int | None = None

    def __post_init__(self) -> None:
        _check_count("depth", self.depth)
        _check_count("width", self.width)
        if self.outputs is not None:
            _check_count("outputs", self.outputs)
        if not isinstance(self.activation, Activation):
            raise ValueError(
                f"activation must be Relu(), Erf() or another Activation, got {_checks.in_short(self.activation)}"
            )
        if self.w_std is not None:
            _checks.number("w_std", self.w_std, "None or finite and > 0", lambda v: 0 < v < math.inf)
        _checks.number("b_std", self.b_std, "finite and >= 0", lambda v: 0 <= v < math.inf)

    @property
    def weight_scale(self) -> float:
        """The weight scale `w`, given or by default."""
        return float(self.activation.w_std if self.w_std is None else self.w_std)

    @property
    def bias_scale(self) -> float:
        """The bias scale `b`."""
        return float(self.b_std)

    def init(self, key: PRNGKeyArray, features: int, dtype: DTypeLike = float) -> list[Layer]:
        """Standard normal parameters for inputs of `features` columns."""
        _check_count("features", features)
        dtype = _checks.real_dtype("dtype", dtype)
        sizes = [features, *[self.width] * (self.depth - 1), self.outputs or 1]
        layers = []
        for layer_key, fan_in, fan_out in zip(jax.random.split(key, self.depth), sizes[:-1], sizes[1:], strict=True):
            weight_key, bias_key = jax.random.split(layer_key)
            weight = jax.random.normal(weight_key, (fan_in, fan_out), dtype)
            bias = jax.random.normal(bias_key, (fan_out,), dtype) if self.bias_scale > 0 else None
            layers.append(Layer(weight, bias))
        return layers

    def apply(self, params: list[Layer], x: Float[Array, "n d"]) -> Float[Array, " n"] | Float[Array, "n C"]:
        """The outputs `yhat`, not centred: shape (n,), or (n, C) for `outputs=C`."""
        layers = list(params) if isinstance(params, list | tuple) else []
        if len(layers) != self.depth or not all(isinstance(layer, tuple) and len(layer) == 2 for layer in layers):
            raise ValueError(f"params must be the {self.depth} layers of init, got {_checks.in_short(params)}")
        _checks.rows_of_numbers("x", x, len(params[0][0]))
        for i, (weight, bias) in enumerate(params):
            h = self.activation(x) if i > 0 else x
            x = h @ weight * (self.weight_scale / math.sqrt(weight.shape[0]))
            if bias is not None:
                x = x + self.bias_scale * bias[None, :]
        return x[:, 0] if self.outputs is None else x

    def check(self, name: str, x: Float[Array, "n d"]) -> Float[Array, "n d"]:
        """`x`, the argument called `name`, for which `kernel` must be able to answer."""
        if x.ndim != 2:
            raise ValueError(f"{name} must have 2 dimensions, got shape {x.shape}")
        return x

    def kernel(
        self,
        x1: Float[Array, "n1 d"],
        x2: Float[Array, "n2 d"],
        same: Bool[Array, "n1 n2"] | None = None,
    ) -> Float[Array, "n1 n2"]:
        """The infinite-width NTK `Theta_depth` in one block, without checks: see `infinite_ntk`.

        `same` marks the pairs known to be one example twice.
        """
        return self.activation.kernel(x1, x2, same, depth=self.depth, w_std=self.weight_scale, b_std=self.bias_scale)


def _check_count(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < 1:
        raise ValueError(f"{name} must be an integer of at least 1, got {_checks.in_short(value)}")
