"""Fixed points and starvation matrices in 60-digit arithmetic, from the equations of P21 and none of gsdyn's code."""

from __future__ import annotations

from typing import NamedTuple

import mpmath as mp

DIGITS = 60
ROUNDS = 12


class Exact(NamedTuple):
    """`alpha`, `z` and, if asked for, the rows of `G`, as mpmath numbers."""

    alpha: list
    z: list
    G: list | None


def rotation(delta):
    """`U` of P21-Eq15 for the float `delta`, exactly."""
    with mp.workdps(DIGITS):
        delta = mp.mpf(float(delta))
        c = mp.sqrt((1 - delta) * (1 + delta))
        return mp.matrix([[c, -delta], [delta, c]])


def solve(U, s, lam, first_order, margins, with_g=True) -> Exact:
    """The fixed point of P21-Eq9 (or Eq10) under weight decay, by Newton's method from nearby `margins`.

    The fixed point is unique, so the start cannot decide which one is found, only whether one is; the residual is
    checked.
    """
    with mp.workdps(DIGITS):
        n = U.rows
        s2 = [mp.mpf(float(x)) ** 2 for x in s]
        lam = mp.mpf(float(lam))
        K = U * mp.diag([x / lam for x in s2]) * U.T
        unknown = mp.matrix([_unknown(mp.mpf(float(f)), first_order) for f in margins])
        for _ in range(ROUNDS):
            f, a, df, da = _curves(unknown, first_order)
            residual = mp.matrix(f) - K * mp.matrix(a)
            jacobian = mp.diag(df) - K * mp.diag(da)
            step = _solve(jacobian, residual)
            unknown -= step
            if max(abs(x) for x in step) < mp.mpf(10) ** (-DIGITS // 2):
                break
        f, a, df, da = _curves(unknown, first_order)
        pull = U.T * mp.matrix(a)
        z = [s2[j] / lam * pull[j] for j in range(n)]
        worst = max(abs(x - y) for x, y in zip(f, U * mp.matrix(z), strict=True))
        assert worst < mp.mpf(10) ** (-DIGITS // 3) * (1 + max(abs(x) for x in f)), f"mpmath did not converge: {worst}"
        return Exact(a, z, _starvation(U, K, lam, a, [y / x for x, y in zip(df, da, strict=True)]) if with_g else None)


def _starvation(U, K, lam, a, slope):
    """`d z_j / d(s_i^2)` from `f = K a(f)`: `(I - K a') df = dK a` with `dK = u_i u_i^T / lam`."""
    n = U.rows
    system = mp.eye(n) - K * mp.diag(slope)
    columns = []
    for i in range(n):
        u = U[:, i]
        weight = sum(u[k] * a[k] for k in range(n)) / lam
        columns.append(U.T * _solve(system, u * weight))
    return [[columns[i][j] for i in range(n)] for j in range(n)]


def _unknown(f, first_order):
    """`f` itself; for Eq. 10 `log alpha`, in which its margin `-log a - a` is explicit."""
    return mp.log(mp.lambertw(mp.exp(-f)).real) if first_order else f


def _curves(unknown, first_order):
    """Margins, weights and their derivatives in the unknown."""
    if first_order:
        a = [mp.exp(v) for v in unknown]
        return [-v - x for v, x in zip(unknown, a, strict=True)], a, [-1 - x for x in a], a
    a = [1 / (1 + mp.exp(f)) for f in unknown]
    return list(unknown), a, [mp.mpf(1)] * len(a), [-x * (1 - x) for x in a]


def _solve(A, b):
    if A.rows != 2:
        return mp.lu_solve(A, b)
    det = A[0, 0] * A[1, 1] - A[0, 1] * A[1, 0]
    return mp.matrix([(A[1, 1] * b[0] - A[0, 1] * b[1]) / det, (A[0, 0] * b[1] - A[1, 0] * b[0]) / det])


def relative(value, exact) -> float:
    """`|value - exact| / |exact|` of a float against an mpmath number."""
    with mp.workdps(DIGITS):
        return float(abs(mp.mpf(float(value)) - exact) / abs(exact)) if exact else float(abs(value))
