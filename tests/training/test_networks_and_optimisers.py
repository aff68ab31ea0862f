"""Any optax optimiser and any network: line searches, modules with functions in them, Flax, single precision."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.optimize

import gsdyn as gs
from gsdyn.training import BinaryObjective, Penalised, gradient_flow, stacked, train

X = np.array([[1.0, 0.5], [0.2, -1.0], [-0.7, 0.3], [0.4, 0.9], [-1.1, -0.2]])
Y = np.array([1.0, -1.0, -1.0, 1.0, -1.0])
W = np.array([0.1, -0.2])


def linear(w, x):
    return x @ w


PENALISED = Penalised(BinaryObjective(linear), gs.WeightDecay(0.1))
COLUMNS = PENALISED.columns(X, Y)


def loss(w):
    """What the penalised objective is, in NumPy: a mean, with a fifth of the weight decay."""
    return np.mean(np.log1p(np.exp(-Y * (X @ w)))) + 0.1 / 5 * (w @ w) / 2


BEST = scipy.optimize.minimize(loss, W, method="BFGS", options={"gtol": 1e-9}).x


@pytest.mark.parametrize("dtype", [jnp.float64, jnp.float32])
def test_lbfgs_searches_along_its_line(dtype):
    with jax.numpy_dtype_promotion("standard"):  # data in double precision
        run = train(jnp.asarray(W, dtype), PENALISED, COLUMNS, optax.lbfgs(), [20])
    assert run.params.dtype == dtype
    np.testing.assert_allclose(run.params, BEST, rtol=1e-7 if dtype == jnp.float64 else 1e-5)


def test_polyaks_step_is_by_hand():
    w = W.copy()
    for _ in range(8):
        m = Y * (X @ w)
        slope = (-Y / (1 + np.exp(m)) / 5) @ X + 0.1 / 5 * w
        # optax adds nothing to the square of the gradient, and its steps end at max_learning_rate
        w = w - min(0.5, loss(w) / (slope @ slope)) * slope
    run = train(jnp.asarray(W), PENALISED, COLUMNS, optax.polyak_sgd(0.5), [8])
    np.testing.assert_allclose(run.params, w, rtol=1e-12)


def test_single_precision_stays_under_every_optimiser():
    w = {"a": jnp.asarray(W, jnp.float32)}
    objective = BinaryObjective(lambda params, x: linear(params["a"], x))
    for optimizer in (optax.adamw(0.1), optax.contrib.schedule_free_adamw(0.1), optax.polyak_sgd(0.1)):
        with jax.numpy_dtype_promotion("standard"):  # data in double precision
            run = train(w, objective, (X, Y), optimizer, [3])
        assert run.params["a"].dtype == run.observed["a"].dtype == jnp.float32
        assert np.isfinite(run.params["a"]).all()


class Net(eqx.Module):
    """Functions, integers and numbers beside two arrays."""

    first: jax.Array
    last: jax.Array
    seen: jax.Array
    activation: object = jnp.tanh
    slope: float = 0.5
    width: int = 4

    def __call__(self, x):
        return self.slope * self.activation(x @ self.first) @ self.last


def call(net, x):
    return net(x)


def net_at(seed):
    first, last = jax.random.split(jax.random.key(seed))
    return Net(jax.random.normal(first, (2, 4)), jax.random.normal(last, (4, 1)), jnp.arange(3))


def by_arrays(arrays, x):
    return (0.5 * jnp.tanh(x @ arrays[0]) @ arrays[1])[:, 0]


def test_an_equinox_module_is_trained_where_it_has_parameters():
    net, objective = net_at(0), BinaryObjective(call)
    run = train(net, objective, (X, Y), optax.adam(0.1), [0, 7])
    arrays = train((net.first, net.last), BinaryObjective(by_arrays), (X, Y), optax.adam(0.1), [0, 7])
    np.testing.assert_allclose(run.params.first, arrays.params[0], rtol=1e-12)
    np.testing.assert_allclose(run.observed.last, arrays.observed[1], rtol=1e-12)
    assert run.params.activation is jnp.tanh
    assert (run.params.slope, run.params.width) == (0.5, 4)
    np.testing.assert_array_equal(run.params.seen, [0, 1, 2])
    assert np.isfinite(objective(run.params, X, Y))
    # weight decay is of its parameters alone, towards those at the start
    decayed = Penalised(objective, gs.WeightDecay(0.5), centre=net)
    moved = eqx.tree_at(lambda net: net.first, net, net.first + 1)
    expected = objective(moved, X, Y) + 0.5 / 5 * 8 / 2
    np.testing.assert_allclose(decayed(moved, *decayed.columns(X, Y)), expected, rtol=1e-13)


def test_many_modules_and_their_flow():
    nets = [net_at(seed) for seed in range(2)]
    data = np.stack([X, X]), np.stack([Y, -Y])
    many = train(stacked(nets), BinaryObjective(call), data, optax.sgd(0.1), [5], many=True)
    for row, (net, y) in enumerate(zip(nets, (Y, -Y), strict=True)):
        alone = train(net, BinaryObjective(call), (X, y), optax.sgd(0.1), [5])
        np.testing.assert_allclose(many.params.first[row], alone.params.first, rtol=1e-12)
    flow = gradient_flow(nets[0], BinaryObjective(call), (X, Y), [0.0, 0.3], tolerance=1e-8)
    steps = train(nets[0], BinaryObjective(call), (X, Y), optax.sgd(1e-4), [3000])
    np.testing.assert_allclose(flow.params.first, steps.params.first, rtol=1e-3)
    assert flow.observed.first.shape == (2, 2, 4)


def test_numbers_of_python_are_parameters_outside_modules():
    run = train({"w": W, "b": 0.5}, BinaryObjective(lambda p, x: x @ p["w"] + p["b"]), (X, Y), optax.sgd(0.1), [1])
    pull = -Y / (1 + np.exp(Y * (X @ W + 0.5))) / 5
    np.testing.assert_allclose(run.params["b"], 0.5 - 0.1 * pull.sum(), rtol=1e-13)
    np.testing.assert_allclose(run.params["w"], W - 0.1 * pull @ X, rtol=1e-13)


@pytest.mark.parametrize(
    ("params", "given"),
    [
        ({}, "none in a value of type dict"),
        (None, "none in a value of type NoneType"),
        ({"w": jnp.arange(2)}, "none in a value of type dict"),
        (call, "none in a value of type function"),
        ("weights", "none in a value of type str"),
        (jnp.asarray(W + 0j), "complex ones"),
    ],
)
def test_what_has_no_parameters_is_refused(params, given):
    for start in (
        lambda: train(params, BinaryObjective(linear), (X, Y), optax.sgd(0.1), [1]),
        lambda: gradient_flow(params, BinaryObjective(linear), (X, Y), [1.0]),
    ):
        with pytest.raises(ValueError, match=f"params must hold real floating-point arrays, got {given}"):
            start()


def test_arrays_of_objects_are_no_parameters():
    with pytest.raises(ValueError, match="params must hold arrays of numbers, got one of dtype object"):
        train({"w": np.array([1.0, None])}, BinaryObjective(linear), (X, Y), optax.sgd(0.1), [1])


def test_statistics_are_no_parameters():
    variables = {"params": {"w": jnp.asarray(W)}, "batch_stats": {"mean": jnp.zeros(2)}}
    with pytest.raises(ValueError, match=r"params must be the parameters alone, such as variables\['params'\]"):
        train(variables, BinaryObjective(linear), (X, Y), optax.sgd(0.1), [1])


def test_a_flax_nnx_module_is_trained_and_keeps_its_statistics():
    nnx = pytest.importorskip("flax.nnx", reason="Flax is not installed")

    class Normal(nnx.Module):
        def __init__(self):
            self.first = nnx.Linear(2, 4, rngs=nnx.Rngs(0))
            self.norm = nnx.BatchNorm(4, use_running_average=True, rngs=nnx.Rngs(0))
            self.last = nnx.Linear(4, 1, rngs=nnx.Rngs(1))

        def __call__(self, x):
            return self.last(jnp.tanh(self.norm(self.first(x))))

    net = Normal()
    x, y = X.astype(np.float32), Y.astype(np.float32)
    before = jax.tree.map(jnp.copy, nnx.state(net))
    run = train(net, BinaryObjective(call), (x, y), optax.adamw(0.1), [0, 9])
    jax.tree.map(np.testing.assert_array_equal, nnx.state(net), before)
    assert isinstance(run.params, Normal)
    assert run.params.first.kernel[...].dtype == jnp.float32
    np.testing.assert_array_equal(run.params.norm.mean[...], net.norm.mean[...])
    assert BinaryObjective(call)(run.params, x, y) < 0.8 * BinaryObjective(call)(net, x, y)
    # the same by the functional way that Flax documents
    graph, params, rest = nnx.split(net, nnx.Param, ...)
    other = train(
        params, BinaryObjective(lambda p, x: nnx.merge(graph, p, rest)(x)), (x, y), optax.adamw(0.1), [9]
    ).params
    np.testing.assert_allclose(run.params.last.kernel[...], other["last"]["kernel"][...], rtol=1e-5)


def test_flax_linen_parameters_are_arrays():
    linen = pytest.importorskip("flax.linen", reason="Flax is not installed")
    net = linen.Dense(1)
    variables = net.init(jax.random.key(0), X.astype(np.float32))
    data = X.astype(np.float32), Y.astype(np.float32)
    run = train(variables, BinaryObjective(net.apply), data, optax.adam(0.1), [5])
    bare = train(
        variables["params"], BinaryObjective(lambda p, x: net.apply({"params": p}, x)), data, optax.adam(0.1), [5]
    )
    assert run.params["params"]["kernel"].dtype == jnp.float32
    np.testing.assert_array_equal(run.params["params"]["kernel"], bare.params["kernel"])
