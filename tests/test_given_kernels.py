"""Kernels that other libraries made: unlike their transpose by rounding of single precision, in arrays of any kind."""

import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

import gsdyn as gs
from gsdyn import _checks
from gsdyn._numerics import psd
from gsdyn.diagnosis.gram import semidefinite

RNG = np.random.default_rng(4)
PHI = RNG.normal(size=(6, 4))
THETA = PHI @ PHI.T
Y = np.array([1.0, -1.0, 1.0, 1.0, -1.0, -1.0])
# both of a pair of entries summed in an order of their own, in single precision: of rank 4 but for that
ROUNDED = (THETA * (1 + 2e-7 * RNG.normal(size=THETA.shape))).astype(np.float32)
LOSS, PENALTY = gs.CrossEntropy(), gs.WeightDecay(0.5)
BY_ROUNDING = "ignore:theta has an eigenvalue"


@pytest.mark.filterwarnings(BY_ROUNDING)
def test_a_kernel_may_be_unlike_its_transpose_by_rounding_of_the_precision_it_came_in():
    theta = ROUNDED.astype(float)
    assert np.max(np.abs(theta - theta.T)) > 1e-8 * np.max(np.abs(theta))
    exact = gs.fixed_point(gs.FeatureBasis.from_kernel(THETA, Y), LOSS, PENALTY).margins
    found = gs.fixed_point(gs.FeatureBasis.from_kernel(theta, Y), LOSS, PENALTY).margins
    np.testing.assert_allclose(found, exact, rtol=1e-5)
    np.testing.assert_allclose(gs.kernel_fixed_point(theta, Y, LOSS, PENALTY, rtol=1e-13).margins, exact, rtol=1e-5)
    run = gs.integrate(gs.KernelFlow(theta, Y, LOSS, PENALTY), np.array([200.0]))
    np.testing.assert_allclose(run.margins[0], exact, rtol=1e-4)
    for kernel in (theta, ROUNDED):  # of a report
        whole = semidefinite(jnp.asarray(kernel))[0]
        np.testing.assert_array_equal(whole, whole.T)
        np.testing.assert_allclose(whole, THETA, atol=1e-5)


@pytest.mark.filterwarnings(BY_ROUNDING)
def test_a_hard_margin_takes_it_too():
    np.testing.assert_allclose(
        gs.hard_margin(ROUNDED.astype(float), None).margins, gs.hard_margin(THETA, None).margins, rtol=1e-5
    )


def test_what_is_no_rounding_is_refused_unless_it_is_told():
    theta = jnp.asarray(np.eye(6) + 1e-9 * RNG.normal(size=(6, 6)))
    with pytest.raises(ValueError, match=r"theta must be symmetric, got entries that differ by .*: give \(theta"):
        psd.symmetric(theta)
    whole = psd.symmetric(theta, accuracy=1e-8)
    np.testing.assert_array_equal(whole, (theta + theta.T) / 2)
    assert psd.symmetric(whole) is whole
    half = np.eye(6, dtype=np.float16) + np.triu(np.full((6, 6), 0.1, np.float16), 1)
    with pytest.raises(ValueError, match="theta must be symmetric"):
        psd.symmetric(jnp.asarray(half, jnp.float32), half)


class Tensor:
    """What of a tensor of PyTorch counts here: only its values without derivatives, on the host, are numbers."""

    def __init__(self, values, dtype, ready=False):
        self.values, self.dtype, self.ready, self.shape = values, dtype, ready, np.shape(values)

    def detach(self):
        return self

    def cpu(self):
        return Tensor(self.values, self.dtype, True)

    def float(self):
        return Tensor(np.asarray(self.values, np.float32), "torch.float32", self.ready)

    def numpy(self):
        if not self.ready or self.dtype == "torch.bfloat16":
            raise RuntimeError("no numbers")
        return np.asarray(self.values)


def test_tensors_of_pytorch_are_arrays():
    for dtype, kind in (("torch.float64", np.float64), ("torch.float32", np.float32), ("torch.bfloat16", np.float32)):
        tensor = Tensor(np.eye(3, dtype=kind), dtype)
        assert _checks.finite("theta", tensor).dtype == kind
        np.testing.assert_array_equal(_checks.examples("x", tensor), np.eye(3))
    unit = float(jnp.finfo(jnp.bfloat16).eps)
    assert psd.accuracy(Tensor(np.eye(3), "torch.bfloat16"), jnp.eye(3, dtype=jnp.float32)) == unit**0.5
    np.testing.assert_array_equal(_checks.labels("y", Tensor(np.array([1.0, -1.0]), "torch.float32")), [1, -1])


def test_text_in_a_frame_is_told_as_text():
    for y in (pd.Categorical(["a", "b"]), pd.Series(["a", "b"]), pd.DataFrame({"y": ["a", "b"]})):
        with pytest.raises(ValueError, match="y must hold numbers, got dtype object"):
            _checks.labels("y", y)


def test_networks_with_outputs_in_a_column_have_features():
    """`ntrf` gives (n, 1, m) and `empirical_ntk` (n, n, 1, 1) where outputs have shape (n, 1)."""
    flat = gs.FeatureBasis.from_ntrf(PHI, Y)
    np.testing.assert_array_equal(gs.FeatureBasis.from_ntrf(PHI[:, None, :], Y).s, flat.s)
    column, new = THETA[:, :, None, None], THETA[:2, :, None, None]
    basis = gs.FeatureBasis.from_kernel(jnp.asarray(column), Y)
    np.testing.assert_allclose(basis.s[:4], flat.s, rtol=1e-12)
    np.testing.assert_array_equal(gs.hard_margin(column, None).margins, gs.hard_margin(THETA, None).margins)
    np.testing.assert_array_equal(gs.predict(new, Y, np.ones(6)), gs.predict(THETA[:2], Y, np.ones(6)))
    assert gs.KernelFlow(column, Y, LOSS, PENALTY).theta.shape == (6, 6)
    with pytest.raises(ValueError, match="phi must have 2 dimensions, got shape"):
        gs.FeatureBasis.from_ntrf(np.ones((6, 2, 4)), Y)
