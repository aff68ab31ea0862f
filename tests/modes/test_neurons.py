"""Many neurons and many orthogonal points against SciPy's systems (C18-A.4, A.8)."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from _mode_oracles import SIZE, integrate, pull, relative

import gsdyn as gs
from gsdyn.modes import Mode, Neurons, Outcome, orthogonal_points

R, P = 1.2, 0.7
GROUPS = [
    # y0, z0: all fates at once; all die; all with c = 0
    ([0.5, 0.4, 0.3, -0.2], [0.2, -0.9, -0.1, 0.5]),
    ([0.5, 0.4, 0.3, 0.2], [-0.6, -0.9, -0.7, -0.3]),
    ([0.5, 0.4, 0.3, 0.2], [0.5 / R, 0.4 / R, 0.3 / R, 0.2 / R]),
]
T = np.linspace(0, 6, SIZE)


def field(state, hinge=False):
    y, z = np.split(state, 2)
    seen = np.maximum(y, 0)
    u = seen @ z
    g = P * (1.0 if hinge else pull(u))
    return np.concatenate([R**2 * np.where(y > 0, z, 0) * g, seen * g])


@pytest.mark.slow
@pytest.mark.parametrize("group", GROUPS)
def test_the_system(group):
    neurons = Neurons(R, *group, rate=P)
    y, z = np.split(integrate(field, np.concatenate(group), T, max_step=0.01), 2, axis=1)
    u = neurons.logit(T)
    np.testing.assert_allclose(u, np.sum(np.maximum(y, 0) * z, axis=1), atol=1e-10)
    found_y, found_z = neurons.weights(T)
    np.testing.assert_allclose(np.maximum(found_y, 0), np.maximum(y, 0), atol=1e-10)
    np.testing.assert_allclose(found_z, z, atol=1e-10)
    rising = np.asarray(u) < 0.0 if (np.asarray(neurons.outcomes) == Outcome.DIES).all() else np.ones(SIZE, bool)
    np.testing.assert_allclose(neurons.time_to(u)[rising], T[rising], atol=1e-9)


def test_hinge_to_the_margin():
    neurons = Neurons(R, *GROUPS[0], rate=P, loss=gs.Hinge())
    stop = float(neurons.time_to(1.0))
    t = np.linspace(0, 0.999 * stop, SIZE)
    y, z = np.split(integrate(lambda s: field(s, hinge=True), np.concatenate(GROUPS[0]), t, max_step=0.002), 2, axis=1)
    np.testing.assert_allclose(neurons.logit(t), np.sum(np.maximum(y, 0) * z, axis=1), atol=1e-9)
    assert (neurons.logit(np.linspace(stop * (1 + 1e-12), 50, SIZE)) == 1).all()


def test_without_invariants_the_sum_is_one_neuron():
    # A.4: the summed logit obeys Eq. 13
    neurons = Neurons(R, *GROUPS[2], rate=P)
    mode = Mode(R, rate=P, u0=np.full(SIZE, float(neurons.start)))
    assert relative(neurons.logit(T), mode.logit(T)) < 1e-13


def test_with_invariants_the_sum_is_one_neuron_too():
    # beyond A.4: c^2 = 4 r^2 G K
    y0, z0 = np.array([0.5, 0.1, 0.3]), np.array([0.2, 0.4, 0.0])
    plus, minus = np.sum((y0 + R * z0) ** 2), np.sum((y0 - R * z0) ** 2)
    y, z = (np.sqrt(plus) + np.sqrt(minus)) / 2, (np.sqrt(plus) - np.sqrt(minus)) / (2 * R)
    mode = Mode(R, rate=P, y0=np.full(SIZE, y), z0=z)
    neurons = Neurons(R, y0, z0, rate=P)
    assert relative(neurons.logit(T), mode.logit(T)) < 1e-13
    # and a wrong sum of the constants is not
    assert abs(float(mode.invariant[0])) != pytest.approx(np.sum(np.abs(neurons.invariants)))


def test_permanent_silence():
    dying = Neurons(R, *GROUPS[1], rate=P)
    assert float(dying.time_to(np.zeros(SIZE))[0]) < np.inf
    assert (dying.time_to(np.full(SIZE, 0.1)) == np.inf).all()
    assert (dying.logit(np.full(SIZE, 1e6)) == 0).all()


@pytest.mark.slow
def test_derivatives():
    def outputs(y0):
        return Neurons(R, y0, jnp.array(GROUPS[0][1]), rate=P, loss=gs.Hinge()).logit(0.4)

    y0 = jnp.array(GROUPS[0][0])
    slope = jax.grad(outputs)(y0)
    for k in range(4):
        move = jnp.zeros(4).at[k].set(1e-6)
        assert float(slope[k]) == pytest.approx(
            float(outputs(y0 + move) - outputs(y0 - move)) / 2e-6, rel=1e-6, abs=1e-9
        )


def test_orthogonal_points():
    r, m, y0, z0 = 0.8, 3, 0.3, 0.2
    states = integrate(lambda s: np.array([r**2 * s[1], m * s[0]]) * pull(s[0] * s[1]), [y0, z0], T)
    mode = orthogonal_points(r, m, np.full(SIZE, y0), z0)
    np.testing.assert_allclose(mode.logit(T), states.prod(axis=1), rtol=1e-9)
    np.testing.assert_allclose(mode.invariant, m * y0**2 - (r * z0) ** 2, rtol=1e-14)
    # c = 0: sqrt(m) times the pace of one point
    degenerate = orthogonal_points(r, m, np.full(SIZE, y0), np.sqrt(m) * y0 / r)
    single = Mode(r, u0=np.full(SIZE, np.sqrt(m) * y0**2 / r))
    assert relative(degenerate.logit(T), single.logit(np.sqrt(m) * T)) < 1e-13


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("norm", lambda: Neurons(0.0, [0.1], [0.1])),
        ("norm", lambda: Neurons([1.0], [0.1], [0.1])),
        ("y0", lambda: Neurons(1.0, 0.1, 0.1)),
        ("z0", lambda: Neurons(1.0, [0.1, 0.2], [0.1])),
        ("loss", lambda: Neurons(1.0, [0.1], [0.1], loss=gs.SquaredError())),
        ("u ", lambda: Neurons(1.0, [0.1], [0.1], loss=gs.Hinge()).time_to(1.5)),
        ("confidence", lambda: Neurons(1.0, [0.1], [0.1]).time_to_confidence(0.3)),
        ("count", lambda: orthogonal_points(1.0, 0, 0.1, 0.1)),
    ],
)
def test_bad_input(name, call):
    with pytest.raises(ValueError, match=name):
        call()
