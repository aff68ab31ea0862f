"""The networks of C18: ReLU layers without biases, and starts on which its hypotheses hold."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Bool, Float, Int, PRNGKeyArray

Weights = list[Array]
"""`[W, Z_1, ..., Z_(N-2), Z]`, of shapes (h, d), (h, h), ..., and (h,) for one output or (C, h) for C."""


def relu_net(weights: Weights, x: Float[Array, "n d"]) -> Float[Array, " n"] | Float[Array, "n C"]:
    """`Z relu(Z_(N-2) ... relu(Z_1 relu(W x)))` for every row of x (C18-§2, B)."""
    *hidden, out = weights
    for layer in hidden:
        x = jax.nn.relu(x @ layer.T)
    return x @ out.T


def active(weights: Weights, x: Float[Array, "n d"]) -> Bool[Array, "n h"]:
    """Which neurons of the first layer are active on which rows of x."""
    return x @ weights[0].T > 0


def margins(weights: Weights, x: Float[Array, "n d"], labels: Int[Array, " n"]) -> Float[Array, " n"]:
    """How far the network is on the right side on every row: the logit of the class above the highest other one.

    For a network with one output, whose classes are 0 and 1, that is the logit, and minus it for class 1.
    """
    f = relu_net(weights, x)
    if f.ndim == 1:
        return jnp.where(labels == 0, f, -f)
    own = labels[:, None] == jnp.arange(f.shape[1])[None, :]
    return jnp.sum(jnp.where(own, f, 0), axis=1) - jnp.max(jnp.where(own, -jnp.inf, f), axis=1)


def signs(labels: Int[Array, " n"]) -> Float[Array, " n"]:
    """+1 for class 0 and -1 for class 1, the labels of `BinaryObjective`."""
    return jnp.where(labels == 0, 1.0, -1.0)


def rows(
    points: Float[Array, "m d"], seen: Float[Array, "h m"], key: PRNGKeyArray | None = None
) -> Float[Array, "h d"]:
    """First-layer weights with `w_i . x_j = seen[i, j]`, for linearly independent points.

    With a `key` every row also gets a random part of norm about 1 that no point sees.
    """
    pinv = jnp.linalg.pinv(points)
    known = seen @ pinv.T
    if key is None:
        return known
    noise = jax.random.normal(key, known.shape) / jnp.sqrt(points.shape[1])
    return known + noise - (noise @ points.T) @ pinv.T


def at_angle(norms: tuple[ArrayLike, ArrayLike], cosine: ArrayLike, width: int = 3) -> Float[Array, "2 d"]:
    """Two points of given norms whose angle has a given cosine, in `width` dimensions."""
    cosine = jnp.asarray(cosine, float)
    first = jnp.zeros(width).at[0].set(norms[0])
    second = jnp.zeros(width).at[0].set(norms[1] * cosine).at[1].set(norms[1] * jnp.sqrt(1 - cosine**2))
    return jnp.stack([first, second])


class Margins(eqx.Module):
    """Observes the margins on given points with classes 0 and 1."""

    points: Float[Array, "m d"]
    labels: Int[Array, " m"]

    def __call__(self, params: Weights) -> Float[Array, " m"]:
        return margins(params, self.points, self.labels)
