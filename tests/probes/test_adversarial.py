"""Adversarial margins against exact distances, for attacks with gradients and without."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.optimize

import gsdyn as gs
from gsdyn.probes import L2, PGD, Linf, Search, adversarial_margin, input_margin
from gsdyn.training import BinaryObjective, train

X = np.random.default_rng(0).normal(size=(40, 3))
W = np.array([2.0, -1.0, 0.5])
AXES = np.array([1.0, 0.5, 2.0])
KEY = jax.random.key(0)


def linear(w, x):
    return (x @ w - 0.3)[:, None]


def ellipsoid(axes, x):
    return jnp.sum((x / axes[None, :]) ** 2, axis=1) - 1


def three(w, x):
    return x @ w


SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    ("norm", "dual", "attacks"),
    [
        pytest.param(L2(), 2, [PGD(), Search()], id="L2"),
        pytest.param(Linf(), 1, [PGD()], id="Linf"),
        pytest.param(Linf(), 1, [PGD(), Search()], id="Linf, both", marks=SLOW),
    ],
)
def test_a_plane_is_as_far_as_its_dual_norm_says(norm, dual, attacks):
    y = np.where(np.arange(40) % 3 == 0, -1.0, 1.0)
    found = adversarial_margin(linear, jnp.asarray(W), X, y, KEY, norm=norm, attacks=attacks)
    exact = np.abs(X @ W - 0.3) / np.linalg.norm(W, dual)
    np.testing.assert_allclose(found.by_attack[0], exact, rtol=1e-9)  # the gradient is the direction
    assert (found.by_attack[-1] >= exact * (1 - 1e-9)).all()
    assert (found.by_attack[-1] <= exact * (1.02 if dual == 2 else 1.1)).all()  # random search
    np.testing.assert_array_equal(found.distance, found.by_attack.min(axis=0))
    np.testing.assert_array_equal(found.margin, found.distance * np.sign(X @ W - 0.3) * y)
    # the points prove the distances
    nearest = np.asarray(found.nearest)
    assert (np.sign(nearest @ W - 0.3) != np.sign(X @ W - 0.3)).all()
    length = np.abs(nearest - X).max(axis=1) if dual == 1 else np.linalg.norm(nearest - X, axis=1)
    np.testing.assert_allclose(length, found.distance, rtol=1e-12)


@pytest.mark.parametrize(
    ("attack", "above"), [(PGD(), 1.002), pytest.param(Search(), 1.03, marks=SLOW)], ids=["PGD", "Search"]
)
def test_a_curved_boundary_is_met_where_it_is_nearest(attack, above):
    """The distance to an ellipsoid by Lagrange's condition: p_i = x_i a_i^2/(a_i^2 + t), one root t."""

    def exact(x):
        def off(t):
            return np.sum((x * AXES / (AXES**2 + t)) ** 2) - 1

        t = scipy.optimize.brentq(off, -(AXES.min() ** 2) * (1 - 1e-9), 1e4, xtol=1e-14)
        return np.linalg.norm(x * t / (AXES**2 + t))

    expected = np.array([exact(x) for x in X])
    found = adversarial_margin(ellipsoid, jnp.asarray(AXES), X, np.ones(40), KEY, norm=L2(), attacks=[attack])
    assert (found.distance >= expected * (1 - 1e-7)).all()
    assert (found.distance <= expected * above + 1e-6).all()


def test_classes_bounds_images_and_reach():
    w = np.random.default_rng(1).normal(size=(3, 3))
    x = np.random.default_rng(2).uniform(size=(30, 3))
    logits = x @ w
    own = logits.argmax(axis=1)
    pair = np.linalg.norm(w[:, own].T[:, :, None] - w[None], axis=1)
    gap = logits[np.arange(30), own][:, None] - logits
    exact = np.min(np.where(pair > 0, gap / np.where(pair > 0, pair, 1), np.inf), axis=1)
    options = {"norm": L2(), "attacks": [PGD(restarts=24)]}
    found = adversarial_margin(three, jnp.asarray(w), x, own, KEY, **options)
    np.testing.assert_allclose(found.distance, exact, rtol=1e-4)
    assert (adversarial_margin(three, jnp.asarray(w), x, (own + 1) % 3, KEY, **options).margin < 0).all()
    boxed = adversarial_margin(three, jnp.asarray(w), x, own, KEY, bounds=(0.0, 1.0), **options)
    assert ((boxed.nearest >= 0) & (boxed.nearest <= 1)).all()
    assert (boxed.distance >= exact * (1 - 1e-9)).all()
    near = adversarial_margin(three, jnp.asarray(w), x, own, KEY, reach=0.05, **options)
    np.testing.assert_allclose(near.distance, np.minimum(exact, 0.05), rtol=1e-4)
    np.testing.assert_array_equal(near.nearest[np.asarray(near.distance) == 0.05], x[np.asarray(near.distance) == 0.05])


def test_the_search_needs_no_gradient():
    """Steps have none at all: projected gradient descent finds little there, random search the plane."""

    def step(w, x):
        return jnp.sign(x @ w - 0.3)

    found = adversarial_margin(step, jnp.asarray(W), X, np.ones(40), KEY, attacks=[Search()])
    exact = np.abs(X @ W - 0.3) / np.linalg.norm(W)
    assert (found.distance >= exact * (1 - 1e-9)).all()
    assert (found.distance <= exact * 1.02).all()


@SLOW
def test_a_trained_network_is_met_where_looking_everywhere_meets_it():
    """Both attacks against `input_margin`, which looks in all directions of the plane."""
    net = gs.networks.FullyConnected(depth=2, width=64)
    x, y = (jnp.asarray(part[:60]) for part in gs.data.moons())
    start = net.init(jax.random.key(0), 2)
    run = train(start, BinaryObjective(net.apply), (x, y), optax.adam(0.05), [300])
    found = adversarial_margin(net.apply, run.params, x, y, KEY)
    everywhere = input_margin(net.apply, run.params, x, y)
    np.testing.assert_allclose(found.distance, everywhere.distance, rtol=1e-3)
    for distances in found.by_attack:
        np.testing.assert_allclose(distances, everywhere.distance, rtol=2e-2)
    assert (np.sign(found.margin) == np.sign(everywhere.margin)).all()


BAD = {
    "x has no rows": ({"x": np.ones(3)}, "x must have a row for each example"),
    "x is not finite": ({"x": np.full((2, 3), np.nan)}, "x must be finite"),
    "labels 0 and 1": ({"y": [0, 1]}, "y must be a vector of -1 and +1, got 0.0: convert 0 and 1 by 2*y - 1"),
    "one label": ({"y": [1]}, "y must have as many rows as x"),
    "norm by name": ({"norm": "L2"}, "norm must be a Norm"),
    "attack by name": ({"attacks": ["PGD"]}, "attacks must be a Attack"),
    "no attacks": ({"attacks": []}, "attacks must hold at least one attack"),
    "reach 0": ({"reach": 0}, "reach must be finite and > 0"),
    "reach is text": ({"reach": "far"}, "reach must be finite and > 0"),
    "bounds of three": ({"bounds": (0, 1, 2)}, "bounds must be the least and the largest input"),
    "bounds the wrong way": ({"bounds": (1, 0)}, "bounds must be the least and the largest input"),
    "outside the bounds": ({"bounds": (2, 3)}, "x must be within bounds (2, 3)"),
    "key 0": ({"key": 0}, "key must be a random key"),
    "apply None": ({"apply": None}, "apply must be a function"),
    "outputs of all inputs": ({"apply": lambda w, x: x.sum()}, "apply must give outputs of shape (2,)"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_refused(name):
    change, message = BAD[name]
    given = {"apply": linear, "params": jnp.asarray(W), "x": np.zeros((2, 3)), "y": [1.0, -1.0], "key": KEY, **change}
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the text is compared below, literally
        adversarial_margin(**given)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_attacks_need_counts():
    for kind, name in ((PGD, "restarts"), (PGD, "steps"), (Search, "tries"), (Search, "steps")):
        with pytest.raises(ValueError, match=f"{name} must be at least 1, got 0"):
            kind(**{name: 0})
