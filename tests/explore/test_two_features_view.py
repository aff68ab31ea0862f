"""What the page of the two-feature model shows, against SciPy and the paper's own end points."""

import dataclasses

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.optimize import root

from gsdyn.explore.two_features import DECAYS, Settings, law, view

PAPER = {
    2.0: (6.1204, 1.6400),
    3.0: (7.0681, 1.5831),
    4.0: (7.8120, 1.4668),
    5.0: (8.4652, 1.3290),
    6.0: (9.0710, 1.1853),
}
"""Responses at the optimum, P21 appendix B.1: delta = 0.5, s_2 = 2, lam = 0.01."""


def rotation(delta):
    c = np.sqrt(1 - delta**2)
    return np.array([[c, -delta], [delta, c]])


def velocity(z, s2, settings):
    """`z' = S^2 U^T (sigma(-U z) - lam_2 U z) - lam_1 z`, written anew."""
    U = rotation(settings.delta)
    f = U @ z
    return s2 * (U.T @ (1 / (1 + np.exp(f)) - settings.decoupling * f)) - settings.decay * z


def flown(settings, s2):
    done = solve_ivp(
        lambda t, z: velocity(z, s2, settings), (0, settings.time), [0, 0], "LSODA", rtol=1e-12, atol=1e-13
    )
    return done.y[:, -1]


def ended(settings, s2):
    return root(velocity, [1.0, 1.0], args=(s2, settings), tol=1e-14).x


def answers(solve, settings):
    """`d z/d(s_1^2)` by central differences."""
    s2 = np.array([settings.s1**2, settings.s2**2])
    step = np.array([1e-4 * s2[0], 0])
    return (solve(settings, s2 + step) - solve(settings, s2 - step)) / (2 * step[0])


@pytest.mark.parametrize(
    "settings",
    [
        Settings(delta=0.5, time=3.0),
        Settings(decay=0.5, decoupling=0.2, time=1.7),
        Settings(s1=1.5, s2=3.0, delta=0.8, decay=0.0, time=40.0),
    ],
    ids=["decay", "mixed", "no penalty"],
)
def test_responses_and_starvation_at_the_stopping_time(settings):
    path = view(settings).path
    assert bool(path.succeeded)
    assert float(path.ts[path.now]) == settings.time
    s2 = np.array([settings.s1**2, settings.s2**2])
    np.testing.assert_allclose(path.z[path.now], flown(settings, s2), rtol=1e-7)
    np.testing.assert_allclose(path.matrix[path.now, :, 0], answers(flown, settings), rtol=1e-5)


@pytest.mark.parametrize("settings", [Settings(delta=0.5), Settings(decay=0.5, decoupling=0.2)], ids=["decay", "mixed"])
def test_the_optimum_its_certificates_and_its_starvation(settings):
    seen = view(settings)
    assert seen.end is not None
    s2 = np.array([settings.s1**2, settings.s2**2])
    z = ended(settings, s2)
    np.testing.assert_allclose(seen.end.z, z, rtol=1e-10)
    np.testing.assert_allclose(seen.end.matrix[:, 0], answers(ended, settings), rtol=1e-5)
    assert bool(seen.end.converged)
    assert float(seen.end.gap) < 1e-20
    assert float(seen.end.error_bound) < 1e-12
    assert seen.dual is not None
    np.testing.assert_allclose(seen.dual[-1], z, rtol=1e-6)  # the dual flow ends there too


@pytest.mark.parametrize("s1", PAPER)
def test_the_end_points_of_the_paper(s1):
    end = view(Settings(s1=s1, delta=0.5)).end
    assert end is not None
    np.testing.assert_allclose(end.z, PAPER[s1], atol=5e-5)


def test_the_curve_over_the_decay_is_that_of_each_decay():
    curve = view(Settings()).curve
    for i in (0, 30, 60):
        settings = Settings(decay=float(DECAYS[i]))
        np.testing.assert_allclose(curve.z[i], ended(settings, np.array([16.0, 4.0])), rtol=1e-8)


@pytest.mark.parametrize(
    ("changed", "said"), [({}, -1), ({"s1": 1.0}, 1), ({"delta": 0.8}, 1), ({"delta": 0.0}, 0), ({"s1": 2.0}, 0)]
)
def test_the_sign_law_and_the_signs_found(changed, said):
    settings = dataclasses.replace(Settings(), **changed)
    told = law(settings, view(settings))
    assert (told.said, told.by_now, told.at_end) == (said, said, said)
    assert told.proven


def test_without_a_penalty_there_is_no_end():
    settings = Settings(decay=0.0)
    seen = view(settings)
    assert seen.end is None
    assert seen.dual is None
    assert law(settings, seen).at_end is None


def test_decoupling_alone_starves_nothing_at_the_optimum():
    settings = Settings(decay=0.0, decoupling=0.1)
    told = law(settings, view(settings))
    assert not told.proven
    assert told.at_end == 0


@pytest.mark.parametrize(
    ("changed", "told"),
    [({"delta": 1.0}, "delta must be in"), ({"s1": -1.0}, "s1 must be"), ({"decay": np.nan, "decoupling": 1.0}, "lam1"),
     ({"time": 0.0}, "time must be"), ({"decoupling": np.inf}, "lam2")],
)  # fmt: skip
def test_settings_outside_the_model(changed, told):
    with pytest.raises(ValueError, match=told):
        view(dataclasses.replace(Settings(), **changed))
