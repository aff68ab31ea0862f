"""One neuron that both classes activate: assumption H2 relaxed (C18-A.6)."""

from __future__ import annotations

import enum

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, Int

from gsdyn import _checks
from gsdyn._checks import together
from gsdyn.modes._arrays import along, check_confidence
from gsdyn.modes._base import Triple
from gsdyn.modes._stiff import End, System, through, to_stop
from gsdyn.modes.mode import Mode


class Winner(enum.IntEnum):
    """Whose neuron it becomes.

    `NEITHER` only from the fixed point `a = b, z = 0`; `UNKNOWN` where the integration was given up.

        >>> print(gs.modes.Winner(int(gs.modes.Competition(a0=0.1, b0=0.2, z0=0.1).winner)).name)
        FIRST
    """

    FIRST = 0
    SECOND = 1
    NEITHER = 2
    UNKNOWN = 3


class CompetitionPath(eqx.Module):
    """The weights at times `ts`: `w = a x_1 + b x_2` and the output weight `z`; every array has the shape (..., T).

    >>> path = gs.modes.Competition(a0=0.1, b0=0.2, z0=0.1).integrate(np.array([0.0, 10.0]))
    >>> print(path.a, path.logits[0])
    [0.1   1.556] [0.01  2.402]
    """

    ts: Float[Array, "... T"]
    a: Float[Array, "... T"]
    b: Float[Array, "... T"]
    z: Float[Array, "... T"]

    @property
    def logits(self) -> tuple[Float[Array, "... T"], Float[Array, "... T"]]:
        """The logits of the two points, `z a` and `z b`; the second class wants its own negative."""
        return self.z * self.a, self.z * self.b


class Competition(Triple):
    """One neuron on two orthogonal unit points of opposite class, sampled equally (C18-A.6).

        a' = p z/(1 + e^(za)),    b' = -p z/(1 + e^(-zb)),    z' = p (a/(1 + e^(za)) - b/(1 + e^(-zb)))

    while `a, b > 0`. While `z > 0`, b falls; when it reaches 0 the neuron no longer sees the second class and
    goes on as the single mode of the first. **The paper says this always happens. It does not:** where b is
    large enough, z turns negative first, a falls instead, and the neuron becomes the second class's. The
    invariant is `a^2 + b^2 - z^2`.

    **Arguments:** any shapes that broadcast. `a0`, `b0`: > 0. `z0`: finite. `rate`: p > 0.

    **Raises:** `ValueError` for any argument outside these domains.

        >>> fight = gs.modes.Competition(a0=0.1, b0=0.2, z0=0.1)
        >>> print(gs.modes.Winner(int(fight.winner)), f"{fight.death_time:.4f}")
        0 3.8678
    """

    a0: Float[Array, "..."]
    b0: Float[Array, "..."]
    z0: Float[Array, "..."]
    rate: Float[Array, "..."]

    def __init__(self, a0: ArrayLike, b0: ArrayLike, z0: ArrayLike, rate: ArrayLike = 1.0):
        self.a0, self.b0, self.z0, self.rate = together(
            a0=_checks.positive("a0", a0),
            b0=_checks.positive("b0", b0),
            z0=_checks.finite("z0", z0),
            rate=_checks.positive("rate", rate),
        )

    @property
    def winner(self) -> Int[Array, "..."]:
        """Whose neuron it becomes: a member of `Winner` each."""
        return _death(self)[0]

    @property
    def death_time(self) -> Float[Array, "..."]:
        """The time at which a direction dies, b where `winner` is `FIRST`; infinite if none does, NaN if unknown."""
        return _death(self)[1]

    @property
    def death_state(self) -> tuple[Array, Array, Array]:
        """`(a, b, z)` when a direction dies."""
        return _death(self)[2]

    def integrate(self, ts: ArrayLike) -> CompetitionPath:
        """The weights at ascending times `ts >= 0`, shape (T,): by diffrax to the death, in closed form after it."""
        return CompetitionPath(*_integrate(self, self._times(ts)))

    def time_to_confidence(self, confidence: ArrayLike) -> Float[Array, "..."]:
        """The first time at which the first class's confidence is at least `P`, inside (1/2, 1).

        Infinite if the second class wins the neuron.
        """
        p = check_confidence("confidence", confidence)
        p, a0, b0, z0, rate = together(confidence=p, a0=self.a0, b0=self.b0, z0=self.z0, rate=self.rate)
        return _time_to(jnp.log(p) - jnp.log1p(-p), a0, b0, z0) / rate

    def delay(self, confidence: ArrayLike) -> Float[Array, "..."]:
        """How much longer the first class takes to a confidence than it would without the second."""
        alone = Mode(1.0, rate=self.rate, y0=self.a0, z0=self.z0)
        return self.time_to_confidence(confidence) - alone.time_to_confidence(confidence)


def _field(state: Array) -> Array:
    """`ode.CompetitionField` at rate 1 in `(z, a, b, a - b)`.

    The output weight is slaved to the difference, which begins far below the rounding of a and b.
    """
    z, a, b, apart = state
    right, wrong = jax.nn.sigmoid(-z * a), jax.nn.sigmoid(z * b)
    near = jnp.abs(z) * jnp.maximum(a, b) < 0.1
    pull = (apart - a * jnp.tanh(z * a / 2) - b * jnp.tanh(z * b / 2)) / 2
    return jnp.stack([jnp.where(near, pull, a * right - b * wrong), z * right, -z * wrong, z * (right + wrong)])


def _deaths(state: Array, _: Array) -> Array:
    return state[1:3]


def _deaths_or_logit(state: Array, u: Array) -> Array:
    return jnp.append(state[1:3], u - state[0] * state[1])


_SYSTEM, _TO_LOGIT = System(_field, _deaths), System(_field, _deaths_or_logit)


def _start(a0: Array, b0: Array, z0: Array) -> Array:
    return jnp.stack([z0, a0, b0, a0 - b0])


def _run(a0: Array, b0: Array, z0: Array, u: Array | None = None) -> End:
    # the difference grows at a rate of 2/(a^2 + b^2) or more, from the smallest float at worst
    horizon = 2000 * (1 + a0 * a0 + b0 * b0)
    system = _SYSTEM if u is None else _TO_LOGIT
    return to_stop(system, _start(a0, b0, z0), jnp.zeros_like(a0) if u is None else u, horizon)


def _winner(first_dies: Array, second_dies: Array, ok: Array) -> Array:
    winner = jnp.where(second_dies, Winner.FIRST, Winner.NEITHER)
    return jnp.where(ok, jnp.where(first_dies, Winner.SECOND, winner), Winner.UNKNOWN)


def _time(path: End) -> Array:
    return jnp.where(path.ok, jnp.where(path.by.any(), path.time, jnp.inf), jnp.nan)


@eqx.filter_jit
def _death(competition: Competition):
    def one(a0, b0, z0):
        path = _run(a0, b0, z0)
        first_dies, second_dies = path.by
        z, a, b, _ = path.state
        winner = _winner(first_dies, second_dies, path.ok)
        return winner, _time(path), jnp.where(first_dies, 0, a), jnp.where(second_dies, 0, b), z

    winner, time, *state = jnp.vectorize(one)(competition.a0, competition.b0, competition.z0)
    return winner, time / competition.rate, tuple(state)


@eqx.filter_jit
def _integrate(competition: Competition, ts: Array):
    def one(a0, b0, z0, rate, ts):
        times = rate * ts
        death = _run(a0, b0, z0)
        first_dies, _ = death.by
        dead = times > _time(death)
        states, reached = through(_SYSTEM, _start(a0, b0, z0), z0, jnp.where(dead, death.time, times))
        z, a, b, _ = death.state
        # the survivor goes on alone; the second class's is its mode with z turned
        sign = jnp.where(first_dies, -1, 1).astype(z.dtype)
        survives = jnp.where(death.by.any(), jnp.where(first_dies, b, a), 1)
        alone = Mode(1.0, y0=survives, z0=jnp.where(death.by.any(), sign * z, 1))
        y, after = alone.weights(jnp.where(dead, times - death.time, 0))
        lost = jnp.where(reached & death.ok, 0, jnp.nan).astype(z.dtype)
        a = jnp.where(dead, jnp.where(first_dies, 0, y), states[:, 1])
        b = jnp.where(dead, jnp.where(first_dies, y, 0), states[:, 2])
        return ts, a + lost, b + lost, jnp.where(dead, sign * after, states[:, 0]) + lost

    c = competition
    return along(one, 4)(c.a0, c.b0, c.z0, c.rate, ts)


@eqx.filter_jit
def _time_to(u: Array, a0: Array, b0: Array, z0: Array) -> Array:
    def one(u, a0, b0, z0):
        from_start = a0 * z0 >= u
        path = _run(a0, b0, z0, jnp.where(from_start, 2 * a0 * z0 + 1, u))
        _, second_dies, there = path.by
        z, a, _, _ = path.state
        alone = Mode(1.0, y0=jnp.where(second_dies, a, 1), z0=jnp.where(second_dies, z, 1))
        more = alone.time_to_confidence(jax.nn.sigmoid(u))
        time = jnp.where(there | second_dies, path.time + jnp.where(second_dies, more, 0), jnp.inf)
        return jnp.where(from_start, 0, jnp.where(path.ok, time, jnp.nan))

    return jnp.vectorize(one)(u, a0, b0, z0)
