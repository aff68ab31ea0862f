"""Networks by a short text, and kernels of embeddings."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist, pdist

from gsdyn.kernels import infinite_ntk
from gsdyn.networks import RBF, Erf, FullyConnected, LeakyRelu, Linear, named, takes_images

X = np.random.default_rng(0).normal(size=(30, 6))


def test_texts_name_networks():
    assert named("relu:3") == FullyConnected(3)
    assert named("relu") == FullyConnected(3)
    assert named("erf:2:64") == FullyConnected(2, 64, activation=Erf())
    assert named(" Leaky-ReLU : 4 : 128 : 0.5 ") == FullyConnected(4, 128, activation=LeakyRelu(), b_std=0.5)
    assert named("linear") == Linear()
    assert named("rbf:2.5") == RBF(2.5)
    assert named("rbf", X) == RBF.of(X)
    assert [takes_images(text) for text in ("conv:2", "conv-pool", "relu:3")] == [True, True, False]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("resnet:3", "must begin with one of relu, "),
        ("relu:x", "a whole number where 'x' stands"),
        ("relu:0", "depth must be an integer of at least 1, got 0"),
        ("relu:3:4:5:6", "at most 3 numbers"),
        ("linear:2", "at most 0 numbers"),
        ("rbf:-1", "bandwidth must be finite and > 0, got -1"),
        ("rbf:wide", "a number where 'wide' stands"),
        ("rbf", "must have its bandwidth"),
        (3, "a text such as relu:3"),
    ],
)
def test_other_texts_are_refused_in_one_line(text, told):
    with pytest.raises(ValueError, match=told):
        named(text)


def test_a_convolutional_network_by_text_has_the_kernel_of_its_layers():
    net = named("conv:1:8")
    assert net.name == "conv:1:8"
    theta = np.asarray(infinite_ntk(net, X[:3].reshape(3, 2, 3, 1)))
    np.testing.assert_array_equal(theta, theta.T)
    assert np.linalg.eigvalsh(theta).min() > 0


def test_the_rbf_kernel_is_right_far_from_zero():
    far = X + 1e5
    bandwidth = np.median(pdist(X))
    assert RBF.of(X).bandwidth == pytest.approx(bandwidth, rel=1e-12)
    assert RBF.of(1e200 * X).bandwidth == pytest.approx(1e200 * bandwidth, rel=1e-12)
    expected = np.exp(-(cdist(far, far) ** 2) / (2 * bandwidth**2))
    theta = np.asarray(infinite_ntk(RBF(bandwidth), far))
    np.testing.assert_allclose(theta, expected, rtol=1e-8)
    np.testing.assert_array_equal(np.diag(theta), 1)
    np.testing.assert_allclose(
        infinite_ntk(RBF(bandwidth), X[:4], X), np.exp(-((cdist(X[:4], X) / bandwidth) ** 2) / 2)
    )
    with pytest.raises(ValueError, match="a median distance of 0 among 5"):
        RBF.of(np.ones((5, 2)))


def test_the_linear_kernel():
    np.testing.assert_allclose(infinite_ntk(Linear(b_std=0.5), X), X @ X.T / 6 + 0.25, rtol=1e-13, atol=1e-14)
