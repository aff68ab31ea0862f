"""Penalties in training are those of the theory: against NumPy, against the fixed point, and for single rows."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gsdyn as gs
from gsdyn.training import BinaryObjective, Penalised, Responses, SoftmaxObjective, gradient_flow, train

X = np.array([[1.0, 0.5], [0.2, -1.0], [-0.7, 0.3], [0.4, 0.9], [-1.1, -0.2]])
Y = np.array([1.0, -1.0, -1.0, 1.0, -1.0])
START = np.array([0.1, -0.2])


def linear(w, x):
    return x @ w


SUM, MEAN = BinaryObjective(linear, mean=False), BinaryObjective(linear)


def gradient(w, rows, lam1, lam2, gamma, centre, origin):
    """By hand: of the sum over `rows`, which carry their share of the weight decay."""
    x, y = X[rows], Y[rows]
    f = y * (x @ w - origin[rows])
    pull = -1 / (1 + np.exp(f)) + lam2[rows] * (f - gamma[rows])
    return (pull * y) @ x + lam1 * len(y) / len(Y) * (w - centre)


CASES = {
    "weight decay": (gs.WeightDecay(0.3), 0.3, 0.0, 0.0),
    "spectral decoupling": (gs.SpectralDecoupling(0.2), 0.0, 0.2, 0.0),
    "mixed": (gs.Mixed(0.3, 0.2), 0.3, 0.2, 0.0),
    "by class": (
        gs.SpectralDecoupling.by_class(Y, (0.1, 0.4), (0.5, 2.0)), 0.0,
        np.where(Y > 0, 0.4, 0.1), np.where(Y > 0, 2.0, 0.5),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("centred", [True, False])
def test_one_step_of_every_penalty(name, centred):
    penalty, lam1, lam2, gamma = CASES[name]
    lam2, gamma = np.broadcast_to(lam2, 5), np.broadcast_to(gamma, 5)
    centre = START + np.array([0.5, -0.1]) if centred else np.zeros(2)
    origin = X @ START if centred else np.zeros(5)
    for objective, parts in ((SUM, 1), (MEAN, 5)):
        penalised = Penalised(objective, penalty, centre=jnp.asarray(centre) if centred else None)
        columns = penalised.columns(X, Y, origin if centred else None)
        found = jax.grad(penalised)(jnp.asarray(START), *columns)
        expected = gradient(START, slice(None), lam1, lam2, gamma, centre, origin) / parts
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-15)
        # a batch of two rows has two fifths of the weight decay
        batch = jax.grad(penalised)(jnp.asarray(START), *(part[1:3] for part in columns))
        expected = gradient(START, slice(1, 3), lam1, lam2, gamma, centre, origin) / (2 if parts == 5 else 1)
        np.testing.assert_allclose(batch, expected, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("name", ["weight decay", "mixed", "spectral decoupling"])
def test_training_ends_at_the_fixed_point_of_the_theory(name):
    """A linear network is its own linearisation: Phi = x, counted from the start."""
    penalty = CASES[name][0]
    x, y = X[:2], Y[:2]  # as many weights as examples: full row rank
    basis = gs.FeatureBasis.from_ntrf(x, y)
    penalised = Penalised(SUM, penalty, centre=jnp.asarray(START))
    origin = jnp.asarray(x @ START)
    look = Responses(SUM, basis.U, jnp.asarray(x), jnp.asarray(y), origin)
    columns = penalised.columns(x, y, origin)
    run = train(jnp.asarray(START), penalised, columns, optax.sgd(0.5), [0, 2000], observe=look)
    np.testing.assert_allclose(run.observed[0], 0, atol=1e-15)
    np.testing.assert_allclose(run.observed[1], gs.fixed_point(basis, gs.CrossEntropy(), penalty).z, rtol=1e-9)


@pytest.mark.slow
def test_gradient_flow_of_a_linear_network_is_the_primal_flow():
    penalty = gs.Mixed(0.3, 0.2)
    basis = gs.FeatureBasis.from_ntrf(X[:2], Y[:2])
    penalised = Penalised(SUM, penalty, centre=jnp.asarray(START))
    origin = jnp.asarray(X[:2] @ START)
    look = Responses(SUM, basis.U, jnp.asarray(X[:2]), jnp.asarray(Y[:2]), origin)
    ts = jnp.asarray([0.0, 0.1, 1.0, 5.0])
    data = penalised.columns(X[:2], Y[:2], origin)
    run = gradient_flow(jnp.asarray(START), penalised, data, ts, observe=look, tolerance=1e-9)
    flow = gs.integrate(gs.PrimalFlow(basis, gs.CrossEntropy(), penalty), ts, rtol=1e-9, atol=1e-11)
    assert bool(run.succeeded)
    np.testing.assert_allclose(run.observed, flow.z, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(X[:2] @ (run.params - START) * Y[:2] @ np.asarray(basis.U), run.observed[-1], rtol=1e-9)
    few = gradient_flow(jnp.asarray(START), penalised, data, ts, observe=look, max_steps=2)
    assert not bool(few.succeeded)
    assert np.isnan(few.observed[-1]).all()


def test_softmax_of_two_classes_with_a_penalty_is_binary():
    """Logits (f/2, -f/2) have the loss of the margin f, and |F|^2 = f^2/2."""

    def two(w, x):
        return jnp.stack([x @ w, -(x @ w)], axis=1) / 2

    classes = np.where(Y > 0, 0, 1)
    soft = Penalised(SoftmaxObjective(two), gs.SpectralDecoupling(0.4))
    binary = Penalised(MEAN, gs.SpectralDecoupling(0.2))
    w = jnp.asarray(START)
    a = jax.value_and_grad(soft)(w, *soft.columns(X, classes))
    b = jax.value_and_grad(binary)(w, *binary.columns(X, Y))
    np.testing.assert_allclose(a[0], b[0], rtol=1e-13)
    np.testing.assert_allclose(a[1], b[1], rtol=1e-12)
    look = Responses(SoftmaxObjective(two), jnp.eye(5)[:, :3], jnp.asarray(X), jnp.asarray(classes), jnp.zeros(5))
    np.testing.assert_allclose(look(w), np.asarray(two(w, X))[:3], rtol=1e-13)


def test_bad_columns_are_refused():
    penalised = Penalised(SUM, gs.WeightDecay(0.1))
    with pytest.raises(ValueError, match="y must have as many rows as x"):
        penalised.columns(X, Y[:3])
    with pytest.raises(ValueError, match="origin must have as many rows as x"):
        penalised.columns(X, Y, np.zeros(2))
    with pytest.raises(ValueError, match="origin must be finite"):
        penalised.columns(X, Y, np.full(5, np.nan))
    by_class = gs.SpectralDecoupling.by_class(Y, (0.1, 0.2), (1.0, 1.0))
    with pytest.raises(ValueError, match="penalty must be the same for every example beside a softmax"):
        Penalised(SoftmaxObjective(linear), by_class).columns(X, np.zeros(5, int))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ts": [1.0, 0.5]}, "ts must be a vector of increasing times"),
        ({"ts": [-1.0]}, "ts must be finite and >= 0"),
        ({"tolerance": 0.0}, r"tolerance must be in \(0, 1\), got 0.0"),
        ({"max_steps": 0}, "max_steps must be at least 1"),
    ],
)
def test_bad_flows_are_refused(change, message):
    arguments = {"ts": [0.0, 1.0], **change}
    with pytest.raises(ValueError, match=message):
        gradient_flow(jnp.asarray(START), SUM, (X, Y), **arguments)
