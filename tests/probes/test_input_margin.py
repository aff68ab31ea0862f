"""Margins in input space against exact distances."""

import jax.numpy as jnp
import numpy as np
import pytest

from gsdyn.probes import input_margin
from gsdyn.probes.input_margin import circle

X = np.random.default_rng(0).normal(size=(37, 2))
W = np.array([0.6, 0.8])


def linear(w, x):
    return x @ w - 0.3


def ring(radius, x):
    return jnp.sqrt(jnp.sum(x * x, axis=1)) - radius


def test_a_line_is_met_from_above_and_within_the_bound():
    y = np.where(np.arange(37) % 3 == 0, -1.0, 1.0)
    found = input_margin(linear, jnp.asarray(W), X, y)
    exact = np.abs(X @ W - 0.3)
    inside = exact < 3.9
    assert inside.sum() > 30
    ratio = (found.distance / exact)[inside]
    assert (ratio >= 1 - 1e-8).all()
    assert (ratio <= 1 / np.cos(np.pi / 200) + 1e-8).all()
    np.testing.assert_allclose(found.margin, found.distance * np.sign(X @ W - 0.3) * y, rtol=1e-15)
    np.testing.assert_allclose(np.asarray(found.nearest) @ W, 0.3, atol=1e-8)
    np.testing.assert_allclose(np.linalg.norm(found.nearest - X, axis=1), found.distance, rtol=1e-12)


def test_a_circle_is_met_from_both_sides():
    found = input_margin(ring, jnp.asarray(1.0), X, np.ones(37), directions=circle(720))
    exact = np.abs(np.linalg.norm(X, axis=1) - 1)
    np.testing.assert_allclose(found.distance, exact, rtol=1e-4, atol=1e-4)
    assert (np.asarray(found.distance) >= exact - 1e-8).all()
    assert ((np.linalg.norm(X, axis=1) > 1) == (np.asarray(found.margin) > 0)).all()


def test_more_dimensions_need_directions():
    x = np.random.default_rng(1).normal(size=(5, 3))
    w = np.array([2.0, -1.0, 2.0]) / 3
    rays = np.concatenate([w[None], -w[None], np.eye(3)])
    found = input_margin(linear, jnp.asarray(w), x, np.ones(5), directions=rays)
    np.testing.assert_allclose(found.distance, np.abs(x @ w - 0.3), rtol=1e-8)


def test_nothing_within_reach():
    found = input_margin(ring, jnp.asarray(50.0), X[:3], np.ones(3), reach=2.0)
    np.testing.assert_array_equal(found.distance, 2.0)
    np.testing.assert_array_equal(found.margin, -2.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": np.zeros((2, 3))}, "directions must be given beyond the plane"),
        ({"x": np.full((2, 2), np.nan)}, "x must be finite"),
        ({"y": [1.0, 0.0]}, "y must be a vector of -1 and \\+1"),
        ({"y": [1.0]}, "y must have as many rows as x"),
        ({"reach": 0.0}, "reach must be finite and > 0"),
        ({"shells": 0}, "shells must be at least 1"),
        ({"directions": np.eye(3)}, "directions must have 2 columns"),
    ],
)
def test_bad_input_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        input_margin(linear, jnp.asarray(W), **{"x": np.zeros((2, 2)), "y": [1.0, -1.0], **change})
