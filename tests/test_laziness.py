"""How lazy a network is: the measure warns where the theory stops describing it, and not elsewhere."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import minimize

import gsdyn as gs
from gsdyn.diagnosis.lazy import laziness

RNG = np.random.default_rng(0)
X = RNG.normal(size=(100, 10))
Y = np.where(RNG.random(100) < 0.5, 1.0, -1.0)


def tanh_net(params, x):
    return jnp.tanh(x @ params["a"] + params["b"][None, :]) @ params["c"]


def start(width):
    """Weights of variance 1/fan-in and no biases, as most libraries draw them."""
    keys = jax.random.split(jax.random.key(0))
    return {
        "a": jax.random.normal(keys[0], (10, width)) / 10**0.5,
        "b": jnp.zeros(width),
        "c": jax.random.normal(keys[1], (width,)) / width**0.5,
    }


def fixed_point(kernel, lam):
    """The outputs at the optimum of cross-entropy with weight decay towards the start, in SciPy."""
    signed = Y[:, None] * kernel * Y[None, :]

    def value(a):
        a = np.clip(a, 1e-300, 1 - 1e-16)
        loss = np.sum(a * np.log(a) + (1 - a) * np.log1p(-a)) + a @ signed @ a / (2 * lam)
        return loss, np.log(a / (1 - a)) + signed @ a / lam

    best = minimize(value, np.full(100, 0.1), jac=True, method="L-BFGS-B", bounds=[(1e-12, 1 - 1e-9)] * 100, tol=1e-12)
    return Y * (signed @ best.x) / lam


@pytest.mark.slow
def test_a_narrow_tanh_network_is_warned_of():
    """Width 256, 100 examples with labels at random, lam = 1: it ends far away from the fixed point of the theory."""
    params = start(256)
    kernel = np.asarray(gs.kernels.empirical_ntk(tanh_net, params, X))
    found = laziness(tanh_net, X, Y, params=params, penalty=gs.WeightDecay(1.0), ts=[0.003, 30.0], examples=100)
    assert found.attrs["lazy_warning"]
    assert "only until time 0.003" in found.attrs["lazy"]
    assert float(found["lazy_outputs_apart"][-1]) > 0.65
    assert float(found["lazy_kernel_change"][-1]) > 0.5
    assert float(found["lazy_outputs_apart"][0]) < 0.01
    assert float(found["lazy_until"]) == 0.003
    assert np.isnan(found["lazy_start_apart"])
    # by hand, to the very numbers: plain gradient descent of the same loss, and SciPy's optimum of the linear problem
    origin = tanh_net(params, X)

    def loss(p):
        margins = Y * (tanh_net(p, X) - origin)
        away = jax.tree.map(lambda a, b: jnp.sum((a - b) ** 2), p, params)
        return jnp.sum(jax.nn.softplus(-margins)) + sum(jax.tree.leaves(away)) / 2

    step = jax.jit(lambda p: jax.tree.map(lambda a, g: a - 0.01 * g, p, jax.grad(loss)(p)))
    last = params
    for _ in range(3000):
        last = step(last)
    real, linear = np.asarray(tanh_net(last, X) - origin), fixed_point(kernel, 1.0)
    apart = np.linalg.norm(real - linear) / np.linalg.norm(linear)
    np.testing.assert_allclose(found["lazy_outputs_apart"][-1], apart, rtol=0.01)


@pytest.mark.slow
def test_a_wide_network_in_the_ntk_parameterisation_is_not_warned_of():
    net = gs.networks.FullyConnected(2, 8192, b_std=0.5)
    found = laziness(net, X, Y, ts=[0.01, 1.0], examples=60)
    assert not found.attrs["lazy_warning"], found.attrs["lazy"]
    assert found.attrs["lazy_examples"] == 60
    assert float(found["lazy_kernel_alignment"][-1]) > 0.99
    assert float(found["lazy_start_apart"]) < 0.05


BAD = {
    "network must be one that can be trained, got RBF": {"network": gs.networks.RBF(1.0)},
    "ts must be increasing times": {"ts": [1.0, 0.5]},
    "level must be a number in": {"level": 0.0},
    "examples must be at least 2, got 1": {"examples": 1},
    "penalty must be a Penalty": {"penalty": 3},
    "all there are, beside a penalty, got 50": {"penalty": gs.WeightDecay(1.0), "examples": 50},
    "y must be a vector of -1 and": {"y": np.arange(100)},
    "x must have one row for each of the 100 labels": {"x": X[:50]},
}


@pytest.mark.parametrize("told", BAD)
def test_bad_arguments_are_refused_before_anything_is_trained(told):
    given = {"network": gs.networks.FullyConnected(2, 8), "x": X, "y": Y, **BAD[told]}
    with pytest.raises(ValueError, match=told):
        laziness(**given)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["linen", "nnx", "equinox", "two outputs"])
def test_networks_of_other_libraries_are_measured_in_their_precision(kind):
    x = X[:20].astype(np.float32)
    if kind == "linen":
        linen = pytest.importorskip("flax.linen", reason="Flax is not installed")
        net = linen.Sequential([linen.Dense(8), jnp.tanh, linen.Dense(1)])
        given = {"network": net, "params": net.init(jax.random.key(0), x)}
    elif kind == "nnx":
        nnx = pytest.importorskip("flax.nnx", reason="Flax is not installed")
        layers = nnx.Linear(10, 8, rngs=nnx.Rngs(0)), jnp.tanh, nnx.Linear(8, 1, rngs=nnx.Rngs(1))
        given = {"network": nnx.Sequential(*layers)}
    elif kind == "equinox":
        given = {"network": eqx.nn.MLP(10, 1, 8, 1, activation=jnp.tanh, dtype=jnp.float32, key=jax.random.key(0))}
    else:
        weights = jnp.asarray(np.random.default_rng(0).normal(size=(10, 2)), jnp.float32)
        given = {"network": lambda params, x: x @ params, "params": weights}
    with jax.numpy_dtype_promotion("standard"):
        found = laziness(x=X[:20], y=Y[:20], **given)
    assert found.sizes["lazy_time"] == 5
    assert np.isfinite(found["lazy_kernel_change"]).all()
    if kind == "two outputs":  # linear in its parameters: as lazy as can be
        assert float(found["lazy_kernel_change"].max()) < 1e-5
        assert float(found["lazy_outputs_apart"].max()) < 0.01
    else:
        assert float(found["lazy_outputs_apart"][0]) < float(found["lazy_outputs_apart"][-1])
