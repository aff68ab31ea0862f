"""One neuron on two classes: diffrax against SciPy, and the paper's claim about who dies (C18-A.6)."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from _mode_oracles import integrate, pull

from gsdyn.modes import Competition, Mode, Winner
from gsdyn.modes.competition import _death

# the wrong direction dies; the right one dies, against the paper
A0, B0, Z0 = np.array([0.3, 0.1]), np.array([0.2, 1.0]), np.array([0.1, 0.1])
RATE = 0.5
T = np.linspace(0, 12, 7)


@pytest.fixture(scope="module")
def competition():
    return Competition(A0, B0, Z0, RATE)


def field(state):
    a, b, z = state
    right, wrong = pull(z * a) * (a > 0), pull(-z * b) * (b > 0)
    return RATE * np.array([z * right, -z * wrong, a * right - b * wrong])


@pytest.mark.slow
def test_the_system(competition):
    path = competition.integrate(T)
    found = np.stack([path.a, path.b, path.z], axis=2)
    for k in range(2):
        states = integrate(field, [A0[k], B0[k], Z0[k]], T, max_step=0.02, rtol=1e-10)
        np.testing.assert_allclose(found[k], states, atol=2e-8)
    first, second = path.logits
    assert float(first[0, -1]) > 1.5
    assert float(second[0, -1]) == 0
    assert float(second[1, -1]) < -2


def test_the_paper_is_wrong_that_the_second_direction_always_dies(competition):
    # "a increasing, b decreasing until it reaches 0", from a0, b0, z0 > 0: z turns negative first
    assert [Winner(int(w)) for w in competition.winner] == [Winner.FIRST, Winner.SECOND]
    a, b, _ = competition.death_state
    assert float(a[1]) == 0
    assert float(b[1]) > B0[1]


def test_nobody_wins_a_neuron_at_rest():
    # a path without a stop takes all its steps: once, and beside one that stops
    rest = Competition(np.array([0.3, 0.3]), np.array([0.3, 0.2]), np.array([0.0, 0.1]), RATE)
    winner, time, (a, b, z) = _death(rest)
    assert [Winner(int(w)) for w in winner] == [Winner.NEITHER, Winner.FIRST]
    assert float(time[0]) == np.inf
    assert np.isfinite(time[1])
    np.testing.assert_allclose((a[0], b[0], z[0]), (0.3, 0.3, 0), rtol=1e-15)
    np.testing.assert_allclose(a**2 + b**2 - z**2, rest.invariant, rtol=1e-9)


def test_death(competition):
    time = np.asarray(competition.death_time)
    a, b, z = competition.death_state
    np.testing.assert_allclose(a**2 + b**2 - z**2, competition.invariant, rtol=1e-9)
    for k, dead in ((0, 1), (1, 0)):
        before, after = integrate(field, [A0[k], B0[k], Z0[k]], time[k] * np.array([1 - 1e-7, 1 + 1e-7]), max_step=0.02)
        assert before[dead] > 0 >= after[dead] - 1e-10
        np.testing.assert_allclose((a[k], b[k], z[k]), np.maximum(after, [0, 0, -9]), atol=1e-6)
        # the same death, read off the system's own slope
        np.testing.assert_allclose(before[dead], -field(before)[dead] * time[k] * 1e-7, rtol=1e-2)


def test_a_stiff_neuron_is_followed_to_its_death():
    """Large weights: z relaxes in 1e-3 of the time in which a and b part, 10816 and 103149 by Radau's (1e-9)."""
    found = Competition(np.array([30.0, 100.0]), np.array([30.0, 100.0]), np.array([0.1, 1.0]))
    winner, time, (a, b, z) = _death(found)
    assert [Winner(int(w)) for w in winner] == [Winner.FIRST] * 2
    np.testing.assert_allclose(time, [10816.649168, 103149.409403], rtol=2e-9)
    np.testing.assert_allclose(a * a + b * b - z * z, found.invariant, rtol=1e-10)
    np.testing.assert_array_equal(b, 0)


@pytest.mark.slow
def test_after_the_death_the_first_class_is_a_single_mode(competition):
    a, _, z = (v[0] for v in competition.death_state)
    alone = Mode(1.0, rate=RATE, y0=jnp.full(7, a), z0=z)
    late = competition.integrate(T + 6.0)
    np.testing.assert_allclose(late.logits[0][0], alone.logit(T + 6.0 - competition.death_time[0]), rtol=1e-9)


@pytest.mark.slow
def test_the_stall(competition):
    t = competition.time_to_confidence(np.full(2, 0.9))
    np.testing.assert_array_equal(np.isfinite(t), [True, False])
    _, reached = integrate(field, [A0[0], B0[0], Z0[0]], [1.0, float(t[0])], max_step=0.02)
    assert 1 - pull(reached[0] * reached[2]) == pytest.approx(0.9, abs=1e-9)
    delay = competition.delay(np.full(2, 0.9))
    alone = Mode(1.0, rate=RATE, y0=np.full(2, A0[0]), z0=Z0[0]).time_to_confidence(0.9)
    assert float(delay[0]) == pytest.approx(float(t[0] - alone[0]), rel=1e-9)
    assert float(delay[0]) > 0


@pytest.mark.slow
def test_the_death_time_has_a_derivative():
    def death(a):
        return Competition(a, 0.2, 0.1).death_time

    slope = jax.jit(jax.grad(death))(0.3)
    assert float(slope) == pytest.approx(float(death(0.3 + 1e-4) - death(0.3 - 1e-4)) / 2e-4, rel=1e-5)


@pytest.mark.parametrize(
    ("name", "values"),
    [("a0", (0.0, 1.0, 1.0)), ("b0", (1.0, -1.0, 1.0)), ("z0", (1.0, 1.0, np.nan)), ("rate", (1.0, 1.0, 1.0, -1.0))],
)
def test_bad_input(name, values):
    with pytest.raises(ValueError, match=name):
        Competition(*values)
