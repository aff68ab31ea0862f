"""Many points under hinge against SciPy's system, and where the paper's formula ends (C18-C.2)."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from _mode_oracles import integrate

from gsdyn.modes import HingePoints

X = np.array([[1.0, 0.2, 0.1], [0.6, 0.5, 0.3], [0.3, 0.9, 0.8], [1.0, 0.2, 0.1]])
W0, Z0, RATE = np.array([0.2, 0.1, 0.3]), 0.2, 0.7
NEW = np.array([0.5, -0.2, 0.4])


def leg(active):
    """The system with a fixed set of points, from the network's own equations."""
    x = X[active]
    return lambda s: RATE * np.concatenate([s[3] * x.sum(axis=0), [(x @ s[:3]).sum()]])


@pytest.mark.slow
def test_every_leg_of_the_path():
    points = HingePoints(X, W0, Z0, RATE)
    stops = np.asarray(points.stops)
    assert stops[0] == stops[3]  # the same point twice
    np.testing.assert_array_equal(np.argsort(stops), [2, 0, 3, 1])
    state, start = np.array([*W0, Z0]), 0.0
    for time, left in ((stops[2], [0, 1, 2, 3]), (stops[0], [0, 1, 3]), (stops[1], [1])):
        path = integrate(leg(left), state, np.linspace(0, time - start, 5))
        w, z = points.weights(start + np.linspace(0, time - start, 5))
        np.testing.assert_allclose(np.column_stack([w, z]), path, rtol=1e-10)
        state, start = path[-1], time
    margins = points.margins(stops)
    np.testing.assert_allclose(np.diag(margins), 1, rtol=1e-13)
    np.testing.assert_allclose(points.margins(100.0), points.margins(stops[1]), rtol=1e-13)


@pytest.mark.slow
def test_the_printed_formula_holds_to_the_first_stop_only():
    points = HingePoints(X, W0, Z0, RATE)
    total = X.sum(axis=0)
    square = total @ total
    perp = W0 - (W0 @ total) / square * total
    t = np.linspace(0, float(points.stops.min()), 5)
    states = integrate(leg([0, 1, 2, 3]), [*W0, Z0], t)
    u = states[:, 3] * (states[:, :3] @ total)
    printed = u * (NEW @ total) / square + states[:, 3] * (perp @ NEW)
    np.testing.assert_allclose(points.free_logit(NEW, t), printed, rtol=1e-9)
    np.testing.assert_allclose(points.logit(NEW, t), printed, rtol=1e-9)
    late = float(points.stops.max())
    assert float(points.free_logit(NEW, late)) > 1.2 * float(points.logit(NEW, late))
    # nor does the sum stop at its own margin, z w.X = 1: no single point has reached its own by then
    early = float(points.stops.min())
    assert float(np.sum(points.margins(early))) > 2


def test_a_point_beyond_its_margin_never_pulls():
    far = HingePoints(np.concatenate([X, [[50.0, 50.0, 50.0]]]), W0, Z0, RATE)
    assert float(far.stops[-1]) == 0
    np.testing.assert_allclose(far.stops[:4], HingePoints(X, W0, Z0, RATE).stops, rtol=1e-13)


def test_one_point_is_the_mode():
    x, w, z = np.array([0.6, 0.5]), np.array([0.3, 0.1]), 0.4
    points = HingePoints(x[None], w, z)
    r, y0 = np.linalg.norm(x), x @ w
    t = np.array([0.0, 0.3, 0.9, 5.0])
    plus, minus = (y0 + r * z) ** 2, (y0 - r * z) ** 2
    exact = np.minimum(1, (plus * np.exp(2 * r * t) - minus * np.exp(-2 * r * t)) / (4 * r))
    np.testing.assert_allclose(points.logit(x, t), exact, rtol=1e-13)


def test_an_inactive_input_has_logit_zero():
    points = HingePoints(X, W0, Z0, RATE)
    assert float(points.logit(-NEW, 0.3)) == 0
    assert points.logit(np.stack([NEW, -NEW]), np.array([[0.1], [0.2], [0.3]])).shape == (3, 2)


def test_derivatives():
    def second_stop(w):
        return jnp.sort(HingePoints(X, w, Z0).stops)[3]

    slope = jax.jit(jax.grad(second_stop))(jnp.array(W0))
    stop = jax.jit(second_stop)
    for k in range(3):
        move = np.eye(3)[k] * 1e-6
        assert float(slope[k]) == pytest.approx(float(stop(W0 + move) - stop(W0 - move)) / 2e-6, rel=1e-7)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("points", (np.array([[1.0, 0.0], [-1.0, 0.1]]), [0.1, 0.5], 0.2)),
        ("points", (np.array([1.0, 0.0]), [0.1, 0.5], 0.2)),
        ("w0", (X, [0.1, 0.5], 0.2)),
        ("w0", (X, -W0, 0.2)),
        ("z0", (X, W0, -0.2)),
        ("rate", (X, W0, 0.2, 0.0)),
    ],
)
def test_bad_input(name, values):
    with pytest.raises(ValueError, match=name):
        HingePoints(*values)


def test_bad_examples():
    with pytest.raises(ValueError, match="columns"):
        HingePoints(X, W0, Z0).logit(np.ones(2), 1.0)
