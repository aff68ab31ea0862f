"""Products with all digits of their factors: of float32, JAX's default on a GPU keeps eleven bits of each (TF32).

On 512 normal entries that is an error of 3e-4 of the largest product, where a bound derived for float32 says 4e-7. JAX
takes the precision from its configuration when a function is traced. So whatever solves or certifies sets it for
itself, and so does every derivative and batching rule, which JAX traces later and on its own. What others set for
their networks' training stays as it is.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import jax

F = TypeVar("F", bound=Callable)


def full_precision(function: F) -> F:
    """`function`, whose matrix products and convolutions are those of its arrays' own precision on every device."""

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        with jax.default_matmul_precision("highest"):
            return function(*args, **kwargs)

    return call  # pyright: ignore[reportReturnType]
