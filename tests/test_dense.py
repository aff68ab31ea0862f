"""Inverses of dense matrices, by halves and by columns, of one matrix and of a batch, against NumPy's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from _programs import QUICK
from _tolerances import assert_close

from gsdyn._numerics import dense


@pytest.mark.parametrize("n", [1, 12, 30, 50, 131])
def test_inverse_of_a_positive_definite_matrix(n):
    A = np.random.default_rng(n).standard_normal((3, n, n + 5))
    A = A @ A.swapaxes(-1, -2)
    got = jax.jit(jax.vmap(dense.spd_inverse), compiler_options=QUICK)(A)
    expected = np.linalg.inv(A)
    assert_close(got, expected, 64 * np.max(np.linalg.cond(A)), scale=np.max(np.abs(expected)))


def test_what_is_not_positive_definite_has_no_such_inverse():
    A = jnp.stack([jnp.eye(4), jnp.diag(jnp.array([1.0, 2.0, -1.0, 1.0]))])
    one, other = jax.jit(jax.vmap(dense.spd_inverse), compiler_options=QUICK)(A)
    np.testing.assert_array_equal(one, np.eye(4))
    assert np.isnan(other).any()
