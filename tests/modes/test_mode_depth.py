"""Any depth from a balanced start, against mpmath's quadrature and the network's own equations (C18-Eq2, Eq4, B)."""

import jax.numpy as jnp
import mpmath as mp
import numpy as np
from _mode_oracles import SIZE, depth_time, integrate, pull, relative

from gsdyn.modes import Mode

ROWS = [
    # norm, depth, u0, u
    (1.0, 2.0, 0.05, 3.0),
    (1e-3, 2.0, 1e-6, 40.0),
    (1e3, 2.0, 2.0, 690.0),
    (0.3, 2.001, 0.1, 5.0),
    (0.3, 2.5, 0.1, 12.0),
    (1.0, 3.0, 1e-3, 47.0),
    (7.0, 4.0, 0.4, 49.0),
    (1e-3, 4.0, 0.02, 650.0),
    (2.0, 5.5, 0.1, 20.0),
    (1.0, 8.0, 0.3, 2.0),
    (1e3, 16.0, 0.01, 100.0),
    (0.1, 64.0, 0.05, 700.0),
]


def test_times_against_mpmath():
    norm, depth, u0, u = (jnp.array(np.resize(v, SIZE)) for v in zip(*ROWS, strict=True))
    mode = Mode(norm, depth, u0=u0)
    exact = np.resize([depth_time(*row) for row in ROWS], SIZE)
    assert relative(mode.time_to(u), exact) < 5e-15
    assert relative(mode.logit(exact), u) < 2e-14


def test_depth_two_is_the_inverse_of_log_plus_ei():
    u0, norm, u = 0.05, 1.7, 4.0
    with mp.workdps(30):
        exact = float((mp.log(u / mp.mpf(u0)) + mp.ei(u) - mp.ei(u0)) / (2 * norm))
    assert relative(Mode(np.full(SIZE, norm), u0=u0).time_to(u), exact) < 2e-15


def test_deep_is_kummer():
    # Psi(u) = (u^a / a)(1 + 1F1(a; a + 1; u))
    norm, depth, u0, u = 1.7, 5, 0.2, 4.0
    with mp.workdps(30):
        a = mp.mpf(2) / depth - 1
        psi = [(x**a / a) * (1 + mp.hyp1f1(a, a + 1, x)) for x in (mp.mpf(u0), mp.mpf(u))]
        exact = float((psi[1] - psi[0]) / (depth * mp.mpf(norm) ** (mp.mpf(2) / depth)))
    assert relative(Mode(np.full(SIZE, norm), depth, u0=u0).time_to(u), exact) < 5e-15


def test_the_network_with_diagonal_weights():
    # appendix B's system before any symmetry is used, N - 1 = 3 hidden layers
    norm, rate, u0 = 0.8, 0.6, 0.1
    z0 = (u0 / norm) ** (1 / 4)

    def field(s):
        y, z = s[0], s[1:]
        g = rate * pull(y * z.prod())
        return np.array([norm**2 * z.prod() * g, *(y * z.prod() / z * g)])

    t = np.linspace(0, 12, SIZE)
    states = integrate(field, [norm * z0, z0, z0, z0], t)
    mode = Mode(norm, 4, rate, u0=np.full(SIZE, u0))
    assert relative(mode.logit(t), states.prod(axis=1)) < 1e-9
    y, z = mode.weights(t)
    assert relative(y, states[:, 0]) < 1e-9
    assert relative(z, states[:, 2]) < 1e-9


def test_deeper_is_not_always_faster():
    # C18-§3.4 says "the deeper the network, the faster the learning": not from a small logit, nor from small weights
    depth = np.resize([2.0, 3.0, 4.0, 8.0], SIZE)
    small = Mode(1.0, depth, u0=0.01).time_to_confidence(0.9)
    assert (np.diff(small[:4]) > 0).all()
    large = Mode(1.0, depth, u0=0.5).time_to_confidence(0.9)
    assert (np.diff(large[:4]) < 0).all()
    same_weights = Mode(1.0, depth, u0=0.5**depth).time_to_confidence(0.9)
    assert same_weights[3] > 5 * same_weights[0]
