"""Grids of two-feature cells: each cell gets what it gets alone, whatever the grid's size and nesting."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from _problems import CELLS, LOSSES, solve_cells
from _programs import QUICK
from _tolerances import assert_close

import gsdyn as gs
from gsdyn._fixed_points import cells as _cells

NAMES = ["cross-entropy", "first-order"]


def cells(count, seed=0):
    """Cells of the benchmark's ranges, the last tenth of them far harder."""
    rng = np.random.default_rng(seed)
    s1, s2 = 10 ** rng.uniform(-1, 1, (2, count))
    delta, lam = rng.uniform(0, 0.7, count), 10 ** rng.uniform(-4, 1, count)
    hard = slice(9 * count // 10, None)
    s1[hard], s2[hard], lam[hard] = 1e3 * s1[hard], 1e-2 * s2[hard], 1e-5 * lam[hard]
    return s1, s2, delta, lam


def certified(loss, s1, s2, delta, lam):
    fp = gs.fixed_point(gs.FeatureBasis.rotation(s1, s2, delta), loss, gs.WeightDecay(lam))
    return fp.alpha, fp.z, fp.gap, fp.error_bound, fp.iterations, fp.converged


def assert_same(alpha, z, reference, rows):
    """Equal to rounding: z of the largest response, as one may be a difference; alpha of a margin, its logarithm."""
    assert_close(z, reference.z[rows], 64, scale=np.max(np.abs(reference.z[rows]), axis=-1, keepdims=True))
    # what float32 cannot hold may be zero in it
    floor = np.finfo(alpha.dtype).tiny / np.finfo(alpha.dtype).eps
    scale = reference.alpha[rows] * (1 + np.abs(reference.margins[rows]))
    assert_close(alpha, reference.alpha[rows], 16, scale=scale + floor)


@pytest.fixture(scope="module", params=[NAMES[0], pytest.param(NAMES[1], marks=pytest.mark.slow)])
def grid(request):
    values = cells(CELLS)
    return request.param, values, solve_cells(request.param, *values)


def test_no_cell_is_left_behind(grid):
    name, (s1, s2, delta, lam), got = grid
    assert np.all(got.converged)
    assert np.max(got.error_bound) < 1e-6
    weight = LOSSES[name].weight(jnp.asarray(got.margins))
    pull = np.einsum("cij,ci->cj", np.asarray(jax.vmap(gs.FeatureBasis.rotation)(s1, s2, delta).U), np.asarray(weight))
    c = np.stack([s1**2, s2**2], axis=1) / lam[:, None]
    assert_close(got.alpha, weight, 8)
    assert_close(got.z, c * pull, 1000, scale=c * np.sum(got.alpha, axis=1, keepdims=True))


def test_a_cell_in_a_grid_is_a_cell_alone(grid):
    name, values, got = grid
    alone = jax.jit(certified, compiler_options=QUICK)
    for i in [*range(0, CELLS, 400), 1023, 1024, CELLS - 2, CELLS - 1]:
        alpha, z, gap, bound, iterations, converged = alone(LOSSES[name], *(jnp.asarray(x[i]) for x in values))
        assert converged
        assert iterations >= 1
        assert_same(alpha, z, got, i)
        assert gap >= 0
        assert bound >= np.linalg.norm(np.asarray(alpha) - got.alpha[i]) / 2


@pytest.mark.parametrize("count", [1, 1025])
def test_every_size_of_grid(monkeypatch, count):
    monkeypatch.setattr(_cells, "SHARED_CHUNK", 512)
    values, reference = cells(CELLS), solve_cells("cross-entropy", *cells(CELLS))
    some = [x[-count:] for x in values]
    solve = jax.jit(jax.vmap(certified, in_axes=(None, 0, 0, 0, 0)), compiler_options=QUICK)
    alpha, z, _, _, _, converged = solve(gs.CrossEntropy(), *some)
    assert np.all(converged)
    assert_same(alpha, z, reference, slice(CELLS - count, None))


def test_nested_grids_with_shared_axes():
    """Three axes mapped one by one, as a labelled sweep does, meet one axis of all cells."""
    s1, delta, lam = np.array([1.0, 3.0, 9.0]), np.linspace(0, 0.9, 7), np.logspace(-6, 1, 11)
    loss, s2 = gs.CrossEntropy(), 2.0

    def solve(s1, delta, lam):
        return certified(loss, s1, s2, delta, lam)

    rows = jax.vmap(jax.vmap(jax.vmap(solve, (None, None, 0)), (None, 0, None)), (0, None, None))
    alpha, z, gap, bound, iterations, converged = jax.jit(rows, compiler_options=QUICK)(s1, delta, lam)
    assert z.shape == (3, 7, 11, 2)
    assert gap.shape == bound.shape == iterations.shape == converged.shape == (3, 7, 11)
    flat = solve_cells(
        "cross-entropy", *(x.reshape(-1) for x in np.broadcast_arrays(s1[:, None, None], s2, delta[:, None], lam))
    )
    assert np.all(converged)
    assert_same(alpha.reshape(-1, 2), z.reshape(-1, 2), flat, slice(None))


def test_float32_grid():
    values = cells(1024)
    single = [np.float32(x) for x in values]
    wide = solve_cells("cross-entropy", *(x.astype(np.float64) for x in single))
    solve = jax.jit(jax.vmap(certified, in_axes=(None, 0, 0, 0, 0)), compiler_options=QUICK)
    alpha, z, gap, bound, _, converged = solve(gs.CrossEntropy(), *single)
    assert {x.dtype for x in (alpha, z, gap, bound)} == {jnp.dtype(jnp.float32)}
    assert np.all(converged)
    assert np.all(np.linalg.norm(np.asarray(alpha) - wide.alpha, axis=1) <= np.asarray(bound))
    assert_same(alpha, z, wide, slice(None))


@pytest.mark.parametrize("name", NAMES)
def test_rounding_does_not_pass_for_convergence(name):
    """From many a wrong point the step of these cells is nothing but rounding, and can come out as zero."""
    s1, s2 = np.array([1202.5644426202673, 28768.19881604329, 102874.3457037]), np.array([583756.1, 296706.6, 673496.8])
    lam = np.array([5.990146331542389e-11, 1.6118136028105712e-11, 2.663835303289554e-11])
    got = solve_cells(name, s1, s2, np.array([0.7457079916878977, 0.22612815076156834, 0.95775075209718]), lam)
    assert np.all(got.converged)
    # z = c U^T alpha and f = U z give two sums of positive terms the same value
    squares = np.sum(got.z**2 * np.stack([lam / s1**2, lam / s2**2], axis=1), axis=1)
    assert_close(np.sum(got.margins * got.alpha, axis=1), squares, 1000)


def test_a_cell_stops_at_the_limit_and_says_so():
    """The certificate bounds the error of an unfinished cell too; the easy ones of the grid are not held up by it."""
    s1, s2, delta, lam = cells(CELLS)
    best = solve_cells("cross-entropy", s1, s2, delta, lam)

    def hurried(s1, s2, delta, lam):
        basis = gs.FeatureBasis.rotation(s1, s2, delta)
        fp = gs.fixed_point(basis, gs.CrossEntropy(), gs.WeightDecay(lam), max_iterations=2)
        return fp.alpha, fp.gap, fp.error_bound, fp.iterations, fp.converged

    alpha, gap, bound, iterations, converged = jax.jit(jax.vmap(hurried), compiler_options=QUICK)(s1, s2, delta, lam)
    assert np.max(iterations) <= 2
    assert not np.all(converged)
    distance = np.linalg.norm(np.asarray(alpha) - best.alpha, axis=1)
    assert np.all(distance <= bound)
    assert np.all(distance[converged] < 1e-6)
    assert np.all(np.isfinite(gap))
    assert np.all(gap >= 0)
