"""What every special function does with its arguments before it computes."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable

import jax
from jaxtyping import Array

from gsdyn import _checks


def on_reals(function: Callable[..., Array]) -> Callable[..., Array]:
    """An elementwise function, compiled, after a check that its arguments are real and broadcast."""
    signature, compiled = inspect.signature(function), jax.jit(function)

    @functools.wraps(function)
    def checked(*args, **kwargs):
        given = signature.bind(*args, **kwargs).arguments
        arrays = {name: _checks.real(name, x) for name, x in given.items()}
        _checks.broadcastable(**arrays)
        return compiled(*arrays.values())

    return checked
