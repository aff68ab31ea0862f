"""A frequent feature starves a rare one (C18-§5, D): Eq. 7 integrated, its bounds, and how loose they are."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from gsdyn import _checks
from gsdyn._checks import together
from gsdyn.modes import ode
from gsdyn.modes._arrays import along, check_fraction, demand
from gsdyn.modes._base import Triple


class RareFeatureState(eqx.Module):
    """Weights `w = a x_1 + b x_2` and output weight `z` at times `t`, all of one shape.

    >>> state = gs.modes.RareFeature(fraction=0.1, a0=0.1, b0=0.01, z0=0.1).integrate(np.array([0.0, 10.0]))
    >>> print(state.common, state.rare)
    [0.502 0.954] [0.5  0.57]
    """

    t: Float[Array, "..."]
    a: Float[Array, "..."]
    b: Float[Array, "..."]
    z: Float[Array, "..."]

    @property
    def common(self) -> Float[Array, "..."]:
        """The confidence on an example with the common feature alone, `P((x_1, 0)) = sigma(z a)`."""
        return jax.nn.sigmoid(self.z * jnp.maximum(self.a, 0))

    @property
    def rare(self) -> Float[Array, "..."]:
        """The confidence on an example with the rare feature alone, `P((0, x_2)) = sigma(z b)`."""
        return jax.nn.sigmoid(self.z * jnp.maximum(self.b, 0))

    @property
    def data(self) -> Float[Array, "..."]:
        """The confidence reached on every example of the data: the lesser of those with one and both features."""
        return jax.nn.sigmoid(self.z * _worst(self.a, self.b))


class RareFeature(Triple):
    """A feature `x_1` that every example of a class has, and `x_2` that only a fraction q has (C18-Eq7, Thm 5.1).

        a' = q z/(1 + e^(z(a+b))) + (1-q) z/(1 + e^(za)),    b' = q z/(1 + e^(z(a+b))),
        z' = q (a+b)/(1 + e^(z(a+b))) + (1-q) a/(1 + e^(za))

    with orthogonal unit features and `w = a x_1 + b x_2`. `a^2 + b^2 - z^2` never changes (**beyond**).

    **Arguments:** any shapes that broadcast. `fraction`: q inside (0, 1), the paper's alpha. The start satisfies
    H2 and H3: `a0 > 0`, `a0 + b0 > 0` (every example activates the neuron) and `z0 >= 0`.

    **Raises:** `ValueError` for any argument outside these domains.

    **Reference:** Combes et al., 2018, section 5 and appendix D.

        >>> rare = gs.modes.RareFeature(fraction=0.1, a0=0.1, b0=0.01, z0=0.1)
        >>> stop = rare.stop(0.01)
        >>> print(f"{stop.common:.3f} {stop.rare:.3f} {rare.bound(0.01):.3f}")
        0.990 0.601 0.613
    """

    fraction: Float[Array, "..."]
    a0: Float[Array, "..."]
    b0: Float[Array, "..."]
    z0: Float[Array, "..."]

    def __init__(self, fraction: ArrayLike, a0: ArrayLike, b0: ArrayLike, z0: ArrayLike):
        self.fraction, self.a0, b0, self.z0 = together(
            fraction=check_fraction("fraction", fraction),
            a0=_checks.positive("a0", a0),
            b0=_checks.finite("b0", b0),
            z0=_checks.nonnegative("z0", z0),
        )
        self.b0 = demand(b0, self.a0 + b0 > 0, "b0 must be above -a0, so that both examples are seen")

    def integrate(self, ts: ArrayLike) -> RareFeatureState:
        """The weights at ascending times `ts >= 0`, shape (T,), which comes last in the answer's shape (C18-Eq7)."""
        return _integrate(self, self._times(ts))

    def stop(self, eps: ArrayLike) -> RareFeatureState:
        """The weights when every example is classified with confidence `1 - eps`, where training stops (Thm 5.1).

        `eps` inside (0, 1/2); it broadcasts against the start. A start that is there already stops at time 0. NaN
        where the integration was given up.
        """
        return _stop(*self._with_odds(eps))

    def bound(self, eps: ArrayLike) -> Float[Array, "..."]:
        """What `P((0, x_2))` cannot exceed when training stops at confidence `1 - eps` on the data.

        C18-Eq6 where its assumption `q a_0 >= b_0` holds; else C18-ThmD.2, which needs the integrated `z_T`. A start
        that is there already stops at once, with the confidence it has.
        """
        odds, q, a0, b0, z0 = self._with_odds(eps)
        simple, there = jax.nn.sigmoid(q * odds), z0 * _worst(a0, b0) >= odds
        simple = jnp.where(there, jax.nn.sigmoid(z0 * jnp.maximum(b0, 0)), simple)
        applies = there | (q * a0 >= b0)
        if _checks.is_concrete(applies) and bool(applies.all()):
            return simple
        return jnp.where(applies, simple, self.relaxed_bound(eps))

    def relaxed_bound(self, eps: ArrayLike, z_stop: ArrayLike | None = None) -> Float[Array, "..."]:
        """`1/(1 + exp(-q log((1-eps)/eps) - z_T (b_0 - q a_0)))`, for any start (C18-ThmD.2).

        The theorem has `b_0 >= 0` and a start that is not there yet. **Beyond:** from `b_0 < 0` the same holds with 0
        for `b_0`, since b falls behind `q a` only once it is positive, and never less than 1/2, which `b_T <= 0` gives;
        a start that is there already stops with the confidence it has.

        `z_stop` is `z_T`, the output weight when training stops, by default the integrated one. The paper draws
        Fig. 5 with `z_T = a_T = sqrt(log((1-eps)/eps))`: below the integrated one if `z_0 >= a_0` and `b_0 > 0`, since
        `z_T^2 - a_T^2 = z_0^2 - a_0^2 + b_T^2 - b_0^2`, so that for `b_0 > q a_0` it is no bound.
        """
        z_stop = self.stop(eps).z if z_stop is None else _checks.nonnegative("z_stop", z_stop)
        odds, q, a0, b0, z0 = self._with_odds(eps)
        odds, q, a0, b0, z0, z = together(eps=odds, fraction=q, a0=a0, b0=b0, z0=z0, z_stop=z_stop)
        seen = jnp.maximum(b0, 0)
        exponent = jnp.maximum(q * odds + z * (seen - q * a0), 0)
        return jax.nn.sigmoid(jnp.where(z0 * _worst(a0, b0) >= odds, z0 * seen, exponent))

    def _with_odds(self, eps: ArrayLike) -> list[Array]:
        return together(eps=log_odds(eps), fraction=self.fraction, a0=self.a0, b0=self.b0, z0=self.z0)

    def looseness(self, eps: ArrayLike) -> Float[Array, "..."]:
        """`bound(eps)` less the integrated `P((0, x_2))` at the stop: 0 would be a tight bound."""
        return self.bound(eps) - self.stop(eps).rare


def rare_feature_bound(fraction: ArrayLike, eps: ArrayLike) -> Float[Array, "..."]:
    """`1/(1 + e^(-q log((1-eps)/eps)))`, the bound of Theorem 5.1 (C18-Eq6, Table 1), for `q a_0 >= b_0`.

    **Arguments:** `fraction`: q inside (0, 1). `eps` inside (0, 1/2), one less the confidence on the data.

        >>> print(gs.modes.rare_feature_bound(np.array([0.5, 0.1]), 0.01))
        [0.909 0.613]
    """
    q, odds = together(fraction=check_fraction("fraction", fraction), eps=log_odds(eps))
    return jax.nn.sigmoid(q * odds)


def log_odds(eps: ArrayLike) -> Float[Array, "..."]:
    """`log((1 - eps)/eps)`, the logit of the confidence `1 - eps`, for `eps` inside (0, 1/2)."""
    eps = _checks.require("eps", eps, "inside (0, 1/2)", lambda v: (v > 0) & (v < 0.5))
    return jnp.log1p(-eps) - jnp.log(eps)


def _worst(a: Array, b: Array) -> Array:
    """The smaller of `a` and `a + b`."""
    return a + jnp.minimum(b, 0)


class _ByLogit(eqx.Module):
    """Eq. 7 with the logit L reached on all data as the clock, so that no stop has to be looked for.

    The clock is `asinh(L / scale)`: along a mode that is about the angle, in which weights grow evenly however small
    they begin. The state is `(a, b, z, t)`. Every rate has the factor `1/(1 + e^L)`, which cancels but for the time.
    """

    fraction: Float[Array, ""]
    scale: Float[Array, ""]

    def __call__(self, state: ode.State) -> ode.State:
        a, b, z, _ = state
        reached = z * _worst(a, b)
        # the pulls of (x1, x2) and of (x1, 0) over that of the less confident one
        hardest = jax.nn.softplus(reached)
        both = self.fraction * jnp.exp(hardest - jax.nn.softplus(z * (a + b)))
        alone = (1 - self.fraction) * jnp.exp(hardest - jax.nn.softplus(z * a))
        da, db, dz = z * (both + alone), z * both, (a + b) * both + a * alone
        rate = dz * _worst(a, b) + z * (da + jnp.where(b < 0, db, 0))
        pace = jnp.hypot(reached, self.scale) / rate
        return da * pace, db * pace, dz * pace, (1 + jnp.exp(reached)) * pace


@eqx.filter_jit
def _integrate(feature: RareFeature, ts: Array) -> RareFeatureState:
    def one(q, a0, b0, z0, ts):
        path = ode.integrate(ode.RareFeatureField(q), (a0, b0, z0), ts, throw=False)
        return path.ts, *path.states

    start = (feature.fraction, feature.a0, feature.b0, feature.z0)
    return RareFeatureState(*along(one, 4)(*start, ts))


@eqx.filter_jit
def _stop(odds: Array, q: Array, a0: Array, b0: Array, z0: Array) -> RareFeatureState:
    def one(odds, q, a0, b0, z0):
        start, scale = z0 * _worst(a0, b0), _worst(a0, b0) ** 2 + z0 * z0
        there = start >= odds
        state = (a0, b0, z0, jnp.zeros_like(a0))
        end = jnp.arcsinh(jnp.where(there, start, odds) / scale)
        none = jnp.zeros((0,), a0.dtype)
        field = _ByLogit(q, scale)
        path = ode.integrate(field, state, none, start=jnp.arcsinh(start / scale), horizon=end, throw=False)
        a, b, z, t = (jnp.where(there, s0, s) for s0, s in zip(state, path.stop_state, strict=True))
        return t, a, b, z

    return RareFeatureState(*jnp.vectorize(one)(odds, q, a0, b0, z0))
