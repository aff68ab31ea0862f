"""`d z_2*/d(s_1^2)` of the two-feature model in 80-digit arithmetic, by differences of fixed points.

It shares no code with the rest of the library, and no formula but the fixed point's own equation. Its 25 to 50 right
digits settle any sign that float64 cannot.
"""

from __future__ import annotations

from decimal import Decimal, localcontext

DIGITS = 80
STEP = Decimal("1e-25")  # relative, of s_1^2: differences keep 50 digits and are wrong by STEP^2
ZERO = Decimal("1e-42")
MAX_ITERATIONS = 5_000  # of a logarithmic length at first, where alpha is as small as e^-1748


def starvation(s1: float, s2: float, delta: float, lam: float, *, first_order: bool) -> Decimal:
    """The central difference of `z_2*` in `s_1^2`, at the fixed point of P21-Eq9, or of P21-Eq10 (`first_order`)."""
    return _difference(s1, s2, delta, lam, first_order)[0]


def sign(s1: float, s2: float, delta: float, lam: float, *, first_order: bool) -> int:
    """The sign of `starvation`, 0 where what is left is the error of the difference."""
    value, scale = _difference(s1, s2, delta, lam, first_order)
    return 0 if abs(value) <= ZERO * scale else int(value.compare(0))


def _difference(s1: float, s2: float, delta: float, lam: float, first_order: bool) -> tuple[Decimal, Decimal]:
    """The central difference, and `|z_2*|/s_1^2` beside which it is to be judged."""
    with localcontext() as context:
        context.prec = DIGITS
        square1, square2, d, strength = Decimal(s1) ** 2, Decimal(s2) ** 2, Decimal(delta), Decimal(lam)
        step = square1 * STEP
        up = _second_response(square1 + step, square2, d, strength, first_order)
        down = _second_response(square1 - step, square2, d, strength, first_order)
        return (up - down) / (2 * step), abs(up) / square1


def _second_response(square1: Decimal, square2: Decimal, delta: Decimal, lam: Decimal, first_order: bool) -> Decimal:
    """`z_2 = (s_2^2/lam) u_2^T alpha` at the root of `h'(alpha) = K alpha/lam`, by Newton's method in `v`.

    `alpha = sigma(v)` and `h' = -v` for P21-Eq9, `alpha = e^v` and `h' = -v - e^v` for P21-Eq10.
    """
    c = (1 - delta * delta).sqrt()
    k11 = (c * c * square1 + delta * delta * square2) / lam
    k22 = (delta * delta * square1 + c * c * square2) / lam
    k12 = c * delta * (square1 - square2) / lam
    if first_order:
        k11, k22 = k11 + 1, k22 + 1
    v1, v2 = -(1 + k11).ln(), -(1 + k22).ln()
    for _ in range(MAX_ITERATIONS):
        a1, b1 = _weight(v1, first_order)
        a2, b2 = _weight(v2, first_order)
        r1, r2 = v1 + k11 * a1 + k12 * a2, v2 + k12 * a1 + k22 * a2
        j11, j12, j21, j22 = 1 + k11 * b1, k12 * b2, k12 * b1, 1 + k22 * b2
        det = j11 * j22 - j12 * j21
        d1, d2 = (j12 * r2 - j22 * r1) / det, (j21 * r1 - j11 * r2) / det
        longest = max(abs(d1), abs(d2))
        short = min(Decimal(1), max(Decimal("1.79"), (1 + longest).ln()) / longest) if longest else 1
        v1, v2 = v1 + short * d1, v2 + short * d2
        if longest <= Decimal(10) ** (15 - DIGITS) * (1 + max(abs(v1), abs(v2))):
            alpha1, alpha2 = _weight(v1, first_order)[0], _weight(v2, first_order)[0]
            return square2 / lam * (c * alpha2 - delta * alpha1)
    raise ArithmeticError(f"no fixed point for squares {square1}, {square2}, delta {delta}, lam {lam}")


def _weight(v: Decimal, first_order: bool) -> tuple[Decimal, Decimal]:
    """`alpha(v)` and its derivative."""
    if first_order:
        return v.exp(), v.exp()
    alpha = 1 / (1 + (-v).exp())
    return alpha, alpha * (1 - alpha)
