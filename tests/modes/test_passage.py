"""The quadrature in theta against mpmath, and its inverse (C18-Eq20, Eq21; A.7)."""

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
from _mode_oracles import SIZE, depth_time, fill, hyperbola_time, relative

from gsdyn.modes import Mode
from gsdyn.modes._passage import angle_after, time_along
from gsdyn.modes.hyperbola import logit_at

STARTS = [
    (1.3, 0.5, 0.2, 0.11),
    (1.3, 0.5, 0.2, 40.0),
    (0.02, 0.3, 2.0, 700.0),
    (1.0, 1.0, -0.999999, 2.0),
    (1.0, 30.0, -29.0, -5.0),
    (1.0, 30.0, -29.0, 60.0),
    (500.0, 1e-6, 1e-9, 20.0),
    (1.0, 1e-4, 0.0, 690.0),
    (1e-3, 700.0, 1e-6, 2.0),
    (1e-3, 700.0, -1e-6, 50.0),
    (1.0, 0.2 * (1 + 1e-7), 0.2, 300.0),
    (2.0, 0.4, 0.2, 650.0),
]


def test_times_against_mpmath():
    norm, y0, z0, u = (jnp.array(fill(v)) for v in zip(*STARTS, strict=True))
    mode = Mode(norm, y0=y0, z0=z0)
    exact = [hyperbola_time(*row) for row in STARTS[:-1]]
    exact.append(depth_time(2.0, 2, 0.08, 650.0))  # c = 0
    assert relative(mode.time_to(u), fill(exact)) < 4e-14
    assert relative(mode.logit(fill(exact)), u) < 2e-14


def test_decay_against_the_exponential_integral():
    # A.7: t = (log(u0/u) + E1(-u) - E1(-u0)) / 2r
    norm, u0 = 0.7, -5.0
    mode = Mode.decaying(norm, fill(u0))
    u = fill([-4.9, -1.0, -1e-3, -1e-300])
    with mp.workdps(30):
        exact = [float((mp.log(u0 / mp.mpf(v)) + mp.e1(-v) - mp.e1(-u0)) / (2 * norm)) for v in u]
    assert relative(mode.time_to(u), exact) < 2e-14
    assert relative(mode.logit(jnp.array(exact)), u) < 1e-12
    assert (mode.time_to(fill(0.0)) == np.inf).all()
    # Eq. 22's lower bound on the time
    assert (mode.time_to(u) >= jnp.log(u0 / u) / (2 * norm)).all()


def test_no_time_is_too_short_or_too_long():
    # a step from u0 > 0 shorter than its rounding is no step
    growing, shrinking, u0 = fill([4.0, 2.0]), fill([0.0, 2.0]), fill([2.0, 0.0])
    time = np.repeat([1e-300, 1e-9, 1.0, 1e9, 1e150, 1.7e308], SIZE // 6)
    time = np.where(u0 > 0, np.maximum(time, 1.0), time)
    arrays = [jnp.asarray(v) for v in (u0, growing, shrinking)]
    angle = angle_after(jnp.asarray(time), *arrays, jnp.full(time.shape, jnp.inf))
    u = jax.vmap(logit_at)(angle, *arrays)
    assert relative(time_along(angle, arrays[0], u, *arrays[1:]), time) < 1e-12


def test_a_logit_too_large_to_move_stays():
    mode = Mode(1.0, y0=fill(100.0), z0=100.0)
    assert (mode.logit(1e300) == 1e4).all()
    assert (mode.time_to(1e4 + 1) == np.inf).all()


def test_the_weight_beside_the_exponential():
    # C - 1 instead of 1, from the degenerate hyperbola: (C-1) log(u/u0) + Ei(u) - Ei(u0)
    u0, u = 0.2, 3.0
    angle, start, stop, growing, zero, end = (
        jnp.asarray(fill(v)) for v in (np.log(u / u0), u0, u, 2 * u0, 0.0, np.inf)
    )
    found = time_along(angle, start, stop, growing, zero, w=4.0)
    assert relative(found, float(4 * mp.log(u / u0) + mp.ei(u) - mp.ei(u0))) < 2e-15
    assert relative(angle_after(found, start, growing, zero, end, w=4.0), angle) < 2e-15
