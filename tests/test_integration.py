"""Trajectories against SciPy, matrix exponentials, fixed points and finite differences."""

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest
from _programs import QUICK
from scipy.integrate import solve_ivp
from scipy.linalg import expm

import gsdyn as gs
from gsdyn._integration.logit_stages import LogitStages

# THEORY section 4: end points (z_1, z_2) of Eq. 9 for delta = 0.5, s_2 = 2, lam = 0.01
B1_ENDS = {
    2.0: (6.1204, 1.6400),
    3.0: (7.0681, 1.5831),
    4.0: (7.8120, 1.4668),
    5.0: (8.4652, 1.3290),
    6.0: (9.0710, 1.1853),
}
BASIS = gs.FeatureBasis.rotation(3.0, 2.0, 0.3)
QUARTET = np.linalg.qr(np.random.default_rng(0).standard_normal((4, 4)))[0]
TIMES = jnp.array([0.0, 0.05, 0.3, 1.0, 4.0])


def _dual(alpha, kernel, first_order):
    log_rest = -alpha if first_order else np.log1p(-alpha)
    return log_rest - np.log(alpha) - kernel @ alpha


@pytest.mark.parametrize("first_order", [False, True])
def test_dual_flow_against_scipy(first_order):
    lam = 0.1
    loss = gs.FirstOrderCrossEntropy() if first_order else gs.CrossEntropy()
    trajectory = gs.integrate(gs.DualFlow(BASIS, loss, gs.WeightDecay(lam)), TIMES, rtol=1e-9, atol=1e-11)
    kernel = np.array(BASIS.kernel()) / lam
    oracle = solve_ivp(
        lambda t, a: _dual(a, kernel, first_order), (0, 4), [0.5, 0.5], "Radau", TIMES, rtol=1e-11, atol=1e-13
    )
    assert trajectory.succeeded
    np.testing.assert_allclose(trajectory.alpha, oracle.y.T, rtol=2e-7, atol=1e-9)


@pytest.mark.parametrize("penalty", [gs.WeightDecay(0.1), gs.SpectralDecoupling(0.1), gs.Mixed(0.1, 0.05)])
def test_primal_flow_against_scipy(penalty):
    lam1, lam2 = (float(x) for x in penalty.decay())
    U, s = np.array(BASIS.U), np.array(BASIS.s)

    def velocity(t, z):
        f = U @ z
        return s**2 * (U.T @ (1 / (1 + np.exp(f)) - lam2 * f)) - lam1 * z

    trajectory = gs.integrate(gs.PrimalFlow(BASIS, gs.CrossEntropy(), penalty), TIMES, rtol=1e-9, atol=1e-11)
    oracle = solve_ivp(velocity, (0, 4), [0.0, 0.0], "LSODA", TIMES, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(trajectory.z, oracle.y.T, rtol=1e-7, atol=1e-9)


def test_squared_error_against_the_matrix_exponential():
    lam = 0.2
    trajectory = gs.integrate(gs.DualFlow(BASIS, gs.SquaredError(), gs.WeightDecay(lam)), TIMES, rtol=1e-10, atol=1e-12)
    system = np.eye(2) + np.array(BASIS.kernel()) / lam
    end = np.linalg.solve(system, np.ones(2))
    for t, alpha in zip(TIMES, trajectory.alpha, strict=True):
        exact = end + expm(-system * float(t)) @ (0.5 - end)
        np.testing.assert_allclose(alpha, exact, atol=1e-8)


def test_spectral_decoupling_is_elementwise():
    trajectory = gs.integrate(gs.DualFlow(BASIS, gs.CrossEntropy(), gs.SpectralDecoupling(0.1)), TIMES)
    np.testing.assert_allclose(trajectory.alpha[:, 0], trajectory.alpha[:, 1], rtol=1e-12)


@pytest.mark.parametrize("s1", B1_ENDS)
@pytest.mark.parametrize("flow", [gs.DualFlow, gs.PrimalFlow])
def test_end_points_of_the_papers_experiment(s1, flow):
    basis = gs.FeatureBasis.rotation(s1, 2.0, 0.5)
    end = gs.steady_state(flow(basis, gs.CrossEntropy(), gs.WeightDecay(0.01)))
    np.testing.assert_allclose(end.z[-1], B1_ENDS[s1], atol=5.1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("flow", ["dual", "primal"])
def test_no_stiff_cell_fails_and_steady_states_are_fixed_points(flow):
    rng = np.random.default_rng(3)
    m = 96
    s1, s2 = 10 ** rng.uniform(-1.5, 1.5, (2, m))
    delta, lam = rng.uniform(0, 0.99, m), 10 ** rng.uniform(-6, 1, m)
    alpha0 = np.clip(rng.uniform(0, 1, m), 1e-6, 1 - 1e-6)
    alpha0[:3], lam[:3], s1[:3] = (0.01, 0.5, 0.99), 1e-6, 30.0

    @jax.vmap
    def run(s1, s2, delta, lam, alpha0):
        basis, loss, penalty = gs.FeatureBasis.rotation(s1, s2, delta), gs.CrossEntropy(), gs.WeightDecay(lam)
        if flow == "dual":
            end = gs.steady_state(gs.DualFlow(basis, loss, penalty, alpha0=jnp.full(2, alpha0)))
        else:
            end = gs.steady_state(gs.PrimalFlow(basis, loss, penalty))
        return end.z[0], end.alpha[0], end.succeeded, gs.fixed_point(basis, loss, penalty).z

    z, alpha, succeeded, exact = jax.jit(run, compiler_options=QUICK)(s1, s2, delta, lam, alpha0)
    assert succeeded.all()
    assert ((alpha > 0) & (alpha < 1)).all()
    np.testing.assert_array_less(jnp.max(jnp.abs(z - exact), axis=1), 1e-8 * jnp.max(jnp.abs(exact), axis=1))


def test_softmax_stays_on_the_simplex_and_meets_its_fixed_point():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(5, 7))
    basis, loss, penalty = gs.FeatureBasis.from_ntrf(x), gs.Softmax(np.array([0, 1, 2, 1, 0]), 3), gs.WeightDecay(0.5)
    trajectory = gs.integrate(gs.DualFlow(basis, loss, penalty), jnp.array([0.0, 1.0, 60.0]))
    np.testing.assert_allclose(jnp.sum(trajectory.alpha, axis=2), 1.0, rtol=1e-12)
    np.testing.assert_allclose(trajectory.z[-1], gs.fixed_point(basis, loss, penalty).z, atol=1e-8)


def _softmax_of_four(lam):
    basis = gs.FeatureBasis(QUARTET, jnp.array([3.0, 1.0, 0.5, 0.2]))
    return basis, gs.Softmax(np.array([0, 1, 2, 0]), 3), gs.WeightDecay(lam)


@pytest.mark.slow
def test_softmax_arrives_however_small_the_decay_and_batches_change_nothing():
    """Margins pass through 1e14 on the way: classes with a share of their own keep their digits beside the others."""
    decays = jnp.array([[1e-2, 1e-6], [1e-8, 1e-10], [1e-12, 1e-14]])

    def run(lam):
        problem = _softmax_of_four(lam)
        trajectory, end = gs.steady_state(gs.DualFlow(*problem)), gs.fixed_point(*problem)
        return trajectory.succeeded, trajectory.z[0], end.z

    succeeded, z, exact = jax.vmap(jax.vmap(run))(decays)
    assert succeeded.all()
    error = jnp.max(jnp.abs(z - exact), axis=(2, 3))
    np.testing.assert_array_less(error, 1e-11 * jnp.max(jnp.abs(exact), axis=(2, 3)))


def test_stages_of_softmax_invert_their_curvature_at_every_scale():
    """`(tau + W)^-1 g` up to a constant in a row and `tau W (tau + W)^-1`, `W = diag(a) - a a^T`, in 60 digits."""
    stages = LogitStages(gs.DualFlow(*_softmax_of_four(1.0)))
    x = np.array([[0.0, -0.5, -1e9], [0.0, -40.0, -300.0], [-1.0, -2.0, 0.0], [0.0, 0.0, 0.0]])
    g = np.array([[1.0, -0.25, -0.75], [-1e-20, 1e-20, 0.0], [3.0, -5.0, 2.0], [1e-3, 1e-3, -2e-3]])

    @jax.jit
    @jax.vmap
    def parts(tau):
        root, _, inverse = stages.damped(jnp.asarray(x), tau)
        return root, inverse(jnp.asarray(g))

    taus = [1e-25, 1e-9, 1.0, 1e9]
    for tau, roots, got in zip(taus, *map(np.asarray, parts(jnp.array(taus))), strict=True):
        for row in range(4):
            with mp.workdps(60):
                a = mp.matrix([mp.exp(mp.mpf(v)) for v in x[row]])
                a = a / sum(a)
                system = mp.diag(list(a)) - a * a.T + tau * mp.eye(3)
                exact = mp.lu_solve(system, mp.matrix(list(g[row])))
                whole = tau * (mp.eye(3) - tau * system**-1)
                exact = [float(v - exact[0]) for v in exact]
                whole = np.array(whole.tolist(), dtype=float)
            np.testing.assert_allclose(got[row] - got[row, 0], exact, rtol=1e-13, atol=1e-15 * np.max(np.abs(got[row])))
            np.testing.assert_allclose(roots[row].T @ roots[row], whole, rtol=1e-13, atol=1e-15 * np.max(np.abs(whole)))


@pytest.mark.slow
def test_softmax_starts_beside_the_edge():
    """Probabilities that `1 - alpha` cannot hold, of the own class too."""
    start = np.array([[1e-30, 1.0, 1e-40], [0.2, 0.3, 0.5], [0.5, 0.5, 1e-200], [1.0, 1e-18, 1e-60]])
    start[0, 1], start[3, 0] = 1 - 2.0**-53, 1 - 2.0**-53
    problem = _softmax_of_four(0.1)
    trajectory = gs.steady_state(gs.DualFlow(*problem, alpha0=start))
    exact = gs.fixed_point(*problem).z
    assert trajectory.succeeded
    np.testing.assert_allclose(trajectory.z[0], exact, atol=1e-11 * np.max(np.abs(exact)))


def test_flows_contract_at_the_rate_of_theorem_1():
    penalty = gs.WeightDecay(0.5)
    end = gs.fixed_point(BASIS, gs.CrossEntropy(), penalty).alpha
    trajectory = gs.integrate(gs.DualFlow(BASIS, gs.CrossEntropy(), penalty, eta=0.3), TIMES, rtol=1e-10, atol=1e-14)
    distance = jnp.linalg.norm(trajectory.alpha - end[None], axis=1)
    assert (distance <= distance[0] * jnp.exp(-4 * 0.3 * TIMES) * (1 + 1e-6) + 1e-12).all()


@pytest.mark.slow
def test_derivative_of_a_trajectory():
    def late(lam):
        flow = gs.DualFlow(BASIS, gs.CrossEntropy(), gs.WeightDecay(lam))
        return gs.integrate(flow, jnp.array([0.1]), rtol=1e-10, atol=1e-12).z[-1, 0]

    value, slope = (jax.jit(f, compiler_options=QUICK) for f in (late, jax.grad(late)))
    step = 1e-4
    numeric = (value(0.5 + step) - value(0.5 - step)) / (2 * step)
    np.testing.assert_allclose(slope(0.5), numeric, rtol=1e-6)


def test_the_derivative_by_time_is_the_velocity_at_time_0_too():
    flow = gs.PrimalFlow(BASIS, gs.CrossEntropy(), gs.WeightDecay(0.5))
    ts = jnp.array([0.0, 0.5])
    slope = jax.jit(jax.jacfwd(lambda ts: gs.integrate(flow, ts, rtol=1e-10, atol=1e-12).z), compiler_options=QUICK)(ts)
    z = gs.integrate(flow, ts, rtol=1e-10, atol=1e-12).z
    for i in range(2):
        np.testing.assert_allclose(slope[i, :, i], flow.velocity(z[i]), rtol=1e-12)
        np.testing.assert_array_equal(slope[i, :, 1 - i], 0.0)


@pytest.mark.slow
@pytest.mark.parametrize("flow", [gs.DualFlow, gs.PrimalFlow])
def test_second_derivatives_need_no_settings(flow):
    def late(at):
        problem = flow(BASIS, gs.CrossEntropy(), gs.WeightDecay(at[0]))
        return gs.integrate(problem, at[1:], rtol=1e-11, atol=1e-12).z[-1, 0]

    slope, bend = jax.jit(jax.jacfwd(late)), jax.jit(jax.hessian(late))  # not QUICK, in which XLA makes NaN of the bend
    at, step = jnp.array([0.5, 0.7]), 1e-4
    numeric = [(slope(at + step * e) - slope(at - step * e)) / (2 * step) for e in jnp.eye(2)]
    # by decay, by time, and by one after the other: then parts of size 3 cancel to 1e-3, each known to some 1e-7
    np.testing.assert_allclose(bend(at), numeric, rtol=1e-5, atol=1e-6)


def test_dense_output_passes_through_the_saved_points():
    trajectory = gs.integrate(gs.DualFlow(BASIS, gs.CrossEntropy(), gs.WeightDecay(0.1)), TIMES, dense=True)
    np.testing.assert_allclose(trajectory.evaluate(TIMES).alpha, trajectory.alpha, rtol=1e-9)
    with pytest.raises(ValueError, match="dense"):
        gs.integrate(gs.DualFlow(BASIS, gs.CrossEntropy(), gs.WeightDecay(0.1)), TIMES).evaluate(0.1)


def test_float32_is_kept():
    basis = gs.FeatureBasis(np.array(BASIS.U, np.float32), np.array(BASIS.s, np.float32))
    end = gs.steady_state(gs.DualFlow(basis, gs.CrossEntropy(), gs.WeightDecay(0.1)))
    assert end.z.dtype == jnp.float32
    exact = gs.fixed_point(BASIS, gs.CrossEntropy(), gs.WeightDecay(0.1)).z
    np.testing.assert_allclose(end.z[0], exact, rtol=1e-4)


def test_a_failure_is_visible():
    trajectory = gs.integrate(gs.DualFlow(BASIS, gs.CrossEntropy(), gs.WeightDecay(1e-3)), TIMES, max_steps=2)
    assert not trajectory.succeeded
    assert jnp.isnan(trajectory.z[-1]).all()


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"ts": jnp.array([1.0, 0.5])}, "ts"),
        ({"ts": jnp.array([0.0, jnp.nan])}, "ts"),
        ({"ts": jnp.array([-1.0, 0.5])}, "ts"),
        ({"ts": TIMES, "rtol": 0.0}, "rtol"),
        ({"ts": TIMES, "rtol": "tight"}, "rtol"),
        ({"ts": TIMES, "atol": [1e-3, 1e-4]}, "atol"),
        ({"ts": TIMES, "max_steps": 0}, "max_steps"),
        ({"ts": TIMES, "max_steps": None}, "max_steps"),
        ({"ts": "late"}, "ts"),
        ({"ts": TIMES, "flow": BASIS}, "flow"),
    ],
)
def test_bad_input_is_named(arguments, named):
    flow = arguments.pop("flow", gs.DualFlow(BASIS, gs.CrossEntropy(), gs.WeightDecay(0.1)))
    with pytest.raises((ValueError, TypeError), match=named) as error:
        gs.integrate(flow, **arguments)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("flow", [gs.DualFlow, gs.PrimalFlow])
def test_bad_flows_are_refused(flow):
    with pytest.raises(ValueError, match="loss"):
        flow(BASIS, gs.Hinge(), gs.WeightDecay(0.1))
    with pytest.raises(ValueError, match="eta"):
        flow(BASIS, gs.CrossEntropy(), gs.WeightDecay(0.1), eta=0.0)
    start = {"alpha0": 1.5} if flow is gs.DualFlow else {"z0": jnp.zeros(3)}
    with pytest.raises(ValueError, match=next(iter(start))):
        flow(BASIS, gs.CrossEntropy(), gs.WeightDecay(0.1), **start)


KINDS_OF_FLOW = {"margins": gs.PrimalFlow, "alpha": gs.DualFlow}


@pytest.mark.parametrize("name", KINDS_OF_FLOW)
def test_derivatives_where_strengths_repeat(name):
    """With decay and decoupling, through a kernel whose strengths all agree: against SciPy in terms of the kernel."""
    E = np.array([[1.0, 0.5, -0.3], [0.5, -2.0, 0.8], [-0.3, 0.8, 0.4]])
    y, lam1, lam2, end = np.array([1.0, -1.0, 1.0]), 0.1, 0.3, 1.5

    def exact(t):
        K = y[:, None] * (2 * np.eye(3) + t * E) * y[None]
        F = np.linalg.solve(lam1 * np.eye(3) + lam2 * K, K)

        def field(_, v):
            return K @ (1 / (1 + np.exp(v)) - lam2 * v) - lam1 * v if name == "margins" else np.log(1 / v - 1) - F @ v

        start = np.zeros(3) if name == "margins" else np.full(3, 0.5)
        return solve_ivp(field, (0, end), start, "DOP853", rtol=1e-12, atol=1e-13).y[:, -1]

    def last(t):
        basis = gs.FeatureBasis.from_kernel(2 * jnp.eye(3) + t * jnp.asarray(E), y)
        flow = KINDS_OF_FLOW[name](basis, gs.CrossEntropy(), gs.Mixed(lam1, lam2))
        return getattr(gs.integrate(flow, jnp.array([end]), rtol=1e-8, atol=1e-8), name)[0]

    value, slope = jax.jit(lambda t: jax.jvp(last, (t,), (1.0,)))(0.0)
    h = 1e-4
    wanted = (8 * (exact(h) - exact(-h)) - exact(2 * h) + exact(-2 * h)) / (12 * h)
    np.testing.assert_allclose(value, exact(0), atol=1e-7)
    np.testing.assert_allclose(slope, wanted, atol=1e-6)


@pytest.mark.slow
def test_hessians_of_trajectories_in_programs_that_are_not_optimised():
    """Where XLA computes a number twice, the two may differ: no derivative looks for equal ones."""

    def last(x):
        basis = gs.FeatureBasis.rotation(x[0], x[1], 0.1)
        return gs.integrate(
            gs.PrimalFlow(basis, gs.CrossEntropy(), gs.Mixed(x[2], x[3])), jnp.array([0.5, 2.0])
        ).z.sum()

    x, plain = jnp.array([3.0, 2.0, 0.1, 0.05]), {"xla_backend_optimization_level": 0}
    slope = jax.jit(jax.grad(last), compiler_options=plain)
    found = jax.jit(jax.hessian(last), compiler_options=plain)(x)
    step = 1e-4 * np.eye(4)
    wanted = np.stack([(np.asarray(slope(x + d)) - np.asarray(slope(x - d))) / 2e-4 for d in step])
    np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-3)
