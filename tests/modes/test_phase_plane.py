"""The fates of a start against SciPy's system with the ReLU (C18-§3.3, A.7)."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from _mode_oracles import SIZE, integrate, pull

import gsdyn as gs
from gsdyn.modes import Mode, Outcome, classify

R = 0.7


def test_classify():
    z = np.array([0.5, -0.5, -0.5, -0.5, 0.0, 0.5, -0.5, 0.0])
    y = np.array([0.2, 0.351, 0.349, 0.35, 0.2, 0.0, -0.2, 0.0])
    fates = [Outcome(int(k)) for k in classify(R, y, z)]
    moving = [Outcome.SOLVES, Outcome.SOLVES, Outcome.DIES, Outcome.DECAYS, Outcome.SOLVES]
    assert fates == [*moving, *[Outcome.FROZEN] * 3]
    for name, bad in (("norm", (-1.0, 1.0, 1.0)), ("y0", (1.0, float("nan"), 1.0)), ("z0", (1.0, 1.0, float("inf")))):
        with pytest.raises(ValueError, match=name):
            classify(*bad)


def grid():
    """Starts on both sides of every boundary, none within 5% of the separatrix, where time runs out of any horizon."""
    rng = np.random.default_rng(3)
    y, z = rng.uniform(-1, 1, 400), rng.uniform(-1, 1, 400)
    return y[np.abs(y + R * z) > 0.05][:SIZE], z[np.abs(y + R * z) > 0.05][:SIZE]


def field(s):
    y, z = s
    g = pull(y * z) * (y > 0)
    return np.array([R**2 * z * g, y * g])


def test_outcomes_and_trajectories_agree_with_the_system():
    y0, z0 = grid()
    mode = Mode(R, y0=y0, z0=z0)
    assert set(np.asarray(mode.outcome)) == {Outcome.SOLVES, Outcome.DIES, Outcome.FROZEN}
    y, z = mode.weights(4.0)
    end_y, end_z = mode.weights(60.0)
    for k in range(SIZE):
        # small steps while a path meets y = 0, where the field has a kink; none below it moves
        (mid,) = integrate(field, [y0[k], z0[k]], [4.0], max_step=0.05, rtol=1e-8)
        (end,) = integrate(field, mid, [56.0], rtol=1e-8)
        np.testing.assert_allclose((y[k], z[k]), (max(mid[0], min(y0[k], 0)), mid[1]), atol=2e-7)
        fate = Outcome(int(mode.outcome[k]))
        assert (end[0] * end[1] > 1) == (fate is Outcome.SOLVES)
        assert (end[0] <= 0 < y0[k]) == (fate is Outcome.DIES)
        assert (fate is Outcome.FROZEN) == (y0[k] <= 0)
    np.testing.assert_array_equal(end_y[mode.outcome == Outcome.FROZEN], y0[mode.outcome == Outcome.FROZEN])
    np.testing.assert_array_equal(end_z[mode.outcome == Outcome.FROZEN], z0[mode.outcome == Outcome.FROZEN])


def test_times_to_a_confidence_over_the_plane():
    y0, z0 = grid()
    mode = Mode(R, y0=y0, z0=z0)
    t = mode.time_to_confidence(0.9)
    assert (jnp.isfinite(t) == (mode.outcome == Outcome.SOLVES)).all()
    solved = np.asarray(mode.outcome == Outcome.SOLVES)
    np.testing.assert_allclose(mode.confidence(jnp.where(solved, t, 0.0))[solved], 0.9, rtol=1e-12)


def test_death():
    y0, z0 = np.full(SIZE, 0.2), np.linspace(-0.3, -3, SIZE)
    mode = Mode(R, y0=y0, z0=z0)
    death = mode.death_time
    np.testing.assert_allclose(mode.logit(death), 0, atol=1e-15)
    assert (mode.logit(death * (1 + 1e-12)) == 0).all()
    assert (mode.logit(0.999 * death) < 0).all()
    y, z = mode.weights(death * (1 + 1e-12))
    assert (y == 0).all()
    # the invariant says where: z = -sqrt(-c)/r
    np.testing.assert_allclose(z, -np.sqrt(z0**2 - (y0 / R) ** 2), rtol=1e-13)
    for k in (0, 12, 23):
        states = integrate(field, [y0[k], z0[k]], np.array([0.999, 1.001]) * float(death[k]), max_step=0.01)
        assert states[0, 0] > 0 >= states[1, 0]
    assert (mode.time_to(0.1) == np.inf).all()
    np.testing.assert_allclose(mode.time_to(0.0), death, rtol=1e-13)


@pytest.mark.parametrize("loss", [gs.CrossEntropy(), gs.Hinge()])
def test_death_time_of_the_others(loss):
    mode = Mode(R, y0=np.resize([0.5, 0.35, -0.1], SIZE), z0=-0.5, loss=loss)
    np.testing.assert_array_equal(mode.death_time[:3], [np.inf, np.inf, 0.0])
    assert (Mode(R, u0=0.1).death_time == np.inf).all()


def test_hinge_death_time():
    # y = (plus e^(r t) + minus e^(-r t))/2 = 0
    y0, z0 = 0.2, -0.8
    exact = np.log((y0 - R * z0) / -(y0 + R * z0)) / (2 * R)
    mode = Mode(np.full(SIZE, R), y0=y0, z0=z0, loss=gs.Hinge())
    np.testing.assert_allclose(mode.death_time, exact, rtol=1e-14)
    slope = jax.grad(lambda y: Mode(R, y0=y, z0=z0, loss=gs.Hinge()).death_time)(y0)
    assert float(slope) == pytest.approx(z0 / (y0**2 - (R * z0) ** 2), rel=1e-13)


def test_near_the_separatrix_time_grows_as_a_logarithm():
    gap = 10.0 ** -np.linspace(2, 13, SIZE)
    t = Mode(R, y0=R * 0.5 * (1 + gap), z0=-0.5).time_to(1.0)
    slope = np.diff(t) / np.diff(np.log(1 / gap))
    np.testing.assert_allclose(slope[8:], 2 / R, rtol=2e-3)
