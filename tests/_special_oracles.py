"""What the tests of the special functions share: float ranges, exact arguments, errors in units in the last place."""

import jax
import mpmath as mp
import numpy as np

DTYPES = [np.float64, np.float32]


def exact(x):
    """The float `x` as an mpmath number."""
    return mp.mpf(float(x))


def ulps(values, references):
    """The largest error in units in the last place of the reference."""
    values = np.asarray(values)
    unit = [np.spacing(values.dtype.type(abs(float(r)))) for r in references]
    return max(abs(float((exact(v) - r) / exact(s))) for v, r, s in zip(values, references, unit, strict=True))


def at_all(function, options=None):
    """The scalar function mapped over points, as one program."""
    return jax.jit(jax.vmap(function), compiler_options=options)


def logspace(low, high, n, seed):
    return 10 ** np.random.default_rng(seed).uniform(low, high, n)


def log_plus_ei(u):
    return mp.log(u) + mp.ei(u)
