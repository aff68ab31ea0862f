"""What the page of the two moons shows, against the equations written anew in NumPy."""

import dataclasses
import time

import numpy as np
from scipy.integrate import solve_ivp

from gsdyn.explore.server import one_thread
from gsdyn.explore.two_moons import CELLS, EXAMPLES, FOLLOWED, RTOL, Settings, grid, view
from gsdyn.explore.two_moons_page import boundary

SETTINGS = Settings(margin=-0.1, decay=0.02, decoupling=0.3, switch=0.5, time=1.5)


def kernel(scene):
    """The label-signed kernel."""
    return scene.y[:, None] * np.asarray(scene.theta) * scene.y[None, :]


def by_scipy(K, settings):
    """Coefficients at the stopping time: `beta' = sigma(-K beta) - lam_2 K beta - lam_1 beta`, phase by phase."""

    def velocity(t, beta, decoupling):
        f = K @ beta
        return 1 / (1 + np.exp(f)) - decoupling * f - settings.decay * beta

    def jacobian(t, beta, decoupling):
        curvature = 1 / (4 * np.cosh(K @ beta / 2) ** 2)
        return -(curvature + decoupling)[:, None] * K - settings.decay * np.eye(len(K))

    beta = np.zeros(len(K))
    for start, end, decoupling in ((0.0, settings.switch, 0.0), (settings.switch, settings.time, settings.decoupling)):
        given = {"args": (decoupling,), "jac": jacobian, "rtol": 1e-7, "atol": 1e-9}
        beta = solve_ivp(velocity, (start, end), beta, "BDF", **given).y[:, -1]
    return beta


def test_margins_follow_the_flow_of_the_kernel_through_the_switch():
    seen = view(SETTINGS)
    K = kernel(seen.scene)
    beta = by_scipy(K, SETTINGS)
    f = K @ beta
    size = np.abs(f).max()
    assert float(seen.run.ts[seen.now]) == SETTINGS.time
    np.testing.assert_allclose(seen.run.margins[seen.now], f, atol=100 * RTOL * size)
    U = np.asarray(seen.scene.basis.U[:, :FOLLOWED])
    np.testing.assert_allclose(seen.z[seen.now], U.T @ f, atol=100 * RTOL * size * EXAMPLES**0.5)
    assert seen.accuracy[seen.now] == (f > 0).mean()
    assert seen.least_margin[seen.now] == np.asarray(seen.run.margins[seen.now]).min()
    outputs = np.asarray(seen.scene.to_grid) @ (seen.scene.y * np.asarray(seen.run.coefficients[seen.now]))
    np.testing.assert_allclose(seen.outputs.ravel(), outputs, rtol=1e-9, atol=1e-9 * size)


def test_the_end_of_training_is_stationary():
    end = view(SETTINGS).end
    assert end is not None
    assert bool(end.converged)
    f = np.asarray(end.margins)
    pull = 1 / (1 + np.exp(f)) - SETTINGS.decoupling * f
    np.testing.assert_allclose(kernel(view(SETTINGS).scene) @ pull, SETTINGS.decay * f, atol=1e-8 * np.abs(f).max())
    assert float(end.error_bound) < 1e-8


def test_the_boundary_is_where_the_outputs_vanish():
    points = grid()
    lines = boundary((points[:, 0] - 0.31).reshape(CELLS, CELLS))
    assert len(lines["x"]) == 1
    np.testing.assert_allclose(lines["x"][0], 0.31, atol=1e-12)
    assert (lines["y"][0].min(), lines["y"][0].max()) == (-2.0, 2.0)
    assert boundary(None) == {"x": [], "y": []}


def test_a_move_of_the_margin_is_computed_within_a_third_of_a_second():
    """Some 0.07 s on a machine of today; where threads of linear algebra wait for each other, up to 0.9."""
    spent = []
    with one_thread():
        for number in range(6):
            began = time.process_time()
            view(dataclasses.replace(SETTINGS, margin=0.011 * number))
            spent.append(time.process_time() - began)
    assert np.median(spent[1:]) < 0.3


def test_moves_of_the_time_keep_the_data():
    first, second = (view(dataclasses.replace(SETTINGS, time=time)) for time in (1.5, 2.5))
    assert first.scene is second.scene
    assert first.end is second.end
