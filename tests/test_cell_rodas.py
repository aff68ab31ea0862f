"""Rodas5P: its tableau by the orders that it converges with, its flows against SciPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.special import expit

import gsdyn as gs
from gsdyn._integration import cell_problem, cell_rodas


def _step(y, h):
    """One step for `y' = 1 + sin(y) - y^2` in one variable: both ends, what is between, the error."""
    jacobian = np.cos(y) - 2 * y
    k = np.zeros(8)
    for i in range(8):
        u = y + cell_rodas.A[i] @ k
        rate = 1 + np.sin(u) - u * u
        k[i] = (rate + cell_rodas.C[i] @ k / h) / (1 / (cell_rodas.GAMMA * h) - jacobian)
    end = y + cell_rodas.A[7] @ k + k[7]
    theta = 0.4
    bend = theta ** np.arange(3) @ cell_rodas.H @ k
    return end, (1 - theta) * y + theta * (end + (1 - theta) * bend), k[7]


def _exact(t):
    solution = solve_ivp(lambda t, y: 1 + np.sin(y) - y * y, (0, t), [0.1], "DOP853", rtol=1e-13, atol=1e-15)
    return solution.y[0, -1]


def test_tableau_has_its_orders():
    steps = np.array([0.4, 0.2, 0.1])
    results = [_step(0.1, h) for h in steps]
    errors = {
        "end": [abs(r[0] - _exact(h)) for r, h in zip(results, steps, strict=True)],
        "between": [abs(r[1] - _exact(0.4 * h)) for r, h in zip(results, steps, strict=True)],
        "estimate": [abs(r[2]) for r in results],
    }
    orders = {name: np.log2(np.array(e[:-1]) / e[1:]) for name, e in errors.items()}
    assert (orders["end"] > 5.6).all()  # one step of order 5 errs by h^6
    assert (orders["between"] > 4.6).all()
    assert (orders["estimate"] > 4.6).all()


def _cells(count, ts):
    """Mild cells: none comes near an end of its domain."""
    rng = np.random.default_rng(0)
    s1, delta, lam = (rng.uniform(*r, count) for r in ((2, 6), (0, 0.7), (0.01, 1)))
    c = np.stack([s1**2, np.full(count, 4.0)]) / lam
    co = np.sqrt(1 - delta**2)
    alpha0 = 0.01 * rng.uniform(0.1, 1, (2, count))
    u, c, eta, start = jax.tree.map(jnp.asarray, ((co, -delta, delta, co), tuple(c), np.ones(count), tuple(alpha0)))
    return cell_problem.Cell(u, c, eta, start, jnp.broadcast_to(ts, (count, ts.size)))


def _exact_path(cell, ts):
    """In logit coordinates by SciPy's Radau, far below the tolerance."""
    u = np.reshape([float(x) for x in cell.u], (2, 2))
    kernel = u * np.array([float(x) for x in cell.c]) @ u.T

    def velocity(t, v):
        a = expit(v)
        return (-v - kernel @ a) / (a * (1 - a))

    v0 = [np.log(float(a) / (1 - float(a))) for a in cell.alpha0]
    return expit(solve_ivp(velocity, (0, ts[-1]), v0, "Radau", ts, rtol=1e-12, atol=1e-12).y)


def test_mild_flows_keep_the_tolerance_between_their_steps():
    ts = np.linspace(0, 1, 50)
    cells = _cells(20, ts)
    method = cell_problem.Method(gs.CrossEntropy(), 1e-8, 1e-8, 4096)
    used = jax.tree.map(lambda x: x + jnp.nan, cell_rodas.room(jnp.dtype(float), 20, 128))
    saved, _ = jax.jit(lambda *problem: cell_rodas.solve(method, *problem))(cells, used)
    assert saved.reached.all()
    assert (saved.accepted < 128).all()
    for i in range(5):
        cell = jax.tree.map(lambda x, i=i: x[i], cells)
        exact = _exact_path(cell, ts)
        np.testing.assert_allclose([a[i] for a in saved.alpha], exact, rtol=0, atol=1e-8)  # of one step
        z = np.array([float(c) for c in cell.c])[:, None] * (np.reshape([float(x) for x in cell.u], (2, 2)).T @ exact)
        np.testing.assert_allclose([a[i] for a in saved.z], z, rtol=0, atol=1e-8 * (1 + np.abs(z).max()))


@pytest.mark.parametrize("most", [3, 128])
def test_what_cannot_be_done_is_left(most):
    cells = _cells(4, np.array([0.0, 1.0]))
    if most > 3:  # a start beside the other's end lets alpha fall below anything that a step can follow
        cells = cells._replace(
            alpha0=(jnp.full(4, 1 - 1e-9), jnp.full(4, 1e-9)), c=(cells.c[0] * 1e4, cells.c[1] * 1e4)
        )
    method = cell_problem.Method(gs.CrossEntropy(), 1e-8, 1e-8, 4096)
    saved, _ = cell_rodas.solve(method, cells, cell_rodas.room(jnp.dtype(float), 4, most))
    assert not saved.reached.any()
    assert (saved.accepted + saved.rejected <= most).all()
