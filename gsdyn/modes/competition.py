"""One neuron that both classes activate: assumption H2 relaxed (C18-A.6)."""

from __future__ import annotations

import enum

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, Int

from gsdyn import _checks
from gsdyn.modes import ode
from gsdyn.modes._arrays import along, check_confidence, together
from gsdyn.modes.mode import Mode


class Winner(enum.IntEnum):
    """Whose neuron it becomes: `NEITHER` only from a start that tends to the fixed point `a = b, z = 0`."""

    FIRST = 0
    SECOND = 1
    NEITHER = 2


class CompetitionPath(eqx.Module):
    """The weights at times `ts`: `w = a x_1 + b x_2` and the output weight `z`; every array has the shape (..., T)."""

    ts: Float[Array, "... T"]
    a: Float[Array, "... T"]
    b: Float[Array, "... T"]
    z: Float[Array, "... T"]

    @property
    def logits(self) -> tuple[Float[Array, "... T"], Float[Array, "... T"]]:
        """The logits of the two points, `z a` and `z b`; the second class wants its own negative."""
        return self.z * self.a, self.z * self.b


class Competition(eqx.Module):
    """One neuron on two orthogonal unit points of opposite class, sampled equally (C18-A.6).

        a' = p z/(1 + e^(za)),    b' = -p z/(1 + e^(-zb)),    z' = p (a/(1 + e^(za)) - b/(1 + e^(-zb)))

    while `a, b > 0`. While `z > 0`, b falls; when it reaches 0 the neuron no longer sees the second class and
    goes on as the single mode of the first. **The paper says this always happens. It does not:** where b is
    large enough, z turns negative first, a falls instead, and the neuron becomes the second class's. The
    invariant is `a^2 + b^2 - z^2`.

    **Arguments:** any shapes that broadcast. `a0`, `b0`: > 0. `z0`: finite. `rate`: p > 0.

    **Raises:** `ValueError` for any argument outside these domains.
    """

    a0: Float[Array, "..."]
    b0: Float[Array, "..."]
    z0: Float[Array, "..."]
    rate: Float[Array, "..."]

    def __init__(self, a0: ArrayLike, b0: ArrayLike, z0: ArrayLike, rate: ArrayLike = 1.0):
        self.a0, self.b0, self.z0, self.rate = together(
            _checks.positive("a0", a0),
            _checks.positive("b0", b0),
            _checks.finite("z0", z0),
            _checks.positive("rate", rate),
        )

    @property
    def invariant(self) -> Float[Array, "..."]:
        """`a^2 + b^2 - z^2`, constant until a direction dies."""
        return self.a0**2 + (self.b0 - self.z0) * (self.b0 + self.z0)

    @property
    def winner(self) -> Int[Array, "..."]:
        """Whose neuron it becomes: a member of `Winner` each."""
        return _death(self)[0]

    @property
    def death_time(self) -> Float[Array, "..."]:
        """The time at which a direction dies, b where `winner` is `FIRST`; infinite if none does."""
        return _death(self)[1]

    @property
    def death_state(self) -> tuple[Array, Array, Array]:
        """`(a, b, z)` when a direction dies."""
        return _death(self)[2]

    def integrate(self, ts: ArrayLike) -> CompetitionPath:
        """The weights at ascending times `ts >= 0`, shape (T,): by diffrax to the death, in closed form after it."""
        ts = _checks.nonnegative("ts", ts, ndim=1)
        return CompetitionPath(*_integrate(self, ts.astype(self.a0.dtype)))

    def time_to_confidence(self, confidence: ArrayLike) -> Float[Array, "..."]:
        """The first time at which the first class's confidence is at least `P`, inside (1/2, 1).

        Infinite if the second class wins the neuron.
        """
        p = check_confidence("confidence", confidence)
        p, a0, b0, z0, rate = together(p, self.a0, self.b0, self.z0, self.rate)
        return _time_to(jnp.log(p) - jnp.log1p(-p), a0, b0, z0) / rate

    def delay(self, confidence: ArrayLike) -> Float[Array, "..."]:
        """How much longer the first class takes to a confidence than it would without the second."""
        alone = Mode(1.0, rate=self.rate, y0=self.a0, z0=self.z0)
        return self.time_to_confidence(confidence) - alone.time_to_confidence(confidence)


_STOPS = (lambda state: state[0], lambda state: state[1])


def _run(a0: Array, b0: Array, z0: Array, ts: Array, horizon: ArrayLike | None, extra=()) -> ode.Path:
    field = ode.CompetitionField(jnp.ones_like(a0))
    return ode.integrate(field, (a0, b0, z0), ts, stops=(*_STOPS, *extra), horizon=horizon)


@eqx.filter_jit
def _death(competition: Competition):
    def one(a0, b0, z0):
        path = _run(a0, b0, z0, jnp.zeros((0,), a0.dtype), float("inf"))
        first_dies, second_dies = path.stopped_by
        winner = jnp.where(second_dies, Winner.FIRST, Winner.NEITHER)
        winner = jnp.where(first_dies, Winner.SECOND, winner)
        # a path without end tends to the fixed point of the same invariant
        rest = jnp.sqrt(jnp.maximum(a0**2 + (b0 - z0) * (b0 + z0), 0) / 2)
        endless = winner == Winner.NEITHER
        a, b, z = (jnp.where(endless, limit, s) for s, limit in zip(path.stop_state, (rest, rest, 0), strict=True))
        return winner, path.stop_time, jnp.where(first_dies, 0, a), jnp.where(second_dies, 0, b), z

    winner, time, *state = jnp.vectorize(one)(competition.a0, competition.b0, competition.z0)
    return winner, time / competition.rate, tuple(state)


@eqx.filter_jit
def _integrate(competition: Competition, ts: Array):
    def one(a0, b0, z0, rate, ts):
        times = rate * ts
        path = _run(a0, b0, z0, times, None)
        a, b, z = path.stop_state
        first_dies, second_dies = path.stopped_by
        # the survivor goes on alone; the second class's is its mode with z turned
        sign = jnp.where(first_dies, -1, 1).astype(z.dtype)
        alone = Mode(1.0, y0=jnp.where(first_dies, b, a), z0=sign * z)
        rest = jnp.where(jnp.isfinite(path.stop_time), times - path.stop_time, 0)
        y, after = alone.weights(jnp.maximum(rest, 0))
        dead = times > path.stop_time
        a, b, z = path.states
        a = jnp.where(dead, jnp.where(first_dies, 0, y), a)
        b = jnp.where(dead, jnp.where(second_dies, 0, y), b)
        return ts, a, b, jnp.where(dead, sign * after, z)

    c = competition
    return along(one, 4)(c.a0, c.b0, c.z0, c.rate, ts)


@eqx.filter_jit
def _time_to(u: Array, a0: Array, b0: Array, z0: Array) -> Array:
    def one(u, a0, b0, z0):
        path = _run(a0, b0, z0, jnp.zeros((0,), a0.dtype), float("inf"), (lambda s: u - s[0] * s[2],))
        _, second_dies, there = path.stopped_by
        a, _, z = path.stop_state
        alone = Mode(1.0, y0=jnp.where(second_dies, a, 1), z0=jnp.where(second_dies, z, 1))
        more = alone.time_to_confidence(jax.nn.sigmoid(u))
        reached = jnp.where(there, path.stop_time, float("inf"))
        time = jnp.where(second_dies & ~there, path.stop_time + more, reached)
        return jnp.where(a0 * z0 >= u, 0, time)

    return jnp.vectorize(one)(u, a0, b0, z0)
