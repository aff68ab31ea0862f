"""Penalties as spectral filters: formulas, slopes, zero strengths, limits of the mixed family, tilts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from _tolerances import assert_close
from hypothesis import given, settings
from hypothesis import strategies as st

import gsdyn as gs

S2 = np.array([0.0, 1e-12, 1e-4, 0.3, 1.0, 7.0, 1e12])
PENALTIES = {
    "weight decay": (gs.WeightDecay(0.02), lambda s2: s2 / 0.02, lambda s2: np.full_like(s2, 1 / 0.02)),
    "decoupling": (gs.SpectralDecoupling(0.02), lambda s2: (s2 > 0) / 0.02, np.zeros_like),
    "mixed": (
        gs.Mixed(0.02, 0.3),
        lambda s2: s2 / (0.02 + 0.3 * s2),
        lambda s2: 0.02 / (0.02 + 0.3 * s2) ** 2,
    ),
}


@pytest.mark.parametrize("name", PENALTIES)
def test_filter_and_slope(name):
    penalty, c, slope = PENALTIES[name]
    assert_close(penalty.filter(jnp.asarray(S2)), c(S2), 4)
    assert_close(penalty.filter_slope(jnp.asarray(S2)), slope(S2), 4)


@pytest.mark.parametrize("name", PENALTIES)
def test_slope_is_the_derivative_of_the_filter_and_strengths_of_zero_are_harmless(name):
    penalty = PENALTIES[name][0]
    derivative = jax.jit(jax.vmap(jax.grad(lambda s2: penalty.filter(s2[None])[0])))(S2)
    assert_close(derivative, penalty.filter_slope(jnp.asarray(S2)), 8)
    by_strength = jax.jacfwd(lambda penalty: penalty.filter(jnp.asarray(S2)))(penalty)
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(by_strength))
    assert all(leaf[0] == 0 for leaf in jax.tree.leaves(by_strength))


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.floats(-6, 6), st.floats(-12, 6))
def test_mixed_family_runs_from_weight_decay_to_decoupling(log_s, log_lam):
    s2, lam = np.array([10.0**log_s]) ** 2, 10.0**log_lam
    pairs = [(gs.Mixed(lam, 0.0), gs.WeightDecay(lam)), (gs.Mixed(0.0, lam), gs.SpectralDecoupling(lam))]
    for mixed, pure in pairs:
        assert_close(mixed.filter(s2), pure.filter(s2), 4)
        assert_close(mixed.filter_slope(s2), pure.filter_slope(s2), 4)


def test_mixed_without_weight_decay_gives_nothing_to_a_feature_of_no_strength():
    assert gs.Mixed(0.0, 1.0).filter(jnp.zeros(1)) == gs.SpectralDecoupling(1.0).filter(jnp.zeros(1)) == 0
    assert gs.Mixed(0.0, 1.0).filter_slope(jnp.zeros(1)) == 0


def test_decay_names_both_strengths():
    assert [float(x) for x in gs.WeightDecay(0.5).decay()] == [0.5, 0]
    assert [float(x) for x in gs.SpectralDecoupling(0.5).decay()] == [0, 0.5]
    assert [float(x) for x in gs.SpectralDecoupling([0.5, 0.25]).decay()] == [0, 0.25]
    assert [float(x) for x in gs.Mixed(0.5, 0.25).decay()] == [0.5, 0.25]


def quadratic(penalty, f):
    """All that a decoupling penalty adds to the loss at margins `f`, up to a constant."""
    tilt, c = penalty.tilt(len(f)), penalty.filter(jnp.ones(1))[0]
    return float(jnp.sum(tilt.curvature * f**2 / 2 - tilt.pull * f) + jnp.sum(f**2) / (2 * c))


@pytest.mark.parametrize(
    ("lam", "gamma"),
    [
        (0.3, 1.5),
        ([0.3, 0.1, 0.2], None),
        ([0.3, 0.1, 0.2], -0.5),
        (0.3, [1.0, 0.0, -2.0]),
        ([0.1, 0.1, 0.2], [1.0, 0, 2]),
    ],
)
def test_tilt_and_filter_make_the_penalty_of_every_example(lam, gamma):
    penalty = gs.SpectralDecoupling(lam, gamma)
    f, g = np.array([0.7, -1.0, 3.0]), np.zeros(3)
    target = 0.0 if gamma is None else np.asarray(gamma)
    added = [float(np.sum(np.asarray(lam) / 2 * (x - target) ** 2)) for x in (f, g)]
    assert quadratic(penalty, jnp.asarray(f)) - quadratic(penalty, jnp.asarray(g)) == pytest.approx(added[0] - added[1])
    assert np.all(penalty.tilt(3).curvature >= 0)


def test_only_examples_that_differ_need_a_tilt():
    assert gs.WeightDecay(1.0).tilt(3) is None
    assert gs.Mixed(1.0, 1.0).tilt(3) is None
    assert gs.SpectralDecoupling(1.0).tilt(3) is None


def test_by_class_takes_the_pair_of_each_label():
    penalty = gs.SpectralDecoupling.by_class([1, -1, -1], (0.1, 0.2), (2.5, 0.4))
    np.testing.assert_array_equal(penalty.lam, [0.2, 0.1, 0.1])
    np.testing.assert_array_equal(penalty.gamma, [0.4, 2.5, 2.5])
    single = gs.SpectralDecoupling.by_class(np.float32([1, -1]), (np.float32(0.1), np.float32(0.2)), (0.0, 0.0))
    assert single.lam.dtype == jnp.float32


def test_dtype_follows_the_strength_and_python_numbers_follow_the_features():
    s2 = jnp.ones(2, jnp.float32)
    for number in (np.float32(0.5), 0.5, 1):
        for penalty in (gs.WeightDecay(number), gs.SpectralDecoupling(number), gs.Mixed(number, number)):
            assert penalty.filter(s2).dtype == jnp.float32
            assert penalty.filter_slope(s2).dtype == jnp.float32


def test_strengths_may_be_traced():
    lams = jnp.asarray([0.1, 1.0, 10.0])
    c = jax.jit(jax.vmap(lambda lam: gs.WeightDecay(lam).filter(jnp.ones(1))[0]))(lams)
    assert_close(c, 1 / np.asarray(lams), 2)
    slope = jax.grad(lambda lam: gs.Mixed(lam, 1.0).filter(jnp.ones(1))[0])(1.0)
    assert float(slope) == pytest.approx(-0.25)
