"""Starvation at every time, outputs at new inputs, hard margins and groups, against 25-digit values and NumPy."""

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
from _flow_oracles import CE, FREE, ORACLES, numbers
from scipy.optimize import nnls
from scipy.special import expit

import gsdyn as gs


@pytest.mark.parametrize("case", range(len(ORACLES["primal"])))
def test_starvation_over_time_to_1e_9(case):
    problem = ORACLES["primal"][case]
    k = len(problem["s"])
    # all of one program: features of zero strength, in examples of their own, fill up to four
    U, s, z0 = np.eye(4), np.zeros(4), np.zeros(4)
    U[:k, :k], s[:k], z0[:k] = numbers(problem["U"]), numbers(problem["s"]), numbers(problem["z0"])
    lam1, lam2 = float(problem["lam1"]), float(problem["lam2"])
    ts = numbers([row["t"] for row in problem["rows"]])
    z, matrix, error, succeeded = _path(U, s, z0, lam1, lam2, ts)
    assert succeeded
    for i, row in enumerate(problem["rows"]):
        np.testing.assert_allclose(z[i, :k], numbers(row["z"]), atol=1e-9, rtol=0)
        off = np.abs(matrix[i, :k, :k] - numbers(row["starvation"]))
        np.testing.assert_array_less(off, 1e-9)
        assert (off <= error[i, :k, :k]).all()
        assert (error[i, :k, :k] < 1e-7).all()


@pytest.mark.slow
def test_second_derivatives_of_the_matrix():
    def entry(at, derivatives=2):
        basis = gs.FeatureBasis.rotation(2.0, 1.0, at[0])
        flow = gs.PrimalFlow(basis, CE, gs.WeightDecay(at[1]))
        path = gs.starvation_over_time(flow, at[2:], rtol=1e-10, max_steps=64, derivatives=derivatives)
        return path.matrix[0, 1, 0]

    at, step = jnp.array([0.3, 0.05, 0.4]), 1e-4
    slope = jax.jit(jax.grad(lambda at: entry(at, 1)))
    numeric = [(slope(at + step * e) - slope(at - step * e)) / (2 * step) for e in jnp.eye(3)]
    bend = jax.jit(jax.hessian(entry))(at)
    np.testing.assert_allclose(bend, numeric, atol=1e-6 * np.abs(bend).max())


class _Decays(gs.Unregularised):
    """Both decays, either of which may be 0, traced."""

    lam1: jax.Array
    lam2: jax.Array

    def decay(self):
        return self.lam1, self.lam2


@jax.jit
def _path(U, s, z0, lam1, lam2, ts):
    flow = gs.PrimalFlow(gs.FeatureBasis(U, s), CE, _Decays(lam1, lam2), z0=z0)
    path = gs.starvation_over_time(flow, ts, rtol=1e-10)
    return path.z, path.matrix, path.error, path.succeeded


ROTATION = np.array([[0.8, -0.6], [0.6, 0.8]])


def _last(s, lam1, lam2):
    flow = gs.PrimalFlow(gs.FeatureBasis(ROTATION, s), CE, gs.Mixed(lam1, lam2), eta=2.0)
    return gs.starvation_over_time(flow, np.array([0.5, 2.0]), rtol=1e-11)


@pytest.mark.slow
def test_the_matrix_is_the_derivative_of_the_responses_and_has_one_itself():
    @jax.jit
    def answer(at, weights):
        return _last(jnp.sqrt(at[:2]), at[2], at[3]).z[-1] @ weights

    at, weights, step = np.array([4.0, 1.0, 0.1, 0.3]), np.array([1.0, -2.0]), 1e-4
    gradient = jax.jit(jax.grad(answer))(at, weights)
    np.testing.assert_allclose(weights @ _last(np.sqrt(at[:2]), 0.1, 0.3).matrix[-1], gradient[:2], atol=1e-10)
    for i, unit in enumerate(np.eye(4)):
        slope = (answer(at + step * unit, weights) - answer(at - step * unit, weights)) / (2 * step)
        np.testing.assert_allclose(gradient[i], slope, atol=1e-7)


def test_errors_hold_where_one_iteration_is_within_the_tolerance():
    """Far below the absolute tolerance no iteration need follow the first, which has not seen the responses move."""
    s, t = np.array([1.5e-7, 1.9e-7, 2.3e-7, 2.7e-7]), np.array([26.0, 40.0, 3000.0])
    _, matrix, error, succeeded = _path(np.eye(4), s, np.zeros(4), 0.0, 0.0, t)
    assert succeeded
    for i, j in np.ndindex(3, 4):  # alone, z + e^z = s^2 t + 1
        with mpmath.workdps(40):
            x = mpmath.mpf(float(s[j])) ** 2 * mpmath.mpf(float(t[i])) + 1
            z = mpmath.findroot(lambda z, x=x: z + mpmath.exp(z) - x, mpmath.log(x), tol=1e-60)
            exact = mpmath.mpf(float(t[i])) / (1 + mpmath.exp(z))
            assert abs(mpmath.mpf(float(matrix[i, j, j])) - exact) <= float(error[i, j, j]) <= 1e-6 * exact


@pytest.mark.parametrize(
    ("s", "delta", "t", "lam1", "lam2", "exact"),  # by extrapolation in 40-digit arithmetic
    [
        ((0.00051636, 0.00497543), 0.4823237862446149, 631.7995273358198, 6.529270501015975e-06, 0.33393198095111365,
         [[428.1660395975525305657773, 7.66728604377350475035598e-10],
          [2.469547801470038215852765e-07, 122.9763861355469776751567]]),
        # the pulls of both examples cancel in the second feature to three digits
        ((0.0241526555, 3.95595243e-06), 0.7061260646439557, 0.6437402099548096, 0.0, 0.20347440839255973,
         [[0.4551151217047248062146705, -3.616973221752954477238972e-19],
          [-7.000276749084314321051556e-24, 0.0006308894720441980312405134]]),
    ],
)  # fmt: skip
def test_errors_hold_of_weak_features(s, delta, t, lam1, lam2, exact):
    c, U = (1 - delta * delta) ** 0.5, np.eye(4)
    U[:2, :2] = [[c, -delta], [delta, c]]
    _, matrix, error, _ = _path(U, np.array([*s, 0.0, 0.0]), np.zeros(4), lam1, lam2, t * np.array([1.0, 2.0, 4.0]))
    off = np.abs(matrix[0, :2, :2] - np.array(exact))
    assert (off <= error[0, :2, :2] + 4e-16 * np.abs(exact)).all()
    np.testing.assert_allclose(np.diagonal(matrix[0])[:2], np.diagonal(exact), rtol=1e-12)


def test_it_tends_to_the_starvation_matrix_and_to_nothing_under_spectral_decoupling():
    basis = gs.FeatureBasis(ROTATION, np.array([2.0, 1.0]))
    ends = [gs.starvation_over_time(gs.PrimalFlow(basis, CE, p), np.array([0.1, 300.0])) for p in PENALTIES]
    optimum = gs.starvation_matrix(basis, gs.fixed_point(basis, CE, PENALTIES[0]))
    np.testing.assert_allclose(ends[0].matrix[-1], optimum, atol=1e-8)
    np.testing.assert_allclose(ends[1].matrix[-1], 0.0, atol=1e-8)
    early = ends[0]
    assert (early.matrix[:, 1, 0] < -early.error[:, 1, 0]).all()
    np.testing.assert_allclose(early.elasticities()[-1], early.matrix[-1] * np.outer(1 / early.z[-1], [4.0, 1.0]))


PENALTIES = gs.Mixed(0.1, 0.0), gs.Mixed(0.0, 0.5)


def test_failures_are_told():
    path = gs.starvation_over_time(
        gs.PrimalFlow(gs.FeatureBasis(ROTATION, np.array([2.0, 1.0])), CE, FREE), np.array([1e-3, 1e3]), max_steps=5
    )
    assert not path.succeeded
    assert np.isfinite(path.matrix[0]).all()
    assert np.isnan(path.matrix[1]).all()


@pytest.mark.parametrize("case", range(len(ORACLES["predict"])))
def test_outputs_of_fixed_points_to_1e_11(case):
    problem = ORACLES["predict"][case]
    y, whole = np.array(problem["y"], float), numbers(problem["theta"])
    n = len(y)
    basis, new = gs.FeatureBasis.from_kernel(whole[:n, :n], y), whole[n:, :n]
    for fixed in problem["fixed"]:
        fp = gs.fixed_point(basis, CE, gs.Mixed(float(fixed["lam1"]), float(fixed["lam2"])))
        expected = numbers(fixed["outputs"])
        np.testing.assert_allclose(gs.predict(new, y, gs.coefficients(basis, fp)), expected, atol=1e-11, rtol=0)
        np.testing.assert_allclose(gs.feature_functions(basis, new, y) @ fp.z, expected, atol=1e-11, rtol=0)


def _data(n=6, m=4, seed=0):
    phi = np.random.default_rng(seed).normal(size=(n + m, n + 3))
    y = np.where(np.random.default_rng(seed + 1).random(n) < 0.5, -1.0, 1.0)
    theta = phi @ phi.T
    return theta[:n, :n], theta[n:, :n], y


def test_coefficients_are_what_each_penalty_says():
    theta, new, y = _data()
    basis = gs.FeatureBasis.from_kernel(theta, y)
    by_class = gs.SpectralDecoupling.by_class(y, (0.3, 2.0), (1.0, -0.5))
    for given in (gs.WeightDecay(0.1), by_class):
        fp = gs.fixed_point(basis, CE, given)
        beta = gs.coefficients(basis, fp)
        np.testing.assert_allclose(beta, np.linalg.solve(y[:, None] * theta * y, fp.margins), rtol=1e-9)
    fp = gs.fixed_point(basis, gs.Hinge(), gs.WeightDecay(0.1))
    np.testing.assert_allclose(gs.coefficients(basis, fp), fp.alpha / 0.1, atol=1e-12)
    multi = gs.FeatureBasis.from_kernel(theta)
    fp = gs.fixed_point(multi, gs.Softmax(np.arange(6) % 3, 3), gs.WeightDecay(0.1))
    beta = gs.coefficients(multi, fp)
    np.testing.assert_allclose(beta, (np.eye(3)[np.arange(6) % 3] - fp.alpha) / 0.1, rtol=1e-9)
    np.testing.assert_allclose(gs.predict(new, None, beta), new @ beta)
    np.testing.assert_allclose(
        gs.predict(new, None, jnp.stack([beta, 2 * beta])), np.stack([new @ beta, 2 * new @ beta])
    )
    np.testing.assert_allclose(y[:, None] * gs.feature_functions(basis, theta, y), basis.U, atol=1e-12)


@pytest.mark.parametrize("lam", [1e-9, 1.0, 1e6])
def test_coefficients_of_least_squares_keep_their_digits(lam):
    """What is left of a label, `a = 1 - f`, is known to rounding of one: its coefficients must not be `a/lam`."""
    basis = gs.FeatureBasis.from_kernel(THETA, Y)
    beta = gs.coefficients(basis, gs.fixed_point(basis, gs.SquaredError(), gs.WeightDecay(lam)))
    expected = np.linalg.solve(Y[:, None] * THETA * Y[None, :] + lam * np.eye(6), np.ones(6))
    np.testing.assert_allclose(beta, expected, rtol=1e-10)
    found = gs.kernel_fixed_point(THETA, Y, gs.SquaredError(), gs.WeightDecay(lam), rtol=1e-15)
    np.testing.assert_allclose(found.coefficients, expected, rtol=1e-9)


@pytest.mark.parametrize("margin", [3.0, 40.0])
def test_coefficients_keep_their_digits_where_examples_are_learnt(margin):
    # apart, examples solve m = 3 c e^-m/(1 + 2 e^-m), and c e^-m/(1 + e^-m) of two classes
    with mpmath.workdps(40):
        c3 = mpmath.mpf(margin) * (mpmath.exp(margin) + 2) / 3
        c2 = mpmath.mpf(margin) * (mpmath.exp(margin) + 1)
        away3, away2 = 1 / (mpmath.exp(margin) + 2), 1 / (mpmath.exp(margin) + 1)
    lam = 1e-6
    for c, expected, loss in ((c3, [2 * away3, -away3, -away3], gs.Softmax(np.arange(3), 3)), (c2, [away2], CE)):
        # the first has that margin, the others more
        basis = gs.FeatureBasis(np.eye(3), np.sqrt(np.array([1.0, 2.0, 4.0]) * lam * float(c)))
        beta = gs.coefficients(basis, gs.fixed_point(basis, loss, gs.WeightDecay(lam)))
        np.testing.assert_allclose(np.ravel(beta[0]), np.array(expected, float) / lam, rtol=1e-11)


def test_predictions_from_rows_are_those_from_the_whole_kernel():
    x, x_new = np.random.default_rng(0).normal(size=(9, 3)), np.random.default_rng(1).normal(size=(7, 3))
    y, net = np.where(np.arange(9) % 2, 1.0, -1.0), gs.networks.FullyConnected(depth=2)
    whole, rows = gs.kernels.infinite_ntk(net, x_new, x), gs.kernels.Between(net, x_new, x, rows=3)
    assert rows.shape == (7, 9)
    random = np.random.default_rng(2)
    cases = [(y, (9,)), (y, (4, 9)), (None, (9, 2)), (None, (4, 9, 2))]
    for labels, shape in cases:
        beta = random.normal(size=shape)
        expected = gs.predict(whole, labels, beta)
        np.testing.assert_allclose(gs.predict(rows, labels, beta), expected, rtol=1e-13, atol=1e-13)
    basis = gs.FeatureBasis.from_kernel(gs.kernels.infinite_ntk(net, x), y)
    expected = gs.feature_functions(basis, whole, y)
    np.testing.assert_allclose(gs.feature_functions(basis, rows, y), expected, rtol=1e-12, atol=1e-12)
    linear = gs.kernels.Between(lambda a, b: a @ b.T, x_new, x, rows=5)
    np.testing.assert_allclose(gs.predict(linear, y, y), x_new @ x.T @ np.ones(9), rtol=1e-12, atol=1e-12)
    with pytest.raises(ValueError, match=r"theta_new must have one row .* got shape \(7, 9\) for y of 4 labels"):
        gs.predict(rows, y[:4], np.zeros(9))
    with pytest.raises(ValueError, match=r"net must be a network such as .* or a function, got 3"):
        gs.kernels.Between(3, x_new, x)
    with pytest.raises(ValueError, match="x_new must have at least one row"):
        gs.kernels.Between(net, x_new[:0], x)


@pytest.mark.slow
def test_coefficients_of_a_trajectory():
    theta, new, y = _data()
    basis, ts = gs.FeatureBasis.from_kernel(theta, y), np.array([0.1, 1.0])
    primal = gs.integrate(gs.PrimalFlow(basis, CE, gs.WeightDecay(0.1)), ts, rtol=1e-9, atol=1e-9)
    run = gs.integrate(gs.KernelFlow(theta, y, CE, gs.WeightDecay(0.1)), ts, rtol=1e-9)
    np.testing.assert_allclose(gs.coefficients(basis, primal), run.coefficients, atol=1e-7)
    outputs = gs.predict(new, y, run.coefficients)
    assert outputs.shape == (2, 4)
    np.testing.assert_allclose(outputs[1], new @ (y * run.coefficients[1]))


@pytest.mark.parametrize("case", range(len(ORACLES["hard_margin"])))
def test_hard_margins_to_1e_10(case):
    problem = ORACLES["hard_margin"][case]
    widest = gs.hard_margin(numbers(problem["theta"]), np.array(problem["y"], float))
    assert widest.converged
    np.testing.assert_allclose(widest.coefficients, numbers(problem["beta"]), atol=1e-10, rtol=0)
    np.testing.assert_allclose(widest.margins, numbers(problem["margins"]), atol=1e-10, rtol=0)
    assert widest.support.tolist() == problem["support"]


def test_a_hard_margin_in_few_dimensions_is_that_of_nonnegative_least_squares():
    # with K = F F^T the solution is beta of the nearest point of F^T beta, beta >= 0, to the end of a cone
    rng = np.random.default_rng(0)
    F = np.hstack([rng.normal(size=(60, 5)) + 2.0, 0.3 * np.eye(60)])
    widest = gs.hard_margin(F @ F.T, None)
    stacked = np.vstack([F.T, np.ones(60)])
    x, _ = nnls(stacked, np.append(np.zeros(65), 1.0))
    beta = x / (F @ (F.T @ x)).min()
    np.testing.assert_allclose(widest.coefficients, beta, atol=1e-8)
    assert 1 < len(widest.support) < 60
    assert widest.converged


def test_vanishing_decay_leads_to_the_hard_margin():
    theta, _, y = _data(n=6, seed=3)
    widest = gs.hard_margin(theta, y)
    basis = gs.FeatureBasis.from_kernel(theta, y)
    far = []
    for lam in (1e-3, 1e-6, 1e-12):
        f = gs.fixed_point(basis, CE, gs.WeightDecay(lam)).margins
        far.append(float(jnp.max(jnp.abs(f / f.min() - widest.margins)) * np.log(1 / lam)))
    # in 1/log(1/lam): the products are of one size
    assert far[2] < 2 * far[1] < 8 * far[0]

    def relative(log):
        f = gs.fixed_point(basis, CE, gs.WeightDecay(jnp.exp(-log))).margins
        return f / jnp.min(f)

    # so it answers to log(1/lam) by its distance over that, up to its square
    log = jnp.log(1e12)
    rate = jax.jit(jax.jacfwd(relative))(log)
    np.testing.assert_allclose(rate * log, widest.margins - relative(log), atol=0.15 * far[2] / float(log))


def test_groups():
    margins = np.array([[1.0, -1.0, 2.0, 3.0, -0.5], [1.0, 1.0, -2.0, -3.0, -0.5]])
    groups = np.array([0, 0, 1, 1, 1])
    got = gs.group_metrics(margins, groups)
    np.testing.assert_allclose(got.accuracy, [[0.5, 2 / 3], [1.0, 0.0]])
    np.testing.assert_allclose(got.mean_margin, [[0.0, 1.5], [1.0, -5.5 / 3]])
    assert got.worst.tolist() == [0, 1]
    assert got.worst_accuracy.tolist() == [0.5, 0.0]
    assert got.count.tolist() == [2, 3]
    # Wilson's interval is where the distance of the observed share is 1.96 standard deviations
    for p, low, high, n in zip(got.accuracy.ravel(), got.low.ravel(), got.high.ravel(), [2, 3, 2, 3], strict=True):
        for end in (low, high):
            if 0 < end < 1:
                np.testing.assert_allclose((p - end) ** 2, 1.959963984540054**2 * end * (1 - end) / n, rtol=1e-9)


def test_what_is_not_finite_is_of_its_group_alone():
    largest = float(np.finfo(float).max)
    margins = np.array([[1.0, 2.0, np.inf, 1.0], [1.0, 2.0, np.inf, -np.inf], [np.nan, 2.0, 3.0, 4.0], 4 * [largest]])
    got = gs.group_metrics(margins, [0, 0, 1, 1])
    np.testing.assert_array_equal(got.mean_margin, [[1.5, np.inf], [1.5, np.nan], [np.nan, 3.5], [largest, largest]])
    np.testing.assert_array_equal(got.accuracy, [[1.0, 1.0], [1.0, 0.5], [np.nan, 1.0], [1.0, 1.0]])


@pytest.mark.parametrize("confidence", [1e-6, 0.5, 1 - 1e-6, 1 - 1e-12])
def test_intervals_of_every_confidence(confidence):
    got = gs.group_metrics(np.array([1.0, 1.0, -1.0]), [0, 0, 0], confidence=confidence)
    with mpmath.workdps(40):
        # erf(q / sqrt 2) is the confidence
        q = mpmath.sqrt(2) * mpmath.erfinv(mpmath.mpf(confidence))
        weight = q * q / 3
        middle, half = mpmath.mpf(2) / 3 + weight / 2, mpmath.sqrt(weight * (mpmath.mpf(2) / 9 + weight / 4))
        exact = [float((middle + side * half) / (1 + weight)) for side in (-1, 1)]
    np.testing.assert_allclose([got.low[0], got.high[0]], exact, rtol=1e-14)


def test_groups_are_known_inside_compiled_code():
    margins, z, two = np.array([1.0, -1.0]), np.array([1.0, 2.0]), gs.FeatureBasis(np.eye(2), np.ones(2))
    for groups in (np.array([1, 0]), np.array([True, False]), jnp.array([[1], [0]])):

        def both(margins, z, groups=groups):
            return gs.group_metrics(margins, groups).mean_margin, gs.margin_gap(two, z, groups).total

        mean, gap = jax.jit(both)(margins, z)
        np.testing.assert_array_equal(mean, [-1.0, 1.0])
        assert gap == -1.0


def test_the_gap_is_a_sum_over_features_and_answers_to_everything():
    theta, new, y = _data(n=8)
    basis, aligned = gs.FeatureBasis.from_kernel(theta, y), np.array([1, 0, 1, 1, 0, 1, 1, 0])

    def gap(lam):
        return gs.margin_gap(basis, gs.fixed_point(basis, CE, gs.WeightDecay(lam)).z, aligned).total

    fp = gs.fixed_point(basis, CE, gs.WeightDecay(0.1))
    got = gs.margin_gap(basis, fp.z, aligned)
    f = np.asarray(fp.margins)
    np.testing.assert_allclose(got.total, f[aligned == 1].mean() - f[aligned == 0].mean(), rtol=1e-12)
    np.testing.assert_allclose(got.parts.sum(), got.total, rtol=1e-12)
    np.testing.assert_allclose(jax.grad(gap)(0.1), (gap(0.1 + 1e-5) - gap(0.1 - 1e-5)) / 2e-5, rtol=1e-6)
    # on new inputs, labels of their own
    labels = np.array([1.0, -1.0, 1.0, 1.0])
    fresh = gs.margin_gap(labels[:, None] * gs.feature_functions(basis, new, y), fp.z, [1, 0, 0, 1])
    out = labels * np.asarray(gs.predict(new, y, gs.coefficients(basis, fp)))
    np.testing.assert_allclose(fresh.total, out[[0, 3]].mean() - out[[1, 2]].mean(), rtol=1e-10)
    # to strengths
    matrix = np.asarray(gs.starvation_matrix(basis, fp))
    np.testing.assert_allclose(got.response(matrix), np.asarray(got.kappa) @ matrix, rtol=1e-12)


def _gap_on_the_way(z_at):
    """The gap of 5 examples as a function of log strengths, decay, decoupling and stopping time, and its gradient."""
    phi, y = np.random.default_rng(0).normal(size=(5, 8)), np.array([1.0, -1.0, 1.0, 1.0, -1.0])
    basis = gs.FeatureBasis.from_kernel(phi @ phi.T, y)

    def gap(p):
        held = gs.FeatureBasis(basis.U, jnp.exp(p[:5]))
        z = z_at(gs.PrimalFlow(held, CE, gs.Mixed(p[5], p[6])), p[7][None])
        return gs.margin_gap(held, z, [1, 0, 1, 1, 0]).total

    p = jnp.concatenate([jnp.log(basis.s), jnp.array([0.05, 0.3, 0.7])])
    solved = jax.jit(jax.value_and_grad(gap))
    step = 1e-5 * np.eye(8)
    difference = [(solved(p + e)[0] - solved(p - e)[0]) / 2e-5 for e in step]
    return np.asarray(solved(p)[1]), np.asarray(difference)


@pytest.mark.slow
@pytest.mark.parametrize(
    "z_at",
    [
        lambda flow, ts: gs.integrate(flow, ts, rtol=1e-10, atol=1e-10).z[0],
        lambda flow, ts: gs.starvation_over_time(flow, ts, rtol=1e-10).z[0],
    ],
)
def test_the_gap_on_the_way_answers_to_strengths_decays_and_stopping_time(z_at):
    gradient, difference = _gap_on_the_way(z_at)
    np.testing.assert_allclose(gradient, difference, atol=1e-8)


def test_answers_change_in_time_as_their_equation_says():
    basis = gs.FeatureBasis.rotation(3.0, 1.0, 0.3)
    U, s2 = np.asarray(basis.U), np.asarray(basis.s) ** 2

    @jax.jit
    def at(t):
        path = gs.starvation_over_time(gs.PrimalFlow(basis, CE, gs.WeightDecay(0.1)), t[None], rtol=1e-10)
        return path.z[0], path.matrix[0]

    t, moving = jnp.asarray(0.4), jnp.asarray(1.0)
    (z, G), (dz, dG) = jax.jit(lambda: jax.jvp(at, (t,), (moving,)))()
    a = expit(-U @ z)
    p = U.T @ a
    np.testing.assert_allclose(dz, s2 * p - 0.1 * z, rtol=1e-12)
    inner = (U.T * (a * (1 - a))) @ U
    np.testing.assert_allclose(dG, -(s2[:, None] * inner + 0.1 * np.eye(2)) @ G + np.diag(p), rtol=1e-11)


THETA, NEW, Y = _data()
BAD = {
    "theta_new must have one row per new input": lambda: gs.predict(NEW.T, Y, Y),
    "theta_new must have 2 dimensions": lambda: gs.predict(NEW[0], Y, Y),
    "theta_new must be finite, got nan": lambda: gs.predict(np.where(NEW > 0, np.nan, NEW), Y, Y),
    "theta_new must be finite, got inf": lambda: gs.feature_functions(
        gs.FeatureBasis(np.eye(6), np.ones(6)), np.where(NEW > 0, np.inf, NEW), None
    ),
    "beta must be coefficients, got a FixedPoint: coefficients.basis, fp.": lambda: gs.predict(
        NEW, Y, gs.FixedPoint(*np.ones((8, 1)), gs.CrossEntropy(), gs.WeightDecay(1.0))
    ),
    "beta must have shape": lambda: gs.predict(NEW, Y, np.ones(4)),
    "y must be a vector of -1 and": lambda: gs.predict(NEW, (Y + 1) / 2, np.ones(6)),
    "beta must say what its axes are": lambda: gs.predict(NEW, None, np.ones((6, 6))),
    "fp must be a FixedPoint or a Trajectory": lambda: gs.coefficients(gs.FeatureBasis(np.eye(2), np.ones(2)), 3),
    "theta_new must have one column per example": lambda: gs.feature_functions(
        gs.FeatureBasis(np.eye(2), np.ones(2)), NEW, None
    ),
    "groups must hold an example of every group, got none of group 1": lambda: gs.group_metrics(np.ones(3), [0, 0, 2]),
    "groups must hold an example of every group, got none of group 2": lambda: gs.group_metrics(
        np.ones(3), [0, 1, 10**12]
    ),
    "groups must be a vector of integers from 0 on, got -1.0": lambda: gs.group_metrics(np.ones(3), [-1, 0, 1]),
    "groups must be .*, got words: np.unique.groups, return_inverse=True..1. numbers them": lambda: gs.group_metrics(
        np.ones(2), ["north", "south"]
    ),
    "aligned must be a vector of integers in 0..1, got -1 and .1: .aligned . 1. // 2 converts them": lambda: (
        gs.margin_gap(np.eye(2), np.ones(2), np.array([-1, 1]))
    ),
    "aligned must be a vector of integers in 0..1, got 2": lambda: gs.margin_gap(np.eye(2), np.ones(2), [0, 2]),
    "aligned must hold an example of every group, got none of group 0": lambda: gs.margin_gap(
        np.eye(2), np.ones(2), [True, True]
    ),
    "margins must have one entry per example": lambda: gs.group_metrics(np.ones(3), [0, 1]),
    "confidence must be": lambda: gs.group_metrics(np.ones(2), [0, 1], confidence=1.0),
    "theta must be symmetric": lambda: gs.hard_margin(THETA + np.triu(np.ones((6, 6)), 1), Y),
    "theta must be positive definite|theta must let all": lambda: gs.hard_margin(np.ones((2, 2)), [1.0, -1.0]),
    "flow must be a PrimalFlow": lambda: gs.starvation_over_time(3, [1.0]),
}


@pytest.mark.parametrize("message", BAD)
def test_bad_input_is_named_in_one_line(message):
    with pytest.raises(ValueError, match=message) as raised:
        BAD[message]()
    assert "\n" not in str(raised.value)
