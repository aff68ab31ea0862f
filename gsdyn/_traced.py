"""Checks of values that are not known yet, and where they are left out because the values were checked beforehand."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import equinox as eqx
import jax
from jaxtyping import Array

# part of the key of every compiled program: one without checks is never taken where there should be some
_beforehand = jax.make_user_context(False)


def error_if(x: Any, wrong: Array, message: str) -> Any:
    """`x`, after an error with `message` when the compiled code runs and any of `wrong` holds."""
    return x if _beforehand.value else eqx.error_if(x, wrong, message)


@contextlib.contextmanager
def checked_beforehand() -> Iterator[None]:
    """Programs traced inside check nothing: their caller has checked, eagerly, every value that they get.

    A check in compiled code calls back into Python, and what does so JAX keeps in no persistent cache.
    """
    with _beforehand(True):
        yield
