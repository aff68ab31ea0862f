"""Multi-class cross-entropy (P21-Eqs 29-30)."""

from __future__ import annotations

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Int

from gsdyn import _checks
from gsdyn._traced import error_if
from gsdyn.losses.loss import Loss


class Softmax(Loss):
    """Multi-class cross-entropy (P21-Eqs 29-30): `l(F) = logsumexp(F) - F_label`, one row per example.

    - `labels`: the class of every example, integers 0..classes-1, shape (n,).
    - `classes`: the number of classes C >= 2.

    The pull is `E - alpha` with `E` the one-hot labels and `alpha = softmax(F)`; the kernel is unsigned.

        >>> classes = gs.FeatureBasis.from_kernel(theta, None)
        >>> fp = gs.fixed_point(classes, gs.Softmax([0, 1, 0, 2], 3), gs.WeightDecay(0.1))
        >>> print(fp.z.shape, np.argmax(fp.margins, axis=1))
        (4, 3) [0 1 0 2]
    """

    steepest: ClassVar[float | None] = 1 / 2
    dual_sign: ClassVar[int] = -1

    labels: Int[Array, " n"]
    classes: int = eqx.field(static=True)

    def __init__(self, labels: ArrayLike, classes: int):
        self.classes = _checks.integer("classes", classes, 2)
        try:
            given = _checks.numbers("labels", labels)
        except (TypeError, ValueError):
            raise ValueError(f"labels must be a vector of integers, got {_checks.in_short(labels)}") from None
        if given.ndim != 1 or not jnp.issubdtype(given.dtype, jnp.integer):
            raise ValueError(f"labels must be a vector of integers, got shape {given.shape} and dtype {given.dtype}")
        if not _checks.is_concrete(given):
            allowed = f"labels must be in 0..{self.classes - 1}"
            given = error_if(given, jnp.any((given < 0) | (given >= self.classes)), allowed)
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
        # log(1 + sum of the others): the own class's 1 would swallow what is left where it is learnt
        return jnp.sum(jax.nn.softplus(jax.nn.logsumexp(self._beside_own(f, -jnp.inf), axis=1)))

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
        # so that the own class's derivatives are minus the sum of the others': 1 - alpha loses all digits of both
        return jax.nn.softmax(self._beside_own(f, 0.0), axis=1)

    def _beside_own(self, f: Array, own: float) -> Array:
        """Logits less that of the own class, in whose place is `own`."""
        beside = f - jnp.take_along_axis(f, self.labels[:, None], axis=1)
        return jnp.where(self.one_hot(f.dtype) > 0, own, beside)

    def exchange(self, alpha: Array) -> Array:
        return self.one_hot(alpha.dtype) - alpha

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
