"""What every equation needs to know of a loss."""

from __future__ import annotations

import abc
from typing import ClassVar

import jax.numpy as jnp
from jaxtyping import Array, Float

from gsdyn import _checks
from gsdyn._readable import Call


class Loss(Call):
    """A convex loss in the margins, shape (n,), or in the logits, shape (n, C).

    >>> print(gs.CrossEntropy().slope(jnp.array([0.1, 0.5])))
    [2.197 0.   ]
    """

    smooth: ClassVar[bool] = True
    steepest: ClassVar[float | None] = None  # the largest curvature `l''`, where it is known
    dual_sign: ClassVar[int] = 1  # of the pull's change where the dual variable grows

    @abc.abstractmethod
    def value(self, f: Array) -> Float[Array, ""]:
        """`sum_i l(f_i)`."""

    @abc.abstractmethod
    def weight(self, f: Array) -> Array:
        """The pull of every example, `a(f) = -l'(f)`; at a fixed point the dual variable."""

    @abc.abstractmethod
    def root_curvature(self, f: Array) -> Array:
        """`R(f)` with `l''(f) = R^T R`: shape (n,), or (n, C, C) for logits."""

    @abc.abstractmethod
    def conjugate(self, alpha: Array) -> Float[Array, ""]:
        """`sum_i h(alpha_i)`, -inf outside the domain of the dual."""

    @abc.abstractmethod
    def slope(self, alpha: Array) -> Array:
        """`h'(alpha)`: the margins at which `alpha` is the weight."""

    @abc.abstractmethod
    def dual_error(self, alpha: Array, gap: Float[Array, ""]) -> Float[Array, ""]:
        """The largest `|alpha - alpha*|_2` that a duality gap of at most `gap` leaves possible."""

    def dual(self, f: Array) -> Array:
        """The paper's dual variable at margins `f`: the weight, or the softmax of logits."""
        return self.weight(f)

    def dual_of(self, f: Array, pull: Array) -> Array:
        """`dual(f)` where the same pull is known in another way, from responses."""
        del pull
        return self.dual(f)

    def exchange(self, alpha: Array) -> Array:
        """The pull whose dual variable is `alpha`, and the dual variable whose pull is `alpha`: the same map."""
        return alpha

    def dual_to_pull(self, alpha: Array, f: Array) -> Array:
        """The weight at margins `f` whose dual variable is `alpha`."""
        del f
        return alpha

    def into_domain(self, alpha: Array) -> Array:
        """`alpha` inside the open domain of the dual, where rounding or interpolation put it on the edge or past it:
        (0, 1) by default."""
        info = jnp.finfo(alpha.dtype)
        return jnp.clip(alpha, info.tiny, 1 - info.epsneg)

    def weight_after(self, f: Array, linear: Array) -> Array:
        """The weight at margins `f`, which is `linear` to first order."""
        del linear
        return self.weight(f)

    def shape(self, examples: int) -> tuple[int, ...]:
        """The shape of margins and dual variables of so many examples."""
        return (examples,)

    def check(self, examples: int, tilted: bool) -> None:
        """Raises `ValueError` where the loss does not fit so many examples, or a penalty that differs between them."""
        del examples, tilted

    def check_dual(self, name: str, alpha: Array) -> Array:
        """`alpha`, after checking that it lies inside the domain of the dual: (0, 1) by default."""
        return _checks.require(name, alpha, "inside (0, 1)", lambda v: (v > 0) & (v < 1))

    def curvature_spread(self, f: Array) -> tuple[Array, Array]:
        """`(w_0, w(f_i) - w_0)` with `w = l''` and `w_0` at the mean margin: the differences, from which all starvation
        comes, keep their digits where the margins nearly agree."""
        w = self.root_curvature(f) ** 2
        reference = jnp.mean(w)
        return reference, w - reference

    def start(self, diagonal: Float[Array, " n"]) -> Array:
        """Margins to start Newton from, given the diagonal of `U c U^T`."""
        return jnp.log1p(diagonal)

    def balanced(self, pulled: Array, size: Array) -> Array:
        """The sum of pulls `pulled`, shaped like a response, without what rounding put where the loss never pulls;
        `size` is that of the terms of every entry."""
        del size
        return pulled

    def centred(self, z: Array) -> Array:
        """Responses `z` without their part that the loss does not see."""
        return z

    def spread(self, step: Array) -> Float[Array, ""]:
        """The largest change `m` that a step makes, in the measure for which `|l'''| <= m l''`."""
        return jnp.max(jnp.abs(step), initial=0.0)


class CellLoss(Loss):
    """A loss of margins that grids of two features in two examples solve entry by entry, from few numbers each.

    Its weights fall from the largest to 0 as margins grow, and `|l'''| <= l''`.

        >>> a, w, ratio = gs.CrossEntropy().derivatives(jnp.array([0.0, 2.0]))
        >>> print(a, w, ratio)
        [0.5   0.119] [0.25  0.105] [ 0.    -0.762]
    """

    @abc.abstractmethod
    def derivatives(self, f: Array) -> tuple[Array, Array, Array]:
        """`(a, w, w'/w)` at margins `f`."""

    @abc.abstractmethod
    def rates(self, alpha: Array) -> tuple[Array, Array]:
        """`(w, w'/w)` where the weight is `alpha`."""

    def quick_slope(self, alpha: Array) -> Array:
        """`h'(alpha)` by one logarithm, up to rounding of one; not finite outside its domain."""
        return self.slope(alpha)

    @abc.abstractmethod
    def edge(self, alpha: Array) -> Array:
        """The distance of every `alpha_i` from the nearest end of its domain."""

    @abc.abstractmethod
    def largest_error(self, edge: Array, root: Array) -> Array:
        """`dual_error`, from the largest `edge(alpha)` and `sqrt(2 gap)`."""
