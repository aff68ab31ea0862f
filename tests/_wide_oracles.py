"""Optima of the hinge and softmax losses in 80-digit arithmetic, over filters of every size."""

from __future__ import annotations

import mpmath as mp
import numpy as np

DIGITS = 80
LOW, IN, HIGH = 0, 1, 2


def _number(x):
    return mp.mpf(float(x))


def filters(s, lam):
    """`s^2/lam` of the given floats, without rounding."""
    with mp.workdps(DIGITS):
        return [_number(x) ** 2 / _number(lam) for x in s]


def hinge(U, c, curvature=None, pull=None):
    """`(alpha, z, f)` of `min sum max(0, 1 - f_i) + sum z^2/(2c)` and a quadratic of each margin, by single pivots.

    Murty's rule ends for every problem; a compliance of 1e-55 chooses among dual variables that are not unique.
    """
    with mp.workdps(DIGITS):
        n = len(U)
        V = mp.matrix(np.asarray(U, float).tolist())
        zero = [0.0] * n
        T, g = (mp.matrix([_number(x) for x in (zero if v is None else v)]) for v in (curvature, pull))
        inner = mp.inverse(mp.diag([1 / x for x in c]) + V.T * mp.diag(list(T)) * V)
        Q = V * inner * V.T
        r = mp.matrix([1] * n) - Q * g
        for i in range(n):
            Q[i, i] *= 1 + mp.mpf(10) ** -55
        sides = [IN] * n
        for _ in range(10000):
            a = _on(Q, r, sides)
            rest = r - Q * a
            wrong = [(i, x) for i in range(n) if (x := _side(sides[i], a[i], rest[i])) != sides[i]]
            if not wrong:
                z = inner * (V.T * (a + g))
                return a, z, V * z
            sides[wrong[-1][0]] = wrong[-1][1]
        raise AssertionError("the oracle did not end")


def _on(Q, r, sides):
    a = mp.matrix([1 if side == HIGH else 0 for side in sides])
    at = [i for i, side in enumerate(sides) if side == IN]
    if at:
        rest = r - Q * a
        inside = mp.lu_solve(mp.matrix([[Q[i, j] for j in at] for i in at]), mp.matrix([rest[i] for i in at]))
        for i, x in zip(at, inside, strict=True):
            a[i] = x
    return a


def _side(side, a, rest):
    tiny = mp.mpf(10) ** -40
    if side == IN:
        return LOW if a < 0 else HIGH if a > 1 else IN
    return IN if (side == LOW and rest > tiny) or (side == HIGH and rest < -tiny) else side


def softmax(U, c, labels, classes, logits):
    """`(alpha, z)` of P21-Eq30, by Newton's method for the logits from nearby ones; the residual is checked."""
    with mp.workdps(DIGITS):
        n = len(U)
        V = mp.matrix(np.asarray(U, float).tolist())
        K = V * mp.diag(c) * V.T
        F = mp.matrix([[_number(x) for x in row] for row in logits])
        E = mp.matrix([[int(labels[i] == a) for a in range(classes)] for i in range(n)])
        for _ in range(30):
            p = _probabilities(F)
            rest = F - K * (E - p)
            size = n * classes
            J = mp.eye(size)
            for i in range(n):
                for j in range(n):
                    for a in range(classes):
                        for b in range(classes):
                            w = (p[j, a] if a == b else 0) - p[j, a] * p[j, b]
                            J[i * classes + a, j * classes + b] += K[i, j] * w
            step = mp.lu_solve(J, mp.matrix([rest[i, a] for i in range(n) for a in range(classes)]))
            most = max(abs(x) for x in step)
            part = min(mp.mpf(1), 2 / most)
            for i in range(n):
                for a in range(classes):
                    F[i, a] -= part * step[i * classes + a]
            if most < mp.mpf(10) ** -40:
                p = _probabilities(F)
                return p, mp.diag(c) * (V.T * (E - p))
        raise AssertionError("the oracle did not end")


def _probabilities(F):
    p = mp.matrix(F.rows, F.cols)
    for i in range(F.rows):
        top = max(F[i, a] for a in range(F.cols))
        e = [mp.exp(F[i, a] - top) for a in range(F.cols)]
        for a in range(F.cols):
            p[i, a] = e[a] / sum(e)
    return p


def floats(matrix):
    return np.array(matrix.tolist(), dtype=float)
