"""Handwritten digits: 1,797 real images of 8 x 8 pixels."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int


class Digits(NamedTuple):
    """The images `x` (n, 64), the binary labels `y` (n,) and the digits shown (n,).

    >>> images, labels, shown = gs.data.digits()
    >>> print(images.shape, shown[:5], labels[:5])
    (1797, 64) [0 1 2 3 4] [1. 1. 1. 1. 1.]
    """

    x: Float[Array, "n 64"]
    y: Float[Array, " n"]
    digit: Int[Array, " n"]


def digits() -> Digits:
    """Scikit-learn's handwritten digits, in their order there, with two labellings.

    Pixels are the stored ink counts 0 to 16 divided by 16, so in [0, 1] and exact in binary. They
    are neither centred nor scaled by image: blank stays 0, and a bold digit is longer than a faint
    one. `y` is +1 for the digits 0 to 4 and -1 for 5 to 9, the split of P21 section 4.3; `digit` is
    the number shown.

    Reference: Alpaydin and Kaynak, Optical recognition of handwritten digits (UCI, 1998), test set.

        >>> images, labels, shown = gs.data.digits()
        >>> print(images.shape, labels[:5])
        (1797, 64) [1. 1. 1. 1. 1.]
    """
    from sklearn.datasets import load_digits  # a second, on first use

    ink, digit = (np.asarray(stored) for stored in load_digits(return_X_y=True))
    y = np.where(digit < 5, 1, -1)
    return Digits(jnp.asarray(ink / 16, float), jnp.asarray(y, float), jnp.asarray(digit, int))
