"""One class of a softmax classifier against SciPy's system of all its outputs (C18-A.2)."""

import mpmath as mp
import numpy as np
import pytest
from _mode_oracles import SIZE, integrate, relative

from gsdyn.modes import Mode, MultiClassMode

T = np.linspace(0, 8, SIZE)


@pytest.mark.slow
def test_the_system():
    r, rate, classes, y0, z0, v0 = 1.3, 0.6, 4, 0.3, 0.2, 0.1

    def field(state):
        y, z = state[0], state[1:]
        weight = np.exp(z * y)
        pull = -weight / weight.sum()
        pull[0] += 1
        return rate * np.concatenate([[r**2 * (z @ pull)], y * pull])

    states = integrate(field, [y0, z0, *[-v0] * (classes - 1)], T)
    mode = MultiClassMode(np.full(SIZE, r), classes, y0, z0, v0, rate)
    y, z, v = mode.weights(T)
    np.testing.assert_allclose(np.stack([y, z, -v], axis=1), states[:, :3], rtol=1e-10)
    margin = states[:, 0] * (states[:, 1] - states[:, 2])
    np.testing.assert_allclose(mode.margin(T), margin, rtol=1e-10)
    np.testing.assert_allclose(mode.time_to(margin)[1:], T[1:], rtol=1e-9)
    invariant = classes * states[:, 0] ** 2 - (classes - 1) * r**2 * (states[:, 1] - states[:, 2]) ** 2
    np.testing.assert_allclose(invariant, mode.invariant[0], rtol=1e-9)
    share = np.exp(states[:, 0] * states[:, 1])
    share = share / (share + (classes - 1) * np.exp(states[:, 0] * states[:, 2]))
    np.testing.assert_allclose(mode.confidence(T), share, rtol=1e-10)
    assert relative(mode.time_to_confidence([*share[1:].tolist(), 0.99])[:-1], T[1:]) < 1e-9


def test_degenerate_start_in_closed_form():
    r, classes, y0, u = 0.7, 5, 0.2, 3.0
    z0 = np.sqrt(classes / (classes - 1)) * y0 / r
    mode = MultiClassMode(np.full(SIZE, r), classes, y0, z0)
    with mp.workdps(30):
        m0 = mp.mpf(float(mode.start[0]))
        total = mp.ei(u) - mp.ei(m0) + (classes - 1) * mp.log(u / m0)
        exact = float(total / (2 * mp.sqrt(classes * (classes - 1)) * r))
    assert relative(mode.time_to(u), exact) < 1e-14


def test_two_outputs_learn_sqrt_two_times_as_fast_as_one():
    r, u0 = 0.7, 0.1
    y0 = np.sqrt(u0 * r / np.sqrt(2))
    mode = MultiClassMode(np.full(SIZE, r), 2, y0, u0 / y0)
    assert relative(mode.margin(T), Mode(r, u0=np.full(SIZE, u0)).logit(np.sqrt(2) * T)) < 1e-13


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("norm", (-1.0, 3, 0.1, 0.1)),
        ("classes", (1.0, 1, 0.1, 0.1)),
        ("y0", (1.0, 3, -0.1, 0.1)),
        ("v0", (1.0, 3, 0.1, 0.1, -0.2)),
        ("rate", (1.0, 3, 0.1, 0.1, 0.1, 0.0)),
    ],
)
def test_bad_input(name, values):
    with pytest.raises(ValueError, match=name):
        MultiClassMode(*values)
