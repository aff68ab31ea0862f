"""A frequent feature starves a rare one (C18-§5, D): Eq. 7 integrated, its bounds, and how loose they are."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from gsdyn import _checks
from gsdyn.modes import ode
from gsdyn.modes._arrays import along, check_fraction, demand, together


class RareFeatureState(eqx.Module):
    """Weights `w = a x_1 + b x_2` and output weight `z` at times `t`, all of one shape."""

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


class RareFeature(eqx.Module):
    """A feature `x_1` that every example of a class has, and `x_2` that only a fraction q has (C18-Eq7, Thm 5.1).

        a' = q z/(1 + e^(z(a+b))) + (1-q) z/(1 + e^(za)),    b' = q z/(1 + e^(z(a+b))),
        z' = q (a+b)/(1 + e^(z(a+b))) + (1-q) a/(1 + e^(za))

    with orthogonal unit features and `w = a x_1 + b x_2`. `a^2 + b^2 - z^2` never changes (**beyond**).

    **Arguments:** any shapes that broadcast. `fraction`: q inside (0, 1), the paper's alpha. The start satisfies
    H2 and H3: `a0 > 0`, `a0 + b0 > 0` (every example activates the neuron) and `z0 >= 0`.

    **Raises:** `ValueError` for any argument outside these domains.

    **Reference:** Combes et al., 2018, section 5 and appendix D.
    """

    fraction: Float[Array, "..."]
    a0: Float[Array, "..."]
    b0: Float[Array, "..."]
    z0: Float[Array, "..."]

    def __init__(self, fraction: ArrayLike, a0: ArrayLike, b0: ArrayLike, z0: ArrayLike):
        self.fraction, self.a0, b0, self.z0 = together(
            check_fraction("fraction", fraction),
            _checks.positive("a0", a0),
            _checks.finite("b0", b0),
            _checks.nonnegative("z0", z0),
        )
        self.b0 = demand(b0, self.a0 + b0 > 0, "b0 must be above -a0, so that both examples are seen")

    @property
    def invariant(self) -> Float[Array, "..."]:
        """`a^2 + b^2 - z^2`."""
        return self.a0**2 + (self.b0 - self.z0) * (self.b0 + self.z0)

    def integrate(self, ts: ArrayLike) -> RareFeatureState:
        """The weights at ascending times `ts >= 0`, shape (T,), which comes last in the answer's shape (C18-Eq7)."""
        ts = _checks.nonnegative("ts", ts, ndim=1)
        return _integrate(self, ts.astype(self.a0.dtype))

    def stop(self, eps: ArrayLike) -> RareFeatureState:
        """The weights when every example is classified with confidence `1 - eps`, where training stops (Thm 5.1).

        `eps` inside (0, 1/2); it broadcasts against the start. A start that is there already stops at time 0.
        """
        return _stop(*together(self.fraction, self.a0, self.b0, self.z0, log_odds(eps)))

    def bound(self, eps: ArrayLike) -> Float[Array, "..."]:
        """What `P((0, x_2))` cannot exceed when training stops at confidence `1 - eps` on the data.

        C18-Eq6 where its assumption `q a_0 >= b_0` holds; else C18-ThmD.2, which needs the integrated `z_T`.
        """
        simple = rare_feature_bound(self.fraction, eps)
        applies = self.fraction * self.a0 >= self.b0
        if _checks.is_concrete(applies) and bool(applies.all()):
            return jnp.broadcast_to(simple, jnp.broadcast_shapes(simple.shape, applies.shape))
        simple, relaxed, applies = jnp.broadcast_arrays(simple, self.relaxed_bound(eps), applies)
        return jnp.where(applies, simple, relaxed)

    def relaxed_bound(self, eps: ArrayLike, z_stop: ArrayLike | None = None) -> Float[Array, "..."]:
        """`1/(1 + exp(-q log((1-eps)/eps) - z_T (b_0 - q a_0)))`, for any start (C18-ThmD.2).

        `z_stop` is `z_T`, the output weight when training stops, by default the integrated one. The paper draws
        Fig. 5 with `z_T = a_T = sqrt(log((1-eps)/eps))`: below the integrated one if `z_0 >= a_0` and `b_0 > 0`, since
        `z_T^2 - a_T^2 = z_0^2 - a_0^2 + b_T^2 - b_0^2`, so that for `b_0 > q a_0` it is no bound.
        """
        z_stop = self.stop(eps).z if z_stop is None else _checks.nonnegative("z_stop", z_stop)
        odds, z, q, a0, b0 = together(log_odds(eps), z_stop, self.fraction, self.a0, self.b0)
        return jax.nn.sigmoid(q * odds + z * (b0 - q * a0))

    def looseness(self, eps: ArrayLike) -> Float[Array, "..."]:
        """`bound(eps)` less the integrated `P((0, x_2))` at the stop: 0 would be a tight bound."""
        return self.bound(eps) - self.stop(eps).rare


def rare_feature_bound(fraction: ArrayLike, eps: ArrayLike) -> Float[Array, "..."]:
    """`1/(1 + e^(-q log((1-eps)/eps)))`, the bound of Theorem 5.1 (C18-Eq6, Table 1), for `q a_0 >= b_0`.

    **Arguments:** `fraction`: q inside (0, 1). `eps` inside (0, 1/2), one less the confidence on the data.
    """
    q, odds = together(check_fraction("fraction", fraction), log_odds(eps))
    return jax.nn.sigmoid(q * odds)


def log_odds(eps: ArrayLike) -> Float[Array, "..."]:
    """`log((1 - eps)/eps)`, the logit of the confidence `1 - eps`, for `eps` inside (0, 1/2)."""
    eps = _checks.require("eps", eps, "inside (0, 1/2)", lambda v: (v > 0) & (v < 0.5))
    return jnp.log1p(-eps) - jnp.log(eps)


def _worst(a: Array, b: Array) -> Array:
    """The smaller of `a` and `a + b`."""
    return a + jnp.minimum(b, 0)


class _ByLogit(eqx.Module):
    """Eq. 7 with the logit reached on all data as the clock, so that no stop has to be looked for.

    The state is `(a, b, z, t)`. Every rate has the factor `1/(1 + e^(za))`, which cancels for all but the time.
    """

    fraction: Float[Array, ""]

    def __call__(self, state: ode.State) -> ode.State:
        a, b, z, _ = state
        one = z * a
        # the pull of (x1, x2) over that of (x1, 0)
        ratio = jnp.exp(jax.nn.softplus(one) - jax.nn.softplus(z * (a + b)))
        both, alone = self.fraction * ratio, 1 - self.fraction
        da, db, dz = z * (both + alone), z * both, (a + b) * both + a * alone
        rate = dz * _worst(a, b) + z * (da + jnp.where(b < 0, db, 0))
        return da / rate, db / rate, dz / rate, (1 + jnp.exp(one)) / rate


@eqx.filter_jit
def _integrate(feature: RareFeature, ts: Array) -> RareFeatureState:
    def one(q, a0, b0, z0, ts):
        path = ode.integrate(ode.RareFeatureField(q), (a0, b0, z0), ts)
        return path.ts, *path.states

    start = (feature.fraction, feature.a0, feature.b0, feature.z0)
    return RareFeatureState(*along(one, 4)(*start, ts))


@eqx.filter_jit
def _stop(q: Array, a0: Array, b0: Array, z0: Array, odds: Array) -> RareFeatureState:
    def one(q, a0, b0, z0, odds):
        start = z0 * _worst(a0, b0)
        state = (a0, b0, z0, jnp.zeros_like(a0))
        none = jnp.zeros((0,), a0.dtype)
        path = ode.integrate(_ByLogit(q), state, none, start=start, horizon=odds)
        there = start >= odds
        a, b, z, t = (jnp.where(there, s0, s) for s0, s in zip(state, path.stop_state, strict=True))
        return t, a, b, z

    return RareFeatureState(*jnp.vectorize(one)(q, a0, b0, z0, odds))
