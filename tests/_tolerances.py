"""Tolerances that follow the dtype: a number of units of rounding, never a bare 1e-9."""

import numpy as np


def units(x, n: float) -> float:
    """`n` units of rounding of the dtype of `x`."""
    return n * float(np.finfo(np.asarray(x).dtype).eps)


def assert_close(actual, expected, n: float, *, scale=None) -> None:
    """`actual` is within `n` units of rounding of `expected`, relative to it entry by entry, or to `scale`."""
    actual = np.asarray(actual)
    expected = np.asarray(expected, dtype=np.float64)
    assert actual.shape == expected.shape, f"shape {actual.shape}, expected {expected.shape}"
    allowed = units(actual, n) * (np.abs(expected) if scale is None else np.asarray(scale))
    error = np.abs(actual.astype(np.float64) - expected)
    worst = np.max(error / np.maximum(allowed, np.finfo(np.float64).tiny), initial=0.0)
    assert np.all(error <= allowed), f"{worst * n:.3g} units of rounding, allowed {n}\n{actual}\n{expected}"
