"""Many neurons, or many orthogonal points, that learn one class (C18-A.4, A.8).

Neurons of one class share one pull `g(u)` on the summed logit `u = sum_i y_i z_i`, so they run along their
hyperbolas at one common angle: `y_i + r z_i` grow and `y_i - r z_i` shrink by the same factor for all i. The sum is
then `u = (G e^a - K e^-a) / 2` with `G = sum (y_i0 + r z_i0)^2 / 2r`, `K = sum (y_i0 - r z_i0)^2 / 2r`, which is
one neuron's logit.
**Beyond** the paper, which treats `c_i = 0` (K = 0): any number of neurons with any invariants learn like one
neuron with `c^2 = 4 r^2 G K`, until one of them dies; then the rest go on as another such neuron.
"""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Bool, Float, Int

from gsdyn import _checks
from gsdyn._checks import together
from gsdyn.losses import Hinge, Loss
from gsdyn.modes._arrays import at_most, check_confidence
from gsdyn.modes._base import Learner, check_loss
from gsdyn.modes._late import with_late_slopes
from gsdyn.modes._passage import angle_after, time_along
from gsdyn.modes.hyperbola import Hyperbola, angle_between, check_range, logit_at
from gsdyn.modes.mode import Mode
from gsdyn.modes.phase_plane import outcome


class Neurons(Learner):
    """h neurons of one class with one repeated input (C18-A.4), each with its own invariant.

        y_i' = p r^2 z_i g(u),    z_i' = p y_i g(u),    u = sum_i y_i z_i over the active i,

    `g = 1/(1 + e^u)` for cross-entropy, 1 for hinge while u < 1. Exact, with the deaths of those neurons that
    have `0 < y_i0 < -r z_i0`.

    **Arguments:** `norm`: r > 0, a number. `y0`, `z0`: finite, shape (h,). `rate`: p > 0, a number. `loss`:
    `CrossEntropy()` (default) or `Hinge()`.

    **Raises:** `ValueError` for any argument outside these domains.

    **Methods:** `logit(t)`, `weights(t)`, `confidence(t)`, `time_to(u)`, `time_to_confidence(P)`, for any shape of
    argument; use `jax.vmap` for many groups of neurons.

        >>> neurons = gs.modes.Neurons(norm=1.0, y0=[0.2, 0.1], z0=[0.2, 0.1])
        >>> print(neurons.logit(np.array([0.0, 1.0])))
        [0.05 0.13]
    """

    norm: Float[Array, ""]
    y0: Float[Array, " h"]
    z0: Float[Array, " h"]
    rate: Float[Array, ""]
    loss: Loss

    def __init__(
        self,
        norm: ArrayLike,
        y0: ArrayLike,
        z0: ArrayLike,
        rate: ArrayLike = 1.0,
        loss: Loss | None = None,
    ):
        self.loss = check_loss(loss)
        norm = _checks.positive("norm", norm, ndim=0)
        rate = _checks.positive("rate", rate, ndim=0)
        y0, z0 = _checks.finite("y0", y0, ndim=1), _checks.finite("z0", z0, ndim=1)
        _checks.same_length("z0", z0, "y0", y0)
        if y0.size == 0:
            raise ValueError("y0 must have an entry for each of some neurons, got none")
        norms, rates, y0, self.z0 = together(norm=norm, rate=rate, y0=y0, z0=z0)
        self.norm, self.rate = norms[0], rates[0]
        self.y0 = check_range(norms, y0, self.z0)

    @property
    def invariants(self) -> Float[Array, " h"]:
        """`y_i^2 - r^2 z_i^2`, which never change."""
        return self._paths.invariant

    @property
    def outcomes(self) -> Int[Array, " h"]:
        """What becomes of every neuron: a member of `Outcome` each."""
        return outcome(self._paths)

    @property
    def start(self) -> Float[Array, ""]:
        """The logit at time 0."""
        return jnp.sum(self._paths.u0)

    def logit(self, t: ArrayLike) -> Float[Array, "..."]:
        """The summed logit at `t >= 0`."""
        return _logit(self, self._times(t))

    def weights(self, t: ArrayLike) -> tuple[Float[Array, "... h"], Float[Array, "... h"]]:
        """`(y, z)` of every neuron at `t >= 0`."""
        return _weights(self, self._times(t))

    def confidence(self, t: ArrayLike) -> Float[Array, "..."]:
        """The confidence in the right class at `t >= 0`."""
        return self.reading.of(self.logit(t))

    def time_to(self, u: ArrayLike) -> Float[Array, "..."]:
        """The first time at which the logit is at least `u`; infinite if it never is.

        Raises `ValueError` if `u` lies beyond the margin 1 under hinge.
        """
        u = together(u=_checks.finite("u", u), norm=self.norm)[0]
        if self.reading.ceiling < float("inf"):
            u = at_most("u", u, jnp.full_like(u, self.reading.ceiling), "the margin")
        return _time_to(self, u)

    def time_to_confidence(self, confidence: ArrayLike) -> Float[Array, "..."]:
        """The first time at which the confidence is at least `P`, inside (1/2, 1)."""
        confidence = check_confidence("confidence", confidence)
        return _time_to(self, together(confidence=self.reading.logit(confidence), norm=self.norm)[0])

    @property
    def _log_pace(self) -> Float[Array, ""]:
        """`log(2 r p)`, of the rate at which the neurons' clock runs."""
        return jnp.log(self.rate) + jnp.log(2.0) + jnp.log(self.norm)

    def _slowed(self, logarithm: Array, shrink: Array) -> Neurons:
        """The same neurons with their rate multiplied by `e^logarithm`, and the logit of their start by `shrink`."""
        rate, root = self.rate * jnp.exp(logarithm), jnp.sqrt(shrink)
        return eqx.tree_at(lambda n: (n.rate, n.y0, n.z0), self, (rate, self.y0 * root, self.z0 * root))

    @property
    def _paths(self) -> Hyperbola:
        norm = jnp.broadcast_to(self.norm, self.y0.shape)
        return Hyperbola.through(norm, self.y0, self.z0)

    def _times(self, t: ArrayLike) -> Array:
        return together(t=_checks.nonnegative("t", t), norm=self.norm)[0]


def orthogonal_points(
    norm: ArrayLike,
    count: ArrayLike,
    y0: ArrayLike,
    z0: ArrayLike,
    rate: ArrayLike = 1.0,
    loss: Loss | None = None,
) -> Mode:
    """The mode of m orthogonal points of equal norm in one class, full batch (C18-A.8).

        y' = r^2 z g(u),    z' = m y g(u),    u = y z for every point,

    whose invariant is `m y^2 - r^2 z^2`. It is the mode of one point of norm `sqrt(m) r` that starts at
    `(y, z) = (sqrt(m) y_0, z_0 / sqrt(m))`: the logits agree, and `u' = 2 sqrt(m) r u / (1 + e^u)` where `c = 0`.

    **Arguments:** `norm`: r > 0, of every point. `count`: m >= 1. `y0`: `w.x_i`, equal for all points. `z0`.
    `rate`: 1 for a full batch, `1/m` when each step draws one point.

        >>> mode = gs.modes.orthogonal_points(norm=1.0, count=4, y0=0.1, z0=0.2)
        >>> print(mode.logit(np.array([0.0, 1.0])))
        [0.02  0.139]
    """
    count = _checks.require("count", count, "finite and >= 1", lambda v: (v >= 1) & (v < float("inf")))
    norm, y0 = _checks.positive("norm", norm), _checks.finite("y0", y0)
    norm, count, y0, z0 = together(norm=norm, count=count, y0=y0, z0=_checks.finite("z0", z0))
    root = jnp.sqrt(count)
    return Mode(root * norm, 2, rate, loss, y0=root * y0, z0=z0 / root)


class _Stretches(eqx.Module):
    """The sum between deaths, one entry a stretch: `u = (G e^a - K e^-a) / 2`, the angle from its beginning."""

    begins: Float[Array, " k"]
    lengths: Float[Array, " k"]
    u0: Float[Array, " k"]
    growing: Float[Array, " k"]
    shrinking: Float[Array, " k"]
    void: Bool[Array, " k"]

    def pick(self, k: Array) -> tuple[Array, Array, Array]:
        return self.u0[k], self.growing[k], self.shrinking[k]


def _stretches(paths: Hyperbola) -> _Stretches:
    ends = jnp.sort(paths.end)
    zero, never = jnp.zeros_like(ends[:1]), jnp.full_like(ends[:1], jnp.inf)
    edges = jnp.concatenate([zero, ends])
    void = edges == jnp.inf
    begins = jnp.where(void, 0, edges)
    lengths = jnp.where(void, 0, jnp.concatenate([ends, never]) - begins)
    alive = (paths.end[None, :] > begins[:, None]) & ~void[:, None]
    passed = jnp.broadcast_to(begins[:, None], alive.shape)
    u, growing, shrinking = (jnp.broadcast_to(v, alive.shape) for v in (paths.u0, paths.growing, paths.shrinking))
    each = (
        logit_at(passed, u, growing, shrinking),
        growing * jnp.exp(passed),
        shrinking * jnp.exp(-passed),
    )
    sums = (jnp.sum(jnp.where(alive, v, 0), axis=1) for v in each)
    return _Stretches(begins, lengths, next(sums), next(sums), next(sums), void)


def _pace(neurons: Neurons) -> Array:
    """The angle in a unit of time under a pull of 1, `2 r p`."""
    return 2 * neurons.norm * neurons.rate


def _start_times(neurons: Neurons, s: _Stretches) -> Array:
    """The time at the beginning of every stretch, infinite for those that are never reached."""
    finite = s.lengths < jnp.inf
    lengths = jnp.where(finite, s.lengths, 0)
    if isinstance(neurons.loss, Hinge):
        lasting = lengths / _pace(neurons)
    else:
        after = logit_at(lengths, s.u0, s.growing, s.shrinking)
        lasting = time_along(lengths, s.u0, after, s.growing, s.shrinking, _pace(neurons))
    times = jnp.cumsum(jnp.where(finite, lasting, jnp.inf))
    return jnp.concatenate([jnp.zeros_like(times[:1]), times[:-1]])


def _first_time(neurons: Neurons, u: Array) -> Array:
    """The first time at which the logit is at least `u`."""
    s = _stretches(neurons._paths)
    # an endless stretch without growth tends to 0 and never gets there
    endless = jnp.where(s.growing > 0, jnp.inf, 0)
    finite = (s.lengths < jnp.inf) & ~s.void
    reach = jnp.where(finite, jnp.append(s.u0[1:], 0), jnp.where(s.void, -jnp.inf, endless))
    flat = (-1,) + (1,) * u.ndim
    within = (reach.reshape(flat) > u[None]) | finite.reshape(flat) & (reach.reshape(flat) == u[None])
    k = jnp.argmax(within, axis=0)
    u0, growing, shrinking = s.pick(k)
    moves = within.any(axis=0) & (u > u0)
    angle = angle_between(
        jnp.where(moves, u0, 1),
        jnp.where(moves, u, 1),
        jnp.where(moves, growing, 1),
        jnp.where(moves, shrinking, 1),
    )
    if isinstance(neurons.loss, Hinge):
        lasting = angle / _pace(neurons)
    else:
        lasting = time_along(angle, u0, jnp.where(moves, u, u0), growing, shrinking, _pace(neurons))
    time = _start_times(neurons, s)[k] + jnp.where(moves, lasting, 0)
    return jnp.where(within.any(axis=0), time, jnp.inf)


def _place(neurons: Neurons, t: Array) -> tuple[_Stretches, Array, Array]:
    """The stretches, the one that time `t` falls in, and the angle passed within it."""
    hinge = isinstance(neurons.loss, Hinge)
    s = _stretches(neurons._paths)
    if hinge:
        t = jnp.minimum(t, _first_time(neurons, jnp.ones_like(t)))
    times = _start_times(neurons, s)
    k = jnp.searchsorted(times, t, side="right") - 1
    since = t - times[k]
    angle = _pace(neurons) * since if hinge else angle_after(since, *s.pick(k), s.lengths[k], _pace(neurons))
    return s, k, jnp.minimum(angle, s.lengths[k])


@eqx.filter_jit
def _logit(neurons: Neurons, t: Array) -> Array:
    s, k, angle = _place(neurons, t)
    u = logit_at(angle, *s.pick(k))
    if not isinstance(neurons.loss, Hinge):
        return u
    # at the stop the margin itself, not what rounding leaves of it
    ended = jnp.maximum(neurons.reading.ceiling, neurons.start)
    return jnp.where(t >= _first_time(neurons, jnp.ones_like(t)), ended, jnp.minimum(u, ended))


@eqx.filter_jit
def _weights(neurons: Neurons, t: Array) -> tuple[Array, Array]:
    s, k, angle = _place(neurons, t)
    shape = (*t.shape, *neurons.y0.shape)
    paths = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, shape), neurons._paths)
    return paths.weights(jnp.broadcast_to((s.begins[k] + angle)[..., None], shape))


@eqx.filter_jit
def _time_to(neurons: Neurons, u: Array) -> Array:
    return _first_time(neurons, u) if isinstance(neurons.loss, Hinge) else _late_first_time(neurons, u)


_late_first_time = with_late_slopes(_first_time, shared=True)
