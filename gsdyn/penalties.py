"""Penalties as spectral filters (THEORY sections 2 and 4): weight decay, spectral decoupling, both mixed.

A penalty enters the fixed point `z = c U^T alpha` only through a filter `c_j = c(s_j^2)`. Spectral decoupling
with its own strength or target in every example also bends the loss, which is its `tilt`.
"""

from __future__ import annotations

import abc
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from gsdyn import _checks
from gsdyn._readable import Call


class Tilt(NamedTuple):
    """A quadratic in the margins that adds to the loss, `sum_i curvature_i f_i^2 / 2 - pull_i f_i`."""

    curvature: Float[Array, " n"]
    pull: Float[Array, " n"]


class Penalty(Call):
    """What holds the parameters back: a spectral filter, and for class-wise targets a tilt.

    >>> print(gs.WeightDecay(0.1).filter(basis.s**2), gs.SpectralDecoupling(0.1).filter(basis.s**2))
    [160.  40.] [10. 10.]
    """

    @abc.abstractmethod
    def filter(self, s2: Float[Array, " k"]) -> Float[Array, " k"]:
        """The filter `c(s^2)`; zero for a feature of zero strength, whose response is always zero."""

    @abc.abstractmethod
    def filter_slope(self, s2: Float[Array, " k"]) -> Float[Array, " k"]:
        """`c'(s^2) = dc/d(s^2)`."""

    def log_filter(self, log_s2: Float[Array, " k"]) -> Float[Array, " k"]:
        """`log c` by `log s^2`, where `c > 0`: in single precision derivatives by a large `c` itself underflow."""
        return jnp.log(self.filter(jnp.exp(log_s2)))

    @abc.abstractmethod
    def decay(self) -> tuple[Array, Array]:
        """`(lam_1, lam_2)`: the pull on the parameters and the common pull on the outputs."""

    def tilt(self, examples: int) -> Tilt | None:
        """The part that differs between examples, or None."""
        del examples
        return None


class WeightDecay(Penalty):
    """Weight decay `(lam/2) |theta|^2` (P21-Eq5): `c = s^2/lam`.

    `lam`: finite and > 0, a scalar. Parameters are centred at initialisation.

        >>> print(gs.WeightDecay(0.01).filter(basis.s**2))
        [1600.  400.]
    """

    lam: Float[Array, ""]

    def __init__(self, lam: ArrayLike):
        self.lam = _checks.positive("lam", lam, ndim=0)

    def filter(self, s2: Float[Array, " k"]) -> Float[Array, " k"]:
        return s2 / self.lam

    def filter_slope(self, s2: Float[Array, " k"]) -> Float[Array, " k"]:
        return jnp.broadcast_to(1 / self.lam, s2.shape).astype(s2.dtype)

    def log_filter(self, log_s2: Float[Array, " k"]) -> Float[Array, " k"]:
        return log_s2 - jnp.log(self.lam)

    def decay(self) -> tuple[Array, Array]:
        return self.lam, jnp.zeros_like(self.lam)


class SpectralDecoupling(Penalty):
    """Spectral decoupling `(lam/2) |yhat - gamma|^2` (P21-Eq17, variant of section 4.4): `c = 1/lam`.

    - `lam`: finite and > 0, a scalar or one per example, shape (n,).
    - `gamma`: the target of the margins `f = y yhat` (None: zero), a scalar or shape (n,).

    Stationarity in the margins is `sigma(-f) = lam (f - gamma)`.

        >>> fp = gs.fixed_point(basis, gs.CrossEntropy(), gs.SpectralDecoupling(0.01))
        >>> print(fp.margins, gs.starvation_matrix(basis, fp))
        [3.359 3.359] [[0. 0.]
         [0. 0.]]
        >>> by_class = gs.SpectralDecoupling.by_class(np.array([-1.0, 1.0]), lam=(0.1, 0.1), gamma=(0.44, 2.5))
        >>> print(gs.fixed_point(basis, gs.CrossEntropy(), by_class).margins)
        [1.827 2.982]
    """

    lam: Float[Array, " *n"]
    gamma: Float[Array, " *n"] | None

    def __init__(self, lam: ArrayLike, gamma: ArrayLike | None = None):
        self.lam = _checks.positive("lam", lam)
        self.gamma = None if gamma is None else _checks.finite("gamma", gamma)
        for name, value in (("lam", self.lam), ("gamma", self.gamma)):
            if value is not None and value.ndim > 1:
                raise ValueError(f"{name} must be a scalar or one per example, got shape {value.shape}")

    @classmethod
    def by_class(cls, y: ArrayLike, lam: tuple[float, float], gamma: tuple[float, float]) -> SpectralDecoupling:
        """One `(lam, gamma)` for each class: the first of each pair for `y = -1`, the second for `y = +1`.

        `gamma` is a margin, `y` times the logit aimed at: a target logit of -2.5 for class -1 is 2.5.
        """
        y = _checks.labels("y", y)
        for name, pair, check in (("lam", lam, _checks.positive), ("gamma", gamma, _checks.finite)):
            if check(name, pair).shape != (2,):  # pyright: ignore[reportArgumentType]
                raise ValueError(f"{name} must be a pair, one value per class, got {_checks.in_short(pair)}")
        return cls(jnp.where(y > 0, lam[1], lam[0]), jnp.where(y > 0, gamma[1], gamma[0]))

    def filter(self, s2: Float[Array, " k"]) -> Float[Array, " k"]:
        return jnp.where(s2 > 0, 1 / jnp.min(self.lam), 0.0).astype(s2.dtype)

    def filter_slope(self, s2: Float[Array, " k"]) -> Float[Array, " k"]:
        return jnp.zeros_like(s2)

    def log_filter(self, log_s2: Float[Array, " k"]) -> Float[Array, " k"]:
        return jnp.broadcast_to(-jnp.log(jnp.min(self.lam)), log_s2.shape)

    def decay(self) -> tuple[Array, Array]:
        lam = jnp.min(self.lam)
        return jnp.zeros_like(lam), lam

    def tilt(self, examples: int) -> Tilt | None:
        if self.lam.ndim == 0 and self.gamma is None:
            return None
        for name, value in (("lam", self.lam), ("gamma", self.gamma)):
            if value is not None and value.ndim == 1 and len(value) != examples:
                raise ValueError(f"{name} must have one entry per example ({examples}), got {len(value)}")
        lam = jnp.broadcast_to(self.lam, (examples,))
        gamma = jnp.zeros_like(lam) if self.gamma is None else self.gamma
        return Tilt(lam - jnp.min(self.lam), lam * gamma)


class Mixed(Penalty):
    """Weight decay `lam1` with spectral decoupling `lam2`: `c = s^2/(lam1 + lam2 s^2)` (*beyond* P21).

    `lam1`, `lam2`: finite and >= 0, scalars, not both zero. `K (sigma(-f) - lam2 f) = lam1 f` at the optimum:
    one family from P21-Eq5 (`lam2 = 0`) to P21-Eq17 (`lam1 = 0`).

        >>> fp = gs.fixed_point(basis, gs.CrossEntropy(), gs.Mixed(0.01, 0.01))
        >>> print(fp.margins)
        [3.323 3.197]
    """

    lam1: Float[Array, ""]
    lam2: Float[Array, ""]

    def __init__(self, lam1: ArrayLike, lam2: ArrayLike):
        lam1 = _checks.nonnegative("lam1", lam1, ndim=0)
        self.lam2 = _checks.nonnegative("lam2", lam2, ndim=0)
        total = _checks.require("lam1 + lam2", lam1 + self.lam2, "> 0", lambda v: v > 0)
        self.lam1 = jnp.where(total > 0, lam1, jnp.nan)

    def filter(self, s2: Float[Array, " k"]) -> Float[Array, " k"]:
        return _saturating(s2, self.lam1, self.lam2)

    def filter_slope(self, s2: Float[Array, " k"]) -> Float[Array, " k"]:
        return _saturating_slope(s2, self.lam1, self.lam2)

    def log_filter(self, log_s2: Float[Array, " k"]) -> Float[Array, " k"]:
        least = math.log(float(jnp.finfo(log_s2.dtype).tiny))
        return -jnp.log(self.lam1 * jnp.exp(-jnp.maximum(log_s2, least)) + self.lam2)

    def decay(self) -> tuple[Array, Array]:
        return self.lam1, self.lam2


class Unregularised(Penalty):
    """No penalty, `lam = 0`: for flows, whose early stopping is all that holds the parameters back (*beyond* P21).

    A separable loss has no optimum then, only a direction of its margins, which `gsdyn.hard_margin` gives; so it has no
    filter, and whatever needs one raises `ValueError`.

        >>> flow = gs.PrimalFlow(basis, gs.CrossEntropy(), gs.Unregularised())
        >>> print(gs.integrate(flow, np.array([1.0, 100.0])).z)
        [[2.961 1.152]
         [8.252 5.268]]
    """

    def filter(self, s2: Float[Array, " k"]) -> Float[Array, " k"]:
        raise ValueError(
            "penalty must be one with an optimum, got Unregularised: use PrimalFlow or KernelFlow for its way in time, "
            "hard_margin for its limit"
        )

    def filter_slope(self, s2: Float[Array, " k"]) -> Float[Array, " k"]:
        return self.filter(s2)

    def decay(self) -> tuple[Array, Array]:
        return jnp.zeros(()), jnp.zeros(())


@jax.custom_jvp
def _saturating(s2: Array, lam1: Array, lam2: Array) -> Array:
    """`s^2/(lam_1 + lam_2 s^2)`; the quotient rule would cancel its derivative where it saturates."""
    return s2 * _inverse_total(s2, lam1, lam2)


@_saturating.defjvp
def _saturating_jvp(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    s2, lam1, lam2 = primals
    ds2, dlam1, dlam2 = tangents
    c = _saturating(s2, lam1, lam2)
    inverse = _inverse_total(s2, lam1, lam2)
    # factor by factor: float32 does not hold the square of a large filter
    return c, _saturating_slope(s2, lam1, lam2) * ds2 - c * (inverse * dlam1) - c * (c * dlam2)


def _saturating_slope(s2: Array, lam1: Array, lam2: Array) -> Array:
    inverse = _inverse_total(s2, lam1, lam2)
    return lam1 * inverse * inverse


def _inverse_total(s2: Array, lam1: Array, lam2: Array) -> Array:
    # lam1 = 0 leaves nothing where s2 = 0: filter and slope are zero there. To be multiplied with: XLA turns two
    # divisions into one by a square that float32 does not hold.
    total = lam1 + lam2 * s2
    return 1 / jnp.where(total > 0, total, 1.0)
