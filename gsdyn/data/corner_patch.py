"""A small bright square in a corner of an image: the smallest shortcut there is."""

from __future__ import annotations

import math

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from gsdyn import _checks


def corner_patch(
    images: ArrayLike, attribute: ArrayLike, *, pixels: int = 3, level: float = 1.0
) -> Float[Array, "n ..."]:
    """The images, those of attribute +1 with a square in the upper left corner, the others with one in the lower right.

    - `images`: finite, shape (n, h, w), (n, h, w, channels) or (n, h^2): square images as rows.
    - `attribute`: -1 or +1, shape (n,).
    - `pixels`: the square's side, at least 1 and at most half of h and w, so that the two never overlap.
    - `level`: its brightness, finite.

    Returns the images in the shape they had. Raises `ValueError` for other shapes and outside these ranges.

        >>> print(gs.data.corner_patch(np.zeros((1, 16)), [1], pixels=1).reshape(4, 4)[0])
        [1. 0. 0. 0.]
    """
    images, attribute = _checks.finite("images", images), _checks.labels("attribute", attribute)
    _checks.same_length("attribute", attribute, "images", images)
    side = math.isqrt(images.shape[1]) if images.ndim == 2 else 0
    if images.ndim not in (2, 3, 4) or (images.ndim == 2 and side**2 != images.shape[1]):
        raise ValueError(f"images must have shape (n, h, w), (n, h, w, channels) or (n, h^2), got {images.shape}")
    high, wide = (side, side) if images.ndim == 2 else images.shape[1:3]
    pixels = _checks.integer("pixels", pixels, 1, min(high, wide) // 2)
    level = _checks.number("level", level, "finite", math.isfinite)
    upper = np.zeros((high, wide), bool)
    upper[:pixels, :pixels] = True
    corners = jnp.where((attribute > 0)[:, None, None], upper[None], upper[None, ::-1, ::-1])
    whole = images.reshape(len(images), high, wide, -1)
    return jnp.where(corners[..., None], jnp.asarray(level, images.dtype), whole).reshape(images.shape)
