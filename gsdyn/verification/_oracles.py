"""What claims are held against: NumPy and SciPy only, and no formula but the equation in question."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import integrate, optimize
from scipy.special import expit, wrightomega

Vector = np.ndarray


def ode(
    field: Callable[[Any], Any],
    start: Any,
    times: Any,
    stop: Callable[[Any], float] | None = None,
) -> Vector:
    """The states at `times`, shape (len(start), len(times)), by SciPy's DOP853, to about 1e-11.

    `stop`: a function of the state that ends the path where it reaches 0; the last column is then the state there.
    """
    times = np.atleast_1d(np.asarray(times, float))
    event: Callable[[float, Vector], float] | None = None
    if stop is not None:

        def halt(t: float, y: Vector) -> float:
            return stop(y)

        event = halt
        event.terminal = True
    solution = integrate.solve_ivp(
        lambda t, y: field(y),
        (0.0, float(times[-1])),
        np.asarray(start, float),
        "DOP853",
        t_eval=times,
        events=event,
        rtol=1e-12,
        atol=1e-14,
    )
    if stop is not None and solution.t_events[0].size:
        before = np.reshape(solution.y, (len(start), -1))
        return np.column_stack([before, solution.y_events[0][0]])
    return solution.y


def pull(u: Any) -> float:
    """`1/(1 + e^u)`."""
    return float(expit(-u))


def fixed_point(A: Vector, *, first_order: bool = False) -> Vector:
    """The root `alpha` of `log(1-alpha) - log(alpha) = A alpha`, or of `-log(alpha) - alpha = A alpha`.

    The least `sum l(f) + |y|^2 / 2` over `y` with `f = B y`, `B B^T = A`, by SciPy's trust-region method, and
    Newton's method in `v = -f` after it. `l' = -sigma(-f)`, or minus the Wright omega function of `-f`.
    """
    A = np.asarray(A)
    squares, U = np.linalg.eigh(A)
    B = U * np.sqrt(np.maximum(squares, 0))

    def value(y):
        f = B @ y
        if not first_order:
            return float(np.sum(np.logaddexp(0, -f)) + y @ y / 2)
        a = wrightomega(-f)
        return float(np.sum(a + a * a / 2) + y @ y / 2)

    def weights(v):
        """`alpha` and its slope in `v`."""
        a = wrightomega(v) if first_order else expit(v)
        return a, a / (1 + a) if first_order else a * expit(-v)

    def gradient(y):
        return y - B.T @ weights(-B @ y)[0]

    def hessian(y):
        return np.eye(len(y)) + B.T @ (weights(-B @ y)[1][:, None] * B)

    start = B.T @ np.linalg.solve(A + np.eye(len(A)), np.log1p(np.diag(A)))
    y = optimize.minimize(value, start, method="trust-exact", jac=gradient, hess=hessian, tol=1e-9).x
    v = -B @ y
    for _ in range(200):
        a, slope = weights(v)
        step = np.linalg.solve(np.eye(len(A)) + A * slope[None, :], v + A @ a)
        longest = float(np.max(np.abs(step)))
        v = v - step * min(1.0, 2.0 / max(longest, 1e-300))
        if longest <= 1e-11 * (1 + np.max(np.abs(v))):
            return weights(v)[0]
    raise ArithmeticError(f"no fixed point found for the kernel {A.tolist()}")


def kernel(U: Vector, filtered: Vector) -> Vector:
    """`U diag(c) U^T`."""
    return (U * filtered[None, :]) @ U.T


def derivative(function: Callable[[float], Vector], x: float, step: float = 2e-3) -> Vector:
    """`f'(x)` by the seven-point stencil with relative step `step`: its own error is of order `step^6`."""
    h = abs(x) * step
    weights = {1: 45 / 60, 2: -9 / 60, 3: 1 / 60}
    terms = [w * (function(x + k * h) - function(x - k * h)) for k, w in weights.items()]
    return np.sum(terms, axis=0) / h


def scalar_root(function: Callable[[float], float], low: float, high: float) -> float:
    """The root of a scalar function between two bounds, by Brent's method."""
    root = optimize.brentq(function, low, high, xtol=1e-300, rtol=4 * np.finfo(float).eps, maxiter=500)
    return float(root)  # pyright: ignore[reportArgumentType]


def quadrature(function: Callable[[float], float], low: float, high: float) -> float:
    """An integral by SciPy's adaptive quadrature, to about 1e-12."""
    return float(integrate.quad(function, low, high, epsabs=0, epsrel=1e-12, limit=400)[0])
