"""Problems that are gathered from a batch are all solved, once each, and put back in their places."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from _programs import QUICK

from gsdyn._numerics.batching import anywhere, finish, finish_each


@pytest.mark.parametrize("count", [1, 31, 33, 1000, 4097])
@pytest.mark.parametrize("share", [0.0, 0.02, 1.0])
def test_what_is_left_to_do_is_done_and_nothing_else(count, share):
    rng = np.random.default_rng(count)
    problems, todo = rng.standard_normal((count, 2)), rng.uniform(size=count) < share
    before = jnp.full(count, -1.0), jnp.full((count, 2), -1.0)

    def solve(rows):
        return rows[:, 0] + rows[:, 1], 2 * rows

    sums, twice = jax.jit(lambda *x: finish(solve, *x, size=16), compiler_options=QUICK)(problems, before, todo)
    np.testing.assert_array_equal(sums, np.where(todo, problems[:, 0] + problems[:, 1], -1.0))
    np.testing.assert_array_equal(twice, np.where(todo[:, None], 2 * problems, -1.0))


def test_a_few_are_done_one_by_one():
    problems, todo = np.arange(8.0).reshape(4, 2), np.array([True, False, False, True])

    def solve(row):
        return row[0] + row[1], 2 * row

    run = jax.jit(lambda *x: finish_each(solve, *x), compiler_options=QUICK)
    sums, twice = run(problems, (jnp.full(4, -1.0), jnp.full((4, 2), -1.0)), todo)
    np.testing.assert_array_equal(sums, [1.0, -1.0, -1.0, 13.0])
    np.testing.assert_array_equal(twice, np.where(todo[:, None], 2 * problems, -1.0))


def test_loops_of_a_batch_go_on_while_one_does():
    numbers = jnp.array([[1.0, 8.0, 3.0], [2.0, 100.0, 0.5]])

    def halved(x):
        def turn(state):
            x, i = state
            return jnp.where(x > 1, x / 2, x), i + (x > 1).astype(i.dtype)

        return jax.lax.while_loop(lambda s: anywhere(s[0] > 1), turn, (x, jnp.zeros((), int)))

    left, halvings = jax.jit(jax.vmap(jax.vmap(halved)))(numbers)
    np.testing.assert_array_equal(left, [[1.0, 1.0, 0.75], [1.0, 100 / 128, 0.5]])
    np.testing.assert_array_equal(halvings, [[0, 3, 2], [1, 7, 0]])
    program = jax.make_jaxpr(jax.vmap(jax.vmap(halved)))(numbers)
    assert str(program).count("select_n") == 1  # in the turn itself
