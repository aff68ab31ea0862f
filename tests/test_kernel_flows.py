"""Flows of many examples, against 25-digit values and SciPy's integrators."""

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from _flow_oracles import CE, FREE, ORACLES, numbers, penalty
from scipy.integrate import solve_ivp
from scipy.special import expit, softmax, wrightomega

import gsdyn as gs
from gsdyn._integration import kernel_path, kernel_steps


def kernel(n, seed=0, decay=1.5):
    """Eigenvalues that fall like those of an NTK, from 100, and labels."""
    rng = np.random.default_rng(seed)
    q = np.linalg.qr(rng.normal(size=(n, n)))[0]
    theta = (q * (100.0 / np.arange(1, n + 1) ** decay)) @ q.T
    return (theta + theta.T) / 2, np.where(rng.random(n) < 0.5, -1.0, 1.0)


def scipy_run(K, weight, lam1, lam2, gamma, ts, start):
    """`beta' = a(K beta) - lam2 (K beta - gamma) - lam1 beta`, by LSODA."""
    shape = start.shape

    def velocity(t, flat):
        beta = flat.reshape(shape)
        f = K @ beta
        return (weight(f) - lam2 * (f - gamma) - lam1 * beta).ravel()

    solution = solve_ivp(velocity, (0, ts[-1]), start.ravel(), method="LSODA", t_eval=ts, rtol=1e-12, atol=1e-12)
    assert solution.success
    return np.moveaxis(solution.y.reshape(*shape, -1), -1, 0)


@pytest.mark.parametrize("case", range(len(ORACLES["predict"])))
def test_phases_to_1e_9(case):
    problem = ORACLES["predict"][case]
    y, whole, phases = np.array(problem["y"], float), numbers(problem["theta"]), problem["phases"]
    n = len(y)
    schedule = [gs.Phase(float(p["duration"]), penalty(p["lam1"], p["lam2"])) for p in phases]
    ends = np.cumsum([float(p["duration"]) for p in phases])
    # phases that take no time, so that one program serves all cases of a size
    schedule += [gs.Phase(0.0, FREE)] * (3 - len(phases))
    run = gs.integrate(gs.KernelFlow(whole[:n, :n], y, CE, schedule), ends, rtol=1e-10, atol=1e-10)
    assert run.succeeded
    out = gs.predict(whole[n:, :n], y, run.coefficients)
    for i, p in enumerate(phases):
        np.testing.assert_allclose(run.margins[i], numbers(p["margins"]), atol=1e-9, rtol=0)
        np.testing.assert_allclose(out[i], numbers(p["outputs"]), atol=1e-9, rtol=0)


WEIGHTS = {
    gs.CrossEntropy: lambda f: expit(-f),
    gs.FirstOrderCrossEntropy: lambda f: wrightomega(-f),
    gs.SquaredError: lambda f: 1 - f,
}


@pytest.mark.parametrize("loss", WEIGHTS)
def test_losses_and_class_wise_penalties(loss):
    theta, y = kernel(12)
    K = y[:, None] * theta * y[None, :]
    rng = np.random.default_rng(1)
    ts, start = np.array([0.0, 0.03, 0.4, 2.0, 2.0, 9.0]), rng.normal(size=12)
    by_class = gs.SpectralDecoupling.by_class(y, (0.3, 2.0), (1.0, -0.5))
    lam2, gamma = np.where(y > 0, 2.0, 0.3), np.where(y > 0, -0.5, 1.0)
    run = gs.integrate(gs.KernelFlow(theta, y, loss(), by_class, start), ts, rtol=1e-9, atol=1e-9)
    exact = scipy_run(K, WEIGHTS[loss], 0.0, lam2, gamma, ts[[0, 1, 2, 3, 5]], start)[[0, 1, 2, 3, 3, 4]]
    assert run.succeeded
    np.testing.assert_allclose(run.coefficients, exact, atol=1e-7)
    np.testing.assert_allclose(run.margins, exact @ K, atol=1e-7)


def test_softmax():
    theta, _ = kernel(12)
    labels = np.arange(12) % 3
    start, ts = np.zeros((12, 3)), np.array([0.1, 1.0, 20.0])
    flow = gs.KernelFlow(theta, None, gs.Softmax(labels, 3), gs.Mixed(0.05, 0.2))
    run = gs.integrate(flow, ts, rtol=1e-9, atol=1e-9)
    one_hot = np.eye(3)[labels]
    exact = scipy_run(theta, lambda f: one_hot - softmax(f, axis=1), 0.05, 0.2, 0.0, ts, start)
    np.testing.assert_allclose(run.coefficients, exact, atol=1e-7)
    np.testing.assert_allclose(run.margins, np.einsum("ij,tjc->tic", theta, exact), atol=1e-7)


@pytest.fixture(scope="module")
def large():
    """More examples than leading directions."""
    theta, y = kernel(200, decay=1.0)
    return theta, y, y[:, None] * theta * y[None, :]


@pytest.mark.parametrize(("lam1", "lam2"), [(0.0, 0.0), (1e-2, 0.0), (0.0, 2.0)])
def test_more_examples_than_leading_directions(large, lam1, lam2):
    theta, y, K = large
    ts = np.geomspace(0.01, 30.0, 16)
    exact = scipy_run(K, WEIGHTS[gs.CrossEntropy], lam1, lam2, 0.0, ts, np.zeros(200)) @ K
    flow = gs.KernelFlow(theta, y, CE, penalty(lam1, lam2))
    for tol in (1e-5, 1e-8):
        run = gs.integrate(flow, ts, rtol=tol, atol=tol)
        assert run.succeeded
        assert np.abs(run.margins - exact).max() < 10 * tol * np.abs(exact).max()
        # few steps, however stiff: gradient descent takes 3,000 (1/4 + lam2) of them
        assert run.steps.accepted < (40 if tol == 1e-5 else 90)
        assert run.steps.rejected < 5


@pytest.mark.slow
def test_answers_of_leading_features_among_all(large):
    theta, y, _ = large
    ts, k = np.array([0.02, 0.5, 8.0]), 3
    schedule = [gs.Phase(0.5, FREE), gs.Phase(jnp.inf, gs.Mixed(0.01, 0.5))]
    path = gs.starvation_over_time(gs.KernelFlow(theta, y, CE, schedule), ts, leading=k, rtol=1e-8)
    assert path.succeeded
    basis = gs.FeatureBasis.from_kernel(theta, y)
    U, s2 = np.asarray(basis.U), np.asarray(basis.s) ** 2

    def responses(i, factor):
        strengths = s2 * np.where(np.arange(200) == i, factor, 1.0)
        flow = gs.KernelFlow((U * strengths) @ U.T, None, CE, schedule)
        return np.asarray(gs.integrate(flow, ts, rtol=1e-11).margins) @ U[:, :k]

    step = 1e-3
    for i in (0, 2):
        difference = (responses(i, 1 + step) - responses(i, 1 - step)) / (2 * step * s2[i])
        wrong = np.abs(np.asarray(path.matrix[:, :, i]) - difference)
        assert (wrong < path.error[:, :, i] + 1e-5 * np.abs(difference).max()).all()
    np.testing.assert_allclose(path.z, responses(0, 1.0), rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(path.elasticities(), path.matrix * s2[None, None, :k] / path.z[:, :, None])
    assert (path.error < 1e-5 * np.abs(path.matrix).max()).all()


@pytest.mark.parametrize("lam", [(0.0, 0.0), (0.05, 0.3)])
def test_answers_from_a_kernel_are_those_from_features(lam):
    theta, y = kernel(12)
    ts, start = np.array([0.0, 0.05, 2.0, 30.0]), np.random.default_rng(3).normal(size=12)
    basis = gs.FeatureBasis.from_kernel(theta, y)
    z0 = basis.s**2 * (basis.U.T @ start)
    whole = gs.starvation_over_time(gs.PrimalFlow(basis, CE, penalty(*lam), z0=z0), ts, rtol=1e-9)
    flow = gs.KernelFlow.of_features(basis, CE, penalty(*lam), z0)
    np.testing.assert_allclose(flow.start, start, rtol=1e-9, atol=1e-9)
    path = gs.starvation_over_time(flow, ts, leading=12, rtol=1e-9)
    assert (np.abs(path.z - whole.z) <= path.z_error + whole.z_error).all()
    gap = np.abs(path.matrix - whole.matrix)
    assert (gap <= path.error + whole.error).all()
    np.testing.assert_allclose(path.matrix, whole.matrix, rtol=1e-6, atol=1e-7)


def test_a_kernel_of_few_directions(large):
    _, y, _ = large
    phi = np.random.default_rng(0).normal(size=(200, 5))
    theta = phi @ phi.T
    run = gs.integrate(gs.KernelFlow(theta, y, CE, FREE), np.array([1.0, 50.0]), rtol=1e-8, atol=1e-8)
    exact = scipy_run(y[:, None] * theta * y[None, :], WEIGHTS[gs.CrossEntropy], 0, 0, 0, [1.0, 50.0], np.zeros(200))
    np.testing.assert_allclose(run.margins, (y[:, None] * theta * y[None, :] @ exact.T).T, atol=1e-6)


@pytest.mark.parametrize("rtol", [1e-5, 1e-9])
def test_dense_output_through_phases(rtol):
    theta, y = kernel(12)
    K = y[:, None] * theta * y[None, :]
    schedule = [gs.Phase(0.5, FREE), gs.Phase(2.0, gs.WeightDecay(0.1)), gs.Phase(jnp.inf, gs.SpectralDecoupling(2.0))]
    run = gs.integrate(gs.KernelFlow(theta, y, CE, schedule), [0.4, 0.5, 1.0, 9.0], rtol=rtol, dense=True)
    rng, parts, begin = np.random.default_rng(0), [], np.zeros(12)
    for start, end, lam1, lam2 in [(0.0, 0.5, 0.0, 0.0), (0.5, 2.5, 0.1, 0.0), (2.5, 9.0, 0.0, 2.0)]:
        ts = np.append(np.sort(rng.uniform(start, end, 20)), end)
        whole = scipy_run(K, WEIGHTS[gs.CrossEntropy], lam1, lam2, 0.0, ts - start, begin)
        parts, begin = [*parts, (ts, whole)], whole[-1]
    ts, exact = (np.concatenate(v) for v in zip(*parts, strict=True))
    moment = run.evaluate(ts)
    # an error of a step changes an output by as much
    assert np.abs(moment.margins - exact @ K).max() < 10 * rtol * np.abs(exact @ K).max()
    np.testing.assert_allclose(moment.margins, moment.coefficients @ K, rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(run.evaluate(run.ts).coefficients, run.coefficients)
    alone = run.evaluate(0.4)
    assert alone.margins.shape == (12,)
    assert not run.evaluate(0.0).coefficients.any()
    assert np.isnan(run.evaluate([-1.0, 9.1]).margins).all()


def test_dense_output_of_more_steps_than_there_is_room_for(monkeypatch):
    theta, y = kernel(12)
    flow = gs.KernelFlow(theta, y, CE, gs.WeightDecay(0.1))
    whole = gs.integrate(flow, [3.0], dense=True)
    monkeypatch.setattr("gsdyn.kernel_flows.ROOM", 4)
    few = gs.integrate(flow, [3.0], dense=True)
    assert few.steps.accepted > 4
    ts = np.linspace(0, 3.0, 7)
    np.testing.assert_array_equal(few.evaluate(ts).margins, whole.evaluate(ts).margins)
    with pytest.raises(ValueError, match="dense"):
        gs.integrate(flow, [3.0]).evaluate(1.0)


def test_jit_and_vmap():
    theta, y = kernel(12)
    ts = jnp.array([0.1, 1.0, 10.0])

    def margins(lam, switch):
        phases = [gs.Phase(switch, gs.WeightDecay(lam)), gs.Phase(jnp.inf, gs.SpectralDecoupling(2 * lam))]
        return gs.integrate(gs.KernelFlow(theta, y, CE, phases), ts).margins

    lams, switches = np.array([0.1, 0.5]), np.array([0.5, 3.0])
    batch = jax.jit(jax.vmap(margins))(lams, switches)
    for lam, switch, one in zip(lams, switches, batch, strict=True):
        np.testing.assert_allclose(one, margins(lam, switch), rtol=1e-12)


def test_single_precision():
    theta, y = kernel(12)
    ts = np.array([0.1, 1.0, 10.0])
    exact = gs.integrate(gs.KernelFlow(theta, y, CE, gs.WeightDecay(0.1)), ts).margins
    single = gs.integrate(
        gs.KernelFlow(theta.astype(np.float32), y, CE, gs.WeightDecay(np.float32(0.1))), ts, rtol=1e-4, atol=1e-4
    )
    assert single.margins.dtype == np.float32
    assert single.succeeded
    np.testing.assert_allclose(single.margins, exact, atol=2e-3)


def test_a_failure_is_a_code_and_says_what_was_reached():
    theta, y = kernel(12)
    run = gs.integrate(gs.KernelFlow(theta, y, CE, FREE), np.array([1e-4, 10.0]), max_steps=4)
    assert not run.succeeded
    assert run.result == diffrax.RESULTS.max_steps_reached
    assert np.isfinite(run.margins[0]).all()
    assert np.isnan(run.margins[1]).all()
    assert np.isnan(run.coefficients[1]).all()


def test_extremes():
    theta, y = kernel(12)
    far = gs.integrate(gs.KernelFlow(theta * 1e8, y, CE, gs.WeightDecay(1e-6)), np.array([1e-9, 1e3, 1e9]))
    assert far.succeeded
    basis = gs.FeatureBasis.from_kernel(theta * 1e8, y)
    end = gs.fixed_point(basis, CE, gs.WeightDecay(1e-6))
    np.testing.assert_allclose(far.margins[-1], end.margins, rtol=1e-6)
    none = gs.integrate(gs.KernelFlow(np.zeros((12, 12)), y, CE, FREE), np.array([1e-9, 1e3, 1e9]))
    assert none.succeeded
    np.testing.assert_allclose(
        none.coefficients, 0.5 * np.array([[1e-9], [1e3], [1e9]]) * np.ones(12)[None], rtol=1e-12
    )
    assert not none.margins.any()


THETA, Y = kernel(6)
SD = gs.SpectralDecoupling(1.0)
BAD = {
    "theta must be square": lambda: gs.KernelFlow(THETA[:4], Y, CE, FREE),
    "y must be": lambda: gs.KernelFlow(THETA, (Y + 1) / 2, CE, FREE),
    "y must have as many rows": lambda: gs.KernelFlow(THETA, Y[:4], CE, FREE),
    "loss must be smooth": lambda: gs.KernelFlow(THETA, Y, gs.Hinge(), FREE),
    "y must be None under Softmax": lambda: gs.KernelFlow(THETA, Y, gs.Softmax(np.arange(6) % 2, 2), FREE),
    "labels must have one entry": lambda: gs.KernelFlow(THETA, None, gs.Softmax(np.arange(5) % 2, 2), FREE),
    "duration must be >= 0, got -1": lambda: gs.Phase(-1.0, FREE),
    "penalty must be a Penalty": lambda: gs.Phase(1.0, 2.0),
    "phases must be a penalty or a sequence of Phase, got none": lambda: gs.KernelFlow(THETA, Y, CE, []),
    "phases must be a penalty or a sequence of Phase, got float": lambda: gs.KernelFlow(THETA, Y, CE, 2.0),
    "phases must be a penalty or a sequence of Phase, got Spectral": lambda: gs.KernelFlow(THETA, Y, CE, [SD]),
    r"start must have shape \(6,\)": lambda: gs.KernelFlow(THETA, Y, CE, FREE, np.zeros(3)),
    "ts must lie within the phases, which end at 2, got 3": lambda: gs.integrate(
        gs.KernelFlow(THETA, Y, CE, [gs.Phase(2.0, FREE)]), [3.0]
    ),
    "ts must increase": lambda: gs.integrate(gs.KernelFlow(THETA, Y, CE, FREE), [3.0, 1.0]),
    "rtol must be": lambda: gs.integrate(gs.KernelFlow(THETA, Y, CE, FREE), [3.0], rtol=-1),
    "max_steps must be": lambda: gs.integrate(gs.KernelFlow(THETA, Y, CE, FREE), [3.0], max_steps=0),
    "solver and adjoint must be left out": lambda: gs.integrate(
        gs.KernelFlow(THETA, Y, CE, FREE), [3.0], solver=diffrax.Tsit5()
    ),
    "leading must say how many features": lambda: gs.starvation_over_time(gs.KernelFlow(THETA, Y, CE, FREE), [3.0]),
    "leading must be": lambda: gs.starvation_over_time(gs.KernelFlow(THETA, Y, CE, FREE), [3.0], leading=7),
    "lam must have one entry per example": lambda: gs.KernelFlow(THETA, Y, CE, gs.SpectralDecoupling(np.ones(5))),
}


@pytest.mark.parametrize("message", BAD)
def test_bad_input_is_named_in_one_line(message):
    with pytest.raises(ValueError, match=message) as raised:
        BAD[message]()
    assert "\n" not in str(raised.value)


NOT_PSD = {
    "entries that differ by": THETA + np.triu(np.ones((6, 6)), 1),
    "for the least of its products": THETA - 60 * np.eye(6),
    "finite, symmetric": np.where(np.eye(6) > 0, np.nan, THETA),
}


@pytest.mark.parametrize("message", NOT_PSD)
def test_what_is_no_kernel_is_refused(message):
    with pytest.raises(ValueError, match=message):
        gs.integrate(gs.KernelFlow(NOT_PSD[message], Y, CE, FREE), [1.0])


def test_derivatives_are_refused():
    with pytest.raises(ValueError, match="differentiate integrate of a PrimalFlow"):
        jax.grad(
            lambda lam: gs.integrate(gs.KernelFlow(THETA, Y, CE, gs.WeightDecay(lam)), np.array([1.0])).margins.sum()
        )(0.1)


def test_without_a_penalty_there_is_no_fixed_point_but_a_flow():
    basis = gs.FeatureBasis.rotation(2.0, 1.0, 0.3)
    with pytest.raises(ValueError, match=r"one with an optimum, got Unregularised: use PrimalFlow.*hard_margin"):
        gs.fixed_point(basis, CE, FREE)
    with pytest.raises(ValueError, match="one with an optimum"):
        gs.DualFlow(basis, CE, FREE)
    with pytest.raises(ValueError, match="one with an optimum"):
        gs.steady_state(gs.PrimalFlow(basis, CE, FREE))
    ts = np.array([0.5, 5.0])
    primal = gs.integrate(gs.PrimalFlow(basis, CE, FREE), ts, rtol=1e-10, atol=1e-10)
    run = gs.integrate(gs.KernelFlow(basis.kernel(), None, CE, FREE), ts, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(primal.margins, run.margins, atol=1e-8)


FLAT = {
    "identity": np.eye(6),
    "of one direction": np.ones((6, 6)),
    "next to the identity": np.eye(6) + 1e-9 * THETA,
    "twenty orders of strengths": (lambda q: (q * np.geomspace(1e8, 1e-12, 6)) @ q.T)(np.linalg.qr(THETA)[0]),
}


def squared_error(theta, lam1, lam2, ts):
    """Margins under squared error from 0, mode by mode."""
    w, v = np.linalg.eigh(theta)
    w = np.maximum(w, 0.0)
    rate = (1 + lam2) * w + lam1
    part = np.where(rate > 0, -np.expm1(-rate * ts[:, None]) / np.where(rate > 0, rate, 1.0), ts[:, None])
    return (part * w * (v.T @ np.ones(len(w)))) @ v.T


def linear_data(n, d, seed=0):
    x = np.random.default_rng(seed).normal(size=(n, d))
    return x @ x.T


@pytest.fixture
def few_leading(monkeypatch):
    """Two leading directions however small the kernel, so that corrections meet a large tail."""
    monkeypatch.setattr("gsdyn.kernel_flows.EXACT", 0)
    monkeypatch.setattr("gsdyn.kernel_flows._rank", lambda n, classes: 2)


@pytest.mark.parametrize("rtol", [1e-4, 1e-10])
def test_flat_kernels_arrive_and_stay(few_leading, rtol):
    lams = [(0.0, 0.0), (1e-12, 0.0), (1e-2, 0.0), (0.0, 1.0)]
    kernels = [*FLAT.values(), linear_data(6, 7)]
    for theta in kernels:
        ts = np.geomspace(1e-2, 1e10, 7) / np.linalg.eigvalsh(theta)[-1]
        for lam1, lam2 in lams:
            flow = gs.KernelFlow(theta, None, gs.SquaredError(), penalty(lam1, lam2))
            run = gs.integrate(flow, ts, rtol=rtol)
            exact = squared_error(theta, lam1, lam2, ts)
            assert run.succeeded
            # products of the kernel have rounding of their own
            rounding = 2e-15 * np.linalg.norm(theta, 2) * np.linalg.norm(run.coefficients, axis=1).max()
            assert np.abs(run.margins - exact).max() < max(10 * rtol, 1e-9) * np.abs(exact).max() + rounding
            # after it has arrived a step is a multiple of the one before it
            assert run.steps.accepted < (80 if rtol > 1e-6 else 500)


def test_one_example():
    ts = np.array([1e-3, 1.0, 1e9])
    run = gs.integrate(gs.KernelFlow([[2.0]], [-1], gs.SquaredError(), penalty(0.0, 1.0)), ts, rtol=1e-9)
    np.testing.assert_allclose(run.margins[:, 0], -0.5 * np.expm1(-4.0 * ts), atol=5e-9)


@pytest.mark.parametrize("n", [pytest.param(1000, marks=pytest.mark.slow)])
def test_linear_data_under_spectral_decoupling(n):
    theta = linear_data(n, round(1.2 * n))
    top = np.linalg.eigvalsh(theta)[-1]
    run = gs.integrate(gs.KernelFlow(theta, None, CE, gs.SpectralDecoupling(1.0)), np.array([10.0, 1e7]) / top)
    assert run.succeeded
    assert run.steps.accepted < 150
    assert run.steps.rejected < 15
    # where sigma(-f) = f
    np.testing.assert_allclose(run.margins[-1], 0.40105813754154704, atol=3e-8)


@pytest.mark.parametrize(("known", "found"), [(True, True), (False, True), (False, False)])
def test_one_correction_tells_no_rate_and_shortens_no_step(known, found):
    # after a step that failed the rate is taken to be high: a shorter one that ends at once must not shorten the next
    rate, known, found = jnp.asarray(0.9), jnp.asarray(known), jnp.asarray(found)
    none, count = jnp.zeros(()), jnp.where(known, 40, 1)
    stages = kernel_steps.Stages(none, none, none, rate, count, found)
    factor, then = kernel_path.longest(stages), kernel_path.tame(stages)
    assert factor == (kernel_path.GROWTH if found else kernel_path.SHRINK)
    assert then == (0.9 if known else 0.45)
