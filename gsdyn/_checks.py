"""Input checks: one line that names the argument, what was given and what is allowed.

A concrete value that is not allowed raises `ValueError` at once. Inside `jit`, `vmap` or `grad` the value
is not known yet; `equinox.error_if` then raises the same line when the compiled code runs.
"""

from __future__ import annotations

import functools
import inspect
import math
import operator
import re
import sys
import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, ArrayLike, Float, Int

from gsdyn._traced import error_if


class PrecisionWarning(UserWarning):
    """Double precision was given and JAX keeps single: its digits are lost. Said once a process.

    >>> import warnings
    >>> warnings.filterwarnings("ignore", category=gs.PrecisionWarning)
    """


def is_concrete(x: Any) -> bool:
    """Whether every leaf of `x` has a value now (is not being traced)."""
    return not any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(x))


def as_float(x: ArrayLike, name: str = "x") -> Float[Array, "..."]:
    """`x` as a real floating-point array in which to compute.

    float32 and float64 keep their dtype; half precision (float16, bfloat16, ...), in which sums of squares overflow or
    lose all digits, becomes float32; long doubles become doubles, other byte orders this machine's; all else takes the
    default dtype. A Python integer counts as the Python float of its value, so beside a float32 array it is float32.

    Raises `ValueError` for what holds no plain numbers: object, text and masked arrays, sparse matrices.
    """
    array = _array(_plain(name, x))
    if not jnp.issubdtype(array.dtype, jnp.floating):
        return array.astype(jnp.result_type(float))
    return array.astype(jnp.float32) if array.dtype.itemsize < 4 else array


def common(*arrays: Array) -> tuple[Array, ...]:
    """The arrays in the widest of their dtypes; Python numbers follow the others."""
    strong = [x.dtype for x in arrays if not x.weak_type] or [x.dtype for x in arrays]
    dtype = functools.reduce(np.promote_types, strong)
    return tuple(x.astype(dtype) for x in arrays)


def _plain(name: str, x: Any) -> Any:
    """`x` as what `jnp.asarray` takes, or an error that says what it is."""
    if type(x) is int:
        return float(x) if abs(x) < 2**1023 else math.inf * (1 if x > 0 else -1)
    if isinstance(x, np.ma.MaskedArray):
        if np.any(np.ma.getmaskarray(x)):
            raise ValueError(f"{name} must have no masked entries, got a masked array of shape {x.shape}: fill them")
        x = x.data
    if hasattr(x, "detach"):
        return _of_torch(x)
    if hasattr(x, "todense"):
        raise ValueError(f"{name} must be dense, got a sparse {type(x).__name__} of shape {x.shape}: use .todense()")
    if not isinstance(x, np.ndarray | np.generic):
        if isinstance(x, jax.Array) or hasattr(x, "__jax_array__") or not hasattr(x, "__array__"):
            return x
        x = np.asarray(x)  # of pandas, xarray, ...
    if x.dtype.kind not in "biufc" and not jnp.issubdtype(x.dtype, jnp.number):
        raise ValueError(f"{name} must hold numbers, got dtype {x.dtype}")
    if x.dtype.char in "gG":  # long doubles
        return x.astype(np.float64 if x.dtype.char == "g" else np.complex128)
    return x if x.dtype.isnative else x.astype(x.dtype.newbyteorder("="))


def _of_torch(x: Any) -> np.ndarray:
    """The numbers of a tensor of PyTorch, wherever they are and whether or not derivatives are recorded."""
    x = x.detach().cpu()
    return x.float().numpy().astype(jnp.bfloat16) if str(x.dtype) == "torch.bfloat16" else x.numpy()


def failed_check(error: object) -> str | None:
    """What a check inside compiled code said, in one line; None for any other error."""
    found = re.search(r"EquinoxRuntimeError: (.+)", str(error))
    if found:
        return found[1]
    return str(error).strip().splitlines()[0] if isinstance(error, eqx.EquinoxRuntimeError) else None


def _array(x: Any) -> Array:
    """`x` as an array of JAX; a warning, once, where that takes digits from it."""
    if any(isinstance(part, str | bytes) for part in (x if isinstance(x, list | tuple) else (x,))):
        raise TypeError(f"numbers were expected, got {in_short(x)}")  # before NumPy takes it for the name of a dtype
    array = jnp.asarray(x)
    if isinstance(x, np.ndarray) and x.dtype == np.float64 and array.dtype == jnp.float32:
        _warn_of_single_precision()
    return array


_warned = False
_BETWEEN = frozenset({"gsdyn", "equinox", "jax", "jaxtyping"})  # the packages between a user's line and a check


def _warn_of_single_precision() -> None:
    global _warned
    if _warned:
        return
    _warned = True
    text = "float64 arrays become float32: call jax.config.update('jax_enable_x64', True) first to keep their digits"
    warn(text, PrecisionWarning)


def warn(text: str, category: type[Warning] = UserWarning) -> None:
    """A warning at the line of the user's that led here."""
    frame, level = sys._getframe(0), 1
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] in _BETWEEN:
        frame, level = frame.f_back, level + 1
    warnings.warn(text, category, stacklevel=level)


def together(**given: ArrayLike) -> list[Array]:
    """The named arguments as float arrays of one shape, in the widest dtype that any array among them has.

    Python numbers do not widen it: beside a float32 array they become float32.
    """
    arrays = {name: real(name, x) for name, x in given.items()}
    strong = [a.dtype for a in arrays.values() if not a.weak_type] or [jnp.result_type(float)]
    dtype = max(strong, key=lambda d: jnp.finfo(d).bits)
    shape = broadcastable(**arrays)
    return [jnp.broadcast_to(a.astype(dtype), shape) for a in arrays.values()]


def numbers(name: str, x: Any) -> Array:
    """`x` as an array of the dtype that it has."""
    return _array(x if type(x) is int else _plain(name, x))


def real(name: str, x: ArrayLike) -> Float[Array, "..."]:
    """`x` as a float array, whatever its values."""
    return _float_or_error(name, x, "real")


def require(
    name: str, x: ArrayLike, allowed: str, ok: Callable[[Any], Any], *, ndim: int | None = None
) -> Float[Array, "..."]:
    """`x` as a float array, after checking `ok(x)` elementwise; `allowed` says the same in words."""
    array = _float_or_error(name, x, allowed)
    if ndim is not None and array.ndim != ndim:
        raise ValueError(f"{name} must have {ndim} dimensions, got shape {array.shape}")
    if is_concrete(array):
        values = np.asarray(array)
        good = np.asarray(ok(values))
        if not good.all():
            bad = values if good.ndim == 0 else values[~np.broadcast_to(good, values.shape)][0]
            shown = bad if np.ndim(bad) == 0 else f"an array of shape {values.shape} that is not"
            raise ValueError(f"{name} must be {allowed}, got {shown}")
        return array
    # A factor of one that waits for the check: what the check itself lets through, it copies
    one = jax.lax.full_like(array, 1.0, shape=())
    return array * error_if(one, ~jnp.asarray(ok(array)), f"{name} must be {allowed}")


def _float_or_error(name: str, x: ArrayLike, allowed: str) -> Float[Array, "..."]:
    x = _plain(name, x)
    try:
        array = _array(x)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{name} must be {allowed}, got {in_short(x)}") from None
    if jnp.issubdtype(array.dtype, jnp.complexfloating):
        raise ValueError(f"{name} must be real, got dtype {array.dtype}")
    return as_float(array, name)


def in_short(x: Any) -> str:
    """`x` as it is written, or what it is, on one line of at most 60 characters."""
    if isinstance(x, type):
        return f"the class {x.__name__}"
    if getattr(x, "shape", ()) != () and hasattr(x, "dtype"):
        return f"an array of shape {tuple(x.shape)}"
    text = " ".join(repr(x).split())
    return text if len(text) <= 60 else f"{text[:57]}..."


def number(name: str, x: Any, allowed: str, ok: Callable[[float], bool]) -> float:
    """`x`, an option and no array to trace, as a Python float for which `ok(x)` holds; `allowed` says the same."""
    try:
        value = math.nan if isinstance(x, str | bytes) else float(x)
    except (TypeError, ValueError, OverflowError):
        value = math.nan
    if not ok(value):
        raise ValueError(f"{name} must be {allowed}, got {in_short(x)}")
    return value


def finite(name: str, x: ArrayLike, *, ndim: int | None = None) -> Float[Array, "..."]:
    """`x`, whose every entry must be finite."""
    return require(name, x, "finite", lambda v: abs(v) < float("inf"), ndim=ndim)


def positive(name: str, x: ArrayLike, *, ndim: int | None = None) -> Float[Array, "..."]:
    """`x`, whose every entry must be finite and above zero."""
    return require(name, x, "finite and > 0", lambda v: (v > 0) & (v < float("inf")), ndim=ndim)


def nonnegative(name: str, x: ArrayLike, *, ndim: int | None = None) -> Float[Array, "..."]:
    """`x`, whose every entry must be finite and not below zero."""
    return require(name, x, "finite and >= 0", lambda v: (v >= 0) & (v < float("inf")), ndim=ndim)


def labels(name: str, y: ArrayLike) -> Float[Array, " n"]:
    """`y` as a float vector whose every entry is -1 or +1; a column (n, 1) counts as the vector it holds."""
    allowed = "a vector of -1 and +1"
    array = _column(name, y, allowed)
    values = np.asarray(array) if is_concrete(array) else np.ones(1)
    zeros = (values == 0).any() and ((values == 0) | (values == 1)).all()
    if array.dtype == bool or zeros:
        given = "booleans: convert them" if array.dtype == bool else f"{float(values.min())}: convert 0 and 1"
        raise ValueError(f"{name} must be {allowed}, got {given} by 2*{name} - 1")
    if not is_concrete(array):
        allowed += f" (2*{name} - 1 converts 0 and 1)"
    return require(name, array, allowed, lambda v: (v == 1) | (v == -1), ndim=1)


def classes(name: str, y: ArrayLike, count: int | None = None) -> Int[Array, " n"]:
    """`y` as a vector of class numbers 0..count-1 (None: of any count); a column (n, 1) counts as the vector it holds.

    Inside `jit` an entry outside that range raises when the compiled code runs.
    """
    allowed = f"a vector of integers {'>= 0' if count is None else f'in 0..{count - 1}'}"
    array = _column(name, y, allowed)
    if array.ndim != 1 or not jnp.issubdtype(array.dtype, jnp.integer):
        hint = f": convert them by {name}.astype(int)" if array.dtype == bool and array.ndim == 1 else ""
        raise ValueError(f"{name} must be {allowed}, got shape {array.shape} and dtype {array.dtype}{hint}")
    low, high = 0, jnp.iinfo(array.dtype).max
    if count is not None:
        high = min(high, count - 1)
    if not is_concrete(array):
        return error_if(array, ((array < low) | (array > high)).any(), f"{name} must be {allowed}")
    values = np.asarray(array)
    bad = values[(values < low) | (values > high)]
    if bad.size:
        signs = count in (None, 2) and set(values.tolist()) == {-1, 1}
        hint = f": convert -1 and +1 by ({name} + 1) // 2" if signs else ""
        raise ValueError(f"{name} must be {allowed}, got {bad[0]}{hint}")
    return array


def one_output(outputs: Array, n: int) -> Float[Array, " n"]:
    """What `apply` gave for n inputs, from a network with one output: (n,) or (n, 1), as (n,)."""
    if outputs.shape not in ((n,), (n, 1)):
        raise ValueError(f"apply must give outputs of shape ({n},) or ({n}, 1) for {n} inputs, got {outputs.shape}")
    return outputs.reshape(n)


def _column(name: str, x: Any, allowed: str) -> Array:
    """`x` as an array, (n, 1) as (n,)."""
    x = _plain(name, x) if hasattr(x, "shape") else x
    try:
        array = _array(x)
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be {allowed}, got {in_short(x)}") from None
    return array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else array


def examples(name: str, x: Any) -> Array:
    """`x` with one example a row: finite floats of any shape, or integers (tokens) as they are."""
    x = numbers(name, x) if hasattr(x, "detach") else x
    if not jnp.issubdtype(getattr(x, "dtype", float), jnp.integer):
        x = finite(name, x)
    x = jnp.asarray(x)
    if x.ndim == 0 or 0 in x.shape:
        raise ValueError(f"{name} must have at least one example, a row each, got shape {x.shape}")
    return x


def rows_of_numbers(name: str, x: Any, columns: int) -> None:
    """`x` must be an array of shape (n, columns) of real numbers, of any precision."""
    numbers = hasattr(x, "dtype") and (jnp.issubdtype(x.dtype, jnp.floating) or jnp.issubdtype(x.dtype, jnp.integer))
    if not numbers or x.ndim != 2 or x.shape[1] != columns:
        raise ValueError(f"{name} must be an array of numbers of shape (n, {columns}), got {in_short(x)}")


def square(name: str, x: Array) -> None:
    """`x`, a matrix, must have as many rows as columns, and some."""
    if x.shape != x.shape[::-1] or x.size == 0:
        raise ValueError(f"{name} must be square and not empty, got shape {x.shape}")


def integer(name: str, x: Any, low: int, high: int | None = None) -> int:
    """`x` as a Python integer of `low..high`."""
    allowed = f"at least {low}" if high is None else f"in {low}..{high}"
    try:
        value = operator.index(x)
    except TypeError:
        raise ValueError(f"{name} must be an integer {allowed}, got {in_short(x)}") from None
    if value < low or (high is not None and value > high):
        raise ValueError(f"{name} must be {allowed}, got {value}")
    return value


def instance(name: str, x: Any, kind: type, hint: str = "") -> None:
    """`x` must be an object of the class `kind`; `hint` says how to come by one."""
    if not isinstance(x, kind):
        told = isinstance(x, type) or (hasattr(x, "dtype") and hasattr(x, "shape"))
        given = in_short(x) if told else f"a value of type {type(x).__name__}"
        raise ValueError(f"{name} must be a {kind.__name__}, got {given}{hint and ': '}{hint}")


def real_dtype(name: str, x: Any) -> np.dtype:
    """`x` as a dtype of floating-point numbers."""
    try:
        dtype = jax.dtypes.canonicalize_dtype(x)
    except (TypeError, ValueError):
        dtype = None
    if dtype is None or not jnp.issubdtype(dtype, jnp.floating):
        raise ValueError(f"{name} must be a floating-point dtype, got {in_short(x)}")
    return dtype


def random_key(name: str, x: Any) -> None:
    """`x` must be a random key of JAX, or several: of the new kind or raw, as 32-bit integers."""
    dtype = getattr(x, "dtype", np.dtype(float))
    raw = dtype == np.uint32 and x.ndim >= 1
    if not (raw or jnp.issubdtype(dtype, jax.dtypes.prng_key)):
        raise ValueError(f"{name} must be a random key, such as jax.random.key(0), got {in_short(x)}")


def devices(name: str, x: Any) -> None:
    """`x` must be a list of JAX devices, at least one."""
    if not isinstance(x, Sequence) or not x or not all(isinstance(device, jax.Device) for device in x):
        raise ValueError(f"{name} must be a list of JAX devices, got {in_short(x)}")


def one_of(name: str, x: Any, allowed: Collection[str]) -> str:
    """`x`, which must be one of the words."""
    if not isinstance(x, str) or x not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(allowed)}, got {in_short(x)}")
    return x


def flag(name: str, x: Any) -> bool:
    """`x`, a switch, as a Python `bool`; text such as "no" would count as true."""
    if not isinstance(x, bool | np.bool_):
        raise ValueError(f"{name} must be True or False, got {in_short(x)}")
    return bool(x)


def mapping(name: str, x: Any) -> None:
    """`x` must be a dictionary, or what can be used as one."""
    if not isinstance(x, Mapping):
        raise ValueError(f"{name} must be a dictionary, got {in_short(x)}")


def function(name: str, x: Any, *given: str, named: Sequence[str] = ()) -> None:
    """`x` must be a function, or an object that can be called: where they are known, with arguments that are what
    `given` says in words and those that are `named`."""
    if not callable(x):
        raise ValueError(f"{name} must be a function, got a value of type {type(x).__name__}")
    try:
        signature = inspect.signature(x) if given or named else None
    except (TypeError, ValueError):  # some of those that are built in do not tell theirs
        return
    try:
        if signature is not None:
            signature.bind(*given, **dict.fromkeys(named))
    except TypeError:
        raise ValueError(f"{name} must be a function of {', '.join((*given, *named))}, got {in_short(x)}") from None


def progress(x: Any) -> None:
    """`progress` must be a function that can be told how far a stage is."""
    function("progress", x, "a stage", "the steps done", "the steps there are")


def broadcastable(**arrays: Array) -> tuple[int, ...]:
    """The shape that the named arrays broadcast to; they must."""
    shapes = [x.shape for x in arrays.values()]
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError:
        raise ValueError(f"{', '.join(arrays)} must have shapes that broadcast, got {shapes}") from None


def same_length(name: str, x: Array, other: str, y: Array) -> None:
    """`x` and `y` must agree in their first axis."""
    if x.shape[:1] != y.shape[:1]:
        raise ValueError(f"{name} must have as many rows as {other} ({y.shape[:1]}), got shape {x.shape}")
