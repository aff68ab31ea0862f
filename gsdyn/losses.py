"""Losses and their conjugates (P21-Eq6, Table 4, Eqs 29-30).

Every loss is a sum over examples of a convex `l(f)` of the margin `f`, or of the logits of one example, and
every equation needs the same few things of it: the dual weight `a(f) = -l'(f)`, its rate `w(f) = -a'(f)`, and
on the dual side the concave `h` with `l(f) = max_a h(a) - a f`.
"""

from __future__ import annotations

import abc
import math
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Int

from gsdyn import _checks, special


class Loss(eqx.Module):
    """A convex loss in the margins, shape (n,), or in the logits, shape (n, C)."""

    smooth: ClassVar[bool] = True

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

    def dual_to_pull(self, alpha: Array, f: Array) -> Array:
        """The weight at margins `f` whose dual variable is `alpha`."""
        del f
        return alpha

    def into_domain(self, alpha: Array) -> Array:
        """`alpha` inside the open domain of the dual, where rounding or interpolation put it on the edge or past it:
        (0, 1) by default."""
        info = jnp.finfo(alpha.dtype)
        return jnp.clip(alpha, info.tiny, 1 - info.epsneg)

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


class CrossEntropy(Loss):
    """Cross-entropy `l(f) = log(1 + e^-f)` (P21-Eq5), `h(a) = -a log a - (1-a) log(1-a)` (P21-Eq6).

    `a(f) = sigma(-f)` on (0, 1); `h'(a) = log((1-a)/a)`.
    """

    def value(self, f: Array) -> Float[Array, ""]:
        return jnp.sum(jax.nn.softplus(-f))

    def weight(self, f: Array) -> Array:
        return jax.nn.sigmoid(-f)

    def root_curvature(self, f: Array) -> Array:
        # sqrt(sigma(f) sigma(-f)) without the cancellation of 1 - sigma, even in its derivatives
        e = jnp.exp(-jnp.abs(f) / 2)
        return e / (1 + e * e)

    def conjugate(self, alpha: Array) -> Float[Array, ""]:
        return jnp.sum(jax.scipy.special.entr(alpha) + jax.scipy.special.entr(1 - alpha))

    def slope(self, alpha: Array) -> Array:
        return jnp.log1p(-alpha) - jnp.log(alpha)

    def dual_error(self, alpha: Array, gap: Float[Array, ""]) -> Float[Array, ""]:
        # The gap bounds sum_i KL(alpha_i, alpha_i*), which exceeds 2 (a - a*)^2 (Pinsker) and
        # (sqrt a - sqrt a*)^2 + (sqrt(1-a) - sqrt(1-a*))^2 (Hellinger).
        return self.largest_error(jnp.max(self.edge(alpha), initial=0.0), jnp.sqrt(2 * gap))

    def edge(self, alpha: Array) -> Array:
        """The distance of every `alpha_i` from the nearer end of its domain."""
        return jnp.minimum(alpha, 1 - alpha)

    def largest_error(self, edge: Array, root: Array) -> Array:
        """`dual_error`, from the largest `edge(alpha)` and `sqrt(2 gap)`."""
        return jnp.minimum(root / 2, _hellinger(edge, root))

    def curvature_spread(self, f: Array) -> tuple[Array, Array]:
        # sech^2 differences: w_i - w_0 = (tanh^2(f_0/2) - tanh^2(f_i/2)) / 4, with 1/cosh(f/2) = 2 sqrt(w)
        f = jnp.abs(f)
        f0 = jnp.mean(f)
        root, root0 = self.root_curvature(f), self.root_curvature(f0)
        apart = f - f0
        near = jnp.abs(apart) < 1
        shift = 4 * jnp.sinh(jnp.where(near, apart, 0.0) / 2) * root * root0
        sums = jnp.tanh(f / 2) + jnp.tanh(f0 / 2)
        return root0**2, jnp.where(near, -shift * sums / 4, root**2 - root0**2)

    def derivatives(self, f: Array) -> tuple[Array, Array, Array]:
        """`(a, w, w'/w)` at margins `f`, from one exponential."""
        # beyond 0.98 log(max) all three stay at their vanishing value there, instead of overflowing
        e = jnp.exp(jnp.minimum(f, 0.98 * math.log(jnp.finfo(f.dtype).max)))
        a = 1 / (1 + e)
        return a, a * (a * e), 2 * a - 1

    def rates(self, alpha: Array) -> tuple[Array, Array]:
        """`(w, w'/w)` where the weight is `alpha`; up to rounding of one, which `derivatives` spares."""
        return alpha * (1 - alpha), 2 * alpha - 1


class FirstOrderCrossEntropy(Loss):
    """Cross-entropy with `log(1 - a) ~ -a` (P21-Eq10): `h(a) = a - a log a - a^2/2` on a > 0.

    `h'(a) = -log a - a`, so `a(f) = omega(-f)`, the Wright omega function `W(e^-f)`.
    """

    def value(self, f: Array) -> Float[Array, ""]:
        a = self.weight(f)
        return jnp.sum(a + a * a / 2)

    def weight(self, f: Array) -> Array:
        return special.wright_omega(-f)

    def root_curvature(self, f: Array) -> Array:
        # far out sqrt(a) by its logarithm -f - a: it has derivatives where a itself cannot be told from zero
        a, far = self.weight(f), f > 8
        root = jnp.where(far, jnp.exp(-jnp.where(far, f + a, 0.0) / 2), jnp.sqrt(jnp.where(far, 1.0, a)))
        return root / jnp.sqrt(1 + a)

    def conjugate(self, alpha: Array) -> Float[Array, ""]:
        return jnp.sum(alpha + jax.scipy.special.entr(alpha) - alpha * alpha / 2)

    def slope(self, alpha: Array) -> Array:
        return -jnp.log(alpha) - alpha

    def dual_error(self, alpha: Array, gap: Float[Array, ""]) -> Float[Array, ""]:
        return self.largest_error(jnp.max(alpha, initial=0.0), jnp.sqrt(2 * gap))

    def edge(self, alpha: Array) -> Array:
        """The distance of every `alpha_i` from the end of its domain."""
        return alpha

    def largest_error(self, edge: Array, root: Array) -> Array:
        """`dual_error`, from the largest `edge(alpha)` and `sqrt(2 gap)`."""
        return jnp.minimum(root, _hellinger(edge, root))

    def check_dual(self, name: str, alpha: Array) -> Array:
        return _checks.positive(name, alpha)

    def into_domain(self, alpha: Array) -> Array:
        return jnp.maximum(alpha, jnp.finfo(alpha.dtype).tiny)

    def curvature_spread(self, f: Array) -> tuple[Array, Array]:
        # a_i = a_0 e^x with x + a_0 (e^x - 1) = f_0 - f_i
        f0 = jnp.mean(f)
        a, a0 = self.weight(f), self.weight(f0)
        apart = f0 - f
        near = jnp.abs(apart) < 1
        apart = jnp.where(near, apart, 0.0)
        x = apart / (1 + a0)
        for _ in range(4):
            x = x - (x + a0 * jnp.expm1(x) - apart) / (1 + a0 * jnp.exp(x))
        rise = jnp.where(near, a0 * jnp.expm1(x), a - a0)
        return a0 / (1 + a0), rise / ((1 + a) * (1 + a0))

    def derivatives(self, f: Array) -> tuple[Array, Array, Array]:
        """`(a, w, w'/w)` at margins `f`."""
        a = self.weight(f)
        return a, *self.rates(a)

    def rates(self, alpha: Array) -> tuple[Array, Array]:
        """`(w, w'/w)` where the weight is `alpha`."""
        return alpha / (1 + alpha), -1 / (1 + alpha) ** 2


class SquaredError(Loss):
    """Squared error `l(f) = (1 - f)^2 / 2` (P21 Table 4), `h(a) = a - a^2/2`: the dual is linear."""

    def value(self, f: Array) -> Float[Array, ""]:
        return jnp.sum((1 - f) ** 2) / 2

    def weight(self, f: Array) -> Array:
        return 1 - f

    def root_curvature(self, f: Array) -> Array:
        return jnp.ones_like(f)

    def conjugate(self, alpha: Array) -> Float[Array, ""]:
        return jnp.sum(alpha - alpha * alpha / 2)

    def slope(self, alpha: Array) -> Array:
        return 1 - alpha

    def dual_error(self, alpha: Array, gap: Float[Array, ""]) -> Float[Array, ""]:
        return jnp.sqrt(2 * gap)

    def start(self, diagonal: Float[Array, " n"]) -> Array:
        return jnp.zeros_like(diagonal)

    def spread(self, step: Array) -> Float[Array, ""]:
        # l''' = 0: every Newton step is exact, whatever its length
        return jnp.zeros((), step.dtype)

    def check_dual(self, name: str, alpha: Array) -> Array:
        return _checks.finite(name, alpha)

    def into_domain(self, alpha: Array) -> Array:
        return alpha


class Hinge(Loss):
    """Hinge loss `l(f) = max(0, 1 - f)` (P21 Table 4), `h(a) = a` on [0, 1]: the dual is a box QP.

    The weight at the kink `f = 1` is any value of [0, 1]; `weight` gives 1/2 there.
    """

    smooth: ClassVar[bool] = False

    def value(self, f: Array) -> Float[Array, ""]:
        return jnp.sum(jax.nn.relu(1 - f))

    def weight(self, f: Array) -> Array:
        return jnp.heaviside(1 - f, jnp.asarray(0.5, f.dtype))

    def root_curvature(self, f: Array) -> Array:
        return jnp.zeros_like(f)

    def conjugate(self, alpha: Array) -> Float[Array, ""]:
        inside = jnp.all((alpha >= 0) & (alpha <= 1))
        return jnp.where(inside, jnp.sum(alpha), -jnp.inf)

    def slope(self, alpha: Array) -> Array:
        return jnp.ones_like(alpha)

    def dual_error(self, alpha: Array, gap: Float[Array, ""]) -> Float[Array, ""]:
        # h has no curvature; fixed_points adds the bound from the kernel's smallest eigenvalue
        return jnp.sqrt(jnp.asarray(alpha.size, alpha.dtype))


class Softmax(Loss):
    """Multi-class cross-entropy (P21-Eqs 29-30): `l(F) = logsumexp(F) - F_label`, one row per example.

    - `labels`: the class of every example, integers 0..classes-1, shape (n,).
    - `classes`: the number of classes C >= 2.

    The pull is `E - alpha` with `E` the one-hot labels and `alpha = softmax(F)`; the kernel is unsigned.
    """

    labels: Int[Array, " n"]
    classes: int = eqx.field(static=True)

    def __init__(self, labels: ArrayLike, classes: int):
        self.classes = _checks.integer("classes", classes, 2)
        try:
            given = jnp.asarray(labels)
        except (TypeError, ValueError):
            raise ValueError(f"labels must be a vector of integers, got {_checks.in_short(labels)}") from None
        if given.ndim != 1 or not jnp.issubdtype(given.dtype, jnp.integer):
            raise ValueError(f"labels must be a vector of integers, got shape {given.shape} and dtype {given.dtype}")
        if not _checks.is_concrete(given):
            allowed = f"labels must be in 0..{self.classes - 1}"
            given = eqx.error_if(given, jnp.any((given < 0) | (given >= self.classes)), allowed)
        elif given.size:
            values = np.asarray(given)  # inside `jit` JAX stages even operations on concrete arrays
            low, high = int(values.min()), int(values.max())
            if low < 0 or high >= self.classes:
                raise ValueError(f"labels must be in 0..{self.classes - 1}, got {low}..{high}")
        self.labels = given

    def one_hot(self, dtype: jnp.dtype) -> Float[Array, "n C"]:
        """The one-hot labels `E`."""
        return jax.nn.one_hot(self.labels, self.classes, dtype=dtype)

    def value(self, f: Array) -> Float[Array, ""]:
        own = jnp.take_along_axis(f, self.labels[:, None], axis=1)
        return jnp.sum(jax.nn.logsumexp(f - own, axis=1))

    def weight(self, f: Array) -> Array:
        # 1 - alpha of the own class is the sum of the others: no cancellation when it is learnt
        one_hot = self.one_hot(f.dtype)
        others = (1 - one_hot) * jax.nn.softmax(f, axis=1)
        return one_hot * jnp.sum(others, axis=1, keepdims=True) - others

    def root_curvature(self, f: Array) -> Array:
        # R = diag(sqrt p) - sqrt p p^T gives R^T R = diag(p) - p p^T
        p = jax.nn.softmax(f, axis=1)
        root = jnp.exp(jax.nn.log_softmax(f, axis=1) / 2)
        away = jnp.abs(self.weight(f))
        off = root[:, :, None] * p[:, None, :]
        eye = jnp.eye(self.classes, dtype=f.dtype)
        own = self.one_hot(f.dtype)
        rest = jnp.where(own > 0, away, 1 - p)
        return eye[None] * (root * rest)[:, :, None] - (1 - eye)[None] * off

    def conjugate(self, alpha: Array) -> Float[Array, ""]:
        return jnp.sum(jax.scipy.special.entr(alpha))

    def slope(self, alpha: Array) -> Array:
        log = jnp.log(alpha)
        return log - jnp.mean(log, axis=1, keepdims=True)

    def dual_error(self, alpha: Array, gap: Float[Array, ""]) -> Float[Array, ""]:
        # KL >= |alpha - alpha*|_1^2 / 2 in every row, and the rows of the difference sum to zero
        return jnp.sqrt(gap)

    def dual(self, f: Array) -> Array:
        return jax.nn.softmax(f, axis=1)

    def dual_to_pull(self, alpha: Array, f: Array) -> Array:
        # from the margins: E - alpha cancels where an example is learnt
        return self.weight(f)

    def into_domain(self, alpha: Array) -> Array:
        info = jnp.finfo(alpha.dtype)
        alpha = jnp.maximum(alpha, info.tiny)
        return jnp.minimum(alpha / jnp.sum(alpha, axis=1, keepdims=True), 1 - info.epsneg)

    def shape(self, examples: int) -> tuple[int, ...]:
        return (examples, self.classes)

    def check(self, examples: int, tilted: bool) -> None:
        if self.labels.shape[0] != examples:
            raise ValueError(f"labels must have one entry per example ({examples}), got {self.labels.shape[0]}")
        if tilted:
            raise ValueError("penalty must be the same for all examples under Softmax, got a tilt")

    def start(self, diagonal: Float[Array, " n"]) -> Array:
        centred = self.one_hot(diagonal.dtype) - 1 / self.classes
        return jnp.log1p(diagonal)[:, None] * centred

    def spread(self, step: Array) -> Float[Array, ""]:
        return jnp.max(jnp.max(step, axis=1) - jnp.min(step, axis=1), initial=0.0)

    def balanced(self, pulled: Array, size: Array) -> Array:
        return sum_to_zero(pulled, size)

    def centred(self, z: Array) -> Array:
        return z - jnp.mean(z, axis=1, keepdims=True)

    def check_dual(self, name: str, alpha: Array) -> Array:
        alpha = _checks.require(name, alpha, "inside (0, 1)", lambda v: (v > 0) & (v < 1))
        near = 64 * float(jnp.finfo(alpha.dtype).eps)
        return _checks.require(name, alpha, "of rows that sum to 1", lambda v: abs(v.sum(axis=1) - 1) < near)


def sum_to_zero(pulled: Array, size: Array) -> Array:
    """Pulls of classes that sum to zero: the entry of the largest terms, and error, is minus the sum of the others."""
    worst = jax.nn.one_hot(jnp.argmax(size, axis=1), size.shape[1], dtype=pulled.dtype)
    others = (1 - worst) * pulled
    return others - worst * jnp.sum(others, axis=1, keepdims=True)


def _hellinger(edge: Array, root: Array) -> Array:
    """From `sum_i (sqrt(a_i) - sqrt(a_i*))^2 <= root^2 / 2`: tight where the largest `edge` is small."""
    return root * (jnp.sqrt(2 * edge) + root / 2)
