"""Digits in one of two colours, which agree with their noisy labels more often than the shapes do (P21 section 4.3)."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from gsdyn import _checks
from gsdyn.data.digits import Digits
from gsdyn.data.mnist_sample import mnist_sample


class Coloured(NamedTuple):
    """Images in two channels and what is known of them, a row each.

    - `x` (n, 2 d): the image in the channel of its colour, zeros in the other: colour -1 comes first.
    - `y` (n,): the labels given to a learner, -1 or +1, some of them wrong.
    - `colour` (n,): -1 or +1.
    - `true` (n,): the labels before the noise.
    - `environment` (n,): which of the agreements the colour was drawn with, 0, 1, ...

        >>> data = gs.data.colour_digits(200, 100, source=gs.data.digits()).train
        >>> print(data.x.shape, data.gray.shape, data.environment[0], data.environment[-1])
        (200, 128) (200, 64) 0.0 1.0
    """

    x: Float[Array, "n d2"]
    y: Float[Array, " n"]
    colour: Float[Array, " n"]
    true: Float[Array, " n"]
    environment: Float[Array, " n"]

    @property
    def gray(self) -> Float[Array, "n d"]:
        """The images without their colour."""
        d = self.x.shape[1] // 2
        return self.x[:, :d] + self.x[:, d:]


class ColourDigits(NamedTuple):
    """Digits to train on, whose colour agrees with the labels, and new ones, where it does not.

    >>> data = gs.data.colour_digits(200, 100, source=gs.data.digits())
    >>> print(data.train.x.shape, data.test.x.shape)
    (200, 128) (100, 128)
    """

    train: Coloured
    test: Coloured


def coloured(
    images: ArrayLike, y: ArrayLike, agreement: ArrayLike | tuple[float, ...], *, noise: float = 0.25, seed: int = 0
) -> Coloured:
    """Gray images in one of two colours: labels are flipped first, then colours drawn to agree with the flipped ones.

        y' = y e,  P(e = -1) = noise;      colour = y' c,  P(c = +1) = agreement

    - `images`: shape (n, d), finite.
    - `y`: the labels, -1 and +1, shape (n,).
    - `agreement`: the probability that a colour is that of its label, in [0, 1]; one number, or a list of E: the
      images are then cut into E runs of equal length (but for one), the environments.
    - `noise`: the share of wrong labels, in [0, 1].
    - `seed`: an integer in [0, 2^32).

    Raises `ValueError` outside these ranges.

    Reference: Arjovsky et al., Invariant Risk Minimization (2019), section 5.2; P21 section 4.3.

        >>> images, labels, _ = gs.data.digits()
        >>> data = gs.data.coloured(images, labels, [0.9, 0.8])
        >>> print(data.x.shape, f"{np.mean(data.colour == data.y):.2f}")
        (1797, 128) 0.85
    """
    images, y = _checks.finite("images", images, ndim=2), _checks.labels("y", y)
    _checks.same_length("y", y, "images", images)
    seed = _checks.integer("seed", seed, 0, 2**32 - 1)
    noise = _checks.number("noise", noise, "in [0, 1]", lambda v: 0 <= v <= 1)
    given: Any = agreement  # tuples too, which are no ArrayLike
    shares = np.atleast_1d(np.asarray(_checks.require("agreement", given, "in [0, 1]", lambda v: (v >= 0) & (v <= 1))))
    if shares.ndim != 1 or not shares.size:
        raise ValueError(f"agreement must be one number or a list of numbers, got shape {shares.shape}")
    n, rng = len(y), np.random.default_rng(seed)
    environment = np.arange(n) * len(shares) // n
    noisy = np.asarray(y) * np.where(rng.random(n) < noise, -1, 1)
    colour = noisy * np.where(rng.random(n) < shares[environment], 1, -1)
    x = in_colour(images, jnp.asarray(colour))
    return Coloured(x, *(jnp.asarray(column, x.dtype) for column in (noisy, colour, y, environment)))


def in_colour(images: Float[Array, "n d"], colour: Array) -> Float[Array, "n d2"]:
    """Images in two channels: in the second where the colour is +1, else in the first."""
    second = colour[:, None] > 0
    return jnp.concatenate([jnp.where(second, 0, images), jnp.where(second, images, 0)], axis=1)


def colour_digits(
    train: int = 4000,
    test: int = 1000,
    *,
    source: Digits | None = None,
    agreement: ArrayLike | tuple[float, ...] = (0.9, 0.8),
    test_agreement: float = 0.1,
    noise: float = 0.25,
    seed: int = 0,
) -> ColourDigits:
    """Digits to train on in colours that agree with their labels, and new digits in colours that do not.

    - `train`, `test`: how many of each, drawn without repetition, at least 1.
    - `source`: gray digits, by default `gs.data.mnist_sample(14)` as in P21; `gs.data.digits()` are smaller.
    - `agreement`, `noise`, `seed`: as in `coloured`, environments in the training set only.
    - `test_agreement`: the agreement among the new ones, in [0, 1].

    Raises `ValueError` for more images than there are, and outside these ranges.

        >>> data = gs.data.colour_digits(200, 100, source=gs.data.digits())
        >>> print(f"{np.mean(data.train.colour == data.train.y):.2f} {np.mean(data.test.colour == data.test.y):.2f}")
        0.87 0.09
    """
    if source is None:
        source = mnist_sample(14)
    _checks.instance("source", source, Digits, "gs.data.digits() or gs.data.mnist_sample(14)")
    train, test = _checks.integer("train", train, 1), _checks.integer("test", test, 1)
    seed = _checks.integer("seed", seed, 0, 2**32 - 1)
    test_agreement = _checks.number("test_agreement", test_agreement, "in [0, 1]", lambda v: 0 <= v <= 1)
    if train + test > len(source.y):
        raise ValueError(f"train + test must be at most the {len(source.y)} images there are, got {train} + {test}")
    order = np.random.default_rng([seed, 0]).permutation(len(source.y))[: train + test]
    seeds = np.random.default_rng([seed, 1]).integers(2**32, size=2)
    rows = (order[:train], order[train:])
    return ColourDigits(
        *(
            coloured(source.x[row], source.y[row], share, noise=noise, seed=int(drawn))
            for row, share, drawn in zip(rows, (agreement, test_agreement), seeds, strict=True)
        )
    )
