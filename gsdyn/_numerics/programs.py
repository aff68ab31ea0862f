"""How programs are compiled that no other program contains: most of what a first call takes is XLA's compiler."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.extend.core

from gsdyn import _checks

F = TypeVar("F", bound=Callable)
# XLA's older way from fused operations to machine code takes a third of the newer one's time, and what it makes of
# programs that mostly multiply and factor matrices is as fast. Other generations of JAX may not know the flag.
QUICKLY: dict[str, Any] = {"xla_cpu_use_fusion_emitters": False} if jax.__version__.startswith("0.10.") else {}


def compiled(function: F) -> F:
    """`function` as `equinox.filter_jit` makes it: a part of the program that calls it, or, of values that are known
    and outside of `jit`, one of its own, which is compiled in half of the time."""
    inside: Any = eqx.filter_jit(function)
    if not QUICKLY:
        return inside
    alone: Any = eqx.filter_jit(function, compiler_options=QUICKLY)  # pyright: ignore[reportCallIssue]
    traced = jax.extend.core.unsafe_am_i_under_a_jit_DO_NOT_USE  # pyright: ignore[reportPrivateImportUsage]

    @functools.wraps(function)
    def call(*args: Any) -> Any:
        return (alone if not traced() and _checks.is_concrete(args) else inside)(*args)

    return call  # pyright: ignore[reportReturnType]
