"""The integrator, and the fields as the paper writes them, against the closed forms."""

import jax.numpy as jnp
import numpy as np
import pytest
from _mode_oracles import SIZE, integrate, pull

import gsdyn as gs
from gsdyn.modes import HingePoints, Mode, ode

T = np.linspace(0, 8, SIZE)


def test_one_neuron_against_the_closed_form():
    y0, z0, r, rate = 0.5, -0.2, 1.3, 0.6
    field = ode.NeuronField(jnp.asarray(r), jnp.asarray(rate))
    path = ode.integrate(field, (jnp.asarray(y0), jnp.asarray(z0)), T)
    y, z = Mode(np.full(SIZE, r), rate=rate, y0=y0, z0=z0).weights(T)
    np.testing.assert_allclose(path.states[0], y, rtol=1e-10)
    np.testing.assert_allclose(path.states[1], z, rtol=1e-9)
    assert float(path.stop_time) == np.inf


def test_a_stop_ends_the_path_and_holds_the_state():
    y0, z0, r = 0.2, -0.8, 0.7
    field = ode.NeuronField(jnp.asarray(r))
    path = ode.integrate(field, (jnp.asarray(y0), jnp.asarray(z0)), T, stops=(lambda s: s[0],), horizon=float("inf"))
    mode = Mode(np.full(SIZE, r), y0=y0, z0=z0)
    assert float(path.stop_time) == pytest.approx(float(mode.death_time[0]), rel=1e-10)
    np.testing.assert_allclose(path.states[1], mode.weights(T)[1], rtol=1e-9)
    assert bool(path.stopped_by[0])


def by_hand_neurons(s):
    y, z = np.split(s, 2)
    g = 0.6 * pull(np.maximum(y, 0) @ z)
    return np.concatenate([1.69 * np.where(y > 0, z, 0) * g, 3 * np.maximum(y, 0) * g])


FIELDS = {
    "neurons of three points": (
        ode.NeuronField(jnp.asarray(1.3), jnp.asarray(0.6), count=3),
        ([0.5, 0.3, -0.2], [-0.1, 0.2, 0.3]),
        by_hand_neurons,
    ),
    "hinge": (
        ode.NeuronField(jnp.asarray(1.3), jnp.asarray(0.6), gs.Hinge()),
        ([0.9], [0.2]),
        lambda s: 0.6 * np.array([1.69 * s[1], s[0]]),
    ),
    "deep": (
        ode.DeepField(jnp.asarray(0.8)),
        (0.4, [0.3, 0.9]),
        lambda s: np.array([0.64 * s[1] * s[2], s[0] * s[2], s[0] * s[1]]) * pull(s.prod()),
    ),
    "competition": (
        ode.CompetitionField(jnp.asarray(0.6)),
        (0.3, 0.2, 0.1),
        lambda s: 0.6 * np.array([
            s[2] * pull(s[0] * s[2]),
            -s[2] * pull(-s[1] * s[2]),
            s[0] * pull(s[0] * s[2]) - s[1] * pull(-s[1] * s[2]),
        ]),
    ),
    "rare feature": (
        ode.RareFeatureField(jnp.asarray(0.2)),
        (0.3, 0.2, 0.1),
        lambda s: np.array([
            s[2] * (0.2 * pull(s[2] * (s[0] + s[1])) + 0.8 * pull(s[2] * s[0])),
            s[2] * 0.2 * pull(s[2] * (s[0] + s[1])),
            0.2 * (s[0] + s[1]) * pull(s[2] * (s[0] + s[1])) + 0.8 * s[0] * pull(s[2] * s[0]),
        ]),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FIELDS)
def test_fields(name):
    field, state, by_hand = FIELDS[name]
    found = field(tuple(jnp.asarray(part) for part in state))
    flat = np.concatenate([np.ravel(part) for part in state])
    np.testing.assert_allclose(np.concatenate([np.ravel(part) for part in found]), by_hand(flat), rtol=1e-14)


def test_the_field_of_many_points():
    x, w = np.array([[1.0, 0.2], [0.6, 0.5], [9.0, 9.0]]), np.array([0.2, 0.3])
    field = ode.HingePointsField(jnp.asarray(x), jnp.asarray(0.7))
    dw, dz = field((jnp.asarray(w), jnp.asarray(0.4)))
    pulling = x[:2].sum(axis=0)  # the third is beyond its margin
    np.testing.assert_allclose(dw, 0.7 * 0.4 * pulling, rtol=1e-15)
    np.testing.assert_allclose(dz, 0.7 * w @ pulling, rtol=1e-15)
    closed = HingePoints(x, w, 0.4, 0.7)
    step = np.asarray(closed.weights(1e-7)[0] - w) / 1e-7
    np.testing.assert_allclose(dw, step, rtol=1e-6)


def test_scipy_agrees_on_a_system_with_a_horizon():
    field = ode.RareFeatureField(jnp.asarray(0.2))
    path = ode.integrate(field, tuple(jnp.asarray(v) for v in (0.3, 0.2, 0.1)), T)
    states = integrate(FIELDS["rare feature"][2], [0.3, 0.2, 0.1], T)
    np.testing.assert_allclose(np.stack(path.states, axis=1), states, rtol=1e-9)


def test_bad_times():
    with pytest.raises(ValueError, match="ts"):
        ode.integrate(ode.RareFeatureField(jnp.asarray(0.2)), (jnp.zeros(()),) * 3, [[1.0]])
