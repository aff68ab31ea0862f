"""Chebyshev steps: a stiff linear flow against the exponential of its matrix, and a network's flow against SciPy."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from scipy.integrate import solve_ivp
from scipy.linalg import expm

import gsdyn as gs
from gsdyn.diagnosis import _networks, _training, problem
from gsdyn.training._chebyshev import Allowed, Piece, follow

N = 30
TS = np.array([1e-3, 1e-2, 0.1, 1.0, 10.0])


def downhill(y, pull):
    """Towards the solution of `A y = pull b`, curvatures from 0.01 to 10,000."""
    rng = np.random.default_rng(0)
    Q = np.linalg.qr(rng.normal(size=(N, N)))[0]
    A, b = Q @ np.diag(np.geomspace(1e-2, 1e4, N)) @ Q.T, rng.normal(size=N)
    return pull * b - A @ y, A, b


def velocity(y, pull):
    return downhill(y, pull)[0]


def see(y):
    return y


def test_a_stiff_flow_is_followed_through_a_change_in_few_gradients():
    pulls = np.array([1.0, 1.0, 1.0, -2.0, -2.0])
    fresh = np.array([True, False, False, True, False])
    pieces = Piece(jnp.asarray(TS), jnp.asarray(pulls), jnp.asarray(fresh))
    _, A, b = downhill(np.zeros(N), 1.0)
    y, before, expected = np.zeros(N), 0.0, []
    for t, pull in zip(TS, pulls, strict=True):
        end = np.linalg.solve(A, pull * b)
        y, before = end + expm(-A * (t - before)) @ (y - end), t
        expected.append(y)
    for tolerance, allowed in ((1e-2, 5e-3), (1e-4, 5e-4)):
        run = follow(velocity, jnp.zeros(N), pieces, see, Allowed(0.0, tolerance, 4000))
        assert run.reached.all()
        error = np.linalg.norm(run.seen - np.array(expected), axis=1) / np.linalg.norm(expected, axis=1)
        assert (error <= allowed).all()
        assert int(run.gradients[-1]) < 1e4 * TS[-1] / 2 / 10  # a tenth of what gradient descent takes to be stable
    broken = follow(lambda y, pull: y * jnp.inf, jnp.ones(N), pieces, see, Allowed(0.0, 1e-2, 4000))
    assert not broken.reached.any()
    assert np.isnan(broken.seen).all()


def test_a_network_in_training_is_that_of_scipy_from_every_start():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(20, 3))
    y = np.where(x[:, 0] + 0.3 * rng.normal(size=20) > 0, 1.0, -1.0)
    net = gs.networks.FullyConnected(2, 8, activation=gs.networks.Erf())
    params = net.init(jax.random.key(0), 3, jnp.float64)
    test = {"x": x[:5] + 0.1, "y": y[:5]}
    given = problem.read(x, y, None, test, None, positive=None, limit=None, seed=0)
    one = _networks.network_of(net, params, x, 0)
    traced = []

    def apply(leaves, x):
        traced.append(len(x))
        return one.apply(leaves, x)

    runs = _training.Runs(given, dataclasses.replace(one, apply=apply))
    phases = (gs.Phase(2.0, gs.Unregularised()), gs.Phase(jnp.inf, gs.Mixed(0.3, 1.5)))
    setting = _training.Setting(phases, np.array([0.5, 2.0, 2.5, 6.0]), "")
    everything = np.concatenate([x, test["x"]])
    for factor, scale in ((1.0, 1.0), (1.1, 3.0)):
        traced.clear()
        leaves = [factor * leaf for leaf in one.leaves]
        found = runs.measured(leaves, setting, scale)
        f = by_scipy(one.apply, leaves, (x, y, everything), setting.ts, scale)
        np.testing.assert_allclose(found["train"], y * f[:, :20], atol=0.02 * np.abs(f).max())
        np.testing.assert_allclose(found["test"], y[:5] * f[:, 20:], atol=0.02 * np.abs(f).max())
    assert traced == [25]  # the start's outputs: the program of the first start serves the second


def test_both_methods_follow_the_same_flow():
    rng = np.random.default_rng(2)
    x = rng.normal(size=(20, 3))
    net = gs.networks.FullyConnected(2, 8, activation=gs.networks.Erf())
    params = net.init(jax.random.key(0), 3, jnp.float64)
    objective = gs.training.BinaryObjective(net.apply, mean=False)

    def flow(method):
        ts, seen = np.array([0.0, 0.1, 20.0]), lambda p: net.apply(p, x)
        return gs.training.gradient_flow(params, objective, (x, np.sign(x[:, 0])), ts, observe=seen, method=method)

    one, other = flow("tsit5"), flow("chebyshev")
    assert other.succeeded
    np.testing.assert_allclose(other.observed, one.observed, atol=3e-3 * np.abs(one.observed).max())
    np.testing.assert_allclose(net.apply(other.params, x), other.observed[-1], rtol=1e-12)


def by_scipy(apply, leaves, data, ts, scale):
    """Outputs of all inputs over time, from those at the start: the flow of the parameters themselves."""
    x, y, everything = data
    shapes = [leaf.shape for leaf in leaves]
    cuts = np.cumsum([leaf.size for leaf in leaves])[:-1]
    theta0 = np.concatenate([np.ravel(leaf) for leaf in leaves])

    def outputs(theta, x):
        return scale * apply([p.reshape(s) for p, s in zip(jnp.split(theta, cuts), shapes, strict=True)], x)

    def loss(theta, own, common):
        f = y * (outputs(theta, x) - outputs(jnp.asarray(theta0), x))
        away = theta - theta0
        return (jnp.logaddexp(0.0, -f) + common * f**2 / 2).sum() / scale**2 + own * (away**2).sum() / 2

    slope = jax.jit(jax.grad(loss))
    theta, seen = theta0, []
    for begin, end, penalty in ((0.0, 2.0, (0.0, 0.0)), (2.0, 6.0, (0.3, 1.5))):
        here = [t for t in ts if begin < t <= end]
        run = solve_ivp(
            lambda _, v, p=penalty: -np.asarray(slope(v, *p)), (begin, end), theta, "LSODA", here, rtol=1e-8
        )
        seen += list(run.y.T)
        theta = run.y[:, -1]
    change = jax.jit(lambda v: outputs(v, everything) - outputs(jnp.asarray(theta0), everything))
    return np.array([change(v) for v in seen])
