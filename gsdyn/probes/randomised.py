"""Does a model go by these coordinates? Its ranking of the classes once they are exchanged between examples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from gsdyn import _checks


class RandomisedAUC(NamedTuple):
    """How well outputs rank the classes.

    - `auc`: on the examples as they are.
    - `randomised`: with the coordinates exchanged, the mean over repeats. 1/2 where nothing but they decided.
    - `spread`: the standard deviation over repeats; NaN for one repeat.

        >>> found = gs.probes.randomised_auc(lambda w, x: x @ w, jnp.array([1.0, 0.0]), x, y, columns=[1])
        >>> print(found.auc, found.randomised, found.spread)
        1.0 1.0 0.0
    """

    auc: float
    randomised: float
    spread: float


def randomised_auc(
    apply: Callable[[Any, Array], Array],
    params: Any,
    x: ArrayLike,
    y: ArrayLike,
    columns: Sequence[int] | ArrayLike,
    *,
    repeats: int = 10,
    seed: int = 0,
) -> RandomisedAUC:
    """The area under the ROC curve after randomising chosen coordinates (Shah et al.).

        AUC = P(yhat(x) > yhat(x')) + P(yhat(x) = yhat(x'))/2,   x of class +1, x' of class -1

    The chosen coordinates of every example are replaced by those of another one, drawn by a permutation of the
    examples, all of them together: they keep their joint distribution and lose what they say of the label. A model that
    does not use them ranks as before; one that uses nothing else is left with 1/2.

    - `apply`, `params`: the model, from inputs (n, d) to outputs (n,) or (n, 1). That of a kernel is
      `lambda beta, x: gs.predict(gs.kernels.infinite_ntk(net, x, train), y_train, beta)`.
    - `x`, `y`: examples and their labels, -1 and +1, both present, shapes (n, d) and (n,).
    - `columns`: the coordinates, integers in 0..d-1, at least one.
    - `repeats`: permutations, at least 1. `seed`: an integer in [0, 2^32).

    Raises `ValueError` for inputs of wrong shape or outside their domain, and for outputs that are NaN.

    Reference: Shah et al., The pitfalls of simplicity bias in neural networks (2020), arXiv:2006.07710, section 3.

        >>> found = gs.probes.randomised_auc(lambda w, x: x @ w, jnp.array([0.0, 1.0]), x, y, columns=[0])
        >>> print(found.auc, found.randomised)
        0.5 0.5
    """
    _checks.function("apply", apply)
    x, y = _checks.finite("x", x, ndim=2), np.asarray(_checks.labels("y", y))
    _checks.same_length("y", jnp.asarray(y), "x", x)
    if len(set(y.tolist())) < 2:
        raise ValueError(f"y must have both labels, got {len(y)} of {sorted(set(y.tolist()))}")
    columns = _columns(columns, x.shape[1])
    repeats, seed = _checks.integer("repeats", repeats, 1), _checks.integer("seed", seed, 0, 2**32 - 1)
    rng, given = np.random.default_rng(seed), np.asarray(x)
    found = []
    for _ in range(repeats):
        mixed = given.copy()
        mixed[:, columns] = given[rng.permutation(len(given))][:, columns]
        found.append(auc(_outputs(apply, params, jnp.asarray(mixed)), y))
    whole = auc(_outputs(apply, params, x), y)
    spread = float(np.std(found, ddof=1)) if repeats > 1 else float("nan")
    return RandomisedAUC(whole, float(np.mean(found)), spread)


def auc(outputs: Float[np.ndarray, " n"], y: Float[np.ndarray, " n"]) -> float:
    """The area under the ROC curve by ranks (Mann and Whitney), ties counted half."""
    from scipy.stats import rankdata

    positive = y > 0
    high = int(positive.sum())
    ranks = rankdata(outputs)[positive].sum() - high * (high + 1) / 2
    return float(ranks / (high * (len(y) - high)))


def _outputs(apply: Callable[[Any, Array], Array], params: Any, x: Array) -> np.ndarray:
    outputs = np.asarray(_checks.one_output(jnp.asarray(apply(params, x)), len(x)))
    if np.isnan(outputs).any():
        raise ValueError("apply must give numbers for every example, got NaN")
    return outputs


def _columns(columns: Any, d: int) -> np.ndarray:
    found = np.asarray(columns)
    whole = found.ndim == 1 and found.size and found.dtype.kind in "iu"
    if not whole or found.min() < 0 or found.max() >= d:
        raise ValueError(f"columns must be a list of integers in 0..{d - 1}, got {_checks.in_short(columns)}")
    return found
