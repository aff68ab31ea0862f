"""Infinite-width kernels against mpmath recursions, neural-tangents and finite differences."""

import re
import subprocess
import sys

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest

import gsdyn.kernels._neural_tangents as adapter
from gsdyn.data import digits
from gsdyn.features import FeatureBasis
from gsdyn.kernels import infinite_ntk
from gsdyn.networks import Abs, Erf, FullyConnected, LeakyRelu, Relu

ACTIVATIONS = [Relu(), Erf()]


def relu_step(s, q, p):
    """E[relu(u) relu(v)] and E[relu'(u) relu'(v)] by the angle, (u, v) of covariance [[q, s], [s, p]]."""
    if q == 0 or p == 0:
        return mp.mpf(0), mp.mpf(0)
    c = max(min(s / mp.sqrt(q * p), mp.mpf(1)), mp.mpf(-1))
    angle = mp.acos(c)
    dot = (mp.pi - angle) / (2 * mp.pi)
    return mp.sqrt(q * p) * (mp.sin(angle) / (2 * mp.pi) + dot * c), dot


def kinked_step(left):
    """The same for `u` above 0 and `left u` below, as a sum of ReLUs of both signs."""

    def step(s, q, p):
        (value, dot), (across, against) = relu_step(s, q, p), relu_step(-s, q, p)
        return (1 + left**2) * value - 2 * left * across, (1 + left**2) * dot + 2 * left * against

    return step


def erf_step(s, q, p):
    scale = (1 + 2 * q) * (1 + 2 * p)
    return 2 / mp.pi * mp.asin(2 * s / mp.sqrt(scale)), 4 / mp.pi / mp.sqrt(scale - 4 * s * s)


def oracle(x1, x2, net):
    """The NTK entry by entry, 60 digits, from the expectations in `FullyConnected`'s docstring."""
    steps = {Relu(): relu_step, Erf(): erf_step, Abs(): kinked_step(mp.mpf(-1))}
    step = steps.get(net.activation) or kinked_step(mp.mpf(net.activation.alpha))
    w2, b2 = mp.mpf(net.weight_scale) ** 2, mp.mpf(net.bias_scale) ** 2

    def product(u, v):
        return w2 * mp.fsum(mp.mpf(float(a)) * mp.mpf(float(b)) for a, b in zip(u, v, strict=True)) / len(u) + b2

    def entry(x, y):
        s, q, p = product(x, y), product(x, x), product(y, y)
        theta = s
        for _ in range(net.depth - 1):
            new, dot = step(s, q, p)
            theta = w2 * new + b2 + w2 * dot * theta
            s, q, p = (w2 * value + b2 for value in (new, step(q, q, q)[0], step(p, p, p)[0]))
        return float(theta)

    with mp.workdps(60):
        return np.array([[entry(x, y) for y in np.asarray(x2)] for x in np.asarray(x1)])


def worst(theta, reference):
    """Largest error, relative to the entry, or to a hundredth of its row and column if smaller."""
    scale = np.abs(reference)
    if theta.shape[0] == theta.shape[1]:
        root = np.sqrt(np.diag(reference))
        scale = np.maximum(scale, 1e-2 * np.outer(root, root))
    error = np.abs(np.asarray(theta) - reference)
    return np.max(error / np.where(scale > 0, scale, 1))


def awkward_inputs(rng, d, scale):
    """Random rows, then a copy, near copies on both sides of where digits are lost, an opposite, zeros."""
    x = rng.standard_normal((8, d)) * scale
    x[2] = x[0]
    x[3] = x[0] * 3.7 + 1e-3 * x[1]
    x[4] = x[0] * (1 + 1e-9) + 1e-10 * x[1]
    x[5] = -x[0]
    x[6] = -x[0] + 1e-7 * x[1]
    x[7] = 0
    return x


@pytest.mark.parametrize("draw", range(6))
def test_relu_is_right_everywhere(draw):
    rng = np.random.default_rng(draw)
    depth, d = int(rng.integers(2, 9)), int(rng.integers(2, 12))
    b_std = 0.0 if draw % 3 == 0 else 10 ** rng.uniform(-6, 1)
    net = FullyConnected(depth, w_std=rng.uniform(0.3, 3), b_std=b_std)
    for scale in (1e-6, 1.0, 1e6):
        x = awkward_inputs(rng, d, scale)
        reference = oracle(x, x, net)
        theta = infinite_ntk(net, x)
        assert worst(theta, reference) < 1e-12
        np.testing.assert_array_equal(theta, theta.T)
        assert worst(infinite_ntk(net, x, x.copy()), reference) < 1e-12


@pytest.mark.parametrize("activation", [Abs(), LeakyRelu(0.3), LeakyRelu(-0.4)])
@pytest.mark.parametrize(("depth", "b_std"), [(2, 0.0), (4, 0.0), (3, 0.2)])
def test_kinked_activations_are_right_everywhere(activation, depth, b_std):
    net = FullyConnected(depth, activation=activation, b_std=b_std)
    for scale in (1e-6, 1.0):
        x = awkward_inputs(np.random.default_rng(9), 4, scale)
        reference = oracle(x, x, net)
        theta = infinite_ntk(net, x)
        assert worst(theta, reference) < 1e-13
        np.testing.assert_array_equal(theta, theta.T)


@pytest.mark.parametrize("activation", [Relu(), Abs(), LeakyRelu(0.2)])
def test_homogeneous_kernels_are_homogeneous_and_semidefinite(activation):
    net, rng = FullyConnected(3, activation=activation), np.random.default_rng(10)
    for seed in range(20):
        x = rng.standard_normal((6, 4 if seed % 2 else 1))
        x[1], x[2] = 3 * x[0], -2 * x[0]
        theta = np.asarray(infinite_ntk(net, x))
        np.testing.assert_allclose(theta[1], 3 * theta[0], atol=2e-15 * np.max(theta))
        FeatureBasis.from_kernel(theta)  # would warn, which is an error here


def test_one_layer_is_the_linear_kernel():
    x = np.random.default_rng(10).standard_normal((5, 3))
    for activation in ACTIVATIONS:
        net = FullyConnected(1, activation=activation, w_std=1.5, b_std=0.5)
        np.testing.assert_allclose(infinite_ntk(net, x), 2.25 * x @ x.T / 3 + 0.25, atol=1e-14)


@pytest.mark.parametrize(("depth", "w_std", "b_std"), [(2, None, 0.0), (4, None, 0.3), (3, 50.0, 20.0)])
def test_erf_is_right_everywhere(depth, w_std, b_std):
    net = FullyConnected(depth, activation=Erf(), w_std=w_std, b_std=b_std)
    for scale, tolerance in ((1e-6, 2e-15), (1.0, 2e-14), (100.0, 1e-12), (1e8, 1e-7)):
        x = awkward_inputs(np.random.default_rng(1), 5, scale)
        reference = oracle(x, x, net)
        theta = infinite_ntk(net, x)
        assert worst(theta, reference) < tolerance
        np.testing.assert_array_equal(theta, theta.T)
        assert worst(infinite_ntk(net, x, x.copy()), reference) < tolerance


@pytest.mark.parametrize(("depth", "w_std", "b_std"), [(5, 3.0, 0.0), (4, None, 0.3), (7, 30.0, 0.3)])
def test_erf_is_right_between_examples_of_unequal_size(depth, w_std, b_std):
    """What rounding does to the correlation of one layer must not grow with the ratio of sizes, nor with their size."""
    net = FullyConnected(depth, activation=Erf(), w_std=w_std, b_std=b_std)
    x = np.random.default_rng(2).standard_normal((7, 3)) * np.array([1, 1e-3, 1e-6, 100, 1, 1, 1])[:, None]
    x[4] = 1e-3 * np.cross(x[0], [0, 0, 1])  # at a right angle with the first
    x[5], x[6] = -2 * x[3], 3 * x[3] + 1e-3 * x[0]  # apart by little more than what the bias makes
    reference = oracle(x, x, net)
    assert worst(infinite_ntk(net, x), reference) < 1e-12
    assert worst(infinite_ntk(net, x, x.copy()), reference) < 1e-12


@pytest.mark.parametrize(("depth", "b_std"), [(2, 0.0), (5, 0.5)])
def test_relu_agrees_with_neural_tangents_off_the_diagonal(depth, b_std):
    stax = adapter.load().stax
    dense = stax.Dense(1, W_std=1.3, b_std=b_std, parameterization="ntk")
    _, _, kernel = stax.serial(*[dense, stax.Relu()] * (depth - 1), dense)
    x = np.random.default_rng(2).standard_normal((40, 7))
    ours = infinite_ntk(FullyConnected(depth, w_std=1.3, b_std=b_std), x[:25], x[25:])
    np.testing.assert_allclose(ours, kernel(x[:25], x[25:], "ntk"), rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("n", [1, 10])
def test_tiles_make_no_difference(activation, n):
    x = np.random.default_rng(3).standard_normal((n, 4))
    x[n // 2] = x[0]
    other = np.concatenate([x[::-1], np.ones((4, 4))])
    net = FullyConnected(3, activation=activation, b_std=0.2)
    whole, tiled = infinite_ntk(net, x), infinite_ntk(net, x, tile=4)
    np.testing.assert_allclose(tiled, whole, rtol=1e-14, atol=1e-15)
    np.testing.assert_array_equal(tiled, tiled.T)
    across = infinite_ntk(net, x, other, tile=4)
    assert across.shape == (n, n + 4)
    np.testing.assert_allclose(across[:, :n], whole[:, ::-1], rtol=1e-14, atol=1e-15)
    np.testing.assert_allclose(across, infinite_ntk(net, x, other), rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_float32(activation):
    x = awkward_inputs(np.random.default_rng(4), 6, 1.0).astype(np.float32)
    net = FullyConnected(3, activation=activation, b_std=0.2)
    theta = infinite_ntk(net, x)
    assert theta.dtype == jnp.float32
    assert worst(theta, oracle(x, x, net)) < 2e-6
    np.testing.assert_array_equal(theta, theta.T)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_float32_without_x64(activation):
    x = np.random.default_rng(5).standard_normal((6, 3)).astype(np.float32)
    net = FullyConnected(3, activation=activation, b_std=0.2)
    reference = oracle(x, x, net)
    with jax.enable_x64(False):
        theta = infinite_ntk(net, x)
        assert theta.dtype == jnp.float32
        assert worst(theta, reference) < 1e-5


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_jit_and_vmap(activation):
    x = np.random.default_rng(6).standard_normal((3, 5, 4))
    net = FullyConnected(3, activation=activation)
    one_by_one = jnp.stack([infinite_ntk(net, batch) for batch in x])
    np.testing.assert_allclose(jax.vmap(lambda b: infinite_ntk(net, b))(x), one_by_one, rtol=1e-13)
    jitted = jax.jit(lambda a, b: infinite_ntk(net, a, b))
    np.testing.assert_allclose(jitted(x[0], x[0]), one_by_one[0], rtol=1e-13)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_gradient_against_finite_differences(activation):
    rng = np.random.default_rng(7)
    x, direction, weights = rng.standard_normal((3, 6, 4))
    net = FullyConnected(3, activation=activation, b_std=0.2)

    def f(t):
        return jnp.sum(infinite_ntk(net, x + t * direction) * (weights @ weights.T))

    h = 1e-5
    difference = (f(h) - f(-h)) / (2 * h)
    np.testing.assert_allclose(jax.grad(f)(0.0), difference, rtol=1e-7)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_gradient_is_finite_at_copies_opposites_and_zeros(activation):
    x = awkward_inputs(np.random.default_rng(8), 3, 1.0)
    gradient = jax.grad(lambda x: jnp.sum(infinite_ntk(FullyConnected(3, activation=activation), x)))
    assert jnp.all(jnp.isfinite(gradient(x)))


OTHER = np.array([[0.7, -0.4]])
AT_ZERO = [
    (Erf(), 3, (6.662687, -3.807249)),
    (Relu(), 1, (0.7, -0.4)),
    pytest.param(Erf(), 2, (2.666215, -1.523552), marks=pytest.mark.slow),
    pytest.param(Erf(), 1, (0.7534026, -0.4305158), marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("activation", "depth", "gradient"), AT_ZERO)
def test_kernel_differentiates_at_an_example_of_zeros(activation, depth, gradient):
    net = FullyConnected(depth, activation=activation)
    # in a batch that holds it, with itself too
    total = jax.jit(jax.grad(lambda x: jnp.sum(infinite_ntk(net, x)[0])))
    found = total(np.concatenate([np.zeros((1, 2)), OTHER]))
    np.testing.assert_allclose(found[0], gradient, rtol=1e-6)


@pytest.mark.slow
def test_kernel_has_second_derivatives_at_an_example_of_zeros():
    net, other, h = FullyConnected(3, activation=Erf(), w_std=3.0), OTHER**2 + 1, 1e-3
    rows = [*np.eye(2), *-np.eye(2), np.ones(2), -np.ones(2), np.zeros(2)]
    values = oracle(h * np.stack(rows), other, net)[:, 0]
    own = values[:2] + values[2:4] - 2 * values[6]
    mixed = (values[4] + values[5] - 2 * values[6] - own.sum()) / 2
    second = jax.jit(jax.hessian(lambda x: infinite_ntk(net, x[None], jnp.asarray(other))[0, 0]))(jnp.zeros(2))
    np.testing.assert_allclose(second, np.array([[own[0], mixed], [mixed, own[1]]]) / h**2, atol=1e-5)


@pytest.mark.parametrize("activation", [Relu(), pytest.param(Erf(), marks=pytest.mark.slow)])
def test_kernel_differentiates_at_right_angles(activation):
    net, x, h = FullyConnected(3, activation=activation), np.eye(3), 1e-6
    weights = np.arange(9.0).reshape(3, 3)

    def total(x):
        return jnp.sum(infinite_ntk(net, x, jnp.eye(3)) * weights)

    batch = np.stack([x + sign * h * np.eye(9)[i].reshape(3, 3) for sign in (1, -1) for i in range(9)])
    up, down = np.asarray(jax.jit(jax.vmap(total))(batch)).reshape(2, 9)
    off = ~np.eye(3, dtype=bool)  # along itself each example meets its copy, where the slope is one-sided
    np.testing.assert_allclose(jax.jit(jax.grad(total))(x)[off], ((up - down) / (2 * h)).reshape(3, 3)[off], atol=2e-5)


def test_kernel_of_digits_gives_label_signed_features():
    x, y, _ = digits()
    x, y = x[:150], y[:150]
    theta = infinite_ntk(FullyConnected(depth=3), x)
    basis = FeatureBasis.from_kernel(theta, y)
    signed = y[:, None] * theta * y[None, :]
    np.testing.assert_allclose(basis.U * basis.s[None, :] ** 2 @ basis.U.T, signed, atol=1e-11)
    assert jnp.linalg.eigvalsh(theta)[0] > 1e-3


@pytest.mark.parametrize(
    ("x1", "x2", "message"),
    [
        ([1.0, 2.0], None, "x1 must have 2 dimensions"),
        ([[1.0, np.nan]], None, "x1 must be finite"),
        ([[1.0, 2.0]], [[np.inf, 2.0]], "x2 must be finite"),
        ([[1.0, 2.0]], [[1.0]], "x2 must have 2 columns like x1, got 1"),
        (np.zeros((0, 2)), None, "x1 must have at least one row"),
        (np.zeros((2, 0)), None, "x1 must have at least one row and column"),
        ([[1.0]], np.ones((1, 1), np.float32), "x2 must be float64 like x1, got float32"),
        ("images", None, "x1 must be"),
    ],
)
def test_bad_input_is_named(x1, x2, message):
    with pytest.raises(ValueError, match=message) as error:
        infinite_ntk(FullyConnected(2), x1, x2)
    assert "\n" not in str(error.value)


def test_net_must_be_a_network():
    with pytest.raises(ValueError, match=r"net must be a network such as .*, got 'relu'"):
        infinite_ntk("relu", [[1.0]])


def test_tile_must_be_positive():
    with pytest.raises(ValueError, match="tile must be at least 1"):
        infinite_ntk(FullyConnected(2), [[1.0]], tile=0)


def test_import_leaves_jax_as_it_was_and_needs_no_tensorflow():
    code = """
import sys, jax.core, jax.interpreters.ad as ad
from gsdyn.kernels._neural_tangents import load
before = {module: set(vars(sys.modules[module])) for module in ("jax.core", "jax.interpreters.ad")}
nt = load()
assert nt.__version__ == "0.6.5" and load() is nt
for module, names in before.items():
    assert set(vars(sys.modules[module])) == names, module
for module in ("jax.util", "neural_tangents.experimental", "tensorflow", "tf2jax"):
    assert module not in sys.modules, module
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_missing_neural_tangents_says_what_to_install(monkeypatch):
    monkeypatch.delitem(sys.modules, "neural_tangents", raising=False)
    monkeypatch.setattr(adapter.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=re.escape(adapter.INSTALL)):
        adapter.load.__wrapped__()


@pytest.mark.filterwarnings("ignore:size requires ndarray:DeprecationWarning")  # its own, in 2
@pytest.mark.parametrize("implementation", [1, 2])
def test_adapted_empirical_kernels_run(implementation):
    nt = adapter.load()
    net = FullyConnected(3, width=16, b_std=0.1)
    params = net.init(jax.random.key(0), 4)
    x = np.random.default_rng(9).standard_normal((5, 4))
    phi = jax.jacobian(lambda p: net.apply(p, x))(params)
    phi = jnp.concatenate([leaf.reshape(5, -1) for leaf in jax.tree.leaves(phi)], axis=1)
    kernel = nt.empirical_ntk_fn(lambda p, x: net.apply(p, x)[:, None], implementation=implementation)
    np.testing.assert_allclose(kernel(x, None, params), phi @ phi.T, rtol=1e-12, atol=1e-12)
