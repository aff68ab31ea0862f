"""The multi-class extension (P21-Eqs 29-30): reference values, two classes, symmetry, differences, certificates."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest
from _problems import CLASSES, EXAMPLES, LOSSES, orthogonal, solve
from _programs import QUICK
from _tolerances import assert_close, units

import gsdyn as gs

TABLE = json.loads((Path(__file__).parent / "data" / "multiclass.json").read_text())


def numbers(rows):
    return np.array([[float(x) for x in row] for row in rows])


def solve_kernel(theta, loss, lam):
    return gs.fixed_point(gs.FeatureBasis.from_kernel(theta), loss, gs.WeightDecay(lam))


from_kernel = jax.jit(solve_kernel, compiler_options=QUICK)


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{len(row['K'])}-{row['classes']}-{row['lam']}")
def test_reference_values(row):
    loss = gs.Softmax(row["labels"], row["classes"])
    fp = from_kernel(jnp.asarray(numbers(row["K"])), loss, jnp.asarray(row["lam"]))
    assert fp.converged
    # the kernel's own eigenvectors carry its rounding, divided by lam
    exact = numbers(row["logits"])
    assert_close(fp.margins, exact, 2000, scale=np.max(np.abs(exact)))
    assert_close(fp.alpha, numbers(row["alpha"]), 20000)
    distance = mp.sqrt(
        mp.fsum(
            (mp.mpf(float(x)) - mp.mpf(e)) ** 2
            for got, want in zip(np.asarray(fp.alpha), row["alpha"], strict=True)
            for x, e in zip(got, want, strict=True)
        )
    )
    assert distance <= float(fp.error_bound) < 1e-6


def test_fixed_point_is_eq_30():
    rng = np.random.default_rng(0)
    U, s = orthogonal(rng, 3), 10 ** rng.uniform(-0.5, 0.7, (3, EXAMPLES))
    lams = np.array([0.01, 0.3, 3.0])
    got = solve(U, s, LOSSES["softmax"], [gs.WeightDecay(lam) for lam in lams], quick=True)
    theta = np.einsum("bik,bk,bjk->bij", U, s**2, U)
    logits = np.einsum("bij,bjc->bic", theta, np.eye(3)[CLASSES] - got.alpha) / lams[:, None, None]
    assert_close(got.margins, logits, 2000, scale=np.max(np.abs(logits)))
    e = np.exp(got.margins - np.max(got.margins, axis=2, keepdims=True))
    assert_close(got.alpha, e / np.sum(e, axis=2, keepdims=True), 64)
    # the logits of an example sum to zero
    assert np.max(np.abs(np.sum(got.margins, axis=2))) <= units(got.margins, 100) * np.max(np.abs(got.margins))
    assert np.max(np.abs(np.sum(got.G, axis=2))) <= units(got.G, 1000) * np.max(np.abs(got.G))


def test_the_loss_of_what_is_learnt_keeps_its_digits():
    f = np.array([[20, -7, -13], [400, -300, -100], [0, 0, 0], [-30, 10, 20], [-500, 700, -200.0]])
    with mp.workdps(400):
        exact = [float(mp.log1p(mp.fsum(mp.exp(mp.mpf(x) - mp.mpf(row[0])) for x in row[1:]))) for row in f]
    value = jax.jit(jax.vmap(jax.value_and_grad(gs.Softmax([0], 3).value)), compiler_options=QUICK)
    loss, slope = value(f[:, None, :])
    assert_close(loss, exact, 16)
    assert_close(slope[:, 0, 0], np.expm1(-np.array(exact)), 64)


@pytest.mark.parametrize("derivative", [jax.jacrev, jax.jacfwd])
def test_probabilities_of_what_is_learnt_have_derivatives(derivative):
    """One example: the logits are c (1 - alpha, -alpha_2, -alpha_3) with alpha_2 = alpha_3 = p = 1/(e^u + 2), u = 3cp,
    so that p falls with log c by p u (1 - 2p)/(1 + u (1 - 2p))."""
    c = 10.0 ** np.array([-2, 3, 10, 18, 25, 30])

    def alpha(log):
        one = gs.FeatureBasis(jnp.ones((1, 1)), jnp.exp(log / 2)[None])
        return gs.fixed_point(one, gs.Softmax([0], 3), gs.WeightDecay(1.0)).alpha[0]

    found = jax.jit(jax.vmap(derivative(alpha)), compiler_options=QUICK)(np.log(c))
    with mp.workdps(60):
        for row, x in zip(np.asarray(found), c, strict=True):
            target = mp.log(3 * mp.mpf(x))
            log = mp.findroot(
                lambda v, t=target: v + mp.log(mp.exp(mp.exp(v)) + 2) - t, (-20, 5), "illinois", maxsteps=200
            )
            u = mp.exp(log)
            p = 1 / (mp.exp(u) + 2)
            fall = float(-p * u * (1 - 2 * p) / (1 + u * (1 - 2 * p)))
            assert_close(row, np.array([-2 * fall, fall, fall]), 1000)


def test_two_classes_are_cross_entropy_with_twice_the_kernel():
    rng = np.random.default_rng(1)
    U, s, lam = orthogonal(rng, 1), 10 ** rng.uniform(-0.5, 0.7, (1, EXAMPLES)), 0.1
    y = np.where(CLASSES > 0, 1.0, -1.0)
    two = gs.Softmax((y > 0).astype(int), 2)
    basis = gs.FeatureBasis(y[:, None] * U[0], s[0])
    fp = jax.jit(gs.fixed_point, compiler_options=QUICK)(basis, two, gs.WeightDecay(lam))
    # one signed margin: f = y (F_1 - F_0) = 2 K sigma(-f)/lam with the signed kernel
    signed = solve(U, s, gs.CrossEntropy(), [gs.WeightDecay(lam / 2)], quick=True)
    assert_close(
        y * np.asarray(fp.margins[:, 1] - fp.margins[:, 0]),
        signed.margins[0],
        500,
        scale=np.max(np.abs(signed.margins)),
    )
    own = np.asarray(fp.alpha)[np.arange(EXAMPLES), np.asarray(two.labels)]
    assert_close(1 - own, signed.alpha[0], 500, scale=1)
    assert float(fp.objective) == pytest.approx(float(signed.objective[0]), rel=1e-12)


def test_renaming_classes_renames_the_answer():
    rng = np.random.default_rng(2)
    U, s = orthogonal(rng, 1), 10 ** rng.uniform(-0.5, 0.7, (1, EXAMPLES))
    order = np.array([2, 0, 1])
    one = solve(U, s, LOSSES["softmax"], [gs.WeightDecay(0.1)], quick=True)
    two = solve(U, s, gs.Softmax(order[CLASSES], 3), [gs.WeightDecay(0.1)], quick=True)
    assert_close(two.alpha[..., order], one.alpha, 500)
    assert_close(two.G[:, :, order], one.G, 2000, scale=np.max(np.abs(one.G)))


def test_matrix_is_autodiff_of_every_class():
    rng = np.random.default_rng(3)
    U, s = orthogonal(rng, 1, 4)[0], rng.uniform(0.5, 3, 4)
    loss = gs.Softmax([0, 2, 1, 2], 3)

    def responses(s2):
        return gs.fixed_point(gs.FeatureBasis(U, jnp.sqrt(s2)), loss, gs.Mixed(0.05, 0.2)).z

    def everything(s2):
        basis = gs.FeatureBasis(U, jnp.sqrt(s2))
        fp = gs.fixed_point(basis, loss, gs.Mixed(0.05, 0.2))
        return gs.starvation_matrix(basis, fp), jax.jacrev(responses)(s2)

    matrix, reverse = jax.jit(everything, compiler_options=QUICK)(jnp.asarray(s**2))
    assert matrix.shape == (4, 3, 4)
    assert_close(reverse, matrix, 500, scale=np.max(np.abs(matrix)))


def test_saturated_examples_and_float32():
    rng = np.random.default_rng(4)
    U, s = orthogonal(rng, 3), 10 ** rng.uniform(-0.5, 0.7, (3, EXAMPLES))
    lams = np.array([1e-12, 1e-6, 1e6])
    got = solve(U, s, LOSSES["softmax"], [gs.WeightDecay(lam) for lam in lams], quick=True)
    assert np.all(got.converged)
    assert all(np.all(np.isfinite(x)) for x in got)
    assert np.max(got.margins) > 20
    assert_close(got.alpha[2], np.full((EXAMPLES, 3), 1 / 3), 1e-4 / units(1.0, 1))
    single = solve(
        np.float32(U),
        np.float32(s),
        LOSSES["softmax"],
        [gs.WeightDecay(lam) for lam in np.float32([0.01, 0.1, 1])],
        quick=True,
    )
    wide = solve(U, s, LOSSES["softmax"], [gs.WeightDecay(lam) for lam in (0.01, 0.1, 1.0)], quick=True)
    assert single.z.dtype == single.G.dtype == np.float32
    assert np.all(single.converged)
    assert_close(single.z, wide.z, 100, scale=np.max(np.abs(wide.z)))
    assert_close(single.G, wide.G, 1000, scale=np.max(np.abs(wide.G)))
