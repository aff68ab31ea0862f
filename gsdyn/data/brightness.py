"""Images of one class dark and those of the other bright (C18 section 4)."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from gsdyn import _checks

STEP = 128 / 255
"""The lowest level of a bright image of full shift."""


def brightness(images: ArrayLike, y: ArrayLike, *, dark: int = -1, shift: float = 1.0) -> Float[Array, "n ..."]:
    """The images, those of one class darkened and those of the other brightened.

        dark:    v (1 - shift 128/255)
        bright:  v (1 - shift 128/255) + shift 128/255

    With `shift` 1 the levels 0 to 255 become 0 to 127 and 128 to 255, as in C18, and no pixel can be both; contrast is
    the same in both classes. With 0 nothing changes.

    - `images`: in [0, 1], shape (n, ...).
    - `y`: labels -1 or +1, shape (n,).
    - `dark`: the class to darken, -1 or +1. The paper's text and appendix disagree on which it is.
    - `shift`: in [0, 1].

    Raises `ValueError` outside these ranges.

    Reference: Combes et al., On the learning dynamics of deep neural networks (2018), section 4.

        >>> images, labels, _ = gs.data.digits()
        >>> shifted = gs.data.brightness(images, labels)
        >>> print(shifted[labels > 0].min(), shifted[labels < 0].max())
        0.5019607843137255 0.4980392156862745
    """
    images = _checks.require("images", images, "in [0, 1]", lambda v: (v >= 0) & (v <= 1))
    y = _checks.labels("y", y)
    if images.ndim < 2:
        raise ValueError(f"images must have a row for each image, got shape {images.shape}")
    _checks.same_length("y", y, "images", images)
    if dark not in (-1, 1):
        raise ValueError(f"dark must be -1 or +1, got {_checks.in_short(dark)}")
    step = STEP * _checks.number("shift", shift, "in [0, 1]", lambda v: 0 <= v <= 1)
    lift = jnp.where(y == dark, 0.0, step).astype(images.dtype)
    return images * (1 - step) + lift.reshape(-1, *(1,) * (images.ndim - 1))
