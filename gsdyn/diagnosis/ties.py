"""How closely each feature is tied to each attribute, beyond chance and beyond what labels explain.

As a function of the input a feature is `phi_j(x_i) = y_i U_ij` on the examples. Its tie to an attribute is the R^2 of
`phi_j` on the attribute's values. An attribute that goes with the label is so tied to every feature that the label is
tied to; what counts is therefore the tie beyond a constant and the label,

    R^2 = 1 - RSS(1, y, attribute)/RSS(1, y),    F = (R^2/q)/((1 - R^2)/(n - 2 - q))

of `q` values more than one, whose distribution is Fisher's where the attribute has nothing to do with the inputs beyond
the label. For an attribute of -1 and +1 that is the correlation of `U_j` with `y b`: the contrast between aligned and
conflicting examples. All features and attributes are tested at once, so that their p-values are corrected by Holm's
method: the probability of any false tie is at most the level.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from gsdyn.diagnosis.attributes import Attribute

Z95 = 1.959963984540054


def ties(U: np.ndarray, y: np.ndarray, attributes: list[Attribute], level: float) -> dict[str, np.ndarray]:
    """The variables of the report about ties, each of shape (features, attributes)."""
    n, k = U.shape
    phi = y[:, None] * U
    shape = (k, len(attributes))
    found = {name: np.full(shape, np.nan) for name in ("tie", "tie_low", "tie_high", "tie_given_label", "tie_p")}
    found["tie_given_others"] = np.full(shape, np.nan)
    one, label = np.ones((n, 1)), y[:, None]
    dummies = [_dummies(a.code) for a in attributes]
    for i, values in enumerate(dummies):
        r2, q = _explained(phi, one, values)
        found["tie"][:, i] = r2
        found["tie_low"][:, i], found["tie_high"][:, i] = interval(r2, n, q)
        r2, q = _explained(phi, np.hstack([one, label]), values)
        found["tie_given_label"][:, i] = r2
        found["tie_p"][:, i] = _p_value(r2, q, n - 2 - q)
        others = [d for j, d in enumerate(dummies) if j != i]
        before = np.hstack([one, label, *others])
        if before.shape[1] + q < n:
            found["tie_given_others"][:, i] = _explained(phi, before, values)[0]
    found["tie_p_corrected"] = holm(found["tie_p"])
    found["tied"] = found["tie_p_corrected"] < level
    return found


def told_of(found: Mapping[str, np.ndarray], gap_share: np.ndarray) -> np.ndarray:
    """For each attribute the place of the feature that is told for it, (A,): of those tied the one that carries most of
    its gap, `gap_share` (features, attributes); where none is tied the one that is nearest to it."""
    carried = np.where(found["tied"], np.nan_to_num(gap_share, nan=-np.inf), -np.inf)
    nearest = np.nan_to_num(found["tie_given_label"])
    return np.where(found["tied"].any(axis=0), np.argmax(carried, axis=0), np.argmax(nearest, axis=0))


def holm(p: np.ndarray) -> np.ndarray:
    """P-values corrected for their number, NaN aside: `max_{j <= i} min(1, (m - j) p_(j))` in rising order.

    Reference: Holm, A simple sequentially rejective multiple test procedure, Scand. J. Statist. 6 (1979).
    """
    flat = p.reshape(-1)
    known = np.flatnonzero(~np.isnan(flat))
    order = known[np.argsort(flat[known], kind="stable")]
    corrected = np.full(flat.shape, np.nan)
    scaled = flat[order] * (len(order) - np.arange(len(order)))
    corrected[order] = np.minimum(1.0, np.maximum.accumulate(scaled)) if len(order) else scaled
    return corrected.reshape(p.shape)


def interval(r2: np.ndarray, n: int, q: int) -> tuple[np.ndarray, np.ndarray]:
    """A 95% interval of R^2, by Fisher's transformation of its root: `artanh R -+ 1.96/sqrt(n - 2 - q)`, squared.

    Reference: Fisher, On the probable error of a coefficient of correlation, Metron 1 (1921).
    """
    if n - 2 - q < 1:
        return np.zeros_like(r2), np.ones_like(r2)
    root = np.arctanh(np.minimum(np.sqrt(r2), 1 - 1e-15))
    half = Z95 / np.sqrt(n - 2 - q)
    return np.tanh(np.maximum(root - half, 0.0)) ** 2, np.tanh(root + half) ** 2


def _dummies(code: np.ndarray) -> np.ndarray:
    """One column of 0 and 1 for each value but the first."""
    return (code[:, None] == np.arange(1, code.max() + 1)[None, :]).astype(float)


def _explained(phi: np.ndarray, before: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, int]:
    """The share of what `before` leaves of each column of `phi` that `values` explain, and by how many directions."""
    span = _orthonormal(before)
    left = phi - span @ (span.T @ phi)
    new = values - span @ (span.T @ values)
    size = np.linalg.norm(values - values.mean(axis=0), axis=0)
    new = _orthonormal(new[:, np.linalg.norm(new, axis=0) > 1e-7 * np.maximum(size, 1e-300)])
    total = np.sum(left * left, axis=0)
    part = np.sum((new.T @ left) ** 2, axis=0)
    dead = total <= 1e-20 * np.sum(phi * phi, axis=0)
    return np.where(dead, 0.0, np.minimum(part / np.where(dead, 1.0, total), 1.0)), new.shape[1]


def _orthonormal(columns: np.ndarray) -> np.ndarray:
    """Orthonormal columns that span those given."""
    if columns.shape[1] == 0:
        return columns
    u, s, _ = np.linalg.svd(columns, full_matrices=False)
    return u[:, s > 1e-9 * s[0]]


def _p_value(r2: np.ndarray, q: int, left: int) -> np.ndarray:
    """Of R^2 = 0; NaN where nothing is left to tell the attribute from the label."""
    from scipy.stats import f

    if q < 1 or left < 1:
        return np.full(r2.shape, np.nan)
    with np.errstate(divide="ignore"):
        return f.sf((r2 / q) / ((1 - r2) / left), q, left)
