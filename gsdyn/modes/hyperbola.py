"""The path of one neuron through its weights: a hyperbola in (z, y), the same for every loss (C18-Eq1, A.3).

A loss decides only how fast the path is run through. Along it `y + r z` grows and `y - r z` shrinks by the
same factor,

    y + r z = (y_0 + r z_0) e^(a/2),      y - r z = (y_0 - r z_0) e^(-a/2),

where the angle `a = theta - theta_0` is the paper's hyperbolic angle (C18-Eq19) measured from the start.
Written so, nothing is singular: not the degenerate hyperbola `c = 0`, nor a start left of `z = 0`.
"""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from gsdyn.modes._arrays import demand


class Hyperbola(eqx.Module):
    """The hyperbola `y^2 - r^2 z^2 = const` through a start (C18-Eq12); all fields have one shape.

    - `norm`: r = |x|.
    - `y0`, `z0`: the start.
    - `plus`, `minus`: `y_0 + r z_0` and `y_0 - r z_0`.
    """

    norm: Float[Array, "..."]
    y0: Float[Array, "..."]
    z0: Float[Array, "..."]
    plus: Float[Array, "..."]
    minus: Float[Array, "..."]

    @classmethod
    def through(cls, norm: Array, y0: Array, z0: Array) -> Hyperbola:
        """The hyperbola through `(z0, y0)`.

        A start within rounding of `y_0 = -r z_0` counts as on it: its floats stand for such a start.
        """
        plus, minus = _plus_product(y0, norm, z0), _plus_product(y0, norm, -z0)
        near = jnp.abs(plus) <= 4 * jnp.finfo(plus.dtype).eps * jnp.abs(y0)
        return cls(norm, y0, z0, jnp.where(near, 0, plus), minus)

    @property
    def active(self) -> Bool[Array, "..."]:
        """Whether `y_0 > 0`. An inactive neuron never moves, and its class has logit 0."""
        return self.y0 > 0

    @property
    def u0(self) -> Float[Array, "..."]:
        """The logit at the start, `y_0 z_0`, or 0 if inactive."""
        return jnp.where(self.active, self.y0 * self.z0, 0)

    @property
    def invariant(self) -> Float[Array, "..."]:
        """`y^2 - r^2 z^2`, with its sign; the paper's `c` is its size."""
        return self.plus * self.minus

    @property
    def growing(self) -> Float[Array, "..."]:
        """`G = (y_0 + r z_0)^2 / 2r`, of the logit `u = (G e^a - K e^-a) / 2`; 1 if inactive."""
        return jnp.where(self.active, self.plus * self.plus / (2 * self.norm), 1)

    @property
    def shrinking(self) -> Float[Array, "..."]:
        """`K = (y_0 - r z_0)^2 / 2r`, of the logit `u = (G e^a - K e^-a) / 2`; 1 if inactive."""
        return jnp.where(self.active, self.minus * self.minus / (2 * self.norm), 1)

    @property
    def _dies(self) -> Bool[Array, "..."]:
        return self.active & (self.plus < 0)

    @property
    def end(self) -> Float[Array, "..."]:
        """The angle at which y reaches 0, when `y_0 < -r z_0`; infinite otherwise, 0 if inactive."""
        dies = self._dies
        # minus / -plus, whose excess over 1 is small where y_0 is
        scale = inverse_power_of_two(jnp.where(dies, self.y0, 1))
        excess = 2 * (jnp.where(dies, self.y0, 0) * scale) / (jnp.where(dies, -self.plus, 1) * scale)
        return jnp.where(dies, jnp.log1p(excess), jnp.where(self.active, jnp.inf, 0))

    def logit(self, angle: Float[Array, "..."]) -> Float[Array, "..."]:
        """The logit `u = y z` at an angle: 0 from the end on."""
        stopped = angle >= self.end
        inside = jnp.where(stopped, 0, angle)
        u = logit_at(inside, self.u0, self.growing, self.shrinking)
        # on the way to the end it is what is left of the way that counts
        late = self._dies & (2 * u > self.u0)
        root = jnp.sqrt(jnp.where(late, self.growing, 1)) * jnp.sqrt(jnp.where(late, self.shrinking, 1))
        u = jnp.where(late, -root * jnp.sinh(jnp.where(late & ~stopped, self.end - inside, 0)), u)
        u = jnp.where(u < self.u0, self.u0, u)
        # nor above what ends the path
        return jnp.where(stopped | (self.plus < 0) & (u > 0), 0, u)

    def weights(self, angle: Float[Array, "..."]) -> tuple[Array, Array]:
        """`(y, z)` at an angle (C18-Eq19); they stay where they are from the end on."""
        half = jnp.minimum(angle, self.end) / 2
        decays = self.plus == 0
        bounded = jnp.where(decays, 0, half)
        up, down = self.plus * jnp.exp(bounded), self.minus * jnp.exp(-half)
        # the digits of the start are kept where it only adds, as in `logit_at`
        rise, run = 2 * jnp.sinh(bounded / 2) ** 2, jnp.sinh(bounded)
        reach = self.norm * self.z0
        y = self.y0 + (self.y0 * rise + reach * run)
        reached = reach + (reach * rise + self.y0 * run)
        # a y that falls towards its end is told by what is left of the way
        late = self._dies & (2 * y < self.y0)
        root = jnp.sqrt(jnp.where(late, -self.plus, 1)) * jnp.sqrt(jnp.where(late, self.minus, 1))
        left = jnp.where(late, jnp.maximum(self.end - angle, 0), 0) / 2
        y = jnp.where(late, root * jnp.sinh(left), y)
        right = self.z0 >= 0
        y = jnp.where(right | self._dies, y, (up + down) / 2)
        near = ~decays & (-reach * (1 + rise) < down)
        reached = jnp.where(right | near, reached, (up - down) / 2)
        y = jnp.where(self.active & (angle >= self.end), 0, y)
        return jnp.where(self.active, y, self.y0), jnp.where(self.active, reached / self.norm, self.z0)

    def angle(self, u: Float[Array, "..."]) -> Float[Array, "..."]:
        """The angle at which the logit is `u >= u_0`; infinite if the path ends below `u`."""
        never = (u > 0) & (self.end < jnp.inf) | (u >= 0) & (self.plus == 0)
        never = never | ~self.active & (u > 0)
        usual = self.active & ~never
        found = angle_between(jnp.where(usual, self.u0, 1), jnp.where(usual, u, 1), self.growing, self.shrinking)
        return jnp.where(never, jnp.inf, jnp.where(usual, found, 0))


def in_range(path: Hyperbola) -> Bool[Array, "..."]:
    """Whether what grows and shrinks along a path has floats."""
    limits = jnp.finfo(path.norm.dtype)
    small = (path.plus != 0) & (path.growing < limits.tiny)
    return ~small & (path.growing + path.shrinking < float(limits.max) / 4)


def check_range(norm: Array, y0: Array, z0: Array) -> Array:
    """`y0`, after an error unless the path through the start is in range."""
    return demand(y0, in_range(Hyperbola.through(norm, y0, z0)), range_message("y0 and z0"))


def range_message(names: str) -> str:
    """What the arguments that make a start must be for it to be in range."""
    return f"{names} must be such that the squares of y0 + r z0 and y0 - r z0, over r, are within the range of floats"


def _plus_product(x: Array, a: Array, b: Array) -> Array:
    """`x + a b` with the product unrounded: near the separatrix the sum is nothing but that rounding.

    Compilers may fuse a product and a sum or not, so that the plain expression would not even be the same twice.
    """
    a_head, b_head = _head(a), _head(b)
    a_rest, b_rest = a - a_head, b - b_head
    return (x + a_head * b_head) + (a_head * b_rest + a_rest * b_head + a_rest * b_rest)


def _head(x: Array) -> Array:
    """`x` with half of its digits, so that a product of two heads is exact; a constant to derivatives."""
    kind, dropped = {64: (jnp.uint64, 27), 32: (jnp.uint32, 12)}[jnp.finfo(x.dtype).bits]
    bits = jax.lax.bitcast_convert_type(jax.lax.stop_gradient(x), kind)
    kept = (bits >> kind(dropped)) << kind(dropped)
    return jax.lax.bitcast_convert_type(kept, x.dtype)


def logit_at(angle: Array, u0: Array, growing: Array, shrinking: Array) -> Array:
    """`u = (G e^a - K e^-a) / 2` for a finite angle, with the digits of `u0 = (G - K) / 2` kept."""
    decays = growing == 0
    rising = jnp.where(decays, 0, angle)
    left = shrinking * jnp.exp(-angle)
    # u0 + G (cosh a - 1) + (G + K) (1 - e^-a) / 2
    half = jnp.sinh(rising / 2)
    added = u0 + (2 * half * (growing * half) - (growing + shrinking) / 2 * jnp.expm1(-rising))
    # u0 and what is added cancel where u is far smaller than u0, left of zero
    keeps = ~decays & ((u0 >= 0) | (-u0 < left))
    return jnp.where(keeps, added, (growing * jnp.exp(rising) - left) / 2)


def angle_between(u0: Array, u: Array, growing: Array, shrinking: Array) -> Array:
    """The angle from the start to the logit `u >= u_0`.

    `asinh(u / k) - asinh(u_0 / k)` with `k^2 = G K`, or `log(u / u_0)` at `k = 0`, by a form in which neither
    cancels. It must be finite: not `G = 0` and `u >= 0`.
    """
    # in units of the first speed, whose square need not have a float, nor what derivatives divide by
    scale = inverse_power_of_two(growing + shrinking)
    u0, u, growing, shrinking = (v * scale for v in (u0, u, growing, shrinking))
    speed0, speed = (growing + shrinking) / 2, _speed(u, growing, shrinking)
    same_side = jnp.sign(u) * jnp.sign(u0) > 0
    angle = _same_side(*(jnp.where(same_side, v, 1) for v in (u0, u, speed0, speed)))
    crosses = ~same_side & (growing > 0) & (shrinking > 0)
    kappa = jnp.sqrt(jnp.where(crosses, growing, 1)) * jnp.sqrt(jnp.where(crosses, shrinking, 1))
    u0, u, speed0, speed = (jnp.where(same_side, 0, v) / kappa for v in (u0, u, speed0, speed))
    return _arcsinh(jnp.where(same_side, angle, u * speed0 - u0 * speed))


def _same_side(u0: Array, u: Array, speed0: Array, speed: Array) -> Array:
    """`(u speed0 - u0 speed) / k^2`, where both terms have one sign, by what it is the quotient of."""
    # in units of u itself: its square need not have a float
    scale = inverse_power_of_two(u)
    rise, start, end = (u - u0) * scale, u0 * scale, u * scale
    return (rise / end) * ((u + u0) / speed0) / (1 + (start / end) * (speed / speed0))


def inverse_power_of_two(x: Array) -> Array:
    """A power of two near `1 / |x|`, a constant to derivatives: compilers move quotients, not products."""
    return jnp.exp2(-jnp.round(jnp.log2(jnp.abs(jax.lax.stop_gradient(x)))))


def _speed(u: Array, growing: Array, shrinking: Array) -> Array:
    """`sqrt(u^2 + G K)`, though `u^2` may be too large or too small for a float."""
    large = jnp.abs(u) > 1
    top = jnp.where(large, u, 1)
    outer = jnp.abs(u) * jnp.sqrt(1 + (growing / top) * (shrinking / top))
    square = jnp.where(large, 1, u * u + growing * shrinking)
    normal = square > jnp.finfo(u.dtype).tiny / jnp.finfo(u.dtype).eps
    inner = jnp.where(normal, jnp.sqrt(jnp.where(normal, square, 1)), jnp.abs(u))
    return jnp.where(large, outer, inner)


@jax.custom_jvp
def _arcsinh(x: Array) -> Array:
    """`arcsinh(x)`, with a derivative that is right where `x^2` has no float."""
    return jnp.arcsinh(x)


@_arcsinh.defjvp
def _arcsinh_jvp(primals, tangents):
    (x,) = primals
    large = jnp.abs(x) > 1
    inner, outer = jnp.where(large, 0, x), 1 / jnp.where(large, jnp.abs(x), 1)
    slope = jnp.where(large, outer / jnp.sqrt(1 + outer * outer), 1 / jnp.sqrt(1 + inner * inner))
    return _arcsinh(x), slope * tangents[0]
