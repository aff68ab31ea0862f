"""Kernels that come from neural-tangents, against quadrature, combinations of ReLU kernels and a loop over pixels."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gsdyn import CrossEntropy, FeatureBasis, WeightDecay, fixed_point, kernel_fixed_point, networks
from gsdyn.kernels import empirical_ntk, infinite_ntk, load
from gsdyn.networks import FullyConnected

SMOOTH = [
    networks.Gelu(), networks.Sin(1.5), networks.Cos(0.5), networks.Gaussian(), networks.Monomial(3), networks.Erf(),
]  # fmt: skip


def inputs(n=5, d=3, seed=0):
    return np.random.default_rng(seed).standard_normal((n, d))


def relu(s, q, p):
    """E[relu(u) relu(v)] and E[relu'(u) relu'(v)] for (u, v) of covariance [[q, s], [s, p]]."""
    angle = np.arccos(np.clip(s / np.sqrt(q * p), -1, 1))
    dot = (np.pi - angle) / (2 * np.pi)
    return np.sqrt(q * p) * (np.sin(angle) / (2 * np.pi) + dot * np.cos(angle)), dot


@pytest.mark.parametrize("activation", SMOOTH)
def test_smooth_activations_by_quadrature(activation):
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    weights = np.outer(weights, weights) / (2 * np.pi)
    w2, b2 = 0.49, 0.09
    net = FullyConnected(2, activation=activation, w_std=0.7, b_std=0.3)
    x = inputs()
    sigma = w2 * x @ x.T / 3 + b2
    slope = jax.vmap(jax.vmap(jax.grad(activation)))
    expected = np.zeros((5, 5))
    for i in range(5):
        for j in range(5):
            low = np.linalg.cholesky(sigma[np.ix_([i, j], [i, j])] + 1e-300 * np.eye(2)) if i != j else None
            u = np.sqrt(sigma[i, i]) * np.broadcast_to(nodes[:, None], weights.shape)
            v = u if low is None else low[1, 0] * nodes[:, None] + low[1, 1] * nodes[None, :]
            u, v = jnp.asarray(u), jnp.asarray(v)
            product = np.sum(weights * np.asarray(activation(u) * activation(v)))
            expected[i, j] = w2 * product + b2 + w2 * np.sum(weights * np.asarray(slope(u) * slope(v))) * sigma[i, j]
    np.testing.assert_allclose(infinite_ntk(net, x), expected, rtol=1e-9)
    np.testing.assert_allclose(infinite_ntk(net, x[:2], x[2:]), expected[:2, 2:], rtol=1e-9)


@pytest.mark.parametrize(("activation", "left"), [(networks.Abs(), 1.0), (networks.LeakyRelu(0.2), -0.2)])
def test_kinked_activations_are_combinations_of_relus(activation, left):
    """phi(x) = relu(x) + left relu(-x)."""
    x, w2 = inputs(), 1.21
    sigma = w2 * x @ x.T / 3
    q = np.sqrt(np.outer(np.diag(sigma), np.diag(sigma)))
    (value, dot), (across, against) = relu(sigma, q, q), relu(-sigma, q, q)
    product = (1 + left**2) * value + 2 * left * across
    slopes = (1 + left**2) * dot - 2 * left * against
    theta = infinite_ntk(FullyConnected(2, activation=activation, w_std=1.1), x)
    np.testing.assert_allclose(
        theta, w2 * product + w2 * slopes * sigma, rtol=1e-7
    )  # of the oracle: half its digits on the diagonal


def test_default_scale_keeps_the_norm_of_a_unit_signal():
    nodes, weights = np.polynomial.hermite_e.hermegauss(100)
    for activation in SMOOTH:
        mean = np.sum(weights * np.asarray(activation(jnp.asarray(nodes))) ** 2) / np.sqrt(2 * np.pi)
        assert activation.w_std**2 * mean == pytest.approx(1, abs=1e-10)


def convolution():
    layers = networks.stax()
    return networks.Stax(
        layers.serial(
            layers.Conv(256, (3, 3), padding="SAME", W_std=1.2),
            layers.Relu(),
            layers.GlobalAvgPool(),
            layers.Dense(1, W_std=1.1),
        ),
        "conv 3x3, relu, mean, dense",
    )


def by_pixels(x1, x2):
    """The NTK of `convolution()`, pixel by pixel."""

    def patches(x):
        padded = np.pad(x, ((1, 1), (1, 1), (0, 0)))
        h, w, _ = x.shape
        return np.stack([padded[i : i + 3, j : j + 3].ravel() for i in range(h) for j in range(w)])

    a, b = patches(x1), patches(x2)
    scale = 1.44 / a.shape[1]
    sigma = scale * a @ b.T
    value, dot = relu(sigma, scale * np.sum(a * a, axis=1)[:, None], scale * np.sum(b * b, axis=1)[None, :])
    return 1.21 * np.mean(value + dot * sigma)


def test_convolutions_and_pooling_pixel_by_pixel(tmp_path):
    x = np.random.default_rng(2).standard_normal((7, 4, 3, 2))
    net = convolution()
    expected = np.array([[by_pixels(a, b) for b in x] for a in x])
    theta = infinite_ntk(net, x, tile=3, out=tmp_path / "k.zarr")
    np.testing.assert_allclose(theta, expected, rtol=1e-7)
    np.testing.assert_array_equal(theta, theta.T)
    assert "conv 3x3" in load(tmp_path / "k.zarr").made["network"]
    np.testing.assert_allclose(infinite_ntk(net, x[:3], x[3:]), expected[:3, 3:], rtol=1e-7)
    float32 = infinite_ntk(net, x.astype(np.float32))
    assert float32.dtype == jnp.float32
    np.testing.assert_allclose(float32, expected, rtol=1e-4)


@pytest.mark.filterwarnings("ignore:theta has an eigenvalue:UserWarning")
def test_its_own_kernels_have_features_and_fixed_points():
    net, rng, y = convolution(), np.random.default_rng(4), np.resize([1.0, -1.0], 6)
    for _ in range(8):
        x = rng.standard_normal((6, 4, 3, 2))
        x[1], x[2] = 3 * x[0], -x[0]  # so that k(3 a, b) = 3 k(a, b), of which neural-tangents keeps half the digits
        theta = infinite_ntk(net, x)
        basis = FeatureBasis.from_kernel(theta, y)
        assert np.count_nonzero(basis.s) >= 5
        fp = kernel_fixed_point(theta, y, CrossEntropy(), WeightDecay(0.1))
        exact = fixed_point(basis, CrossEntropy(), WeightDecay(0.1))
        assert fp.converged
        assert jnp.linalg.norm(fp.alpha - exact.alpha) <= fp.error_bound + exact.error_bound + 1e-7


def test_a_wide_convolution_meets_its_infinite_kernel():
    net, x = convolution(), np.random.default_rng(3).standard_normal((3, 4, 3, 2))
    expected = np.asarray(infinite_ntk(net, x))
    samples = [
        empirical_ntk(net, net.init(key, (4, 3, 2)), x, trace=True) for key in jax.random.split(jax.random.key(0), 8)
    ]
    scale = np.sqrt(np.outer(np.diag(expected), np.diag(expected)))
    assert np.max(np.abs(np.mean(samples, axis=0) - expected) / scale) < 5 / np.sqrt(256 * 8)


def test_bad_networks_are_named():
    layers = networks.stax()
    with pytest.raises(ValueError, match="layers must be a triple"):
        networks.Stax("conv", "conv")
    with pytest.raises(ValueError, match="name must say what the network is, got ''"):
        networks.Stax(layers.Relu(), "")
    unpooled = networks.Stax(layers.serial(layers.Conv(4, (3, 3), padding="SAME"), layers.Relu()), "conv, relu")
    with pytest.raises(ValueError, match=r"layers must end in one vector .* shape \(2, 2, .*flatten or pool"):
        infinite_ntk(unpooled, np.ones((2, 3, 3, 1)))
    with pytest.raises(ValueError, match="x1 must have at least 2 dimensions"):
        infinite_ntk(convolution(), np.ones(3))
    with pytest.raises(ValueError, match=r"x2 must have examples of shape \(3, 3, 2\) like x1"):
        infinite_ntk(convolution(), np.ones((2, 3, 3, 2)), np.ones((2, 3, 4, 2)))
