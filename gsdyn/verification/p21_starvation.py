"""Features, and which of them starves which (P21 sections 3.1 and 3.3)."""

from __future__ import annotations

import functools
from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
from numpy.random import Generator

from gsdyn import closed_forms
from gsdyn.features import FeatureBasis
from gsdyn.losses import CrossEntropy, FirstOrderCrossEntropy
from gsdyn.penalties import WeightDecay
from gsdyn.verification import _differences, _oracles, theorem2
from gsdyn.verification._claims import Claim, Finding
from gsdyn.verification._problems import SIZE, Problems, dense, log_uniform, orthogonal, starvation_matrices
from gsdyn.verification._registry import Check, Group, Trials

GROUP = Group("P21 starvation")
CELLS = 1 << 15


@GROUP.check(
    "P21-Def1",
    "features: SVD of Y Phi, or eigenvectors of K",
    "K = Y(Phi Phi^T)Y = U S^2 U^T, so that the kernel alone gives the singular vectors and strengths of Y Phi",
    "NumPy's SVD of random Y Phi (6 x 9) against FeatureBasis.from_ntrf and .from_kernel",
    "error",
    samples=20,
    tolerance=1e-9,
)
def features(random: Generator, count: int) -> Trials:
    phi, y = random.normal(size=(count, 6, 9)), random.choice([-1.0, 1.0], (count, 6))
    errors = []
    for matrix, labels in zip(phi, y, strict=True):
        U, s, _ = np.linalg.svd(labels[:, None] * matrix, full_matrices=False)
        for basis in (FeatureBasis.from_ntrf(matrix, labels), FeatureBasis.from_kernel(matrix @ matrix.T, labels)):
            # the sign of a vector is arbitrary, its projector is not
            projectors = np.einsum("ik,jk->kij", np.asarray(basis.U), np.asarray(basis.U))
            apart = np.max(np.abs(projectors - np.einsum("ik,jk->kij", U, U)))
            errors.append(max(apart, np.max(np.abs(np.asarray(basis.s) - s)) / s[0]))
    return Trials(np.reshape(errors, (count, 2)))


@GROUP.check(
    "P21-Eq4",
    "responses: z = U^T Y yhat = S V^T theta",
    "with yhat = Phi theta (Eq. 3) the response is z = U^T Y yhat = S V^T theta, and the margins are f = U z",
    "NumPy's V^T for random Phi, theta and labels, against FeatureBasis.responses and .margins",
    "absolute error",
    samples=20,
    tolerance=1e-11,
)
def responses(random: Generator, count: int) -> Trials:
    errors = []
    for _ in range(count):
        phi, y, theta = random.normal(size=(6, 9)), random.choice([-1.0, 1.0], 6), random.normal(size=9)
        basis = FeatureBasis.from_ntrf(phi, y)
        margins = y * (phi @ theta)
        Vt = np.linalg.svd(y[:, None] * phi, full_matrices=False)[2]
        # V^T with the signs of the basis
        sign = np.sign(np.einsum("kj,ik,ij->k", Vt, np.asarray(basis.U), y[:, None] * phi))
        z = np.asarray(basis.responses(jnp.asarray(margins)))
        stated = np.asarray(basis.s) * sign * (Vt @ theta)
        errors.append([*(z - stated), *(np.asarray(basis.margins(jnp.asarray(z))) - margins)])
    return Trials(np.abs(errors))


@GROUP.check(
    "P21-Eq15",
    "the sign of delta decides who starves",
    "U = [[c, -delta], [delta, c]] starves feature 2 for s_1 > s_2 and small delta > 0; with -delta it grows instead",
    "differences of fixed points in 80 digits, s_1 > s_2 in [0.03, 30], lam in [1e-3, 10], delta in [1e-3, 0.3]",
    "wrong signs",
    samples=15,
    tolerance=0.0,
)
def sign_of_overlap(random: Generator, count: int) -> Trials:
    s = np.sort(log_uniform(random, 0.03, 30, (count, 2)), axis=1)[:, ::-1]
    lam, delta = log_uniform(random, 1e-3, 10, count), log_uniform(random, 1e-3, 0.3, count)
    wrong = []
    for (s1, s2), strength, d in zip(s.tolist(), lam.tolist(), delta.tolist(), strict=True):
        signs = [_differences.sign(s1, s2, x, strength, first_order=False) for x in (d, -d)]
        wrong.append([signs[0] != -1, signs[1] != 1])
    return Trials(wrong, {"s": s, "lam": lam, "delta": delta})


@functools.lru_cache(maxsize=1)
def _theorem2(count: int, seed: int) -> list[Finding]:
    return theorem2.check_theorem2(count, seed)


def _part(claim: Claim) -> Callable[[int, int], list[Finding]]:
    """The findings of one of the two claims, which are checked together."""
    return lambda count, seed: [finding for finding in _theorem2(count, seed) if finding.claim is claim]


for _key, _short in (("paper", "the weaker feature starves"), ("exact", "the sign law for every delta")):
    _claim = theorem2.CLAIMS[_key]
    GROUP.checks.append(Check(_claim, _short, CELLS, 0.0, findings=_part(_claim)))


@GROUP.check(
    "P21-Eq16",
    "the derivative to first order in delta",
    "d z_2*/d(s_1^2) = -delta (D_1 - D_2) c_2 alpha_1 / (lam (D_1 + c_1)(D_2 + c_2)) + O(delta^2)",
    "differences of fixed points in 80-digit arithmetic at delta = 1e-15, s in [0.03, 30], lam in [1e-3, 10]",
    "relative error",
    samples=20,
    tolerance=1e-10,
)
def small_overlap(random: Generator, count: int) -> Trials:
    s1, s2 = log_uniform(random, 0.03, 30, (2, count))
    lam, delta = log_uniform(random, 1e-3, 10, count), np.full(count, 1e-15)
    stated = np.stack([closed_forms.small_overlap_starvation(s1, s2, delta, lam, exact=e) for e in (True, False)])
    exact = [
        [
            float(_differences.starvation(*cell, first_order=first))
            for cell in zip(*map(_floats, (s1, s2, delta, lam)), strict=True)
        ]
        for first in (False, True)
    ]
    return Trials(np.abs(stated / np.array(exact) - 1).T, {"s1": s1, "s2": s2, "lam": lam})


def _floats(values: np.ndarray) -> list[float]:
    return values.tolist()


@GROUP.check(
    "P21-G",
    "the starvation matrix is exact for any data",
    "G = d z_j*/d(s_i^2) = (1/lam) [M (S^2/lam + M)^-1 diag(U^T alpha*)], M = U^T D U (Eq. 10: I + U^T D U) (beyond)",
    "finite differences of SciPy's minima under Eqs. 9 and 10; 5 examples, s in [0.1, 10], lam in [1e-3, 10]",
    "relative error",
    samples=10,
    tolerance=1e-7,
)
def starvation_matrix(random: Generator, count: int) -> Trials:
    problems, errors = dense(random, count), []
    for loss, first in ((CrossEntropy(), False), (FirstOrderCrossEntropy(), True)):
        matrices = np.asarray(starvation_matrices(loss, WeightDecay, problems))
        exact = np.array([_differenced(problems, k, first) for k in range(count)])
        scale = np.max(np.abs(exact), axis=(1, 2), keepdims=True)
        errors.append(np.abs(matrices - exact) / scale)
    return Trials(np.concatenate(errors, axis=1), problems.place())


def _differenced(problems: Problems, k: int, first_order: bool) -> np.ndarray:
    """`G` of one problem by finite differences."""
    U, s, lam = (field[k] for field in problems)

    def responses(square: float, i: int) -> np.ndarray:
        c = np.where(np.arange(SIZE) == i, square, s**2) / lam
        return c * (U.T @ _oracles.fixed_point(_oracles.kernel(U, c), first_order=first_order))

    columns = [_oracles.derivative(lambda square, i=i: responses(square, i), s[i] ** 2) for i in range(SIZE)]
    return np.stack(columns, axis=1)


@GROUP.check(
    "P21-G-spread",
    "equal margins: nothing starves",
    "starvation is the spread of D over examples: with equal strengths all margins agree, and G is diagonal (beyond)",
    "off-diagonals of the starvation matrix and of SciPy's finite differences, s in [0.1, 10], lam in [1e-3, 10]",
    "off-diagonal share",
    samples=10,
    tolerance=1e-8,
)
def spread(random: Generator, count: int) -> Trials:
    s = np.broadcast_to(log_uniform(random, 0.1, 10, (count, 1)), (count, SIZE))
    problems = Problems(orthogonal(random, count), s, log_uniform(random, 1e-3, 10, count))
    matrices = np.asarray(starvation_matrices(CrossEntropy(), WeightDecay, problems))
    exact = np.array([_differenced(problems, k, False) for k in range(count)])
    off = ~np.eye(SIZE, dtype=bool)
    largest = [np.max(np.abs(G[:, off]), axis=1) / np.max(np.abs(G), axis=(1, 2)) for G in (matrices, exact)]
    return Trials(np.transpose(largest), problems.place())
