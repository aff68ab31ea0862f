"""One mode of learning: one class, one repeated input, one active path through the network (C18-§§3-4)."""

from __future__ import annotations

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, Int

from gsdyn import _checks
from gsdyn._checks import together
from gsdyn.losses import Hinge, Loss
from gsdyn.modes._arrays import at_least, at_most, check_confidence
from gsdyn.modes._base import Batch, Learner, check_loss
from gsdyn.modes._late import with_late_slopes
from gsdyn.modes.clock import Clock
from gsdyn.modes.cross_entropy import HyperbolaCrossEntropy
from gsdyn.modes.depth import BalancedCrossEntropy
from gsdyn.modes.hinge import BalancedHinge, HyperbolaHinge
from gsdyn.modes.hyperbola import Hyperbola, check_range
from gsdyn.modes.phase_plane import Outcome, outcome


class Mode(Batch, Learner):
    """One mode of learning as a map between times and logits (C18-Thm3.2, Eq4, Thm4.1, §3.3).

    A class of one repeated vector x, with `r = |x|`, `y = w.x` and the logit `u = y z`, follows

        y' = p r^2 z g(u),    z' = p y g(u),    g = 1/(1 + e^u) for cross-entropy, 1 for hinge while u < 1,

    (C18-Eq1, Eq24) at depth two, and `u' = p N r^(2/N) u^(2 - 2/N) g(u)` (C18-Eq4) from a balanced start at
    depth N. The second class of a binary problem is the same mode with the sign of z and of the logit turned.

    **Arguments:** any shapes that broadcast together; the mode then has their common shape.

    - `norm`: r > 0.
    - `depth`: N >= 2, whole or not: the network has N - 1 hidden layers.
    - `rate`: p > 0, the share of the samples that are of this class; time is rescaled, `t -> p t`.
    - `loss`: `CrossEntropy()` (default) or `Hinge()`.
    - the start, either `u0 > 0`, the logit of a balanced start `y = r z_1 = ... = r z_(N-1)`, which is `c = 0`
      at depth two; or `y0` and `z0`, at depth two only: any finite numbers whose squares are within the range of
      their dtype.

    **Raises:** `ValueError` for any argument outside these domains.

    **Methods:** `logit(t)`, `weights(t)`, `confidence(t)`, `time_to(u)`, `time_to_confidence(P)`. Times and logits
    broadcast against the mode. Everything goes through `jit`, `vmap` and `grad`, in each argument too.

    **Reference:** Combes et al., 2018, Theorems 3.2 and 4.1, §3.3, appendices A.3, A.7, B, C.1.

        >>> mode = gs.modes.Mode(norm=1.0, depth=3, u0=0.1)
        >>> print(mode.logit(np.array([0.0, 1.0, 10.0])), f"{mode.time_to_confidence(0.9):.4f}")
        [0.1   0.207 4.693] 4.1478
    """

    norm: Float[Array, "..."]
    depth: Float[Array, "..."]
    rate: Float[Array, "..."]
    u0: Float[Array, "..."] | None
    y0: Float[Array, "..."] | None
    z0: Float[Array, "..."] | None
    loss: Loss

    def __init__(
        self,
        norm: ArrayLike,
        depth: ArrayLike = 2,
        rate: ArrayLike = 1.0,
        loss: Loss | None = None,
        *,
        u0: ArrayLike | None = None,
        y0: ArrayLike | None = None,
        z0: ArrayLike | None = None,
    ):
        self.loss = check_loss(loss)
        norm, rate = _checks.positive("norm", norm), _checks.positive("rate", rate)
        if u0 is not None and y0 is None and z0 is None:
            depth = _checks.require("depth", depth, "finite and >= 2", lambda v: (v >= 2) & (v < float("inf")))
            u0 = _checks.positive("u0", u0)
            self.norm, self.depth, self.rate, self.u0 = together(norm=norm, depth=depth, rate=rate, u0=u0)
            self.y0 = self.z0 = None
        elif u0 is None and y0 is not None and z0 is not None:
            depth = _checks.require("depth", depth, "2 with y0 and z0 (give u0 for others)", lambda v: v == 2)
            y0, z0 = _checks.finite("y0", y0), _checks.finite("z0", z0)
            given = together(norm=norm, depth=depth, rate=rate, y0=y0, z0=z0)
            self.norm, self.depth, self.rate, y0, self.z0 = given
            self.y0 = check_range(self.norm, y0, self.z0)
            self.u0 = None
        else:
            raise ValueError("the start must be u0 alone, or y0 and z0 together")

    @classmethod
    def decaying(cls, norm: ArrayLike, u0: ArrayLike, rate: ArrayLike = 1.0, loss: Loss | None = None) -> Mode:
        """The mode on `y_0 = -r z_0` that starts at logit `u0 < 0` and decays to 0 (C18-A.7).

        `u' = -2 r u / (1 + e^u)`: `t = (log(u_0/u) + E_1(-u) - E_1(-u_0)) / (2 r p)`, without end as `u -> 0`.
        """
        norm = _checks.positive("norm", norm)
        u0 = _checks.require("u0", u0, "finite and < 0", lambda v: (v < 0) & (v > -float("inf")))
        norm, u0 = together(norm=norm, u0=u0)
        z0 = -jnp.sqrt(-u0 / norm)
        return cls(norm, 2, rate, loss, y0=-norm * z0, z0=z0)

    @property
    def clock(self) -> Clock:
        """The closed form behind this mode."""
        hinge = isinstance(self.loss, Hinge)
        if self.u0 is not None:
            kind = BalancedHinge if hinge else BalancedCrossEntropy
            return kind(self.norm, self.depth, self.rate, self.u0)
        return (HyperbolaHinge if hinge else HyperbolaCrossEntropy)(self._path, self.rate)

    @property
    def start(self) -> Float[Array, "..."]:
        """The logit at time 0: `u_0`, or `y_0 z_0`, or 0 if the neuron is inactive."""
        return self.clock.start

    @property
    def invariant(self) -> Float[Array, "..."]:
        """`y^2 - r^2 z^2`, which never changes (C18-Eq12); the paper's `c` is its size. 0 for a balanced start."""
        return jnp.zeros_like(self.norm) if self.u0 is not None else self._path.invariant

    @property
    def outcome(self) -> Int[Array, "..."]:
        """What becomes of the start: a member of `Outcome` each (C18-§3.3)."""
        if self.u0 is not None:
            return jnp.full(self.norm.shape, Outcome.SOLVES)
        return outcome(self._path)

    @property
    def death_time(self) -> Float[Array, "..."]:
        """The time at which y reaches 0 and the neuron dies; infinite if it does not, 0 if it is frozen."""
        return _death_time(self)

    def logit(self, t: ArrayLike) -> Float[Array, "..."]:
        """The logit at times `t >= 0`; 0 once the neuron is dead.

        Raises `ValueError` if a time is negative or not finite.
        """
        return _logit(*self._during(t))

    def weights(self, t: ArrayLike) -> tuple[Float[Array, "..."], Float[Array, "..."]]:
        """`(y, z)` at times `t >= 0`: the trajectory in the phase plane (C18-Eq19)."""
        return _weights(*self._during(t))

    def confidence(self, t: ArrayLike) -> Float[Array, "..."]:
        """The confidence in the right class at `t >= 0`: `sigma(u)`, or `(1 + u)/2` under hinge (C18-Eq3, Fig4)."""
        return self.reading.of(self.logit(t))

    def time_to(self, u: ArrayLike) -> Float[Array, "..."]:
        """The time at which the logit is `u`: infinite if it never gets there.

        Raises `ValueError` if `u` lies below the start, or beyond the margin 1 under hinge.
        """
        u = _checks.finite("u", u)
        start = self.start
        u, start = together(u=u, mode=start)
        if self.reading.ceiling < float("inf"):
            u = at_most("u", u, jnp.maximum(start, self.reading.ceiling), "the margin")
        return _time_to(self._over(u), at_least("u", u, start, "the logit at the start"))

    def time_to_confidence(self, confidence: ArrayLike) -> Float[Array, "..."]:
        """The first time at which the confidence is at least `P`, inside (1/2, 1); 0 if it is from the start."""
        confidence = check_confidence("confidence", confidence)
        u, start = together(confidence=self.reading.logit(confidence), mode=self.start)
        return _time_to(self._over(u), jnp.where(u < start, start, u))

    def log_bound(self, t: ArrayLike) -> Float[Array, "..."]:
        """The bound `u(t) <= 2 log(r p t + e^(u_0/2))` (C18-Eq18), for cross-entropy, depth two and `c = 0`."""
        if self.u0 is None or isinstance(self.loss, Hinge):
            raise ValueError("log_bound must be asked of cross-entropy from a balanced start, u0")
        _checks.require("depth", self.depth, "2 for the bound of Eq. 18", lambda v: v == 2)
        return _log_bound(*self._during(t))

    @property
    def _log_pace(self) -> Float[Array, "..."]:
        """`log(p N r^(2/N))`, of the rate at which a mode's clock runs."""
        return jnp.log(self.rate) + jnp.log(self.depth) + 2 / self.depth * jnp.log(self.norm)

    def _slowed(self, logarithm: Array, shrink: Array) -> Mode:
        """This mode with its rate multiplied by `e^logarithm`, and the logit of its start by `shrink`."""
        mode = eqx.tree_at(lambda m: m.rate, self, self.rate * jnp.exp(logarithm))
        if self.u0 is not None:
            return eqx.tree_at(lambda m: m.u0, mode, self.u0 * shrink)
        root, path = jnp.sqrt(shrink), self._path
        return eqx.tree_at(lambda m: (m.y0, m.z0), mode, (path.y0 * root, path.z0 * root))

    @property
    def _path(self) -> Hyperbola:
        assert self.y0 is not None
        assert self.z0 is not None
        return Hyperbola.through(self.norm, self.y0, self.z0)


@eqx.filter_jit
def _logit(mode: Mode, t: Array) -> Array:
    return mode.clock.logit(t)


@eqx.filter_jit
def _weights(mode: Mode, t: Array) -> tuple[Array, Array]:
    return mode.clock.weights(t)


@eqx.filter_jit
def _time_to(mode: Mode, u: Array) -> Array:
    return mode.clock.time(u) if isinstance(mode.loss, Hinge) else _late_time_to(mode, u)


@with_late_slopes
def _late_time_to(mode: Mode, u: Array) -> Array:
    return mode.clock.time(u)


@eqx.filter_jit
def _death_time(mode: Mode) -> Array:
    return mode.clock.death


@eqx.filter_jit
def _log_bound(mode: Mode, t: Array) -> Array:
    u0, scaled = mode.start, mode.norm * mode.rate * t * jnp.exp(-mode.start / 2)
    huge = scaled > float(jnp.finfo(t.dtype).max) ** 0.9
    log = jnp.log(mode.norm) + jnp.log(mode.rate) + jnp.log(jnp.where(huge, t, 1))
    return jnp.where(huge, 2 * log, u0 + 2 * jnp.log1p(jnp.where(huge, 0, scaled)))
