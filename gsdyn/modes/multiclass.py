"""One mode of a softmax classifier with C classes (C18-A.2), in the form of one neuron of the binary problem.

**Beyond** the paper, which shows that the classes learn independently (Lemma A.1) and stops there.
"""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from gsdyn import _checks
from gsdyn._checks import together
from gsdyn.modes._arrays import at_least, demand
from gsdyn.modes._base import Batch
from gsdyn.modes._late import with_late_slopes
from gsdyn.modes._passage import angle_after, time_along
from gsdyn.modes.hyperbola import Hyperbola, in_range, range_message


class MultiClassMode(Batch):
    """One class of C under softmax cross-entropy, one repeated input, one active neuron (C18-A.2, Lemma A.1).

    With `y = w.x`, the neuron's weight `z` to its own output and `-v` to every other, the margin `m = y (z + v)` is the
    logit of the class above each other one, and

        y' = p r^2 (C-1) (z + v) g,    z' = p (C-1) y g,    v' = p y g,    g = 1/(e^m + C - 1).

    That is a neuron of norm `sqrt(C (C-1)) r` at `(sqrt(C) y, (z + v)/sqrt(C))`, pulled by `1/(C - 1 + e^m)`. On its
    degenerate hyperbola `2 sqrt(C (C-1)) r p t = [Ei(m) + (C-1) log m]` between its ends; at C = 2 the two outputs
    learn sqrt(2) times as fast as the one output of a sigmoid.

    **Arguments:** any shapes that broadcast. `norm`: r > 0. `classes`: C >= 2. `y0`, `z0`, `v0`: finite, with `y0 > 0`
    and `z0 + v0 >= 0` (H5, H6: `v0 >= 0` is minus the off-diagonal weight, the same for all other classes).
    `rate`: p > 0, the class's share of the samples.

    **Raises:** `ValueError` for any argument outside these domains.

        >>> mode = gs.modes.MultiClassMode(norm=1.0, classes=10, y0=0.1, z0=0.1)
        >>> print(mode.confidence(np.array([0.0, 5.0])))
        [0.101 0.932]
    """

    norm: Float[Array, "..."]
    classes: Float[Array, "..."]
    rate: Float[Array, "..."]
    y0: Float[Array, "..."]
    z0: Float[Array, "..."]
    v0: Float[Array, "..."]

    def __init__(
        self,
        norm: ArrayLike,
        classes: ArrayLike,
        y0: ArrayLike,
        z0: ArrayLike,
        v0: ArrayLike = 0.0,
        rate: ArrayLike = 1.0,
    ):
        z0 = _checks.finite("z0", z0)
        v0 = _checks.require("v0", v0, "finite and >= -z0", lambda v: abs(v) < float("inf"))
        given = together(
            norm=_checks.positive("norm", norm),
            classes=_checks.require("classes", classes, "finite and >= 2", lambda v: (v >= 2) & (v < float("inf"))),
            rate=_checks.positive("rate", rate),
            y0=_checks.positive("y0", y0),
            z0=z0,
            v0=v0,
        )
        self.norm, self.classes, self.rate, self.y0, self.z0, v0 = given
        self.v0 = at_least("v0", v0, -self.z0, "-z0")
        self.y0 = demand(self.y0, in_range(self._path), range_message("y0, z0 and v0"))

    @property
    def start(self) -> Float[Array, "..."]:
        """The margin at time 0."""
        return self._path.u0

    @property
    def invariant(self) -> Float[Array, "..."]:
        """`C y^2 - (C-1) r^2 (z + v)^2`, which never changes."""
        return self._path.invariant

    def margin(self, t: ArrayLike) -> Float[Array, "..."]:
        """The margin `m` at times `t >= 0`."""
        return _margin(*self._during(t))

    def confidence(self, t: ArrayLike) -> Float[Array, "..."]:
        """The softmax probability of the right class, `1/(1 + (C-1) e^-m)`, at `t >= 0`."""
        return jax.nn.sigmoid(self.margin(t) - jnp.log(self.classes - 1))

    def weights(self, t: ArrayLike) -> tuple[Array, Array, Array]:
        """`(y, z, v)` at `t >= 0`."""
        return _weights(*self._during(t))

    def time_to(self, margin: ArrayLike) -> Float[Array, "..."]:
        """The time at which the margin is `m`, which must be at least the start's."""
        m, start = together(margin=_checks.finite("margin", margin), mode=self.start)
        return _time_to(self._over(m), at_least("margin", m, start, "the margin at the start"))

    def time_to_confidence(self, confidence: ArrayLike) -> Float[Array, "..."]:
        """The first time at which the right class's probability is at least `P`, inside (0, 1)."""
        p = _checks.require("confidence", confidence, "inside (0, 1)", lambda v: (v > 0) & (v < 1))
        p, start, classes = together(confidence=p, mode=self.start, classes=self.classes)
        m = jnp.log(p) - jnp.log1p(-p) + jnp.log(classes - 1)
        return _time_to(self._over(m), jnp.where(m < start, start, m))

    @property
    def _log_pace(self) -> Float[Array, "..."]:
        """`log(2 sqrt(C (C-1)) r p)`, of the rate at which a mode's clock runs."""
        return jnp.log(self.rate) + jnp.log(2 * self._path.norm)

    def _slowed(self, logarithm: Array, shrink: Array) -> MultiClassMode:
        """This mode with its rate multiplied by `e^logarithm`, and the margin of its start by `shrink`."""
        root = jnp.sqrt(shrink)
        changed = (self.rate * jnp.exp(logarithm), self.y0 * root, self.z0 * root, self.v0 * root)
        return eqx.tree_at(lambda m: (m.rate, m.y0, m.z0, m.v0), self, changed)

    @property
    def _path(self) -> Hyperbola:
        root, others = jnp.sqrt(self.classes), jnp.sqrt(self.classes - 1)
        total = (self.z0 + self.v0) / root
        return Hyperbola.through(root * others * self.norm, root * self.y0, total)


def _angle(mode: MultiClassMode, t: Array) -> tuple[Hyperbola, Array]:
    path = mode._path
    pace = 2 * path.norm * mode.rate
    return path, angle_after(t, path.u0, path.growing, path.shrinking, path.end, pace, mode.classes - 1)


@eqx.filter_jit
def _margin(mode: MultiClassMode, t: Array) -> Array:
    path, angle = _angle(mode, t)
    return path.logit(angle)


@eqx.filter_jit
def _weights(mode: MultiClassMode, t: Array) -> tuple[Array, Array, Array]:
    path, angle = _angle(mode, t)
    y, total = path.weights(angle)
    root = jnp.sqrt(mode.classes)
    # z and v grow in the ratio C - 1 to 1
    grown = root * total - (mode.z0 + mode.v0)
    return y / root, mode.z0 + grown * (1 - 1 / mode.classes), mode.v0 + grown / mode.classes


@eqx.filter_jit
@with_late_slopes
def _time_to(mode: MultiClassMode, m: Array) -> Array:
    path = mode._path
    angle = path.angle(m)
    pace = 2 * path.norm * mode.rate
    return time_along(angle, path.u0, m, path.growing, path.shrinking, pace, mode.classes - 1)
