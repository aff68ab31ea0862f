"""What every kernel must be: symmetric and, as far as its accuracy goes, positive semi-definite."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Bool, Float

from gsdyn import _checks
from gsdyn._numerics.precision import full_precision
from gsdyn._traced import error_if

EXACT = 2000  # examples up to which the least eigenvalue is checked by a factorisation
STEPS = 32  # of Lanczos's method beyond
T = TypeVar("T")
_seen: dict[tuple, tuple[weakref.ref, object]] = {}


def once(array: Array, what: tuple, compute: Callable[[], T]) -> T:
    """`compute()`, remembered as `what` for as long as `array` lives: JAX's arrays never change, so that a kernel that
    is solved many times is checked once."""
    key = (id(array), *what)
    found = _seen.get(key)
    if found is not None and found[0]() is array:
        return found[1]  # pyright: ignore[reportReturnType]
    value = compute()
    _seen[key] = weakref.ref(array, lambda _: _seen.pop(key, None)), value
    return value


def accuracy(given: ArrayLike, theta: Array) -> float:
    """The root of the unit of rounding of the precision that a kernel came in, `theta` as it was `given`: half, or
    single also where doubles hold single numbers."""
    return _unit(given, theta) ** 0.5


def _unit(given: ArrayLike, theta: Array) -> float:
    """The unit of rounding of the precision that a kernel came in."""
    dtype = theta.dtype
    kind = _dtype_of(given, dtype)
    if jnp.issubdtype(kind, jnp.floating) and np.dtype(kind).itemsize < 4:
        dtype = kind
    elif dtype == np.float64 and _checks.is_concrete(theta):
        entries = np.asarray(theta)
        with np.errstate(all="ignore"):
            dtype = np.float32 if np.array_equal(entries, entries.astype(np.float32)) else dtype
    return float(jnp.finfo(dtype).eps)


def _dtype_of(x: Any, default: Any) -> Any:
    """The dtype of what is or holds an array, else `default`; what PyTorch calls a dtype is one of NumPy's."""
    kind = getattr(x, "dtype", default)
    name = str(kind).removeprefix("torch.")
    return jnp.dtype(name) if str(kind).startswith("torch.") else kind


def tolerance(value: float) -> float:
    """The argument `tolerance`, a number in [0, 1)."""
    return _checks.number("tolerance", value, "a number in [0, 1)", lambda v: 0 <= v < 1)


def shape_of(x: Any) -> tuple[int, ...]:
    """The shape of an array of any library; () of anything else."""
    shape = getattr(x, "shape", ())
    return tuple(shape) if isinstance(shape, tuple) else ()


def of_one_output(theta: ArrayLike) -> ArrayLike:
    """`theta`; the kernel of a network with outputs of shape (n, 1), which has shape (n1, n2, 1, 1), as (n1, n2)."""
    shape = shape_of(theta)
    return theta.reshape(shape[:2]) if len(shape) == 4 and shape[2:] == (1, 1) else theta  # pyright: ignore


def is_symmetric(theta: Float[Array, "n n"], accuracy: ArrayLike = 0.0) -> Bool[Array, ""]:
    """Whether a matrix equals its transpose but for rounding, or for what `accuracy` says of its largest entry."""
    unit, accuracy = _skew(theta, float(jnp.finfo(theta.dtype).eps)), jnp.asarray(accuracy).astype(theta.dtype)
    if theta.dtype == jnp.float64:  # doubles may hold single numbers
        single = jnp.all(theta == theta.astype(jnp.float32).astype(theta.dtype))
        unit = jnp.where(single, _skew(theta, float(jnp.finfo(jnp.float32).eps)), unit)
    return jnp.max(jnp.abs(theta - theta.T)) <= jnp.maximum(unit, accuracy) * jnp.max(jnp.abs(theta))


def symmetric(theta: Float[Array, "n n"], given: ArrayLike | None = None, accuracy: float = 0.0) -> Float[Array, "n n"]:
    """`theta`, which must equal its transpose but for rounding: as exactly as double precision holds it.

    Rounding of the precision that it came in, `given`: other libraries sum both of a pair of entries in another order.
    A concrete matrix is then the mean of itself and its transpose, in that precision. `accuracy`, relative to the
    largest entry, is what the caller was told of.
    """
    if not _checks.is_concrete(theta):
        one = jnp.ones((), theta.dtype)
        return theta * error_if(one, ~is_symmetric(theta, accuracy), "theta must be symmetric")
    # in NumPy, because inside `jit` JAX stages even operations on concrete arrays
    entries = np.asarray(theta)
    worst, top = float(np.max(np.abs(entries - entries.T))), float(np.max(np.abs(entries)))
    if worst <= _skew(theta, float(np.finfo(np.float64).eps)) * top:
        return theta
    unit = _unit(theta if given is None else given, theta)
    if worst > max(_skew(theta, unit), accuracy) * top:
        text = f"got entries that differ by {worst:.3g} beside a largest one of {top:.3g}"
        raise ValueError(f"theta must be symmetric, {text}: give (theta + theta.T) / 2 if that is rounding")
    mean = (entries + entries.T) / 2
    single = unit > float(np.finfo(np.float64).eps)
    return jnp.asarray(mean.astype(np.float32).astype(mean.dtype) if single else mean)


def require(lowest: float, largest: float, rounding: float, accuracy: float, *, told: bool) -> None:
    """An error where the lowest eigenvalue is below zero by more than `rounding` or `accuracy`, parts of the largest;
    a warning where it is by more than rounding and nobody told the accuracy."""
    found = _found(lowest, largest)
    top = max(abs(lowest), abs(largest))
    if -lowest > max(rounding, accuracy) * top:
        raise ValueError(f"theta must be positive semi-definite, got {found}: tolerance says how accurate it is")
    if not told and -lowest > rounding * top:
        warn(lowest, largest, "; tolerance says how accurate theta is")


def warn(lowest: float, largest: float, more: str = "") -> None:
    """That eigenvalues are negative by more than rounding of the precision in which a kernel is held."""
    text = f"theta has {_found(lowest, largest)}: none up to that size is told from zero{more}"
    _checks.warn(text)


def _found(lowest: float, largest: float) -> str:
    return f"an eigenvalue {lowest:.3g} beside a largest one of {largest:.3g}"


def slack(theta: Float[Array, "n n"], accuracy: float, *, told: bool) -> float:
    """How far below zero the eigenvalues of a concrete symmetric matrix go, beyond the rounding of doubles.

    By Cholesky's factorisation, and where that fails by eigenvalues; beyond `EXACT` examples by `STEPS` of Lanczos's
    method. Outside XLA, so that it cannot wait for a factorisation there. Raises as `require`.
    """
    from scipy import linalg

    n = theta.shape[0]
    entries = np.asarray(theta, np.float64)
    top = float(np.max(np.sum(np.abs(entries), axis=1)))
    unit = n * float(np.finfo(np.float64).eps)
    if n > EXACT:
        with jax.enable_x64(True):
            diagonal, beside = (np.asarray(part) for part in _lanczos_of(entries))
        values = np.asarray(linalg.eigvalsh_tridiagonal(diagonal, beside))
    elif _factors(entries, unit * top):
        return 0.0
    else:
        values = np.asarray(linalg.eigvalsh(entries, check_finite=False))
    lowest = float(values[0])
    require(lowest, float(values[-1]), 8 * n * float(jnp.finfo(theta.dtype).eps), accuracy, told=told)
    return -lowest if -lowest > unit * top else 0.0


def _factors(entries: np.ndarray, shift: float) -> bool:
    from scipy import linalg

    shifted = np.array(entries)
    shifted[np.diag_indices_from(shifted)] += shift
    try:
        linalg.cholesky(shifted, lower=True, overwrite_a=True, check_finite=False)
    except linalg.LinAlgError:
        return shift == 0 and not np.any(entries)
    return True


def seems_semidefinite(theta: Float[Array, "n n"], part: Float[Array, ""] | float) -> Bool[Array, ""]:
    """Whether Lanczos's method finds no eigenvalue below zero by more than `part` of the largest row sum, in a program.

    It sees all eigenvalues of up to `STEPS` examples, and of more those at the end of the spectrum first. By the signs
    of the pivots of its tridiagonal matrix, so that no factorisation is called.
    """
    shift = part * jnp.max(jnp.sum(jnp.abs(theta), axis=1))
    diagonal, beside = lanczos(theta)

    def pivot(state: tuple[Array, Array], entry: tuple[Array, Array]) -> tuple[tuple[Array, Array], None]:
        last, good = state
        here = entry[0] + shift - entry[1] ** 2 / jnp.where(last != 0, last, 1.0)
        return (here, good & (here >= 0)), None

    before = jnp.concatenate([jnp.zeros(1, theta.dtype), beside])
    start = jnp.ones((), theta.dtype), jnp.all(jnp.isfinite(diagonal))
    return jax.lax.scan(pivot, start, (diagonal, before))[0][1]


@full_precision
def lanczos(theta: Float[Array, "n n"]) -> tuple[Float[Array, " m"], Float[Array, " m-1"]]:
    """Diagonal and subdiagonal of a symmetric matrix in the Krylov space of one dense vector, orthogonalised twice."""
    n = theta.shape[0]
    steps = min(n, STEPS)
    first = jnp.asarray(np.random.default_rng(0).standard_normal(n), theta.dtype)
    space = jnp.zeros((steps + 1, n), theta.dtype).at[0].set(first / jnp.linalg.norm(first))

    def step(i: Array, state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        space, diagonal, beside = state
        image = theta @ space[i]
        large, value = jnp.linalg.norm(image), jnp.sum(image * space[i])
        for _ in range(2):
            image = image - (space @ image) @ space
        size = jnp.linalg.norm(image)
        size = jnp.where(size > n * jnp.finfo(theta.dtype).eps * large, size, 0.0)
        image = jnp.where(size > 0, image / jnp.where(size > 0, size, 1.0), 0.0)
        return space.at[i + 1].set(image), diagonal.at[i].set(value), beside.at[i].set(size)

    none = jnp.zeros(steps, theta.dtype)
    _, diagonal, beside = jax.lax.fori_loop(0, steps, step, (space, none, none))
    return diagonal, beside[:-1]


_lanczos_of = jax.jit(lanczos)


def _skew(theta: Array, unit: float) -> float:
    """How far entries may be from their mirror images for rounding by `unit`, beside the largest."""
    return min(64 * theta.shape[0] ** 0.5 * unit, unit**0.5)
