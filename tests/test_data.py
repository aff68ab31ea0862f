"""The data sets are what their docstrings say."""

import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.datasets import load_digits, make_moons

from gsdyn.data import colour_digits, coloured, digits, mnist_sample, moons


def test_digits_are_all_there():
    x, y, digit = digits()
    assert x.shape == (1797, 64)
    assert x.dtype == y.dtype == jnp.float64
    stored = load_digits()
    np.testing.assert_array_equal(x.reshape(-1, 8, 8) * 16, stored.images)
    assert (x.min(), x.max()) == (0, 1)
    np.testing.assert_array_equal(digit, stored.target)
    assert {d: set(np.asarray(y)[np.asarray(digit) == d]) for d in range(10)} == {
        d: {1.0 if d in (0, 1, 2, 3, 4) else -1.0} for d in range(10)
    }


@pytest.mark.parametrize("seed", [0, 3])
@pytest.mark.parametrize("margin", [-0.1, 0.0, 0.1])
def test_moons_follow_the_recipe_step_by_step(seed, margin):
    """EXPERIMENTS.md's row, one step at a time and one point at a time."""
    points, moon = make_moons(300, noise=0.1, random_state=seed)
    label = np.where(moon == 1, 1.0, -1.0)
    p = [a - 0.5 for a in points[:, 0]]  # shift x by -0.5
    q = [b - 0.3 * s for b, s in zip(points[:, 1], label, strict=True)]  # y by -0.3*label
    centre = sum(q) / len(q)
    q = [b - centre for b in q]  # centre y
    q = [b if b * s < 0 else -b for b, s in zip(q, label, strict=True)]  # opposite the label
    q = [b - s * margin for b, s in zip(q, label, strict=True)]  # shift y by -label*margin
    x, y = moons(margin=margin, seed=seed)
    np.testing.assert_array_equal(y, label)
    np.testing.assert_allclose(x, np.stack([q, p], axis=1), rtol=1e-12, atol=1e-14)  # swap the axes


def test_margin_decides_whether_one_axis_separates():
    for seed in range(10):
        x, y = moons(margin=0.1, seed=seed)
        assert jnp.max(x[:, 0] * y) <= -0.1
        x, y = moons(margin=-0.1, seed=seed)
        assert 0 < jnp.max(x[:, 0] * y) <= 0.1
        assert jnp.mean(x[:, 0] * y < 0) > 0.5


def test_seed_noise_and_size_matter():
    x, y = moons(50, noise=0.0)
    assert x.shape == (50, 2)
    assert y.shape == (50,)
    assert np.abs(x - moons(50, noise=0.3).x).max() > 0.1
    np.testing.assert_array_equal(moons(seed=1).x, moons(seed=1).x)
    assert np.abs(moons(seed=1).x - moons(seed=2).x).max() > 0.1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n": 1}, "n must be at least 2, got 1"),
        ({"margin": float("nan")}, "margin must be finite"),
        ({"n": "300"}, "n must be an integer at least 2, got '300'"),
        ({"margin": None}, "margin must be finite, got None"),
        ({"rotation": [1.0, 2.0]}, "rotation must be finite, got"),
        ({"seed": 0.5}, "seed must be an integer in"),
        ({"noise": -0.1}, "noise must be finite and >= 0"),
        ({"seed": -1}, "seed must be in"),
    ],
)
def test_bad_settings_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        moons(**arguments)


def test_the_sample_of_mnist_is_500_of_each_digit():
    small, large = mnist_sample(14), mnist_sample()
    assert small.x.shape == (5000, 196)
    np.testing.assert_array_equal(np.bincount(np.asarray(large.digit)), 500)
    pixels = np.asarray(large.x).reshape(-1, 28, 28)
    assert (pixels.min(), pixels.max()) == (0, 1)
    np.testing.assert_array_equal(np.asarray(small.x).reshape(-1, 14, 14), pixels[:, ::2, ::2])
    np.testing.assert_array_equal(large.y, np.where(np.asarray(large.digit) < 5, 1.0, -1.0))
    with pytest.raises(ValueError, match="pixels must be 14 or 28, got 7"):
        mnist_sample(7)


def test_colours_agree_with_the_noisy_labels_as_often_as_asked():
    images, y, _ = digits()
    data = coloured(images, y, [0.9, 0.8], noise=0.25, seed=3)
    np.testing.assert_array_equal(data.gray, images)
    np.testing.assert_array_equal(data.true, y)
    empty = np.asarray(data.x).reshape(-1, 2, 64).sum(axis=2) == 0
    np.testing.assert_array_equal(empty[:, 0], np.asarray(data.colour) > 0)
    np.testing.assert_array_equal(empty[:, 1], np.asarray(data.colour) < 0)
    agrees = np.asarray(data.y == data.colour)
    first = np.asarray(data.environment) == 0
    assert abs(agrees[first].mean() - 0.9) < 0.04
    assert abs(agrees[~first].mean() - 0.8) < 0.05
    assert abs(np.mean(np.asarray(data.y != data.true)) - 0.25) < 0.04
    assert np.mean(np.asarray(coloured(images, y, 1.0, noise=0).colour == y)) == 1
    with pytest.raises(ValueError, match=r"agreement must be in \[0, 1\], got 1.5"):
        coloured(images, y, 1.5)


def test_new_digits_are_others_and_differ_in_colour():
    data = colour_digits(1000, 700, source=digits(), seed=1)
    assert data.train.x.shape == (1000, 128)
    assert abs(np.mean(np.asarray(data.test.y == data.test.colour)) - 0.1) < 0.04
    together = np.concatenate([data.train.gray, data.test.gray])
    stored = {image.tobytes() for image in np.asarray(digits().x)}
    assert {image.tobytes() for image in together} <= stored
    with pytest.raises(ValueError, match=r"train \+ test must be at most the 1797 images there are, got 1500 \+ 500"):
        colour_digits(1500, 500, source=digits())
