"""Losses against mpmath and Fenchel's inequality: values, weights, curvatures, conjugates, dual error bounds."""

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest
from _tolerances import assert_close, units
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import gsdyn as gs

CE, FIRST, SQUARED, HINGE = gs.CrossEntropy(), gs.FirstOrderCrossEntropy(), gs.SquaredError(), gs.Hinge()
SMOOTH = {"cross-entropy": CE, "first order": FIRST, "squared": SQUARED}
MARGINS = np.array([-800, -700, -100, -37, -5, -1, -1e-9, 0, 1e-9, 0.3, 1, 5, 30, 36.7, 45, 300, 690])
MODERATE = np.abs(MARGINS) < 37
SETTINGS = settings(max_examples=60, deadline=None)


def exact(name, f):
    """`(l, a, l'')` of one margin in 60 digits."""
    with mp.workdps(60):
        f = mp.mpf(float(f))
        if name == "cross-entropy":
            a = 1 / (1 + mp.exp(f))
            return mp.log1p(mp.exp(-f)), a, a / (1 + mp.exp(-f))
        if name == "squared":
            return (1 - f) ** 2 / 2, 1 - f, mp.mpf(1)
        a = mp.lambertw(mp.exp(-f)).real
        return a + a * a / 2, a, a / (1 + a)


@jax.jit
def curves(loss, f):
    """What a smooth loss says of every margin of `f`, by itself and by differentiating its value."""

    def one(x):
        slope, bend = jax.grad(loss.value)(x), jax.hessian(loss.value)(x)[0, 0]
        a = loss.weight(x)
        return {
            "value": loss.value(x),
            "weight": a[0],
            "curvature": loss.root_curvature(x)[0] ** 2,
            "slope": slope[0],
            "bend": bend,
            "conjugate": loss.conjugate(a),
            "conjugate slope": jax.grad(loss.conjugate)(a)[0],
            "margin": loss.slope(a)[0],
            "log rate": jax.grad(lambda t: 2 * jnp.sum(jnp.log(loss.root_curvature(t))))(x)[0],
        }

    return jax.vmap(one)(f[:, None])


@pytest.mark.parametrize("name", SMOOTH)
def test_value_weight_and_curvature_meet_mpmath(name):
    told = curves(SMOOTH[name], MARGINS)
    value, a, w = np.transpose([[float(x) for x in exact(name, f)] for f in MARGINS])
    assert_close(told["value"], value, 8)
    assert_close(told["weight"], a, 8)
    # the exponent f/2 carries the rounding of f
    assert_close(told["curvature"], w, 8 + np.max(np.abs(MARGINS)))


@pytest.mark.parametrize("name", SMOOTH)
def test_value_differentiates_to_weight_and_curvature(name):
    told = curves(SMOOTH[name], MARGINS)
    assert_close(told["slope"], -told["weight"], 8)
    assert_close(told["bend"], told["curvature"], 8, scale=1)


@pytest.mark.parametrize("name", SMOOTH)
def test_conjugate_touches_the_loss_at_the_weight(name):
    told = {key: np.asarray(x)[MODERATE] for key, x in curves(SMOOTH[name], MARGINS).items()}
    f, a = MARGINS[MODERATE], told["weight"]
    assert_close(told["conjugate"] - a * f, told["value"], 32, scale=1 + np.abs(a * f))
    # log(1 - a) of a weight near 1 knows 1 - a to a rounding of 1
    noise = 1 + np.abs(f) + 1 / told["curvature"]
    assert_close(told["conjugate slope"], f, 32, scale=noise)
    assert_close(told["margin"], f, 32, scale=noise)


@pytest.mark.parametrize("name", ["cross-entropy", "first order"])
def test_weight_undoes_the_slope(name):
    loss = SMOOTH[name]
    alpha = jnp.asarray([1e-300, 1e-20, 1e-3, 0.2, 0.5, 0.9, 0.999])
    np.testing.assert_array_equal(loss.check_dual("alpha", alpha), alpha)
    assert_close(loss.weight(loss.slope(alpha)), alpha, 800)


@pytest.mark.parametrize("name", ["cross-entropy", "first order"])
def test_one_exponential_gives_weight_rate_and_bend(name):
    a, w, v = jax.jit(SMOOTH[name].derivatives)(MARGINS)
    told = curves(SMOOTH[name], MARGINS)
    assert_close(a, told["weight"], 16)
    assert_close(w, told["curvature"], 8, scale=1)
    # v = l'''/l'' = (log l'')'; Newton's safe step rests on |l'''| <= l''
    assert np.all(np.abs(v) <= 1)
    assert_close(v, told["log rate"], 100, scale=1)


@pytest.mark.parametrize("loss", [*SMOOTH.values(), HINGE], ids=[*SMOOTH, "hinge"])
def test_fenchel_young(loss):
    rng = np.random.default_rng(0)
    f, alpha = rng.uniform(-60, 60, (500, 3)), rng.uniform(0, 1, (500, 3)) ** rng.integers(1, 9, (500, 1))
    gap = jax.jit(jax.vmap(lambda f, a: loss.value(f) - loss.conjugate(a) + jnp.sum(a * f)))(f, alpha)
    assert np.all(np.asarray(gap) >= -units(gap, 16) * np.sum(1 + np.abs(f), axis=1))


@pytest.mark.parametrize("loss", [CE, FIRST, HINGE])
def test_outside_the_domain_the_conjugate_is_minus_infinity(loss):
    assert loss.conjugate(jnp.array([0.5, -0.1])) == -jnp.inf
    if loss is not FIRST:
        assert loss.conjugate(jnp.array([0.5, 1.1])) == -jnp.inf
    assert np.isfinite(loss.conjugate(jnp.array([0.0, 1.0])))


def test_hinge_is_table_4():
    f = jnp.array([-3.0, 0.5, 1.0, 1.5])
    assert HINGE.value(f) == 4.5
    np.testing.assert_array_equal(HINGE.weight(f), [1, 1, 0.5, 0])
    np.testing.assert_array_equal(HINGE.root_curvature(f), np.zeros(4))
    np.testing.assert_array_equal(HINGE.slope(f), np.ones(4))
    assert HINGE.conjugate(jnp.array([0.25, 0.5])) == 0.75
    assert not HINGE.smooth
    assert all(loss.smooth for loss in SMOOTH.values())


def bregman(name, alpha, best):
    """`h(best) - h(alpha) + h'(best)(alpha - best)`, which no dual gap is below, in NumPy."""
    if name == "squared":
        return np.sum((alpha - best) ** 2) / 2
    kl = np.sum(alpha * np.log(alpha / best) - alpha + best)
    if name == "first order":
        return kl + np.sum((alpha - best) ** 2) / 2
    return kl + np.sum((1 - alpha) * np.log((1 - alpha) / (1 - best)) + alpha - best)


probabilities = arrays(float, 4, elements=st.floats(1e-9, 1 - 1e-9))
logits = arrays(float, (3, 4), elements=st.floats(-20, 20))


@pytest.mark.parametrize("name", SMOOTH)
@SETTINGS
@given(probabilities, probabilities)
def test_no_gap_hides_more_than_dual_error_says(name, alpha, best):
    gap = max(bregman(name, alpha, best), 0.0)
    bound = float(SMOOTH[name].dual_error(jnp.asarray(alpha), jnp.asarray(gap)))
    # NumPy's divergence is right to 1e-15 or so, its root to 1e-7
    assert np.linalg.norm(alpha - best) <= bound * (1 + 1e-9) + 1e-7


@SETTINGS
@given(logits, logits)
def test_no_gap_hides_more_than_softmax_dual_error_says(one, two):
    alpha, best = (np.exp(x) / np.sum(np.exp(x), axis=1, keepdims=True) for x in (one, two))
    gap = max(np.sum(alpha * np.log(alpha / best)), 0.0)
    bound = float(gs.Softmax([0, 1, 2], 4).dual_error(jnp.asarray(alpha), jnp.asarray(gap)))
    assert np.linalg.norm(alpha - best) <= bound * (1 + 1e-9) + 1e-7


def test_dual_error_is_attained_to_a_factor_of_two():
    step = 1e-4 * np.array([1.0, -1.0])
    for name, alpha in (("cross-entropy", [0.5, 0.5]), ("squared", [0.3, 0.9])):
        gap = bregman(name, np.asarray(alpha) + step, np.asarray(alpha))
        bound = float(SMOOTH[name].dual_error(jnp.asarray(alpha), jnp.asarray(gap)))
        assert bound <= 2 * np.linalg.norm(step)
    tiny = np.array([1e-12, 3e-12])
    bound = float(CE.dual_error(jnp.asarray(tiny), jnp.asarray(bregman("cross-entropy", 1.01 * tiny, tiny))))
    assert bound <= 2 * np.linalg.norm(0.01 * tiny)


NEAR = [(2.0, 2.0, 2.0), (3.0, 3 + 1e-7, 3 - 3e-9), (-0.4, 0.1, 0.5), (35.0, 35 + 1e-12, 36.0), (-4.0, 12.0, 300.0)]


@pytest.mark.parametrize("name", SMOOTH)
def test_differences_of_curvature_keep_their_digits(name):
    w0, spread = jax.jit(jax.vmap(SMOOTH[name].curvature_spread))(np.array(NEAR))
    for row, f in enumerate(NEAR):
        w = [exact(name, x)[2] for x in f]
        with mp.workdps(60):
            # whatever the reference, the examples differ from one another as the curvatures do
            apart = np.array([float(x - w[0]) for x in w])
        got = np.asarray(spread[row]) - float(spread[row, 0])
        centre = float(w0[row])
        noise = units(f, 16) * np.max(np.abs(spread[row])) + units(f, 4) * np.max(np.abs(f)) * centre * (
            np.ptp(f) < 1e-14
        )
        assert np.all(np.abs(got - apart) <= 1e-12 * np.abs(apart) + noise)
        whole = np.array([float(x) for x in w])
        assert_close(np.asarray(spread[row]) + centre, whole, 64, scale=np.max(whole))


def softmax(f):
    with mp.workdps(60):
        rows = [[mp.exp(mp.mpf(float(x))) for x in row] for row in f]
        return [[x / mp.fsum(row) for x in row] for row in rows]


LOGITS = np.array([[1.0, -2.0, 0.5], [40.0, 0.0, -40.0], [0.0, 0.0, 0.0], [-700.0, 0.0, 1.0]])
LABELS = np.array([2, 0, 1, 1])


@jax.jit
def softmax_curves(loss, f):
    p, pull = loss.dual(f), loss.weight(f)
    return {
        "value": loss.value(f),
        "dual": p,
        "weight": pull,
        "slope": jax.grad(loss.value)(f),
        "root": loss.root_curvature(f),
        "margin": loss.slope(p),
        "spread": loss.spread(f),
        "touching": loss.conjugate(p) - jnp.sum(pull * f),
    }


def test_softmax_meets_mpmath():
    told = softmax_curves(gs.Softmax(LABELS, 3), LOGITS)
    p = softmax(LOGITS)
    with mp.workdps(60):
        value = float(mp.fsum(-mp.log(row[k]) for row, k in zip(p, LABELS, strict=True)))
        own = np.eye(3, dtype=int)[LABELS]
        pull = np.array([[float(int(o) - x) for o, x in zip(*rows, strict=True)] for rows in zip(own, p, strict=True)])
        bend = [[[float(row[a] * (int(a == b) - row[b])) for b in range(3)] for a in range(3)] for row in p]
    assert_close(told["value"], value, 4)
    assert_close(told["dual"], np.array(p, dtype=float), 500)
    assert_close(told["weight"], pull, 500)
    assert_close(told["slope"], -pull, 4, scale=1)
    assert_close(np.einsum("iba,ibc->iac", told["root"], told["root"]), bend, 1500)
    assert_close(told["margin"], LOGITS - LOGITS.mean(axis=1, keepdims=True), 4, scale=700)
    assert_close(told["touching"], float(told["value"]), 4, scale=700)
    assert told["spread"] == 701


def test_softmax_of_two_classes_is_cross_entropy():
    told = softmax_curves(gs.Softmax(np.zeros(len(MARGINS), int), 2), np.stack([MARGINS, 0 * MARGINS], axis=1))
    one = curves(CE, MARGINS)
    assert_close(told["value"], float(np.sum(one["value"])), 16)
    assert_close(told["weight"][:, 0], one["weight"], 1000)


@pytest.mark.parametrize("loss", [*SMOOTH.values(), HINGE, gs.Softmax([0, 1], 2)], ids=[*SMOOTH, "hinge", "softmax"])
def test_float32_stays_float32(loss):
    @jax.jit
    def everything(f):
        a = loss.dual(f)
        spread = loss.curvature_spread(f) if f.ndim == 1 else ()
        one = jnp.ones((), f.dtype)
        start = loss.start(jnp.ones(2, f.dtype))
        return (
            a,
            loss.value(f),
            loss.weight(f),
            loss.root_curvature(f),
            loss.conjugate(a),
            loss.slope(a),
            (loss.spread(f), loss.dual_error(a, one), start, spread),
        )

    f = np.array([0.5, 2.0]) if not isinstance(loss, gs.Softmax) else np.array([[0.5, 2.0], [1.0, -1.0]])
    single, double = everything(f.astype(np.float32)), everything(f)
    assert {x.dtype for x in jax.tree.leaves(single)} == {jnp.dtype(jnp.float32)}
    for one, two in zip(jax.tree.leaves(single), jax.tree.leaves(double), strict=True):
        assert_close(one, two, 16, scale=np.maximum(np.abs(two), 0.1))


@pytest.mark.parametrize("name", SMOOTH)
def test_float32_survives_huge_margins(name):
    told = curves(SMOOTH[name], np.float32([-300, -88, 88, 300] * 4 + [0]))
    for key in ("value", "weight", "curvature", "slope", "bend"):
        assert told[key].dtype == jnp.float32
        assert np.all(np.isfinite(told[key]))
    if name != "squared":
        assert np.all(np.isfinite(np.stack(SMOOTH[name].derivatives(jnp.asarray([-300.0, 300.0], jnp.float32)))))


@pytest.mark.parametrize(
    ("loss", "alpha", "message"),
    [
        (CE, [0.5, 1.0], "alpha must be inside \\(0, 1\\), got 1.0"),
        (FIRST, [0.5, 0.0], "alpha must be finite and > 0, got 0.0"),
        (SQUARED, [0.5, np.nan], "alpha must be finite, got nan"),
        (HINGE, [0.5, -0.1], "alpha must be inside \\(0, 1\\), got -0.1"),
        (gs.Softmax([0], 2), [[0.5, 0.4]], "alpha must be of rows that sum to 1"),
    ],
)
def test_dual_variables_are_checked(loss, alpha, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        loss.check_dual("alpha", jnp.asarray(alpha))


def test_dual_variables_and_pulls_are_exchanged():
    labels, alpha = np.array([2, 0]), np.array([[0.25, 0.25, 0.5], [0.125, 0.5, 0.375]])
    loss = gs.Softmax(labels, 3)
    pull = np.array([[-0.25, -0.25, 0.5], [0.875, -0.5, -0.375]])
    np.testing.assert_array_equal(loss.exchange(jnp.asarray(alpha)), pull)
    np.testing.assert_array_equal(loss.exchange(jnp.asarray(pull)), alpha)
    assert loss.dual_sign == -1
    assert all(other.dual_sign == 1 and other.exchange(alpha) is alpha for other in (*SMOOTH.values(), HINGE))


@pytest.mark.parametrize("name", SMOOTH)
def test_no_curvature_is_above_the_steepest(name):
    bends = [float(exact(name, f)[2]) for f in MARGINS]
    assert max(bends) <= SMOOTH[name].steepest <= (1.0 if name == "first order" else max(bends))
    assert HINGE.steepest is None
