"""Who starves whom: the starvation matrix of the leading features in the whole kernel, with its error.

    G[j, i] = d z_j*/d(s_i^2) = u_j^T A^-1 u_i (u_i^T alpha)/lam,    A = I + K W/lam,    W = diag(alpha (1 - alpha))

which is what `gs.starvation_matrix` gives in a basis of all n features, for k of them: adding to the strength of
feature i adds `u_i u_i^T` to the kernel. No feature is left out of the kernel, so nothing is truncated.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from gsdyn.diagnosis.paths import Grids
from gsdyn.features import FeatureBasis
from gsdyn.flows import PrimalFlow
from gsdyn.losses import CrossEntropy
from gsdyn.penalties import Penalty, SpectralDecoupling, Unregularised
from gsdyn.starvation_paths import StarvationPath, starvation_over_time

HOLDS = 0.1  # how far, relative, margins of the model of these may be from all features' for its signs to be told
FEW = 8  # leading features whose starvation is followed over time, in a model of these alone
POLISH = 20  # Newton steps, at most, with the curvature of the start


def at_optima(K: np.ndarray, basis: FeatureBasis, alphas: np.ndarray, decays: np.ndarray) -> dict[str, np.ndarray]:
    """Responses at every weight decay, `G`, elasticities, and their errors, which are known to first order.

    - `K`: the signed kernel, (n, n). `alphas`: dual optima, nearly, (d, n): Newton steps finish them here.
    """
    found = [_at_optimum(K, basis, alpha, float(lam)) for alpha, lam in zip(alphas, decays, strict=True)]
    return {name: np.stack([one[name] for one in found]) for name in found[0]}


def _at_optimum(K: np.ndarray, basis: FeatureBasis, alpha: np.ndarray, lam: float) -> dict[str, np.ndarray]:
    U, s2 = np.asarray(basis.U, float), np.asarray(basis.s, float) ** 2
    unit = (len(K) + 16) * float(np.finfo(float).eps)
    alpha = np.clip(np.asarray(alpha, float), 1e-300, 1 - 1e-16)
    inverse = _inverse(K, alpha, lam)
    alpha, f, size, error = _polished(K, alpha, lam, inverse, unit)
    w = alpha * (1 - alpha)
    X, left = _solved(lambda v: v + K @ (w[:, None] * v) / lam, inverse, U)
    # u_j^T A^-1 r = (A^-T u_j)^T r, and A^-T u = u - W A^-1 K u/lam, where K u_j = s_j^2 u_j nearly
    L = U - w[:, None] * inverse(K @ U) / lam
    pulled = U.T @ alpha / lam
    G = (U.T @ X) * pulled[None, :]
    lost = np.abs(left) + unit * (np.abs(X) + _absolute(K, w[:, None] * np.abs(X)) / lam)
    solved = np.abs(L).T @ lost * np.abs(pulled)[None, :]
    # |d(w_i)| <= |d alpha_i|: the answer of A^-1 to it, and that of u_i^T alpha
    B = np.abs(K @ L) / lam
    turned = np.sqrt((B * B).T @ (X * X)) * np.abs(pulled)[None, :] * error
    moved = np.abs(U.T @ X) * (error + unit * float(np.abs(alpha).sum())) / lam
    bound = solved + turned + moved + unit * np.abs(G)
    z = U.T @ f
    z_error = s2 * error / lam + unit * (np.abs(U).T @ size)
    other = ~np.eye(len(s2), dtype=bool)
    with np.errstate(divide="ignore", invalid="ignore"):
        elasticity = np.where(np.abs(z) > z_error, 1.0, np.nan)[:, None] * s2[None, :] * G / z[:, None]
    harm = G * np.sign(z)[:, None]
    return {
        "coefficients": alpha / lam,
        "margins": f,
        "response": z,
        "response_error": z_error,
        "matrix": G,
        "error": bound,
        "elasticity": elasticity,
        "starves": (harm < -bound) & other & (np.abs(z) > z_error)[:, None],
        "optimum_error": np.asarray(error),
    }


def _inverse(K: np.ndarray, alpha: np.ndarray, lam: float) -> Callable[[np.ndarray], np.ndarray]:
    """`r -> (I + K W/lam)^-1 r` by Woodbury's identity, from one Cholesky factor."""
    from scipy.linalg import cho_factor, cho_solve

    root = np.sqrt(alpha * (1 - alpha))
    inner = K * root[:, None]
    inner *= root / lam
    inner[np.diag_indices(len(K))] += 1
    factor = cho_factor(inner.T, lower=True, overwrite_a=True)  # its transpose, which it equals, is not copied

    def inverse(r: np.ndarray) -> np.ndarray:
        w = root[:, None] if r.ndim == 2 else root
        return r - K @ (w * cho_solve(factor, w * r)) / lam

    return inverse


def _polished(
    K: np.ndarray, alpha: np.ndarray, lam: float, inverse: Callable[[np.ndarray], np.ndarray], unit: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """The optimum to rounding: `alpha`, margins, `|K| alpha/lam`, and a bound of `|alpha - alpha*|`.

    `log((1 - a)/a) - K a/lam` falls at a rate of at least 4 in a (P21-Thm1, beyond), so a quarter of its size, rounding
    included, bounds the error.
    """
    v, last = np.log(alpha) - np.log1p(-alpha), np.inf
    for _ in range(POLISH):
        missing = v + K @ _sigmoid(v) / lam
        size = float(np.linalg.norm(missing))
        if not size < 0.5 * last:
            break
        v, last = v - inverse(missing), size
    alpha = _sigmoid(v)
    f, size = K @ alpha / lam, _absolute(K, alpha) / lam
    error = float(np.linalg.norm(np.abs(v + f) + unit * (size + np.abs(v)))) / 4
    return alpha, f, size, error


def _solved(
    product: Callable[[np.ndarray], np.ndarray], inverse: Callable[[np.ndarray], np.ndarray], right: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """`X` with `A X = right` by refinement from an inverse that is nearly that of `A`, and what is left of `right`."""
    X = inverse(right)
    left = right - product(X)
    for _ in range(POLISH):
        better = X + inverse(left)
        now = right - product(better)
        if not np.linalg.norm(now) < 0.5 * np.linalg.norm(left):
            break
        X, left = better, now
    return X, left


def over_time(basis: FeatureBasis, grids: Grids, plain: np.ndarray, switched: np.ndarray) -> dict[str, np.ndarray]:
    """`G` over plain training and since each switch to spectral decoupling, among the few leading features, in a model
    of these alone, NaN for the others; how far its margins are from those of all features, relative; and what starves
    for certain as long as that is at most `HOLDS`.

    - `plain`: margins over training, (t, n). `switched`: since the switches, (switch, decoupling, after, n).

    What is told is named as in the report's dataset. All paths are of one compiled program.
    """
    U, s = jnp.asarray(basis.U), jnp.asarray(basis.s)
    few = min(FEW, len(s))
    small, ts = FeatureBasis._of(U[:, :few], s[:few]), grids.ts.astype(U.dtype)

    def path(penalty: Penalty, after: StarvationPath | None = None) -> StarvationPath:
        flow = PrimalFlow(small, CrossEntropy(), penalty)
        return jax.tree.map(np.asarray, starvation_over_time(flow, ts, after=after, rtol=1e-6))

    training = path(Unregularised())
    plainly = _told(training, len(s), plain)
    since = [
        _told(path(SpectralDecoupling(lam), _until(training, switch)), len(s), switched[i, j])
        for i, switch in enumerate(grids.switches)
        for j, lam in enumerate(grids.decouplings)
    ]
    shape = switched.shape[:2]
    found = {name.format("time"): value for name, value in plainly.items()}
    for name, value in plainly.items():
        parts = np.array([one[name] for one in since], value.dtype)
        found[name.format("switch")] = parts.reshape(*shape, *value.shape)
    return found


def _until(path: StarvationPath, switch: float) -> StarvationPath | None:
    """A path up to the saved time of a switch; nothing comes before one from the start."""
    return path[: int(np.argmin(np.abs(np.asarray(path.ts) - switch))) + 1] if switch > 0 else None


def _told(path: StarvationPath, k: int, margins: np.ndarray) -> dict[str, np.ndarray]:
    """What is told of a path of few features among k, beside the margins (t, n) of all of them; `{}`: which path."""
    z, G, error = (np.asarray(v) for v in (path.z, path.matrix, path.error))
    few = z.shape[1]

    def whole(part: np.ndarray, missing: float | bool) -> np.ndarray:
        return np.pad(part, [(0, 0), *[(0, k - few)] * 2], constant_values=missing)

    size = np.linalg.norm(margins, axis=1)
    apart = np.linalg.norm(margins - z @ np.asarray(path._basis.U).T, axis=1) / np.where(size > 0, size, 1.0)
    harm = G * np.sign(z)[:, :, None]
    known = (np.abs(z) > np.asarray(path.z_error))[:, :, None] & (apart <= HOLDS)[:, None, None]
    return {
        "starvation_{}": whole(G, np.nan),
        "starvation_{}_error": whole(error, np.nan),
        "elasticity_{}": whole(np.asarray(path.elasticities()), np.nan),
        "starves_{}": whole((harm < -error) & known & ~np.eye(few, dtype=bool), False),
        "few_error_{}": apart,
    }


def _absolute(K: np.ndarray, v: np.ndarray) -> np.ndarray:
    """`|K| v`, some rows at a time, so that no second kernel is held."""
    return np.concatenate([np.abs(K[i : i + 256]) @ v for i in range(0, len(K), 256)])


def _sigmoid(v: np.ndarray) -> np.ndarray:
    return np.where(v >= 0, 1.0, np.exp(-np.abs(v))) / (1 + np.exp(-np.abs(v)))
