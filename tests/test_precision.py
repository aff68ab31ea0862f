"""Products keep all digits on every device, in values, derivatives and batches, where JAX on a GPU keeps eleven bits.

What a function asks for is in its program, so this needs no GPU.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core import ClosedJaxpr, Jaxpr

import gsdyn as gs

HIGHEST = jax.lax.Precision.HIGHEST
RNG = np.random.default_rng(0)
NET = gs.networks.FullyConnected(depth=2, width=8, b_std=0.1)
X, NEW = RNG.normal(size=(6, 3)).astype(np.float32), RNG.normal(size=(4, 3)).astype(np.float32)
Y = jnp.asarray([1.0, -1.0, 1.0, 1.0, -1.0, -1.0], jnp.float32)
DECAY, TIMES = 0.1, np.array([1.0, 2.0])


def products(jaxpr):
    """All products and convolutions of a program and of those inside it."""
    for equation in jaxpr.eqns:
        if equation.primitive.name in ("dot_general", "conv_general_dilated"):
            yield equation
        for value in jax.tree.leaves(equation.params, is_leaf=lambda x: isinstance(x, (Jaxpr, ClosedJaxpr))):
            if isinstance(value, ClosedJaxpr | Jaxpr):
                yield from products(getattr(value, "jaxpr", value))


def theta_of(n=6):
    rows = np.random.default_rng(n).normal(size=(n, 2 * n)).astype(np.float32)
    return jnp.asarray(rows @ rows.T)


def responses(theta, loss):
    return gs.fixed_point(gs.FeatureBasis.from_kernel(theta, Y), loss, gs.WeightDecay(DECAY)).z


def starvation(theta, loss):
    basis = gs.FeatureBasis.from_kernel(theta, Y)
    return gs.starvation_matrix(basis, gs.fixed_point(basis, loss, gs.WeightDecay(DECAY)))


def by_class(theta):
    basis = gs.FeatureBasis.from_kernel(theta)
    loss = gs.Softmax(jnp.asarray([0, 1, 2, 0, 1, 2]), 3)
    return gs.starvation_matrix(basis, gs.fixed_point(basis, loss, gs.WeightDecay(DECAY)))


def path(theta):
    basis = gs.FeatureBasis.from_kernel(theta, Y)
    return gs.integrate(gs.PrimalFlow(basis, gs.CrossEntropy(), gs.WeightDecay(DECAY)), TIMES).z


def flow(theta):
    return gs.integrate(gs.KernelFlow(theta, Y, gs.CrossEntropy(), gs.WeightDecay(DECAY)), TIMES).margins


def by_kernel(theta):
    return gs.kernel_fixed_point(theta, Y, gs.CrossEntropy(), gs.WeightDecay(DECAY)).alpha


def predicted(theta):
    basis = gs.FeatureBasis.from_kernel(theta, Y)
    fp = gs.fixed_point(basis, gs.CrossEntropy(), gs.WeightDecay(DECAY))
    return gs.predict(theta[:4], Y, gs.coefficients(basis, fp)), gs.feature_functions(basis, theta[:4], Y)


def truncated(theta):
    basis = gs.FeatureBasis.from_kernel(theta, Y, rank=3)
    fp = gs.fixed_point(basis, gs.CrossEntropy(), gs.WeightDecay(DECAY))
    return gs.truncation_bound(basis, fp, theta, Y)


def over_time(theta):
    basis = gs.FeatureBasis.from_kernel(theta, Y)
    flow = gs.PrimalFlow(basis, gs.CrossEntropy(), gs.WeightDecay(DECAY))
    return gs.starvation_over_time(flow, jnp.asarray([1.0], jnp.float32)).matrix


def infinite(x):
    return gs.kernels.infinite_ntk(NET, x, NEW)


def empirical(x):
    params = NET.init(jax.random.key(0), 3, jnp.float32)
    return gs.kernels.empirical_ntk(NET.apply, params, x, NEW)


LOSSES = [gs.CrossEntropy(), gs.Hinge(), gs.SquaredError()]
OF_KERNELS = [
    *(partial(function, loss=loss) for function in (responses, starvation) for loss in LOSSES),
    *(by_class, path, flow, by_kernel, predicted, truncated, over_time),
]
DIFFERENTIABLE = [*OF_KERNELS[:7], path]


def name(function):
    if isinstance(function, partial):
        return f"{function.func.__name__}-{type(function.keywords['loss']).__name__}"
    return function.__name__


def check(function, x):
    found = list(products(jax.make_jaxpr(function)(x).jaxpr))
    assert found
    for equation in found:
        assert equation.params["precision"] == (HIGHEST, HIGHEST), equation


@pytest.mark.parametrize("function", OF_KERNELS, ids=name)
def test_solvers_ask_for_all_digits(function):
    check(function, theta_of())


@pytest.mark.parametrize("function", [infinite, empirical])
def test_kernels_ask_for_all_digits(function):
    check(function, X)


# rules for derivatives and batches are traced later than what they are of, and on their own
@pytest.mark.parametrize("function", DIFFERENTIABLE, ids=name)
def test_derivatives_ask_for_all_digits(function):
    inside = jax.jit(function)
    check(jax.grad(lambda theta: jnp.sum(inside(theta))), theta_of())


@pytest.mark.parametrize("function", OF_KERNELS, ids=name)
def test_batches_ask_for_all_digits(function):
    check(jax.vmap(jax.jit(function)), jnp.stack([theta_of(), 2 * theta_of()]))
