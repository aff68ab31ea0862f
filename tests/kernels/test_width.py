"""The empirical NTK tends to the infinite one, as the root of the width."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from gsdyn.kernels import empirical_ntk, infinite_ntk
from gsdyn.networks import Erf, FullyConnected, Relu

SEEDS = 64


def errors(depth, activation, widths, x):
    """Relative Frobenius errors, shape (widths, seeds)."""
    infinite = infinite_ntk(FullyConnected(depth, activation=activation, b_std=0.2), x)

    def error(net, key):
        return jnp.linalg.norm(empirical_ntk(net, net.init(key, x.shape[1]), x) - infinite)

    found = []
    for width in widths:
        net = FullyConnected(depth, width, activation, b_std=0.2)
        keys = jax.random.split(jax.random.key(width), SEEDS)
        found.append(jax.jit(lambda keys, net=net: jax.lax.map(lambda key: error(net, key), keys))(keys))
    return np.asarray(found) / float(jnp.linalg.norm(infinite))


@pytest.mark.parametrize(
    ("depth", "activation", "widths"),
    [(2, Relu(), (64, 256, 1024, 4096)), pytest.param(3, Erf(), (128, 256, 512, 1024), marks=pytest.mark.slow)],
)
def test_error_falls_with_the_root_of_the_width(depth, activation, widths):
    x = np.random.default_rng(0).standard_normal((6, 4))
    logs, steps = np.log(errors(depth, activation, widths, x)), np.log(widths)
    slopes = (steps - steps.mean()) @ logs / np.sum((steps - steps.mean()) ** 2)
    middle, half = slopes.mean(), stats.t.ppf(0.975, SEEDS - 1) * slopes.std(ddof=1) / np.sqrt(SEEDS)
    print(f"exponent {middle:.3f} +- {half:.3f}")
    assert abs(middle + 0.5) + half < 0.1
    assert abs(middle + 0.5) < 3 * half
