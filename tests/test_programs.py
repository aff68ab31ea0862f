"""What is a program of its own outside of `jit` is a part of others inside, also of values that these know."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gsdyn._numerics import programs
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


def ones(count):
    return jnp.ones((count, 3))


@pytest.mark.parametrize(
    ("way", "apart"),
    [
        (lambda f: f(ones(1)[0]), True),
        (lambda f: jax.vmap(f)(ones(programs.MANY)), True),
        (lambda f: jax.vmap(jax.vmap(f))(jnp.ones((2, 2, 3))), True),
        (lambda f: jax.vmap(f)(ones(programs.MANY + 1)), False),
        (lambda f: jax.vmap(jax.vmap(f))(jnp.ones((2, programs.MANY, 3))), False),
        (lambda f: jax.grad(f)(ones(1)[0]), False),
        (lambda f: jax.vmap(jax.grad(f))(ones(2)), False),
        (lambda f: jax.grad(lambda x: jnp.sum(jax.vmap(f)(x)))(ones(2)), False),
    ],
)
def test_programs_of_their_own_are_those_of_values_and_small_batches(way, apart):
    said = []

    def asked(x):
        said.append(programs._apart((x, "an option")))
        return jnp.sum(x)

    way(asked)
    assert said == [apart]
