"""Vector fields of the flows (P21-Eqs 5, 9, 10, 17, 18, 29) against the printed formulas in NumPy and mpmath."""

import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest
from _problems import CLASSES, EXAMPLES, LABELS, LOSSES, orthogonal
from _tolerances import assert_close

import gsdyn as gs

RNG = np.random.default_rng(11)
U = orthogonal(RNG, 1)[0]
S = 10 ** RNG.uniform(-1, 1, EXAMPLES)
BASIS = gs.FeatureBasis(U, S)
U = np.asarray(BASIS.U)  # with the basis's own signs
Z, ALPHA = RNG.normal(size=EXAMPLES), RNG.uniform(0.02, 0.98, EXAMPLES)
LOGITS, SIMPLEX = RNG.normal(size=(EXAMPLES, 3)), RNG.dirichlet(np.ones(3), EXAMPLES)
E = np.eye(3)[CLASSES]
ETA = 0.7
LAM, GAMMA = np.where(LABELS > 0, 0.9, 0.3), np.where(LABELS > 0, -0.3, 0.4)
BY_CLASS = gs.SpectralDecoupling.by_class(LABELS, (0.3, 0.9), (0.4, -0.3))


def pull_of(name, f):
    """The pull of every example, `-l'(f)`."""
    if name == "cross-entropy":
        return 1 / (1 + np.exp(f))
    if name == "first-order":
        return np.array([float(mp.lambertw(mp.exp(-mp.mpf(float(x)))).real) for x in f])
    return 1 - f


def close(got, *terms):
    """Equal to rounding of the terms that the answer is the sum of."""
    assert_close(got, sum(terms), 200, scale=sum(np.max(np.abs(term)) for term in terms))


SMOOTH = ["cross-entropy", "first-order", "squared"]
# penalty, weight decay, spectral decoupling and its target for every example
PULLS = {
    "decay": (gs.WeightDecay(0.2), 0.2, 0.0, 0.0),
    "decoupling": (gs.SpectralDecoupling(0.2), 0.0, 0.2, 0.0),
    "mixed": (gs.Mixed(0.2, 0.05), 0.2, 0.05, 0.0),
    "by-class": (BY_CLASS, 0.0, LAM, GAMMA),
}


@pytest.mark.parametrize("loss", SMOOTH)
@pytest.mark.parametrize("penalty", PULLS)
def test_primal_flow_is_gradient_descent_in_features(loss, penalty):
    """`z' = eta (S^2 U^T (a(f) - lam_2 (f - gamma)) - lam_1 z)`."""
    made, lam1, lam2, gamma = PULLS[penalty]
    flow, f = gs.PrimalFlow(BASIS, LOSSES[loss], made, ETA), U @ Z
    force = pull_of(loss, f) - lam2 * (f - gamma)
    close(flow.velocity(jnp.asarray(Z)), ETA * S**2 * (U.T @ force), -ETA * lam1 * Z)


def test_primal_flow_is_gradient_descent_in_parameters():
    """Eqs 5 and 17 differentiated by differences in `theta`, seen through Def. 1's `z = S V^T theta`."""
    phi, y, theta = RNG.normal(size=(5, 9)), np.array([1.0, -1, -1, 1, 1]), RNG.normal(size=9)
    basis, lam1, lam2, step = gs.FeatureBasis.from_ntrf(phi, y), 0.3, 0.1, 1e-3

    def objective(theta):
        f = y * (phi @ theta)
        return np.sum(np.log1p(np.exp(-f))) + lam1 / 2 * theta @ theta + lam2 / 2 * f @ f

    def slope(d):
        far, near = (objective(theta + k * d) - objective(theta - k * d) for k in (2, 1))
        return (8 * near - far) / (12 * step)

    gradient = np.array([slope(step * row) for row in np.eye(9)])
    turn = np.asarray(basis.U).T @ (y[:, None] * phi)  # S V^T
    flow = gs.PrimalFlow(basis, gs.CrossEntropy(), gs.Mixed(lam1, lam2))
    np.testing.assert_allclose(flow.velocity(jnp.asarray(turn @ theta)), -turn @ gradient, rtol=1e-9, atol=1e-9)


def margins_of(penalty, alpha):
    """The margins of the `theta` that is optimal for `alpha`, from each penalty's own stationarity."""
    if penalty == "by-class":  # lam_i (f_i - gamma_i) = alpha_i
        return GAMMA + alpha / LAM
    _, lam1, lam2, _ = PULLS[penalty]
    return U @ (S**2 / (lam1 + lam2 * S**2) * (U.T @ alpha))


@pytest.mark.parametrize("loss", SMOOTH)
@pytest.mark.parametrize("penalty", PULLS)
def test_dual_flow_is_eqs_9_10_and_18(loss, penalty):
    """`h'(alpha) - f` with `h' = log((1-a)/a)` (Eq. 9), `-log a - a` (Eq. 10), `1 - a` (Table 4)."""
    flow = gs.DualFlow(BASIS, LOSSES[loss], PULLS[penalty][0], ETA)
    slope = {
        "cross-entropy": np.log(1 - ALPHA) - np.log(ALPHA),
        "first-order": -np.log(ALPHA) - ALPHA,
        "squared": 1 - ALPHA,
    }[loss]
    f = margins_of(penalty, ALPHA)
    close(flow.velocity(jnp.asarray(ALPHA)), ETA * slope, -ETA * f)
    close(flow.margins(jnp.asarray(ALPHA)), f)
    close(flow.responses(jnp.asarray(ALPHA)), U.T @ f)


def test_eq_18_does_not_know_the_basis():
    other = gs.FeatureBasis(orthogonal(RNG, 1)[0], S[::-1])
    one, two = (
        gs.DualFlow(basis, gs.CrossEntropy(), gs.SpectralDecoupling(0.2)).velocity(jnp.asarray(ALPHA))
        for basis in (BASIS, other)
    )
    close(one, np.log((1 - ALPHA) / ALPHA), -ALPHA / 0.2)
    assert_close(one, two, 200, scale=np.max(np.abs(two)) + 5)


@pytest.mark.parametrize("penalty", ["decay", "decoupling", "mixed"])
def test_flows_of_many_classes(penalty):
    """`z' = S^2 (U^T (E - softmax F) - lam_2 z) - lam_1 z`; the dual of Eq. 29, projected onto the simplex."""
    made, lam1, lam2, _ = PULLS[penalty]
    logits = U @ LOGITS
    e = np.exp(logits)
    pull = E - e / np.sum(e, axis=1, keepdims=True)
    s2 = S[:, None] ** 2
    primal = gs.PrimalFlow(BASIS, LOSSES["softmax"], made, ETA)
    close(primal.velocity(jnp.asarray(LOGITS)), ETA * s2 * (U.T @ pull - lam2 * LOGITS), -ETA * lam1 * LOGITS)
    dual = gs.DualFlow(BASIS, LOSSES["softmax"], made, ETA)
    F = U @ (s2 / (lam1 + lam2 * s2) * (U.T @ (E - SIMPLEX)))
    # gradient of Eq. 29's objective, -log alpha - 1 + F, less its mean over the classes of a row
    gradient = F - np.log(SIMPLEX) - 1
    got = dual.velocity(jnp.asarray(SIMPLEX))
    close(got, ETA * gradient, -ETA * np.mean(gradient, axis=1, keepdims=True))
    close(dual.responses(jnp.asarray(SIMPLEX)), U.T @ F)


def test_dual_fields_near_the_ends_of_the_domain():
    """Against mpmath for `alpha` from 1e-300 to 1 - 1e-16 and `lam` down to 1e-12."""
    basis = gs.FeatureBasis(np.eye(5), [1e-6, 1e-3, 1.0, 2.0, 3.0])
    alpha = np.array([1e-300, 1e-12, 0.5, 1 - 1e-9, 1 - 2.0**-53])
    for loss in (gs.CrossEntropy(), gs.FirstOrderCrossEntropy()):
        for lam in (1e-12, 1.0):
            got = gs.DualFlow(basis, loss, gs.WeightDecay(lam)).velocity(jnp.asarray(alpha))
            with mp.workdps(40):
                for value, a, s in zip(got, alpha, np.asarray(basis.s), strict=True):
                    a, f = mp.mpf(float(a)), mp.mpf(float(s)) ** 2 / mp.mpf(lam) * mp.mpf(float(a))
                    rest = mp.log(1 - a) if isinstance(loss, gs.CrossEntropy) else -a
                    scale = abs(rest) + abs(mp.log(a)) + f
                    assert abs(mp.mpf(float(value)) - (rest - mp.log(a) - f)) <= 1e-15 * scale
