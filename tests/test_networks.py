"""Finite networks: NTK parameterisation, agreement with neural-tangents, and the infinite-width limit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, stats

from gsdyn.kernels import _neural_tangents, infinite_ntk
from gsdyn.networks import Erf, FullyConnected, Relu

ACTIVATIONS = [Relu(), Erf()]


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("b_std", [0.0, 0.4])
def test_apply_agrees_with_neural_tangents(activation, b_std):
    stax = _neural_tangents.load().stax
    nonlinearity = stax.Relu() if activation == Relu() else stax.Erf()
    hidden, last = (stax.Dense(n, W_std=1.2, b_std=b_std or None) for n in (16, 3))
    _, apply, _ = stax.serial(hidden, nonlinearity, hidden, nonlinearity, last)
    net = FullyConnected(3, 16, activation, w_std=1.2, b_std=b_std, outputs=3)
    params = net.init(jax.random.key(0), 5)
    theirs = [(), (), (), (), ()]
    theirs[::2] = [(w, None if b is None else b[None, :]) for w, b in params]
    x = np.random.default_rng(0).standard_normal((7, 5))
    np.testing.assert_allclose(net.apply(params, x), apply(theirs, x), rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize(("activation", "depth"), [(Relu(), 1), (Relu(), 2), (Relu(), 3), (Erf(), 3)])
def test_wide_network_meets_the_infinite_kernel(activation, depth):
    net = FullyConnected(depth, 1024, activation, b_std=0.3)
    x = np.random.default_rng(1).standard_normal((4, 3))

    def empirical(key):
        jacobian = jax.jacobian(lambda p: net.apply(p, x))(net.init(key, 3))
        rows = [leaf.reshape(4, -1) for leaf in jax.tree.leaves(jacobian)]
        return sum(row @ row.T for row in rows)

    samples = jax.lax.map(empirical, jax.random.split(jax.random.key(1), 12))
    mean, infinite = jnp.mean(samples, axis=0), infinite_ntk(net, x)
    scale = jnp.sqrt(jnp.diag(infinite)[:, None] * jnp.diag(infinite)[None, :])
    # one net differs from the limit by about 3/sqrt(width), the mean of twelve by a third of that
    assert jnp.max(jnp.abs(mean - infinite) / scale) < (0.05 if depth > 1 else 1e-12)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_default_scale_keeps_the_norm_of_a_unit_signal(activation):
    def square(u):
        return float(activation(jnp.asarray(u))) ** 2 * stats.norm.pdf(u)

    mean = integrate.quad(square, -12, 0)[0] + integrate.quad(square, 0, 12)[0]
    assert activation.w_std**2 * mean == pytest.approx(1, abs=1e-9)
    assert FullyConnected(2, activation=activation).weight_scale == activation.w_std


def test_shapes_dtypes_and_parameters():
    net = FullyConnected(3, 8)
    params = net.init(jax.random.key(0), 5)
    assert [layer.weight.shape for layer in params] == [(5, 8), (8, 8), (8, 1)]
    assert all(layer.bias is None and layer.weight.dtype == jnp.float64 for layer in params)
    assert net.apply(params, jnp.ones((4, 5))).shape == (4,)
    net = FullyConnected(2, 8, b_std=np.float64(0.5), outputs=3)
    params = net.init(jax.random.key(0), 5, jnp.float32)
    assert [layer.bias.shape for layer in params] == [(8,), (3,)]
    out = net.apply(params, jnp.ones((4, 5), jnp.float32))
    assert out.shape == (4, 3)
    assert out.dtype == jnp.float32
    linear = FullyConnected(1)
    assert linear.apply(linear.init(jax.random.key(0), 5), jnp.ones((2, 5))).shape == (2,)


def test_init_depends_on_the_key_only():
    net = FullyConnected(3, 4, b_std=0.1)
    first, again, other = (net.init(jax.random.key(k), 3) for k in (0, 0, 1))
    assert jax.tree.all(jax.tree.map(jnp.array_equal, first, again))
    assert not any(jax.tree.leaves(jax.tree.map(jnp.array_equal, first, other)))


def test_equal_networks_share_compiled_kernels():
    assert hash(FullyConnected(3)) == hash(FullyConnected(3))
    assert FullyConnected(3) == FullyConnected(3, activation=Relu())
    assert FullyConnected(3) != FullyConnected(3, activation=Erf())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"depth": 0}, "depth must be an integer of at least 1, got 0"),
        ({"depth": 2.5}, "depth must be an integer"),
        ({"depth": True}, "depth must be an integer"),
        ({"depth": 2, "width": 0}, "width must be an integer"),
        ({"depth": 2, "outputs": 0}, "outputs must be an integer"),
        ({"depth": 2, "activation": "relu"}, r"activation must be Relu\(\), Erf\(\) or another Activation, got 'relu'"),
        ({"depth": 2, "w_std": 0.0}, "w_std must be None or finite and > 0, got 0.0"),
        ({"depth": 2, "w_std": float("nan")}, "w_std must be None or finite"),
        ({"depth": 2, "w_std": "1"}, "w_std must be None or finite and > 0, got '1'"),
        ({"depth": 2, "b_std": None}, "b_std must be finite and >= 0, got None"),
        ({"depth": 2, "b_std": -1.0}, "b_std must be finite and >= 0, got -1.0"),
        ({"depth": 2, "b_std": float("inf")}, "b_std must be finite"),
    ],
)
def test_bad_architecture_is_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        FullyConnected(**arguments)


def test_bad_feature_count_is_named():
    with pytest.raises(ValueError, match="features must be an integer of at least 1, got 0"):
        FullyConnected(2).init(jax.random.key(0), 0)
