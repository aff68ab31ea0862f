"""The colour probe: variants pixel by pixel, entropies against mpmath, networks whose use of colour is known."""

import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

from gsdyn.probes import colour_probe, colour_variants, prediction_entropy

IMAGES = np.random.default_rng(0).uniform(size=(6, 2, 3))
COLOUR = np.array([0, 1, 1, 0, 1, 0])
Y = np.array([1.0, -1.0, 1.0, -1.0, -1.0, 1.0])


def test_variants_pixel_by_pixel():
    found = colour_variants(IMAGES, COLOUR)
    mean = IMAGES.mean()
    for i in range(6):
        own, other = COLOUR[i], 1 - COLOUR[i]
        np.testing.assert_array_equal(found.colour_digit[i, own], IMAGES[i])
        np.testing.assert_array_equal(found.colour_digit[i, other], 0)
        np.testing.assert_array_equal(found.gray_digit[i], np.stack([IMAGES[i] / 2] * 2))
        np.testing.assert_allclose(found.colour_blank[i, own], mean, rtol=1e-15)
        np.testing.assert_array_equal(found.colour_blank[i, other], 0)
        np.testing.assert_allclose(found.gray_blank[i], mean / 2, rtol=1e-15)
    np.testing.assert_array_equal(colour_variants(IMAGES, COLOUR, 0.25).gray_blank, 0.125)
    assert colour_variants(IMAGES.astype(np.float32), COLOUR, 0.25).colour_blank.dtype == jnp.float32


def test_who_goes_by_the_colour_and_who_by_the_shape():
    variants = colour_variants(IMAGES, COLOUR)

    def by_colour(scale, x):
        return scale * (x[:, 0].sum(axis=(1, 2)) - x[:, 1].sum(axis=(1, 2)))[:, None]

    def by_shape(scale, x):
        return scale * (x.sum(axis=1).reshape(len(x), -1) @ jnp.arange(6.0) - 7)

    agree = np.mean(np.where(COLOUR == 0, 1, -1) == Y)
    found = colour_probe(by_colour, jnp.asarray(1e5), variants, Y)
    assert found.accuracy == pytest.approx((0.0, agree, 0.0, agree))  # an output of 0 is wrong
    np.testing.assert_allclose(found.entropy, (np.log(2), 0, np.log(2), 0), atol=1e-12)
    found = colour_probe(by_shape, jnp.asarray(1.0), variants, Y)
    assert found.accuracy.gray_digit == found.accuracy.colour_digit
    shape = IMAGES.reshape(6, -1) @ np.arange(6.0) - 7
    assert found.accuracy.colour_digit == np.mean(shape * Y > 0)
    p = 1 / (1 + np.exp(-shape))
    expected = np.mean(-p * np.log(p) - (1 - p) * np.log(1 - p))
    np.testing.assert_allclose(found.entropy.gray_digit, expected, rtol=1e-12)

    def two(scale, x):
        f = by_shape(scale, x)
        return jnp.stack([jnp.zeros_like(f), f], axis=1)

    classes = colour_probe(two, jnp.asarray(1.0), variants, np.where(Y > 0, 1, 0))
    np.testing.assert_allclose(classes.accuracy, found.accuracy)
    np.testing.assert_allclose(classes.entropy, found.entropy, rtol=1e-12)


def test_entropy_to_the_last_digits():
    mpmath.mp.dps = 40
    f = np.array([0.0, 1e-9, 0.3, -2.0, 5.0, -36.0, 40.0, 300.0, 699.0])
    p = [1 / (1 + mpmath.exp(abs(mpmath.mpf(float(v))))) for v in f]
    expected = [float(-q * mpmath.log(q) - (1 - q) * mpmath.log1p(-q)) for q in p]
    np.testing.assert_allclose(prediction_entropy(f), expected, rtol=5e-15)
    np.testing.assert_allclose(prediction_entropy(jnp.stack([f, 0 * f], axis=1)), expected, rtol=1e-12, atol=1e-300)
    ends = prediction_entropy(jnp.asarray([1e5, -1e300, jnp.inf, -jnp.inf]))
    np.testing.assert_array_equal(ends, 0)
    rows = prediction_entropy(jnp.asarray([[0.0, 0.0, 0.0], [1e4, 0.0, 0.0], [jnp.inf, 0.0, 0.0]]))
    np.testing.assert_allclose(rows, [np.log(3), 0, 0], rtol=1e-15)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": np.ones(3)}, "images must have a row for each image"),
        ({"images": np.full((6, 4), np.nan)}, "images must be finite"),
        ({"colour": COLOUR + 1}, "colour must be a vector of integers in 0..1, got 2"),
        ({"colour": COLOUR[:2]}, "colour must have as many rows as images"),
        ({"blank": [1.0, 2.0]}, "blank must have 0 dimensions"),
    ],
)
def test_bad_variants_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        colour_variants(**{"images": IMAGES, "colour": COLOUR, **change})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y": [0, 1, 1, 0, 0, 1]}, r"2\*y - 1"),
        ({"variants": IMAGES}, "variants must be a ColourVariants"),
        ({"apply": lambda w, x: x.sum()}, "apply must give outputs of shape"),
        ({"apply": lambda w, x: w * x.sum(axis=(1, 2, 3)) * jnp.nan}, "apply must give numbers"),
    ],
)
def test_bad_probes_are_refused(change, message):
    given = {"apply": lambda w, x: w * x.sum(axis=(1, 2, 3)), "params": jnp.ones(()),
             "variants": colour_variants(IMAGES, COLOUR), "y": Y, **change}  # fmt: skip
    with pytest.raises(ValueError, match=message):
        colour_probe(**given)
