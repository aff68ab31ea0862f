"""What is a program of its own outside of `jit` is a part of others inside, also of values that these know."""

import jax
import jax.numpy as jnp
import numpy as np

from gsdyn._numerics.programs import compiled

VALUES = jnp.asarray([1.0, 2.0])


@compiled
def cubes(x, power):
    assert power == 3
    return x**power


def test_alone_and_inside_of_other_programs():
    ways = [
        cubes(VALUES, 3),
        jax.jit(lambda shift: cubes(VALUES, 3) + shift)(0.0),
        jax.vmap(cubes, in_axes=(0, None))(VALUES, 3),
        jax.lax.map(lambda x: cubes(x, 3), VALUES),
        jax.vmap(jax.grad(lambda x: cubes(x, 3)))(VALUES) * VALUES / 3,
    ]
    for way in ways:
        np.testing.assert_allclose(way, [1.0, 8.0], rtol=1e-15)
