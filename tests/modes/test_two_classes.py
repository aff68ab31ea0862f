"""Both classes of one network against SciPy's system, and how exact Corollary 3.3 is (C18-Eq3, Cor 3.3)."""

import jax.numpy as jnp
import numpy as np
import pytest
from _mode_oracles import SIZE, integrate, pull, relative

import gsdyn as gs
from gsdyn.modes import TwoClasses

P = 1 - 10.0 ** -np.linspace(0.5, 14, SIZE)
FULL = np.ones(SIZE)


def test_a_network_with_one_neuron_for_each_class():
    x = np.array([[1.0, 0.2], [-1.6, 0.3]])  # x1.x2 < 0
    w, z, p = np.array([[0.3, 0.1], [-0.3, -0.02]]), np.array([0.25, -0.1]), 0.8
    assert (x @ w.T > 0).tolist() == [[True, False], [False, True]]

    def field(state):
        w, z = state[:4].reshape(2, 2), state[4:]
        hidden = np.maximum(x @ w.T, 0)
        u = hidden @ z
        error = np.array([p * pull(u[0]), -(1 - p) * pull(-u[1])])
        gate = (x @ w.T > 0) * error[:, None]
        return np.concatenate([((gate * z).T @ x).ravel(), error @ hidden])

    t = np.linspace(0, 8, SIZE)
    states = integrate(field, np.concatenate([w.ravel(), z]), t)
    logits = [np.maximum(x @ s[:4].reshape(2, 2).T, 0) @ s[4:] for s in states]
    norms = tuple(np.linalg.norm(x, axis=1))
    two = TwoClasses(p, norms, y0=(x[0] @ w[0] * FULL, x[1] @ w[1] * FULL), z0=(z[0], -z[1]))
    np.testing.assert_allclose(jnp.stack(two.logits(t), axis=1), logits, rtol=1e-9)
    shares = jnp.stack(two.confidences(t), axis=1)
    np.testing.assert_allclose(shares, [[1 - pull(u), 1 - pull(-v)] for u, v in logits], rtol=1e-9)


def test_corollary_is_exact_at_every_confidence_from_equal_starts():
    p, r1, r2 = 0.8, 1.0, 2.5
    ratio = r2 * (1 - p) / (r1 * p)
    assert relative(TwoClasses(p, (r1, r2), u0=0.1 * FULL).time_ratio(P), ratio) < 1e-12
    # c != 0: equal u0 and equal c/r
    y, z = 0.4, 0.1
    scale = np.sqrt(r2 / r1)
    two = TwoClasses(p, (r1, r2), y0=(y * FULL, y * scale * FULL), z0=(z, z / scale))
    assert relative(two.time_ratio(P), ratio) < 1e-12
    for loss, depth in ((None, 3), (gs.Hinge(), 2)):
        two = TwoClasses(p, (r1, r2), depth, loss, u0=0.1 * FULL)
        assert relative(two.time_ratio(P), (r2 / r1) ** (2 / depth) * (1 - p) / p) < 1e-12
        assert relative(two.ratio_limit, (r2 / r1) ** (2 / depth) * (1 - p) / p) < 1e-12


def test_corollary_is_only_a_limit_from_unequal_starts():
    two = TwoClasses(0.8, (1.0, 1.0), u0=(0.1 * FULL, 0.01))
    ratio, limit = two.time_ratio(P), two.ratio_limit
    assert relative(limit, 0.25) < 1e-15
    # the counter-example: at 90% the ratio is 31% below the corollary's 0.25
    assert float(two.time_ratio(0.9 * FULL)[0]) == pytest.approx(0.1723856, rel=1e-6)
    assert (np.diff(ratio / limit) > 0).all()
    assert float(ratio[-1] / limit[-1]) == pytest.approx(1, abs=1e-11)


def test_the_same_weights_are_unequal_starts():
    two = TwoClasses(0.8, (1.0, 2.0), y0=0.3 * FULL, z0=0.1)
    assert abs(float(two.time_ratio(0.9 * FULL)[0]) / 0.5 - 1) > 0.01
    # and off c = 0 the limit comes slowly: the ratio is off by (kappa_2^2 - kappa_1^2) / (2 u^2)
    kappas = [mode.invariant[0] / (2 * mode.norm[0]) for mode in (two.first, two.second)]
    gap = 0.5 - two.time_ratio(P)[-4:]
    u = np.log(P[-4:] / (1 - P[-4:]))
    np.testing.assert_allclose(gap, 0.25 * (kappas[0] ** 2 - kappas[1] ** 2) / u**2, rtol=0.15)


def test_hinge_has_another_limit():
    # the times stay finite, so the starts never cease to count
    two = TwoClasses(0.8, (1.0, 2.0), loss=gs.Hinge(), u0=(0.1 * FULL, 0.01))
    assert relative(two.ratio_limit, 0.5 * np.log(10) / np.log(100)) < 1e-13
    assert relative(two.time_ratio(P)[-1], two.ratio_limit[-1]) < 1e-12


def test_no_ratio_where_a_class_is_not_learnt():
    two = TwoClasses(0.5, (1.0, 1.0), y0=0.3 * FULL, z0=(0.1, -0.9))
    assert np.isnan(two.ratio_limit).all()
    assert (two.time_ratio(0.9 * FULL) == 0).all()


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("fraction", lambda: TwoClasses(1.0, (1.0, 1.0), u0=0.1)),
        ("norms", lambda: TwoClasses(0.5, 1.0, u0=0.1)),
        ("norms", lambda: TwoClasses(0.5, (1.0, 1.0, 1.0), u0=0.1)),
        ("norm", lambda: TwoClasses(0.5, (1.0, -1.0), u0=0.1)),
        ("start", lambda: TwoClasses(0.5, (1.0, 1.0))),
    ],
)
def test_bad_input(name, call):
    with pytest.raises(ValueError, match=name):
        call()
