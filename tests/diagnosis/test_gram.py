"""Kernels of a report: given, at infinite width, at parameters, and of two outputs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gsdyn as gs
from gsdyn.diagnosis import features, problem
from gsdyn.diagnosis.gram import gram

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(12, 2, 3)), np.repeat([-1.0, 1.0], 6)
TEST = {"x": RNG.normal(size=(5, 2, 3)), "y": [1, -1, 1, -1, 1]}


def read(x=X, test=TEST, kernel=None):
    return problem.read(x, Y, None, test, kernel, positive=None, limit=None, seed=0)


def test_the_kernel_at_parameters_is_that_of_the_outputs_difference():
    flat, new = X.reshape(12, -1), TEST["x"].reshape(5, -1)

    def one(params, x):
        return x.reshape(len(x), -1) @ params["w"]

    w = {"w": jnp.asarray(RNG.normal(size=6))}
    found = gram(read(), one, w)
    np.testing.assert_allclose(found.theta, flat @ flat.T, rtol=1e-12)
    np.testing.assert_allclose(found.new, new @ flat.T, rtol=1e-12)

    def two(params, x):
        return jnp.stack([one({"w": params["w"][0]}, x), one({"w": params["w"][1]}, x)], axis=1)

    both = gram(read(), two, {"w": jnp.asarray(RNG.normal(size=(2, 6)))})
    np.testing.assert_allclose(both.theta, 2 * flat @ flat.T, rtol=1e-12)  # each of the two weights has its share

    def three(params, x):
        return jnp.broadcast_to(one(params, x)[:, None], (len(x), 3))

    with pytest.raises(ValueError, match="network must have one output, or two for two classes, got 3"):
        gram(read(test=None), three, w)


def test_of_several_classes_the_output_of_the_one_is_taken():
    names = np.array(["a", "b", "c"])[np.arange(12) % 3]
    given = problem.read(X, names, None, None, None, positive="b", limit=None, seed=0)

    def three(params, x):
        return x.reshape(len(x), -1) @ params * jnp.asarray([[1.0, 2.0, 3.0]])

    flat, weights = X.reshape(12, -1), jnp.asarray(RNG.normal(size=(6, 3)))
    found = gram(given, three, weights)
    np.testing.assert_allclose(found.theta, 4 * flat @ flat.T, rtol=1e-12)
    assert found.one
    with pytest.raises(ValueError, match="network must have one output, or one for each of 3 classes, got 2"):
        gram(given, lambda params, x: three(params, x)[:, :2], weights)


def test_the_kernel_of_a_network_in_single_precision_is_one():
    linen = pytest.importorskip("flax.linen", reason="Flax is not installed")
    x = np.linspace(-1, 1, 40)[:, None]
    net = linen.Sequential([linen.Dense(32, dtype=jnp.float32), jnp.tanh, linen.Dense(1, dtype=jnp.float32)])
    with jax.numpy_dtype_promotion("standard"):
        params = net.init(jax.random.key(0), x.astype(np.float32))
        given = problem.read(
            x.astype(np.float32), np.sign(x[:, 0]), None, None, None, positive=None, limit=None, seed=0
        )
        found = gram(given, net, params)
        raw = np.asarray(gs.kernels.empirical_ntk(net, params, given.x))[:, :, 0, 0]
    least = np.linalg.eigvalsh(raw.astype(float))
    assert (raw.dtype, found.theta.dtype) == (np.float32, np.float64)
    assert least[0] < -1e-9 * least[-1]  # as rounding leaves it
    assert np.linalg.eigvalsh(np.asarray(found.theta))[0] > -1e-14 * least[-1]
    np.testing.assert_allclose(found.theta, raw - least[0] * np.eye(40), atol=1e-12 * least[-1])
    added = -least[0] / np.trace(raw) * 40
    assert f", {added:.1g} of its mean diagonal added to that" in found.words
    features.leading(found.theta, given.y, 5, None)


def test_images_are_flat_to_a_fully_connected_network():
    found = gram(read(), None, None)
    expected = gs.kernels.infinite_ntk(gs.networks.FullyConnected(depth=3), X.reshape(12, -1))
    np.testing.assert_array_equal(found.theta, expected)
    assert found.new.shape == (5, 12)
    assert found.words.startswith("NTK at infinite width of FullyConnected(depth=3")


def test_a_kernel_given_is_taken_as_it_is():
    K = X.reshape(12, -1) @ X.reshape(12, -1).T
    new = TEST["x"].reshape(5, -1) @ X.reshape(12, -1).T
    found = gram(read(None, {"kernel": new, "y": TEST["y"]}, K), None, None)
    np.testing.assert_array_equal(found.theta, K)
    np.testing.assert_array_equal(found.new, new)


@pytest.mark.parametrize(
    ("kernel", "message"),
    [
        (np.zeros((12, 12)), "the kernel must not be zero, got one without features"),
        (-np.eye(12), "the kernel must be positive semi-definite, got an eigenvalue -1"),
        (np.triu(np.ones((12, 12))), "the kernel must be symmetric, got"),
    ],
)
def test_what_is_no_kernel_is_told(kernel, message):
    with pytest.raises(ValueError) as error:  # noqa: PT011
        features.leading(jnp.asarray(kernel), Y, 3, None)
    assert str(error.value).startswith(message)


def test_directions_are_what_the_input_does_with_the_feature():
    x = RNG.normal(size=(200, 3)) * [1.0, 2.0, 3.0] + [5.0, 0.0, 0.0]
    y = np.where(RNG.random(200) < 0.5, 1.0, -1.0)
    phi = x[:, 1] - x[:, 1].mean()
    d, deviation = features.directions((y * phi / np.linalg.norm(phi))[:, None], y, x)
    np.testing.assert_allclose(deviation, x.std(axis=0))
    np.testing.assert_allclose(d[0] / deviation, [np.corrcoef(phi, x[:, i])[0, 1] for i in range(3)], atol=1e-12)
    np.testing.assert_allclose(d[0, 1], x[:, 1].std())


def test_half_times_lie_between_saved_times():
    ts = np.array([1.0, 10.0, 100.0])
    z = np.array([[0.1, -1.0, 0.2], [0.4, -2.0, 0.1], [0.8, -2.1, 0.4]])
    found = features.half_times(ts, z, z[-1])
    # the first: at 10 exactly; the second: half of -2.1 between 1 and 10, by logarithms
    share = np.log(1.05) / np.log(2.0)
    np.testing.assert_allclose(found, [10.0, 10.0**share, 1.0])
    assert np.isnan(features.half_times(ts, z, np.array([0.0, 5.0, 9.0]))).all()
