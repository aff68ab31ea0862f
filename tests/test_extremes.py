"""The whole range of strengths, decays and overlaps against 60-digit arithmetic, and the sign law on random cells."""

import mpmath as mp
import numpy as np
import pytest
from _oracles import DIGITS, relative, rotation
from _oracles import solve as solve_exactly
from _problems import CELLS, solve_cells
from _tolerances import units

import gsdyn as gs

MEASURED = 200
FLOWS = ["cross-entropy", pytest.param("first-order", marks=pytest.mark.slow)]


def extreme_cells():
    """Cells over `s` 1e-6..1e6, `lam` 1e-12..1e6, `delta` 0..0.999999, both ends of it dense, with ties."""
    rng = np.random.default_rng(1)
    s1, s2 = 10 ** rng.uniform(-6, 6, (2, CELLS))
    lam = 10 ** rng.uniform(-12, 6, CELLS)
    near_one, near_zero = 1 - 10 ** rng.uniform(-6, 0, CELLS), 10 ** rng.uniform(-12, 0, CELLS)
    delta = np.choose(rng.integers(0, 3, CELLS), [rng.uniform(0, 1, CELLS), near_one, near_zero])
    delta[:10], delta[10:15] = 0.0, 0.5**0.5
    s2[15:25] = s1[15:25]
    s1[25], s2[26] = 0.0, 0.0
    s1[27], s2[27], delta[27], lam[27] = 1e6, 1e-6, 1e-6, 1e-12
    return s1, s2, np.clip(delta, 0, 0.999999), lam


@pytest.fixture(scope="module", params=FLOWS)
def solved(request):
    cells = extreme_cells()
    got = solve_cells(request.param, *cells)
    with mp.workdps(DIGITS):
        exact = [
            solve_exactly(rotation(delta), (s1, s2), lam, request.param == "first-order", got.margins[i])
            for i, (s1, s2, delta, lam) in enumerate(zip(*cells, strict=True))
            if i < MEASURED
        ]
    return cells, got, exact


def test_every_cell_converges_to_finite_numbers(solved):
    _, got, _ = solved
    assert np.all(got.converged)
    for name, x in got._asdict().items():
        assert np.all(np.isfinite(x)), name
    # margins beyond 700 are among them
    assert np.max(got.margins) > 1e6


def test_responses_and_dual_variables_have_all_their_digits(solved):
    (s1, s2, delta, lam), got, exact = solved
    for i, e in enumerate(exact):
        c, overlap = (s1[i] ** 2 / lam[i], s2[i] ** 2 / lam[i]), rotation(delta[i]).T.apply(abs)
        for j in range(2):
            # the two terms of z_2 all but cancel where delta = 1/sqrt(2) or the strengths are equal
            terms = c[j] * (overlap[j, 0] * e.alpha[0] + overlap[j, 1] * e.alpha[1]) if 10 <= i < 25 else abs(e.z[j])
            assert abs(mp.mpf(float(got.z[i, j])) - e.z[j]) <= units(1.0, 16) * terms
            if e.alpha[j] > mp.mpf(1e-307):
                # alpha = a(f) multiplies the rounding of f by f
                assert relative(got.alpha[i, j], e.alpha[j]) <= units(1.0, 8) * (1 + abs(got.margins[i, j]))


def test_error_bound_is_never_broken_and_seldom_idle(solved):
    _, got, exact = solved
    for i, e in enumerate(exact):
        distance = mp.sqrt(mp.fsum((mp.mpf(float(got.alpha[i, j])) - e.alpha[j]) ** 2 for j in range(2)))
        assert distance <= got.error_bound[i]
    # where c spans twenty decades, rounding alpha alone is worth 1e-5 of the gap's root
    assert np.all(np.quantile(got.error_bound, [0.5, 0.95, 1.0]) < [1e-14, 1e-8, 1e-2])


def test_starvation_has_all_its_digits(solved):
    (s1, s2, _, _), got, exact = solved
    for i, e in enumerate(exact):
        G = np.array(e.G, dtype=float)
        largest = np.max(np.abs(G))
        assert np.max(np.abs(got.G[i] - G)) <= 1e-13 * largest
        if abs(s1[i] - s2[i]) > 1e-3 * s1[i] and i >= 15:
            # mpmath leaves 1e-60 of the largest where an entry is zero
            assert np.all(np.abs(got.G[i] - G) <= 1e-12 * np.abs(G) + 1e-55 * largest)


@pytest.mark.parametrize("name", FLOWS)
def test_sign_law_holds_on_20000_cells(name):
    rng = np.random.default_rng(2)
    count = 5 * CELLS
    s1, s2 = 10 ** rng.uniform(-2, 2, (2, count))
    lam, delta = 10 ** rng.uniform(-5, 2, count), rng.uniform(0.001, 0.999, count)
    got = solve_cells(name, s1, s2, delta, lam)
    assert np.all(got.converged)
    np.testing.assert_array_equal(np.sign(got.G[:, 1, 0]), gs.sign_law(s1, s2, delta))
    # G[0, 1] holds the same coupling times u_2^T alpha, which has the sign of z_2
    np.testing.assert_array_equal(np.sign(got.G[:, 0, 1]), gs.sign_law(s1, s2, delta) * np.sign(got.z[:, 1]))
