"""The implicit stages of a dual flow of several classes, on rows of probabilities."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array

from gsdyn._integration.dual_stages import DualStages
from gsdyn._integration.stages import EDGE
from gsdyn._numerics import linear as _linear


class LogitStages(DualStages):
    """Stages of a loss whose dual variables are rows of probabilities, the softmax of the coordinates.

    A coordinate is a row of logits up to a constant, kept so that the largest is about 0: beside a class at -1e9 the
    others keep their digits.
    """

    def coordinate(self, alpha: Array) -> Array:
        return jnp.log(alpha)

    def kept(self, x: Array, d: Array) -> Array:
        return d - jnp.max(x + d, axis=1, keepdims=True)

    def damped(self, x: Array, tau: Array) -> tuple[Array, Callable[[Array], Array], Callable[[Array], Array]]:
        # W = diag(a) - a a^T gives tau W (tau + W)^-1 = tau (diag(q) - q q^T / sum(q)) with q = a / (tau + a); and the
        # inverse, on rows that sum to 0 and up to a constant, with no difference of large numbers
        curvature, alpha = self.loss.root_curvature(x), self.loss.dual(x)
        q = alpha / (tau + alpha)
        total = jnp.sum(q, axis=1, keepdims=True)
        share = q / total
        eye = jnp.eye(x.shape[1], dtype=x.dtype)[None]
        rest = share @ (1 - eye[0])
        root = jnp.sqrt(tau * q)[:, :, None] * (eye * rest[:, :, None] - (1 - eye) * share[:, None, :])

        def inverse(g: Array) -> Array:
            e = g / (tau + alpha)
            return e + tau / (tau + alpha) * (jnp.sum(e, axis=1, keepdims=True) / total)

        return root, lambda v: _linear.curvature_product(curvature, v), inverse

    def guess(self, predicted: Array, x: Array) -> Array:
        alpha = self.loss.exchange(predicted)
        known = (alpha > 0) & ~self._at_edge(x, EDGE)
        log = jnp.log(jnp.where(known, alpha, 1.0))
        return jnp.where(known, log, jnp.maximum(jax.nn.log_softmax(x, axis=1), -self._limit()))

    def settle(self, k: Array, x: Array, rtol: float) -> Array:
        outwards = jnp.where(jax.nn.log_softmax(x, axis=1) < -1, k > 0, k < 0)
        stuck = self._at_edge(x, 1e-3 * rtol) & outwards
        k = jnp.where(stuck, 0.0, k)
        free = jnp.sum(~stuck, axis=1, keepdims=True)
        return jnp.where(stuck, 0.0, k - jnp.sum(k, axis=1, keepdims=True) / jnp.maximum(free, 1).astype(k.dtype))
